"""The driver of vLLM and NIM against a server that says what vLLM 0.32 was measured to say."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from flywheel.api.item import Probe
from flywheel.api.target import NimTarget, VllmTarget
from flywheel.serving.asking import NoPromptError, asking
from flywheel.serving.calls import Endpoint, LoadModel, UnloadModel
from flywheel.serving.errors import LoadFailedError, ModelMissingError, PodUnreachableError, ServingError
from flywheel.serving.openai_server import OpenAiPod, look, perform

from .test_verify import contract

NAME, PATH = "severity-0123456789ab", "/adapters/severity-0123456789ab"
SECRET = "10.0.0.7 says hello"
STORE = {"persistentVolumeClaim": {"claimName": "adapters"}}
SERVER = {"serviceRef": {"name": "llm"}, "model": "severity", "baseModel": "student", "store": STORE}
VLLM, NIM = VllmTarget.model_validate(SERVER), NimTarget.model_validate(SERVER)


class Told:
    """What the server answers by path, and what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, Any]] = {"/health": (200, ""), "/v1/health/ready": (200, {})}
        self.asked: list[tuple[str, Any]] = []
        self.address = ""

    def models(self, **roots: str | None) -> None:
        listed = [{"id": name.replace("_", "-"), "root": root} for name, root in roots.items()]
        self.answers["/v1/models"] = (200, {"data": listed})


@pytest.fixture
def told() -> Iterator[Told]:
    told = Told()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            told.asked.append((self.path, json.loads(self.rfile.read(size)) if size else None))
            code, body = told.answers.get(self.path, (404, {"detail": "Not Found"}))
            self.send_response(code)
            self.end_headers()
            self.wfile.write(body.encode() if isinstance(body, str) else json.dumps(body).encode())

        do_POST = do_GET

        def log_message(self, format: str, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.address = f"127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield told
    server.shutdown()
    server.server_close()


def refusal(message: str) -> dict[str, Any]:
    return {"error": {"message": f"{message} {SECRET}", "type": "BadRequestError", "param": None, "code": 400}}


def failure(told: Told, call: type[LoadModel] | type[UnloadModel] = LoadModel, target: Any = VLLM) -> str | None:
    endpoint = Endpoint("llm-0", told.address)
    wanted = LoadModel(endpoint, NAME, "sha256:x") if call is LoadModel else UnloadModel(endpoint, NAME)
    found = perform(wanted, target, lambda: None)
    return found.message if found else None


def test_loading_says_where_and_sees_that_it_is_there(told: Told) -> None:
    told.answers["/v1/load_lora_adapter"] = (200, "Success: LoRA adapter added successfully.")
    told.models(severity_0123456789ab=PATH)
    assert failure(told) is None
    assert told.asked[0] == ("/v1/load_lora_adapter", {"lora_name": NAME, "lora_path": PATH})
    told.models(student="student")
    assert "does not list it" in str(failure(told))


@pytest.mark.parametrize(("root", "fails"), [(PATH, False), ("/elsewhere", True)])
def test_loaded_already_is_done_where_it_is_ours(told: Told, root: str, fails: bool) -> None:
    told.answers["/v1/load_lora_adapter"] = (400, refusal(f"The lora adapter '{NAME}' has already been loaded."))
    told.models(severity_0123456789ab=root)
    assert ("another folder" in (failure(told) or "")) is fails


@pytest.mark.parametrize(
    ("code", "text", "words"),
    [
        (
            500,
            "Worker failed with error 'LoRA rank 64 is greater than max_lora_rank 8.'",
            "rank 64 is above .*max-lora-rank 8",
        ),
        (404, f"Loading lora bad failed: No adapter found for {PATH}", "finds no adapter at .*mountPath"),
        (500, "'Error while deserializing header: incomplete metadata'", "damaged"),
        (404, "Not Found", "VLLM_ALLOW_RUNTIME_LORA_UPDATING"),
        (500, "something else", "see its pod's log"),
    ],
)
def test_why_a_load_failed_is_said_in_our_words(told: Told, code: int, text: str, words: str) -> None:
    told.answers["/v1/load_lora_adapter"] = (code, refusal(text))
    with OpenAiPod(told.address) as pod, pytest.raises(LoadFailedError, match=words) as caught:
        pod.load(NAME, PATH)
    assert SECRET not in str(caught.value)


def test_unloading_what_is_not_there_is_done(told: Told) -> None:
    told.answers["/v1/unload_lora_adapter"] = (404, refusal(f"The lora adapter '{NAME}' cannot be found."))
    assert failure(told, UnloadModel) is None
    told.answers["/v1/unload_lora_adapter"] = (404, {"detail": "Not Found"})
    assert failure(told, UnloadModel) is not None
    assert "no such call" in str(failure(told, UnloadModel, NIM))


def test_a_look_names_ours_and_the_base_and_where_a_foreign_one_is_from(told: Told) -> None:
    endpoint = Endpoint("llm-0", told.address, ready=False)  # it may still read what it has registered
    told.models(student="student", severity_0123456789ab=PATH, severity_x_0123456789ab="/b", other=None)
    assert look(endpoint, VLLM, lambda: None).candidates == {"student": "student", NAME: NAME}
    told.models(severity_0123456789ab="/elsewhere")
    assert look(endpoint, VLLM, lambda: None).candidates == {NAME: "/elsewhere"}
    assert look(endpoint, NIM, lambda: None).candidates == {NAME: NAME}, "NIM does not say where from"


def test_a_dead_engine_is_no_pod_to_count_on(told: Told) -> None:
    told.models(severity_0123456789ab=PATH)
    told.answers["/health"] = (503, "")
    assert "HTTP 503" in look(Endpoint("llm-0", told.address), VLLM, lambda: None).error
    assert look(Endpoint("llm-0", "127.0.0.1:1"), VLLM, lambda: None).error
    told.answers |= {"/health": (200, ""), "/v1/models": (200, "<html>")}
    assert "OpenAI's API" in look(Endpoint("llm-0", told.address), VLLM, lambda: None).error


PROBE = Probe(id="1", input={"code": "x"}, candidate="major", prompt=[5, 6, 7])


def completion(text: str, reason: str = "stop") -> tuple[int, Any]:
    return 200, {"choices": [{"text": text, "finish_reason": reason}]}


def test_vllm_is_asked_with_the_tokens_that_were_measured(told: Told) -> None:
    told.answers["/v1/completions"] = completion('{"issue_type":"major"}')
    with asking("vllm", told.address, contract()) as pod:
        assert pod.ask(NAME, PROBE).label == "major"
        with pytest.raises(NoPromptError):
            pod.ask(NAME, PROBE.model_copy(update={"prompt": None}))
    ((_, asked),) = told.asked
    assert (asked["prompt"], asked["max_tokens"], asked["stop_token_ids"]) == ([5, 6, 7], 8, [1])
    assert (asked["temperature"], asked["repetition_penalty"]) == (0, 1.0)


def test_a_cut_answer_is_none_and_a_missing_model_is_said(told: Told) -> None:
    told.answers["/v1/completions"] = completion('{"issue_type":"major"}', "length")
    with asking("vllm", told.address, contract()) as pod:
        assert pod.ask(NAME, PROBE).label is None
        told.answers["/v1/completions"] = (404, refusal("The model does not exist."))
        with pytest.raises(ModelMissingError):
            pod.ask(NAME, PROBE)
        told.answers["/v1/completions"] = (500, refusal("EngineCore encountered an issue"))
        with pytest.raises(ServingError) as caught:
            pod.ask(NAME, PROBE)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("template", [None, "sha256:x"])
def test_nim_is_asked_by_text_and_by_chat_where_there_is_a_template(told: Told, template: str | None) -> None:
    told.answers["/v1/completions"] = completion('{"issue_type":"major"}')
    message = {"message": {"content": '{"issue_type":"major"}'}, "finish_reason": "stop"}
    told.answers["/v1/chat/completions"] = (200, {"choices": [message]})
    with asking("nim", told.address, contract().model_copy(update={"chat_template": template})) as pod:
        assert pod.ask(NAME, PROBE).label == "major"
    ((path, asked),) = told.asked
    text = asked["messages"][0]["content"] if template else asked["prompt"]
    assert (path.endswith("chat/completions"), text) == (
        template is not None,
        "[{'name': 'code', 'title': 'Code', 'value': 'x'}]",
    )
    assert set(asked) <= {"model", "prompt", "messages", "temperature", "max_tokens"}, "nothing that OpenAI has not"


def test_the_guard_is_asked_before_every_request(told: Told) -> None:
    def stop() -> None:
        raise RuntimeError("no longer the leader")

    ask: list[Callable[[OpenAiPod], Any]] = [lambda pod: pod.models(), lambda pod: pod.load(NAME, PATH)]
    for one in ask:
        with OpenAiPod(told.address, stop) as pod, pytest.raises(RuntimeError):
            one(pod)
    assert told.asked == []
    with pytest.raises(PodUnreachableError), OpenAiPod("127.0.0.1:1") as pod:
        pod.models()
