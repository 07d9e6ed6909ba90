"""The teacher's key is a canary: after exam and evaluate, good and bad, it is in no file, log line or message."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from flywheel.teacher import client

ITERATION = "runs/review/severity-1/iter-1"


@pytest.fixture
def quiet(taught: Any, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Iterator[Any]:
    """The bench; when the test is over nothing that was written or said holds the key. Libraries log all they can."""
    caplog.set_level(logging.DEBUG)
    canary = taught.key
    yield taught
    assert taught.asked()["requests"], "nobody was asked: this proves nothing"
    out, err = capfd.readouterr()
    records = caplog.get_records("call")
    assert {"openai._base_client", "flywheel.step"} <= {record.name for record in records}
    logged = [logging.Formatter().format(record) for record in records]
    assert not [line for line in (*logged, out, err) if canary in line]
    files = [path for path in taught.root.rglob("*") if path.is_file()]
    assert [path for path in files if path.name.startswith("message-")]
    assert not [path for path in files if canary.encode() in path.read_bytes() or canary in path.name]


def ask_exam(bench: Any, prepared: Any, attempt: int = 1, **teacher: Any) -> Any:
    inputs = [prepared.entry("curriculum", "task.json", "signatures.json", "pools/exam")]
    parameters = {"teacher": {**bench.teacher, **teacher}, "questions": 8}
    return bench.run("exam", f"{ITERATION}/exam/a{attempt}", parameters, inputs=inputs, attempt=attempt)


def test_exam_and_evaluate(quiet: Any) -> None:
    prepared = quiet.prepare()
    sat = ask_exam(quiet, prepared)
    given = quiet.answered(quiet.lines(sat, "exam.jsonl"))
    inputs = [
        prepared.entry("curriculum", "task.json", "signatures.json", "pools/curriculum"),
        sat.entry("exam", "exam.jsonl"),
        given,
    ]
    parameters = {"teacher": quiet.teacher, "examples": 8, "replay": "0.25"}
    assert quiet.run("evaluate", f"{ITERATION}/evaluate/a1", parameters, inputs=inputs).code == 0
    assert quiet.asked()["purposes"]["labels"] >= 4, "blind labels and votes were asked for as well"
    assert list((quiet.root / "ledger").rglob("*.reply.json"))


def test_a_refusal_a_wrong_host_and_a_crash(quiet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = quiet.prepare()
    assert ask_exam(quiet, prepared, 1, model="other").result.error.reason == "TeacherUnavailable"
    assert ask_exam(quiet, prepared, 2, baseUrl="http://localhost:1/v1").result.error.reason == "TeacherSecret"

    def broken(*_: Any) -> None:
        raise RuntimeError("broken")

    with monkeypatch.context() as patch:
        patch.setattr(client.TeacherClient, "_understood", broken)
        assert ask_exam(quiet, prepared, 4).result.error.reason == "StepFailed"
    quiet.key += "-of-another-teacher"
    assert ask_exam(quiet, prepared, 5, model="other").result.error.reason == "TeacherKeyRefused"
