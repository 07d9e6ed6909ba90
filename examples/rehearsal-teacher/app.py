"""The rehearsal teacher: a stand-in for a large model behind the OpenAI chat completions API. For tests and the demo.

It is no language model. It reads the prompt, knows only that prompt and teacher.jsonl, and computes its grades.
Settings: REHEARSAL_API_KEY (required), REHEARSAL_STOCK, REHEARSAL_LOG, REHEARSAL_HOST, REHEARSAL_PORT,
REHEARSAL_KNOWN (items whose labels it knows, for experiments),
REHEARSAL_KNOBS (what shall go wrong, knobs.py), REHEARSAL_REQUESTS_PER_MINUTE.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import time
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from knobs import Knobs
from pydantic import BaseModel, Field, ValidationError
from reading import UnreadableError, read_prompt
from record import Record
from shapes import ResponseFormat
from teaching import Teacher, break_json

MODEL = "rehearsal"
_BYTES_A_TOKEN = 4
_SLOW_SECONDS = 3.0


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
    response_format: ResponseFormat | None = None


def build(teacher: Teacher, record: Record, key: str, knobs: Knobs | None = None) -> FastAPI:
    """The server."""
    knobs = knobs or Knobs()
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
        if not _allowed(request, key):
            record.add(body, "", 401)
            return _error(401, "invalid_api_key")
        draw, in_time = knobs.arrive(body, time.monotonic())
        purpose, response = "", _turned_away(knobs, draw, in_time)
        if response is None:
            purpose, response = _answer(teacher, body, knobs, draw)
        if knobs.turned("slow", draw):
            await asyncio.sleep(_SLOW_SECONDS)
        if knobs.turned("dead", draw):
            response.headers["content-length"] = str(len(response.body) + 1)
        record.add(body, purpose, response.status_code)
        return response

    return app


def _allowed(request: Request, key: str) -> bool:
    return hmac.compare_digest(request.headers.get("authorization", "").encode(), f"Bearer {key}".encode())


def _turned_away(knobs: Knobs, draw: str, in_time: bool) -> JSONResponse | None:
    if not in_time or knobs.turned("busy", draw):
        return _error(429, "rate_limit_exceeded", "too many requests")
    if knobs.turned("busyFor", draw):
        response = _error(429, "rate_limit_exceeded", "too many requests")
        response.headers["retry-after"] = "1"
        return response
    return _error(503, "overloaded", "too much to do") if knobs.turned("ill", draw) else None


def _answer(teacher: Teacher, body: bytes, knobs: Knobs, draw: str) -> tuple[str, JSONResponse]:
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
    if (form := asked.response_format) is not None:
        fault = "no such response_format here" if knobs.turned("unstructured", draw) else form.fault()
        if fault is not None:
            return assignment.purpose, _error(400, "invalid_response_format", fault)
    text = json.dumps(teacher.reply(assignment, prompt, knobs, draw), ensure_ascii=False)
    completion = _completion(prompt, text, asked.max_completion_tokens or asked.max_tokens)
    _spoil(completion, assignment.purpose, knobs, draw)
    return assignment.purpose, JSONResponse(completion)


def _spoil(completion: dict[str, Any], purpose: str, knobs: Knobs, draw: str) -> None:
    choice = completion["choices"][0]
    message = choice["message"]
    if purpose != "repair" and knobs.turned("badJson", draw):
        message["content"] = break_json(message["content"])
    if knobs.turned("cut", draw):
        message["content"] = message["content"][: len(message["content"]) // 2]
        choice["finish_reason"] = "length"
    if knobs.turned("thinking", draw):
        message["content"] = f'<think>Perhaps {{"exam": []}}?</think>\n{message["content"]}'
    if knobs.turned("refuse", draw):
        message |= {"content": None, "refusal": "I cannot help with that."}
    if knobs.turned("filter", draw):
        choice["finish_reason"] = "content_filter"
    if knobs.turned("swapped", draw):
        completion["model"] = f"{MODEL}-2"
    if knobs.turned("unmetered", draw):
        del completion["usage"]


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
    known = os.environ.get("REHEARSAL_KNOWN")
    teacher = Teacher(stock, Path(known) if known else None)
    print("*" * 78)
    print("* REHEARSAL TEACHER: a stand-in for tests and the demo. This is NOT a language")
    print(f"* model: it hands out {teacher.items} prepared items and computes its grades.")
    print("*" * 78, flush=True)
    record = Record(Path(os.environ.get("REHEARSAL_LOG", "/tmp/rehearsal-requests.jsonl")))  # noqa: S108
    knobs = Knobs.read(os.environ.get("REHEARSAL_KNOBS", ""), os.environ.get("REHEARSAL_REQUESTS_PER_MINUTE", ""))
    uvicorn.run(
        build(teacher, record, key, knobs),
        host=os.environ.get("REHEARSAL_HOST", "0.0.0.0"),  # noqa: S104 - a server in a pod
        port=int(os.environ.get("REHEARSAL_PORT", "8000")),
        log_level="warning",
    )


if __name__ == "__main__":
    main()
