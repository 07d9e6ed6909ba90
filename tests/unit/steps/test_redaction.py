"""Planted secrets reach no prompt, ledger entry, log, message or training set; counts of them are told."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from flywheel.api.result import Accuracy, AnswerFigures
from flywheel.teacher import client

HOME = "runs/review/severity-1/iter-1"
# In pieces, so that no scanner of this repository takes them for real ones.
SECRETS = {
    "secrets": ["AK" + "IAIOSFODNN7QRTZEKP", "gh" + "p_Zk3vQx9LmT2rWb7YcN5dHs8JfG4pRa6UeXoK", "tr0ub4dor-and-three"],
    "emails": ["ada.byron@lovelace-works.com"],
    "hosts": ["db-7.corp.example.com"],
    "names": ["Jacquard"],
}
CODE = """
session = connect("{}", token="{}")
session.password = "{}"  # ask {}
session.open("{}")  # for {}
""".format(*(text for texts in SECRETS.values() for text in texts))
REDACTION = {"redact": {"hosts": ["corp.example.com"], "names": ["Jacquard"]}, "key": "tests"}


def planted(bench: Any) -> None:
    """The secrets in every item of the source."""
    lines = [json.loads(line) for line in bench.findings.read_text().splitlines()]
    for line in lines:
        line["input"]["code"] += CODE
    bench.findings.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize("said", ["label", "secret"])
def test_no_secret_leaves(
    taught: Any,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    said: str,
) -> None:
    prompts: list[str] = []
    complete = client.TeacherClient.complete

    def heard(self: client.TeacherClient, text: str) -> Any:
        prompts.append(text)
        return complete(self, text)

    monkeypatch.setattr(client.TeacherClient, "complete", heard)
    caplog.set_level(logging.DEBUG)
    planted(taught)
    # Every item has this code: only reviews tell them apart.
    prepared = taught.prepare(leakage={"fields": ["review"], "threshold": "1"})
    assert prepared.code == 0, prepared.log
    before = set(taught.root.rglob("*"))
    inputs = [prepared.entry("curriculum", "task.json", "signatures.json", "pools/exam")]
    parameters = {"teacher": taught.teacher, "questions": 8, "redaction": REDACTION}
    sat = taught.run("exam", f"{HOME}/exam/a1", parameters, inputs=inputs)
    assert sat.code == 0, sat.log
    questions = taught.lines(sat, "exam.jsonl")
    given = taught.answered(questions)
    if said == "secret":  # a student that says what it was trained on
        answers = f"{given['path']}/answers.jsonl"
        lines = list(taught.workspace.read_jsonl(answers))
        taught.workspace.write_jsonl(answers, [line | {"label": CODE} for line in lines])
        figures = AnswerFigures(items=8, score=Accuracy(accuracy=0, low=0, high=0))
        given |= taught.finished(given["path"], figures) | {"parts": ["answers.jsonl"]}
        before.add(taught.root / answers)
    inputs = [
        prepared.entry("curriculum", "task.json", "signatures.json", "pools/curriculum"),
        sat.entry("exam", "exam.jsonl"),
        given,
    ]
    parameters = {"teacher": taught.teacher, "examples": 8, "replay": "0.5", "redaction": REDACTION}
    ran = taught.run("evaluate", f"{HOME}/evaluate/a1", parameters, inputs=inputs)
    assert ran.code == 0, ran.log

    out, err = capfd.readouterr()
    told = [out, err, *(logging.Formatter().format(record) for record in caplog.get_records("call"))]
    # What the operator asked names what is to be replaced; like the pools it is mounted in no other step.
    written = [path for path in set(taught.root.rglob("*")) - before if path.is_file() and path.name != "request.json"]
    told += [path.read_text() for path in written]
    asked = "\n".join(prompts)
    for secret in (text for texts in SECRETS.values() for text in texts):
        assert secret not in asked
        assert not [text for text in told if secret in text]
    assert "session.password" in asked, "the seeds were shown, with something in the secrets' place"
    for step in (sat, ran):
        assert set(step.result.figures.redacted) == set(SECRETS)
    replayed = [line for line in taught.lines(ran, "train.jsonl") if line["origin"] == "replay"]
    assert replayed and all("session.password" in line["input"]["code"] for line in replayed)
