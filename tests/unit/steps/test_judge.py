"""The step judge over HTTP: what is preferred, what bad judges do to it, and what is paid, on real explanations."""

from __future__ import annotations

import itertools
import json
import shutil
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from crash_points import Disk, watched

from flywheel.api.result import Accuracy, JudgeFigures, MeasureFigures, PrepareFigures
from flywheel.data.pools import POOLS, Thresholds
from flywheel.local.repeat_steps import repeat_steps
from flywheel.workspace.recorded import recorded_attempts

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples/code-review-explained"
LABELS = ["critical", "major", "minor", "trivial"]
TASK = {
    "instructions": "Rate the severity of the issue that the review describes, and say why in a sentence or two.",
    "inputSchema": {
        "type": "object",
        "properties": {"code": {"type": "string"}, "review": {"type": "string"}},
        "required": ["code", "review"],
    },
    "outputSchema": {
        "type": "object",
        "properties": {"issue_type": {"enum": LABELS}, "explanation": {"type": "string"}},
        "required": ["issue_type", "explanation"],
    },
    "label": {"path": "issue_type", "order": LABELS},
    "scoring": "Judge",
    "text": {"path": "explanation"},
}
ITEMS = 30
RATIOS = {name: Decimal(share) for name, share in zip(POOLS, ("0.25", "0.35", "0.18", "0.18", "0.04"), strict=True)}
OUTPUT = "runs/review/severity-1/iter-1/judge"


@pytest.fixture
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    """A workspace, and a stock of explained findings for the stand-in."""
    made: Any = request.getfixturevalue("bench_kind")(tmp_path)
    made.stock = EXAMPLE / "teacher.jsonl"
    return made


class Court:
    """A tested candidate and base, and the judge over them."""

    def __init__(self, bench: Any) -> None:
        self.bench = bench
        lines = [json.loads(line) for line in (EXAMPLE / "datasets/findings.jsonl").read_text().splitlines()]
        pool_of = Thresholds("code-review-2715", RATIOS).pool
        held = [line for line in lines if pool_of(line["package"]) == "test"][:60]
        self.items = [{**item, "group": item["package"], "source": "findings", "truth": "Rule"} for item in held]
        self.curriculum = self.revision(TASK)
        reasons = [item["output"]["explanation"] for item in self.items]
        self.right = {item["id"]: json.dumps(item["output"]) for item in self.items}
        # Prose of another item, as a model answers that was never trained on the format.
        others = dict(zip(self.right, [*reasons[7:], *reasons[:7]], strict=True))
        self.wrong = {name: f"Severity: minor. {text}" for name, text in others.items()}
        self.long = {name: text + " " + " ".join(reasons[:3]) for name, text in self.wrong.items()}

    def revision(self, task: dict[str, Any]) -> dict[str, Any]:
        """As prepare leaves it, with the pool that the judge may see."""
        folder = f"curricula/review/severity-1/{'explained' if 'text' in task else 'plain'}"
        self.bench.workspace.write_json(f"{folder}/task.json", {"task": task, "template": "{{ fields }}"})
        self.bench.workspace.write_jsonl(f"{folder}/pools/test/items.jsonl", self.items)
        figures = PrepareFigures(revision="r1", items={"test": len(self.items)}, labels={})
        return {"name": "curriculum", **self.bench.finished(folder, figures), "parts": ["task.json", "pools/test"]}

    def tested(self, candidate: dict[str, str], base: dict[str, str], iteration: int = 1) -> dict[str, Any]:
        folder = f"runs/review/severity-1/iter-{iteration}/test/a1"
        for arm, said in (("candidate", candidate), ("base", base)):
            lines = [{"id": name, "truth": "minor", "text": text} for name, text in said.items()]
            self.bench.workspace.write_jsonl(f"{folder}/answers/{arm}.jsonl", lines)
        arm = Accuracy(accuracy=0.8, low=0.7, high=0.9)
        figures = MeasureFigures(step="test", items=len(self.items), arms={"candidate": arm})
        return {"name": "tested", **self.bench.finished(folder, figures, iteration), "parts": ["answers"]}

    def judge(self, candidate: dict[str, str], base: dict[str, str], attempt: int = 1, **changes: Any) -> Any:
        parameters = {
            "judge": {**self.bench.teacher, **changes.pop("judge", {})},
            "versus": [{"name": "base", "input": "tested", "arm": "base"}],
            "items": ITEMS,
            "level": "0.95",
            **changes,
        }
        inputs = [self.curriculum, self.tested(candidate, base)]
        return self.bench.run("judge", f"{OUTPUT}/a{attempt}", parameters, inputs=inputs, attempt=attempt)

    def figures(self, ran: Any) -> JudgeFigures:
        assert ran.code == 0, ran.log
        assert isinstance(ran.result.figures, JudgeFigures)
        return ran.result.figures


@pytest.fixture
def court(taught: Any) -> Court:
    return Court(taught)


def test_the_better_texts_are_preferred(court: Court) -> None:
    ran = court.judge(court.right, court.wrong)
    found = court.figures(ran)
    base = found.preferences["base"]
    assert (base.items, base.losses, base.unjudged) == (ITEMS, 0, 0)
    assert base.wins > 0.8 * ITEMS and base.low > 0.5
    assert found.usage["judge"].calls == 2 * ITEMS
    lines = court.bench.lines(ran, "judgements.jsonl")
    assert sum(line["outcome"] for line in lines) == base.wins
    assert "explanation" not in json.dumps(lines)


def test_swapping_the_arms_negates(court: Court) -> None:
    one = court.figures(court.judge(court.right, court.wrong)).preferences["base"]
    other = court.figures(court.judge(court.wrong, court.right, attempt=2)).preferences["base"]
    assert (one.wins, one.difference, one.low) == (other.losses, -other.difference, -other.high)
    # The same pairs in the same two orders: all were recorded.
    assert court.bench.asked()["count"] == 2 * ITEMS


def test_a_judge_of_places_prefers_nobody_and_is_found_out(court: Court) -> None:
    court.bench.turn(judgeFirst=1.0)
    found = court.figures(court.judge(court.right, court.wrong))
    base = found.preferences["base"]
    assert (base.wins, base.losses, base.flips, base.difference) == (0, 0, ITEMS, 0)
    assert found.first_place == 1.0


def test_a_judge_of_length_is_corrected(court: Court) -> None:
    court.bench.turn(judgeLonger=1.0)
    found = court.figures(court.judge(court.long, court.wrong)).preferences["base"]
    assert found.difference > 0.9
    mixed = {
        name: text if place % 5 else court.wrong[name][:20] for place, (name, text) in enumerate(court.long.items())
    }
    varied = court.figures(court.judge(mixed, court.wrong, attempt=2)).preferences["base"]
    assert varied.low > 0.2
    assert varied.rate is not None and varied.rate_low is not None and varied.rate_low < 0.5 < varied.rate + 0.35


def test_a_coin_proves_nothing(court: Court) -> None:
    court.bench.turn(judgeCoin=1.0)
    base = court.figures(court.judge(court.right, court.wrong)).preferences["base"]
    assert base.low < 0 < base.high
    assert base.flips > 5


@pytest.mark.parametrize(("knob", "rung"), [("judgeMute", "unreadable"), ("refuse", "refused"), ("cut", "cut")])
def test_what_a_judge_does_not_say_is_counted_and_no_verdict(court: Court, knob: str, rung: str) -> None:
    court.bench.turn(**{knob: 0.3})
    ran = court.judge(court.right, court.wrong)
    base = court.figures(ran).preferences["base"]
    assert base.unjudged > 5 and base.losses == 0
    assert base.wins + base.unjudged <= ITEMS
    replies = court.bench.workspace.read_json(f"{ran.result.path}/replies.json")["judge"]
    assert replies[rung] >= base.unjudged
    assert sum(replies.values()) == 2 * ITEMS


def test_what_needs_no_judge_is_not_asked(court: Court) -> None:
    empty = dict.fromkeys(court.right, "")
    same = court.figures(court.judge(court.right, court.right)).preferences["base"]
    none = court.figures(court.judge(court.right, empty, attempt=2)).preferences["base"]
    assert (same.wins, same.losses, same.flips) == (0, 0, 0)
    assert none.wins == ITEMS
    assert court.bench.asked()["count"] == 0


def test_a_budget_ends_the_judging_and_the_items_before_count(court: Court) -> None:
    allowance = {"tokens": 30_000}
    found = court.figures(court.judge(court.right, court.wrong, judge={"allowance": allowance}))
    base, spent = found.preferences["base"], found.usage["judge"]
    assert 0 < base.items < ITEMS
    assert spent.input_tokens + spent.output_tokens <= 30_000
    assert spent.unaffordable > 0
    none = {"tokens": 10}
    nothing = court.figures(court.judge(court.wrong, court.long, attempt=2, judge={"allowance": none}))
    assert (nothing.preferences["base"].items, nothing.preferences["base"].low) == (0, -1)


def test_where_the_budget_ends_what_would_have_needed_no_judge_does_not_count_either(court: Court) -> None:
    half = {name: text if place % 2 else court.long[name] for place, (name, text) in enumerate(court.wrong.items())}
    found = court.figures(court.judge(half, court.wrong, judge={"allowance": {"tokens": 10}}))
    assert found.preferences["base"].items < ITEMS // 4, "half of all are settled, and only the first of them count"


def test_another_model_voids_the_comparison(court: Court) -> None:
    first = court.figures(court.judge(court.right, court.wrong))
    assert first.served_model is not None
    court.bench.turn(swapped=1.0)
    ran = court.judge(court.long, court.wrong, attempt=2, judge={"servedModel": first.served_model})
    assert (ran.code, ran.result.error.reason) == (64, "JudgeModelChanged")
    assert "the judge's endpoint answers as another model" in ran.result.error.message


def test_a_refused_key_speaks_of_the_judge(court: Court) -> None:
    court.bench.key, kept = "another", court.bench.key
    ran = court.judge(court.right, court.wrong)
    court.bench.key = kept
    assert (ran.code, ran.result.error.reason) == (75, "TeacherKeyRefused")
    assert "the judge refuses the key" in ran.result.error.message


def test_a_compared_model_answers_the_same_items(court: Court) -> None:
    models = [{"name": "large", "endpoint": court.bench.teacher}]
    ran = court.judge(court.right, court.wrong, models=models)
    found = court.figures(ran)
    assert found.preferences["large"].items == ITEMS
    assert found.preferences["large"].difference > 0
    assert found.usage["large"].calls == ITEMS
    assert court.bench.workspace.read_json(f"{ran.result.path}/replies.json")["large"] == {"strict": ITEMS}


def test_a_compared_model_that_refuses_has_no_text(court: Court) -> None:
    court.bench.turn(refuse=1.0)
    models = [{"name": "large", "endpoint": court.bench.teacher}]
    found = court.figures(court.judge(court.right, court.wrong, models=models))
    assert found.preferences["large"].wins == ITEMS
    assert found.preferences["base"].unjudged == ITEMS


def anchors(court: Court, count: int, agreed: float) -> None:
    """Pairs that a person judged by the reference, but for some."""
    lines = [
        {
            "input": item["input"],
            "first": item["output"]["explanation"],
            "second": court.wrong[item["id"]],
            "reference": item["output"],
            "preferred": "first" if place < agreed * count else "second",
        }
        for place, item in enumerate(court.items[:count])
    ]
    court.bench.workspace.write_jsonl("anchors/pairs.jsonl", lines)


def test_anchors_say_how_far_the_judge_agrees_with_people(court: Court) -> None:
    anchors(court, 60, 0.8)
    found = court.figures(court.judge(court.right, court.wrong, anchors="anchors/pairs.jsonl"))
    assert found.agreement is not None
    assert found.agreement.items == 60
    assert found.agreement.low < 0.8 < found.agreement.high + 0.05
    assert found.agreement.kappa is not None and found.agreement.kappa < 0.5


@pytest.mark.parametrize("fault", ["missing", "few", "broken"])
def test_anchors_that_tell_nothing_are_said_before_a_call(court: Court, fault: str) -> None:
    if fault != "missing":
        anchors(court, 49, 1.0)
    if fault == "broken":
        path = court.bench.root / "anchors/pairs.jsonl"
        path.write_text(path.read_text() * 2 + '{"input": {}, "first": "x"}\n')
    ran = court.judge(court.right, court.wrong, anchors="anchors/pairs.jsonl")
    assert (ran.code, ran.result.error.reason) == (75, "JudgeAnchors")
    assert "spec.evaluation.judge.anchors" in ran.result.error.message
    assert court.bench.asked()["count"] == 0


def test_nothing_of_it_lies_in_the_ledger_that_teaching_steps_read(court: Court) -> None:
    court.figures(court.judge(court.right, court.wrong))
    assert not court.bench.workspace.exists("ledger")
    assert len(court.bench.workspace.files("judged/review")) == 4 * ITEMS


def test_a_killed_judge_pays_no_reply_twice(court: Court) -> None:
    court.bench.turn(ill=0.0, dead=0.2)
    first = court.judge(court.right, court.wrong)
    found = court.figures(first)
    assert found.usage["judge"].lost_in_flight > 0
    again = court.figures(court.judge(court.right, court.wrong, attempt=2))
    assert again.preferences == found.preferences
    # The second attempt of the same step is charged what the first paid, and pays nothing.
    assert again.usage["judge"].calls == found.usage["judge"].calls == 2 * ITEMS


def test_it_is_repeated_from_its_own_ledger_and_a_changed_verdict_is_found(
    court: Court, monkeypatch: pytest.MonkeyPatch
) -> None:
    anchors(court, 60, 0.8)
    models = [{"name": "large", "endpoint": court.bench.teacher}]
    court.figures(court.judge(court.right, court.wrong, models=models, anchors="anchors/pairs.jsonl"))
    for name in ("JUDGE", "COMPARED_0"):
        monkeypatch.delenv(f"FLYWHEEL_{name}_API_KEY", raising=False)
    workspace, asked = court.bench.workspace, court.bench.asked()["count"]
    attempts = [each for each in recorded_attempts(workspace, "runs/review/severity-1") if each.step == "judge"]
    (verdict,) = repeat_steps(workspace, attempts)
    assert verdict.same and verdict.words.startswith("repeated from the ledger"), verdict.words
    assert court.bench.asked()["count"] == asked
    replies = sorted((court.bench.root / "judged").rglob("[0-9a-f]*.reply.json"))
    reply = next(path for path in replies if r"\"preferred\": \"A\"" in path.read_text())
    reply.write_text(reply.read_text().replace(r"\"preferred\": \"A\"", r"\"preferred\": \"B\""))
    (verdict,) = repeat_steps(workspace, attempts)
    assert not verdict.same


def test_a_task_without_text_has_nothing_to_judge(court: Court) -> None:
    plain = {key: value for key, value in TASK.items() if key not in ("scoring", "text")}
    court.curriculum = court.revision(plain)
    ran = court.judge(court.right, court.wrong)
    assert (ran.code, ran.result.error.reason) == (64, "BadInput")


def test_killed_at_any_change_on_disk_it_ends_the_same_and_pays_no_recorded_reply_twice(court: Court) -> None:
    inputs = [court.curriculum, court.tested(court.right, court.wrong)]
    judge, versus = {**court.bench.teacher, "concurrency": 2}, [{"name": "base", "input": "tested", "arm": "base"}]
    parameters = {"judge": judge, "versus": versus, "items": 2, "level": "0.95"}

    def run(bench: Any, attempt: int) -> Any:
        return bench.run("judge", f"{OUTPUT}/a{attempt}", parameters, inputs=inputs, attempt=attempt)

    def clone() -> Any:
        root = court.bench.root.parent / "killed"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(court.bench.root, root)
        return replace(court.bench, root=root)

    whole = court.figures(run(clone(), 1))
    for points in itertools.count():
        bench = clone()
        before = bench.asked()["count"]
        with watched(Disk((bench.root / "runs", bench.root / "judged"), points)) as dying:
            run(bench, 1)
        if not dying.dead:
            break
        recorded = len(list((bench.root / "judged").rglob("[0-9a-f]*.reply.json")))
        found = court.figures(run(bench, 2))
        spent = found.usage["judge"]
        assert (found.preferences, spent.calls) == (whole.preferences, whole.usage["judge"].calls)
        assert spent.recorded == recorded, "what was recorded is not asked again"
        assert bench.asked()["count"] - before - spent.calls <= spent.lost_in_flight <= 2
    assert points > 2 * whole.usage["judge"].calls
