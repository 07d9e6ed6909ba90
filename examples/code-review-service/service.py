"""The code-review service: rates findings by the served adapter, shows the severe ones, and keeps what users say.

It asks nobody who they are: whoever can reach it can give feedback, which becomes training data.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import uvicorn
from diffs import NoCodeError
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import generate_latest
from request_log import GivenBeforeError, LogError, RequestLog, UnknownFindingError
from requested import Feedback, ReviewRequest
from reviewing import Service, UnfitFeedbackError
from served import ServedModel, ServingError
from service_settings import Settings

_FAULTS = 5  # that are said of a request
STATUS: dict[type[Exception], int] = {
    NoCodeError: 422,
    UnfitFeedbackError: 422,
    UnknownFindingError: 404,
    GivenBeforeError: 409,
    ServingError: 503,
    LogError: 503,
}


def build(service: Service) -> FastAPI:
    """The server."""
    app = FastAPI(title="Code review: findings by severity")

    @app.exception_handler(RequestValidationError)
    async def unfit(_request: Request, error: RequestValidationError) -> JSONResponse:
        faults = [(".".join(str(part) for part in each["loc"][1:]), each["msg"]) for each in error.errors()]
        said = [f"{place}: {message}" if place else message for place, message in faults[:_FAULTS]]
        return JSONResponse({"detail": "; ".join(said)}, 422)

    for kind, status in STATUS.items():
        app.add_exception_handler(kind, _answering(status))

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {}

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(service.metrics), media_type="text/plain; version=0.0.4")

    @app.post("/reviews")
    async def reviews(asked: ReviewRequest) -> dict[str, Any]:
        return await service.review(asked)

    @app.post("/findings/{finding}/feedback", status_code=201)
    def feedback(finding: str, said: Feedback) -> dict[str, str]:
        service.give(finding, said)
        return {"id": finding}

    return app


def _answering(status: int) -> Callable[[Request, Exception], JSONResponse]:
    return lambda _request, error: JSONResponse({"detail": str(error)}, status)


def main() -> None:
    """Serve until stopped."""
    try:
        settings = Settings.read(os.environ)
        service = Service(
            settings, ServedModel(settings.triton_url, settings.model_name), RequestLog(settings.log_folder)
        )
    except (ValueError, LogError) as error:
        raise SystemExit(f"the service cannot start: {error}") from error
    uvicorn.run(build(service), host=settings.host, port=settings.port, log_level="warning")


if __name__ == "__main__":
    main()
