"""The step verify against pods that answer as told: what passes, and what each way of being wrong leads to."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from certificates import make_certificates

from flywheel.api.request import Input, StepRequest, VerifyParameters
from flywheel.api.result import Difference, VerifyFigures
from flywheel.api.task import PreparedTask
from flywheel.data.tokens import BaseIdentity, Contract
from flywheel.serving import asking
from flywheel.serving.access import Access, Trust
from flywheel.serving.errors import KeyRefusedError, PodUnreachableError
from flywheel.serving.triton import Reply
from flywheel.steps import verify as step
from flywheel.workspace.manifest import Manifest, list_files, seal
from flywheel.workspace.program import Attempt, BadInputError, TryLaterError
from flywheel.workspace.store import Workspace

DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
ADAPTER = "adapters/review/x"
PREPARED = PreparedTask.model_validate(
    {
        "task": {
            "instructions": "Rate.",
            "inputSchema": {"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]},
            "outputSchema": {"type": "object", "properties": {"issue_type": {"enum": ["major", "minor"]}}},
            "label": {"path": "issue_type", "order": ["major", "minor"]},
        },
        "template": "{{ fields }}",
    }
)
Answers = Callable[[str, int], Reply]


def pods(answers: Answers) -> type:
    class Pod:
        def __init__(self, address: str, access: Access) -> None:
            self.address = address

        def __enter__(self) -> Pod:
            return self

        def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
        ) -> None: ...

        def lora_name(self, _model: str) -> None: ...

        def ask(self, model: str, question: dict[str, Any]) -> Reply:
            assert model == "severity-cand-aaaaaaaa"
            return answers(self.address, int(question["code"]))

    return Pod


def right(_address: str, _number: int) -> Reply:
    return Reply('{"issue_type":"major"}', DIGEST)


def contract() -> Contract:
    return Contract(
        prepared=PREPARED,
        base=BaseIdentity(weights="w", config="c", dtype="float32"),
        tokenizer="t",
        template="t",
        rendered_prompt="p",
        bos="none",
        stop_ids=[1],
        max_new_tokens=8,
        output_schema=PREPARED.task.output_schema,
        label_path="issue_type",
        labels=["major", "minor"],
    )


def attempt(folder: Path, probes: int = 20, minimum: int = 20, **changes: Any) -> Attempt:
    workspace = Workspace(folder)
    workspace.write_json(f"{ADAPTER}/contract.json", contract().to_json_object())
    lines = [{"id": str(n), "input": {"code": str(n)}, "candidate": "major", "base": "minor"} for n in range(probes)]
    workspace.write_jsonl(f"{ADAPTER}/probes.jsonl", lines)
    manifest = Manifest(
        step="publish",
        owner="severity",
        iteration=1,
        attempt=1,
        seed=0,
        files=list_files(workspace, ADAPTER),
        figures=VerifyFigures(probes=0, agreed={}, passed=True),
    )
    digest = seal(workspace, ADAPTER, manifest)
    parameters = VerifyParameters(
        model="severity-cand-aaaaaaaa",
        adapter_digest=DIGEST,
        addresses=["one:8001", "two:8001"],
        agreement="0.95",
        minimum_probes=minimum,
        **changes,
    )
    request = StepRequest(
        namespace="review",
        owner="severity",
        attempt=1,
        output="deployments/x/a1",
        inputs=[Input(name="adapter", path=ADAPTER, digest=digest)],
        parameters=parameters,
    )
    made = Attempt(request, workspace)
    made.check_inputs()
    return made


def figures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answers: Answers) -> VerifyFigures:
    monkeypatch.setattr(asking, "TritonPod", pods(answers))
    found = step.verify(attempt(tmp_path)).figures
    assert isinstance(found, VerifyFigures)
    return found


def test_all_as_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = figures(monkeypatch, tmp_path, right)
    assert found.passed
    assert found.agreed == {"one:8001": 20, "two:8001": 20}
    assert len(list(Workspace(tmp_path).read_jsonl("deployments/x/a1/answers.jsonl"))) == 40


@pytest.mark.parametrize(("wrong", "passed"), [(1, True), (2, False)])
def test_the_share_that_must_agree(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wrong: int, passed: bool) -> None:
    def answers(address: str, number: int) -> Reply:
        if address == "two:8001" and number < wrong:
            return Reply('{"issue_type":"minor"}', DIGEST)
        return right(address, number)

    assert figures(monkeypatch, tmp_path, answers).passed is passed


@pytest.mark.parametrize(
    "reply",
    [Reply('{"issue_type":"major"}', OTHER), Reply('{"issue_type":"major"}', "base"), Reply("major", DIGEST)],
)
def test_another_adapter_or_an_unreadable_answer_does_not_count(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, reply: Reply
) -> None:
    def answers(address: str, number: int) -> Reply:
        return reply if address == "one:8001" else right(address, number)

    found = figures(monkeypatch, tmp_path, answers)
    assert not found.passed
    assert found.agreed == {"one:8001": 0, "two:8001": 20}


def test_a_pod_that_is_away_is_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def answers(address: str, number: int) -> Reply:
        if number == 7:
            raise PodUnreachableError(f"{address} cannot be reached")
        return right(address, number)

    with pytest.raises(TryLaterError) as caught:
        figures(monkeypatch, tmp_path, answers)
    assert caught.value.reason == "TargetUnavailable"


GUARDED = {"credentials": True, "tls": {"serverName": "triton.review.svc", "caBundleRef": {"name": "corp-ca"}}}


def guarded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answers: Answers = right, **missing: str | None
) -> list[Access]:
    """What the pods are shown, where the step has all that it needs but what is missing."""
    found: list[Access] = []
    authorities = make_certificates(tmp_path, "DNS:triton.review.svc") / "ca.pem"
    given = {"CA": str(authorities), "HEADER": "admin-key", "VALUE": "s3cret"} | missing
    for name, value in given.items():
        if value is not None:
            monkeypatch.setenv(f"FLYWHEEL_SERVING_{name}", value)
    pod = pods(answers)

    def meet(address: str, access: Access) -> Any:
        found.append(access)
        return pod(address, access)

    monkeypatch.setattr(asking, "TritonPod", meet)
    step.verify(attempt(tmp_path, **GUARDED))
    return found


def test_pods_are_shown_what_the_step_was_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for access in guarded(monkeypatch, tmp_path):
        assert access.headers == {"triton-grpc-protocol-admin-key": "s3cret"}
        assert access.trust == Trust("triton.review.svc", (tmp_path / "ca.pem").read_text())
    kept = "".join(file.read_text() for file in (tmp_path / "deployments").rglob("*.json*"))
    assert "triton.review.svc" in kept and "s3cret" not in kept


@pytest.mark.parametrize(
    ("missing", "words", "reason"),
    [
        ({"CA": "/nowhere"}, r"key ca.crt of ConfigMap corp-ca .* is not there", "TargetCertificate"),
        ({"VALUE": None}, "credentialsRef lacks the key value", "TargetSecret"),
    ],
)
def test_what_the_step_was_not_given_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, missing: dict[str, str | None], words: str, reason: str
) -> None:
    with pytest.raises(TryLaterError, match=words) as caught:
        guarded(monkeypatch, tmp_path, **missing)
    assert caught.value.reason == reason


def test_a_refusal_is_waited_for_under_its_own_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(address: str, _number: int) -> Reply:
        raise KeyRefusedError(f"{address} refuses the credential")

    with pytest.raises(TryLaterError, match="refuses the credential") as caught:
        guarded(monkeypatch, tmp_path, refuse)
    assert caught.value.reason == "TargetKeyRefused"


def by_name(monkeypatch: pytest.MonkeyPatch, told: dict[str, Callable[[int], str]]) -> None:
    """Pods that have models by these names, and do not say which adapter answers."""

    class Pod:
        def ask(self, model: str, probe: Any) -> asking.Said:
            return asking.Said(told[model](int(probe.id)))

    monkeypatch.setattr(step, "asking", lambda *_: nullcontext(Pod()))


NEW = "severity-cand-aaaaaaaa"


@pytest.mark.parametrize(
    ("alike", "new", "passed"),
    [
        (5, lambda _: "major", True),
        (5, lambda number: "minor" if number >= 5 else "major", False),  # what serves answers under the new name
        (0, lambda _: "minor", False),
    ],
)
def test_by_name_only_what_tells_the_two_apart_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, alike: int, new: Callable[[int], str], passed: bool
) -> None:
    by_name(monkeypatch, {"old": lambda number: "major" if number < alike else "minor", NEW: new})
    made = attempt(tmp_path, probes=20 + alike, server="vllm", serving_model="old")
    found = step.verify(made).figures
    assert isinstance(found, VerifyFigures)
    assert (found.probes, found.passed) == (20, passed)


def test_by_name_too_few_probes_tell_the_two_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    by_name(monkeypatch, {"old": lambda number: "major" if number < 6 else "minor", NEW: lambda _: "major"})
    made = attempt(tmp_path, probes=25, server="nim", serving_model="old")
    with pytest.raises(BadInputError, match="19 probes on which the candidate answers otherwise") as caught:
        step.verify(made)
    assert caught.value.reason == "TooFewProbes"


def test_too_few_probes_prove_nothing(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="are 19 probes") as caught:
        step.verify(attempt(tmp_path, probes=19))
    assert caught.value.reason == "TooFewProbes"


@pytest.mark.parametrize(("low", "passed"), [(-0.019, True), (-0.021, False)])
def test_the_whole_interval_as_served_is_within_the_margin(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, low: float, passed: bool
) -> None:
    quality = Difference(difference=0.0, low=low, high=0.01)
    monkeypatch.setattr(asking, "TritonPod", pods(right))
    monkeypatch.setattr(step, "as_served", lambda *_asked: quality)
    found = step.verify(attempt(tmp_path, margin="0.02")).figures
    assert isinstance(found, VerifyFigures)
    assert (found.as_served, found.passed) == (quality, passed)


def test_an_adapter_that_is_not_recognised_is_not_asked_further(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(asking, "TritonPod", pods(lambda _address, _number: Reply('{"issue_type":"minor"}', DIGEST)))
    monkeypatch.setattr(step, "as_served", lambda *_asked: pytest.fail("it was asked"))
    found = step.verify(attempt(tmp_path, margin="0.02")).figures
    assert isinstance(found, VerifyFigures)
    assert (found.as_served, found.passed) == (None, False)
