"""The rehearsal teacher: a stand-in for a large model behind the OpenAI chat completions API. For tests and the demo.

It is no language model. It reads the prompt, knows only that prompt and teacher.jsonl, and computes its grades.
Settings: REHEARSAL_API_KEY (required), REHEARSAL_STOCK, REHEARSAL_LOG, REHEARSAL_HOST, REHEARSAL_PORT.
"""

from __future__ import annotations

import hmac
import json
import os
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, ValidationError
from reading import UnreadableError, read_prompt
from record import Record
from teaching import Teacher

MODEL = "rehearsal"
_BYTES_A_TOKEN = 4


class Message(BaseModel):
    """One turn of a conversation."""

    role: str
    content: str


class ChatRequest(BaseModel):
    """As much of a chat completion request as this teacher obeys."""

    model: str
    messages: list[Message] = Field(min_length=1)
    max_completion_tokens: int | None = None
    max_tokens: int | None = None


def build(teacher: Teacher, record: Record, key: str) -> FastAPI:
    """The server."""
    app = FastAPI(title="Rehearsal teacher (a stand-in, not a language model)")

    @app.get("/healthz")
    async def healthz() -> dict[str, Any]:
        return {"items": teacher.items}

    @app.get("/requests")
    async def requests() -> dict[str, Any]:
        return record.summary()

    @app.get("/v1/models")
    async def models(request: Request) -> JSONResponse:
        if not _allowed(request, key):
            return _error(401, "invalid_api_key", "the key is not the one of this server")
        return JSONResponse({"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "rehearsal"}]})

    @app.post("/v1/chat/completions")
    async def completions(request: Request) -> JSONResponse:
        body = await request.body()
        purpose, response = _answer(teacher, body) if _allowed(request, key) else ("", _error(401, "invalid_api_key"))
        record.add(body, purpose, response.status_code)
        return response

    return app


def _allowed(request: Request, key: str) -> bool:
    return hmac.compare_digest(request.headers.get("authorization", "").encode(), f"Bearer {key}".encode())


def _answer(teacher: Teacher, body: bytes) -> tuple[str, JSONResponse]:
    try:
        asked = ChatRequest.model_validate_json(body)
    except ValidationError as error:
        return "", _error(400, "invalid_request", f"{error.error_count()} faults in the request")
    if asked.model != MODEL:
        return "", _error(404, "model_not_found", f"the only model here is {MODEL}")
    prompt = "\n".join(message.content for message in asked.messages)
    try:
        assignment = read_prompt(prompt)
    except UnreadableError as error:
        return "", _error(400, "unreadable_prompt", str(error))
    text = json.dumps(teacher.reply(assignment, prompt), ensure_ascii=False)
    return assignment.purpose, JSONResponse(_completion(prompt, text, asked.max_completion_tokens or asked.max_tokens))


def _completion(prompt: str, text: str, limit: int | None) -> dict[str, Any]:
    cut = limit is not None and _tokens(text) > limit
    said = text.encode()[: limit * _BYTES_A_TOKEN].decode(errors="ignore") if cut and limit else text
    return {
        "id": "chatcmpl-rehearsal",
        "object": "chat.completion",
        "created": 0,
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": said},
                "finish_reason": "length" if cut else "stop",
            }
        ],
        "usage": {
            "prompt_tokens": _tokens(prompt),
            "completion_tokens": _tokens(said),
            "total_tokens": _tokens(prompt) + _tokens(said),
        },
    }


def _tokens(text: str) -> int:
    return -(-len(text.encode()) // _BYTES_A_TOKEN)


def _error(status: int, code: str, message: str = "the key is not the one of this server") -> JSONResponse:
    return JSONResponse({"error": {"message": message, "type": code, "code": code}}, status_code=status)


def main() -> None:
    """Serve until stopped."""
    key = os.environ.get("REHEARSAL_API_KEY", "")
    if not key:
        raise SystemExit("REHEARSAL_API_KEY is not set: the stand-in asks for a key as a real teacher does")
    stock = Path(os.environ.get("REHEARSAL_STOCK", Path(__file__).with_name("teacher.jsonl")))
    teacher = Teacher(stock)
    print("*" * 78)
    print("* REHEARSAL TEACHER: a stand-in for tests and the demo. This is NOT a language")
    print(f"* model: it hands out {teacher.items} prepared items and computes its grades.")
    print("*" * 78, flush=True)
    record = Record(Path(os.environ.get("REHEARSAL_LOG", "/tmp/rehearsal-requests.jsonl")))  # noqa: S108
    uvicorn.run(
        build(teacher, record, key),
        host=os.environ.get("REHEARSAL_HOST", "0.0.0.0"),  # noqa: S104 - a server in a pod
        port=int(os.environ.get("REHEARSAL_PORT", "8000")),
        log_level="warning",
    )


if __name__ == "__main__":
    main()
