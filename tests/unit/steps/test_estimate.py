"""The estimate of a run against the steps themselves, asked by the rehearsal teacher over HTTP."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from resources import metadata
from typer.testing import CliRunner

from flywheel.api.curriculum import Curriculum
from flywheel.api.flywheelrun import FlywheelRun
from flywheel.api.result import Usage
from flywheel.cli.main import app
from flywheel.local.estimate import Estimate, Measured, Tokens, estimate, measured_in
from flywheel.local.manifests import ManifestError
from flywheel.local.preparing import prepared
from flywheel.local.previewing import preview
from flywheel.teacher.client import TeacherClient
from flywheel.teacher.ledger import Intent, Reply
from flywheel.teacher.writing import ITEMS_A_CALL
from flywheel.workspace.store import Workspace

_VOTES = re.compile(r"/(\d+)/\d+/labels/\d+\Z")  # on what was written in a top-up
_MARK = re.compile(r"\b[0-9a-f]{16}\b")
RUN = "runs/review/severity-1"
REDACTION = {"key": "tests"}


def curriculum(bench: Any) -> Curriculum:
    source = {"name": "findings", "truth": "Rule", "group": "file", "dataset": {"path": "datasets/findings.jsonl"}}
    spec = {
        "task": bench.preparing["task"],
        "sources": [source],
        "pools": {"key": "tests", "ratios": bench.preparing["ratios"]},
        "workspace": {"persistentVolumeClaim": {"claimName": "flywheel"}},
    }
    return Curriculum.model_validate({"metadata": metadata("severity"), "spec": spec})


def run(**fields: Any) -> FlywheelRun:
    spec: dict[str, Any] = {
        "curriculumRef": {"name": "severity"},
        "student": {"model": {"persistentVolumeClaim": {"claimName": "models", "path": "student"}}},
        "teacher": {"baseURL": "http://teacher:8000/v1", "model": "rehearsal", "secretRef": {"name": "teacher"}},
        "exam": {"questions": 40, "examples": 60},
        "training": {"epochs": 2},
        "stop": {"maxIterations": 2},
        "seed": 7,
    }
    spec["teacher"] |= fields.pop("teacher", {})
    return FlywheelRun.model_validate({"metadata": metadata("run"), "spec": spec | fields})


def estimated(bench: Any, measured: Measured | None = None, **fields: Any) -> Estimate:
    made = prepared(curriculum(bench), bench.root, bench.root / "scratch")
    return estimate(made, run(**fields), Workspace(bench.root / "scratch"), measured or Measured())


def first_asked(bench: Any, payer: str) -> Usage:
    """What a step's calls cost but for top-ups, by the ledger: the stock has an item that is near a held-out one."""
    total = Usage()
    for path in bench.root.glob("ledger/*/*/*.intent.json"):
        intent = Intent.model_validate_json(path.read_bytes())
        reply = Reply.model_validate_json(Path(str(path).replace("intent", "reply")).read_bytes())
        again = _VOTES.search(intent.slot)
        if intent.payer == payer and (intent.sample if again is None else int(again[1])) == 0:
            tokens_in, tokens_out = total.input_tokens + reply.input_tokens, total.output_tokens + reply.output_tokens
            total = Usage(calls=total.calls + 1, input_tokens=tokens_in, output_tokens=tokens_out)
    return total


def within(usage: Usage, expected: Tokens) -> None:
    assert usage.calls <= expected.most_calls
    assert usage.input_tokens <= expected.most_input_tokens
    assert usage.output_tokens <= expected.most_output_tokens
    assert 0.6 < expected.input_tokens / usage.input_tokens < 1.6
    assert 0.5 < expected.output_tokens / usage.output_tokens < 2


def test_what_the_steps_are_charged_is_within_the_estimate(taught: Any) -> None:
    found = estimated(taught)
    feedback: list[dict[str, Any]] = []
    previous: list[dict[str, Any]] = []
    for number, expected in enumerate(found.iterations, 1):
        pools = taught.prepare()
        asked = {"teacher": taught.teacher, "redaction": REDACTION}
        firewall = pools.entry("curriculum", "task.json", "signatures.json", "pools/exam")
        inputs = [firewall, *feedback]
        home, at = f"{RUN}/iter-{number}", {"iteration": number}
        sat = taught.run("exam", f"{home}/exam/a1", asked | {"questions": 40}, inputs=inputs, **at)
        assert sat.code == 0, sat.log
        asked_first = first_asked(taught, f"{home}/exam")
        within(asked_first, expected.exam)
        assert asked_first.calls == expected.exam.calls, "exact, where no reply is bad"
        if number == 1:
            off = asked_first.input_tokens - expected.exam.input_tokens
            assert abs(off) <= 0.1 * asked_first.input_tokens, "these prompts, but for what is voted on"
        material = pools.entry("curriculum", "task.json", "signatures.json", "pools/curriculum")
        answered = taught.answered(taught.lines(sat, "exam.jsonl"), number)
        parameters = asked | {"examples": 60, "replay": "0.25"}
        inputs = [material, sat.entry("exam"), answered, *previous]
        taken = taught.run("evaluate", f"{home}/evaluate/a1", parameters, inputs=inputs, **at)
        assert taken.code == 0, taken.log
        asked_first = first_asked(taught, f"{home}/evaluate")
        within(asked_first, expected.evaluate)
        # The small stock repeats itself: what is rejected is not voted on.
        assert asked_first.calls >= 1 + 60 / ITEMS_A_CALL
        assert 0.9 * expected.training_items <= taken.result.figures.training_items <= expected.training_items
        feedback = [taken.entry("feedback", "evaluation.json")]
        previous = [taken.entry("previous", "dataset.jsonl")]
    assert found.teacher.calls == 1 + sum(entry.exam.calls + entry.evaluate.calls for entry in found.iterations)


def test_money_time_and_gpu_hours_where_they_can_be_known(bench: Any) -> None:
    plain = estimated(bench)
    assert (plain.cost, plain.seconds_at_limits, plain.gpu_hours) == (None, None, None)
    assert len(plain.unknown) == 5
    prices = {"inputPerMillion": "2", "outputPerMillion": "10"}
    limits = {"requestsPerMinute": 10}
    jobs = {"steps": [{"name": "train", "resources": {"limits": {"nvidia.com/gpu": "8"}}}]}
    known = Measured(seconds_per_step=1.5, seconds_per_answer=0.1)
    found = estimated(bench, known, teacher={"prices": prices, "limits": limits}, jobs=jobs)
    tokens = found.teacher
    assert found.cost == (tokens.input_tokens * 2 + tokens.output_tokens * 10) / Decimal(10**6)
    assert found.most_cost is not None and found.most_cost > found.cost
    assert found.seconds_at_limits == 6 * tokens.calls
    steps = sum(entry.training_steps for entry in found.iterations)
    assert [entry.training_steps for entry in found.iterations] == [10, 20]
    assert found.gpu_hours == steps * 1.5 * 8 / 3600
    assert len(found.unknown) == 2 and set(found.smallest_gains) == {"validation", "test"}


def test_the_command_prints_both_ways_and_says_what_is_missing(bench: Any) -> None:
    for entry in (curriculum(bench), run()):
        path = bench.root / f"{entry.kind}.yaml"
        path.write_text(yaml.safe_dump(json.loads(entry.model_dump_json(by_alias=True, exclude_none=True))))
    runner = CliRunner()
    told = runner.invoke(app, ["estimate", str(bench.root), "--iterations", "1"])
    assert told.exit_code == 0, told.output
    assert "4" in told.output and "Not known: money" in told.output
    listed = runner.invoke(app, ["estimate", str(bench.root), "--iterations", "1", "-o", "json"])
    assert json.loads(listed.output)["iterations"][0]["exam"]["calls"] >= 4
    bench.findings.unlink()
    lacking = runner.invoke(app, ["estimate", str(bench.root)])
    assert lacking.exit_code == 1 and "put the data beside the YAML" in " ".join(lacking.output.split())


def test_judging_is_bounded_by_items_arms_and_openings(bench: Any) -> None:
    model = {"baseURL": "http://judge/v1", "model": "arbiter", "secretRef": {"name": "judge"}}
    compare = [model | {"name": "large"}]
    assert estimated(bench).most_judging == {}
    few = estimated(bench, evaluation={"judge": model | {"items": 10}, "compare": compare})
    assert few.most_judging == {"judge": 2 * 2 * 10 * 3, "large": 10}, "two iterations, both orders, three arms"
    opened = estimated(bench, evaluation={"judge": model | {"items": 10}}, gate={"maxTestOpenings": 1})
    assert opened.most_judging == {"judge": 2 * 10 * 2}


def test_data_that_cannot_be_prepared_is_said(bench: Any) -> None:
    bench.findings.write_text("{}\n")
    with pytest.raises(ManifestError, match="rejected"):
        prepared(curriculum(bench), bench.root, bench.root / "scratch")


def test_speed_is_taken_from_runs_that_were_made(shop: Any) -> None:
    assert measured_in(shop.bench.workspace) == 1
    assert measured_in(Workspace(Path("/nowhere"))) is None


def test_what_is_previewed_is_what_the_teacher_gets(taught: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The very prompt, but for the mark that sets its data apart."""
    sent: list[str] = []
    complete = TeacherClient.complete

    def noted(client: TeacherClient, text: str, *more: Any) -> Reply:
        sent.append(_MARK.sub("", text))
        return complete(client, text, *more)

    monkeypatch.setattr(TeacherClient, "complete", noted)
    scratch = taught.root / "scratch"
    found = preview(prepared(curriculum(taught), taught.root, scratch), run(), Workspace(scratch))
    firewall = taught.prepare().entry("curriculum", "task.json", "signatures.json", "pools/exam")
    parameters = {"teacher": taught.teacher, "redaction": REDACTION, "questions": 40}
    sat = taught.run("exam", f"{RUN}/iter-1/exam/a1", parameters, inputs=[firewall])
    assert sat.code == 0, sat.log
    by_purpose = {prompt.purpose: prompt for prompt in found.prompts}
    assert len(by_purpose) == 4 and by_purpose["write questions"].calls
    assert _MARK.sub("", by_purpose["write questions"].text) in sent
    samples = {pool.name: len(pool.samples) for pool in found.pools}
    assert samples == {"exam": 2, "curriculum": 2, "validation": 0, "test": 0, "probe": 0}, (
        "nobody looks at held-out items"
    )
