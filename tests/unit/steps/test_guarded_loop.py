"""Guarded against unguarded: a teacher that takes 60 % of critical items for minor ones, is skewed and flatters.

Skewed: many of its replies hold one item. Flattering: it grades 10, and its exams ask what is easiest.

The steps are the real ones, the teacher is the rehearsal one without a network, the student a small classifier: two
iterations of five seeds in seconds. `tests/bench/guards.py` does the same with the real student.
"""

from __future__ import annotations

import importlib
import json
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import t as student_t
from simulated_student import SimulatedStudent

from flywheel.api.result import Accuracy, AnswerFigures
from flywheel.statistics.intervals import wilson
from flywheel.statistics.paired import Pairs, tango
from flywheel.teacher import asking
from flywheel.teacher.ledger import Reply

ROOT = Path(__file__).parents[3]
SAMPLES = Path(__file__).parents[1] / "rehearsal"
LABELS = ["critical", "major", "minor", "trivial"]
SEEDS, ITERATIONS = range(3, 8), 2
TRUE_ERROR = 0.6
BUDGET = 1_000_000
RATIOS = {"exam": "0.45", "curriculum": "0.15", "validation": "0.18", "test": "0.18", "probe": "0.04"}


class StandIn:
    """The rehearsal teacher in this process; knows how many tokens it was asked and said."""

    def __init__(self) -> None:
        self.settings: dict[str, Any] = {}
        self.tokens = 0
        self._reading, self._knobs = importlib.import_module("reading"), importlib.import_module("knobs")
        teaching = importlib.import_module("teaching")
        self._teacher = teaching.Teacher(SAMPLES / "stock.jsonl", SAMPLES / "findings.jsonl")
        self.turn(0)

    def turn(self, seed: int) -> None:
        """Misjudge other items from now on."""

        class Drawn(self._knobs.Knobs):
            def turned(self, name: str, draw: str) -> bool:
                return super().turned(name, f"{seed} {draw}")

        self._shares = Drawn({"misjudge": TRUE_ERROR, "easy": 1.0, "skew": 0.2, "flatter": 1.0})

    def complete(self, text: str) -> Reply:
        said = json.dumps(self._teacher.reply(self._reading.read_prompt(text), text, self._shares, text))
        asked, told = len(text) // 4, len(said) // 4
        self.tokens += asked + told
        return Reply(text=said, finish_reason="stop", model="rehearsal", input_tokens=asked, output_tokens=told)


@dataclass
class Arm:
    """One run of some iterations: what it found out, what it was charged, and the student it made."""

    bench: Any
    prepared: Any
    seed: int
    unguarded: bool
    teacher: StandIn
    student: SimulatedStudent = field(default_factory=lambda: SimulatedStudent(LABELS))
    used: int = 0
    blind: list[tuple[int, int, int]] = field(default_factory=list[tuple[int, int, int]])
    gaps: list[float] = field(default_factory=list[float])

    def run(self) -> Arm:
        """All iterations."""
        previous = None
        for number in range(1, ITERATIONS + 1):
            previous = self._iteration(number, previous)
        return self

    def _step(self, step: str, number: int, parameters: dict[str, Any], inputs: list[dict[str, Any]]) -> Any:
        home = "unguarded" if self.unguarded else "guarded"
        before, allowance = self.teacher.tokens, {"allowance": {"tokens": BUDGET - self.used}}
        ran = self.bench.run(
            step,
            f"runs/{home}/s-{self.seed}/iter-{number}/{step}/a1",
            parameters
            | {"unguarded": self.unguarded}
            | {"teacher": {"baseUrl": "http://teacher/v1", "model": "rehearsal", "concurrency": 1, **allowance}},
            inputs=inputs,
            iteration=number,
            seed=self.seed,
            namespace=home,
            alsoWritable=[f"ledger/{home}"],
        )
        assert ran.code == 0, ran.log
        usage = ran.result.figures.usage
        assert usage.input_tokens + usage.output_tokens == self.teacher.tokens - before, "charged is what was said"
        self.used += usage.input_tokens + usage.output_tokens
        return ran

    def _iteration(self, number: int, previous: Any) -> Any:
        pools = ["task.json", "signatures.json"]
        inputs = [self.prepared.entry("curriculum", *pools, "pools/exam")]
        inputs += [] if previous is None else [previous.entry("feedback", "evaluation.json")]
        sat = self._step("exam", number, {"questions": 80}, inputs)
        self.blind.append(tuple(sat.result.figures.blind[0]) if sat.result.figures.blind else (0, 0, 0))
        inputs = [self.prepared.entry("curriculum", *pools, "pools/curriculum"), sat.entry("exam", "exam.jsonl")]
        inputs += [self._answers(number, sat)]
        inputs += [] if previous is None else [previous.entry("previous", "dataset.jsonl")]
        made = self._step("evaluate", number, {"examples": 80, "replay": "0.1"}, inputs)
        assert made.result.figures.proficiency == 10, "it flatters"
        if made.result.figures.inflation_gap is not None:
            self.gaps.append(made.result.figures.inflation_gap.difference)
        taught = [(line["input"], line["output"]["issue_type"]) for line in self.bench.lines(made, "train.jsonl")]
        self.student = SimulatedStudent(LABELS, taught)
        return made

    def _answers(self, number: int, sat: Any) -> dict[str, Any]:
        folder = f"{sat.result.path}-answers"
        lines = [
            {"id": line["id"], "truth": line["answer"]["issue_type"], "label": self.student.answer(line["question"])}
            for line in self.bench.lines(sat, "exam.jsonl")
        ]
        self.bench.workspace.write_jsonl(f"{folder}/answers.jsonl", lines)
        figures = AnswerFigures(items=len(lines), score=Accuracy(accuracy=0, low=0, high=1))
        return {"name": "answer", **self.bench.finished(folder, figures, number), "parts": ["answers.jsonl"]}


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    monkeypatch.syspath_prepend(ROOT / "examples/rehearsal-teacher")
    made = StandIn()
    monkeypatch.setattr(asking, "TeacherClient", lambda _parameters: made)
    return made


def test_guards_measure_the_teacher_and_keep_its_mistakes_out(bench: Any, stand_in: StandIn) -> None:
    gaps, differing = list[float](), Pairs(0, 0, 0)
    for seed in SEEDS:
        stand_in.turn(seed)
        prepared = bench.prepare(poolsKey=f"seed {seed}", ratios=RATIOS)
        guarded, unguarded = (Arm(bench, prepared, seed, without, stand_in).run() for without in (False, True))
        items, wrong, _ = (sum(column) for column in zip(*guarded.blind, strict=True))
        error = wilson(wrong, items, level=0.95)
        gaps.append(guarded.gaps[-1])
        held_out = [
            line["input"]
            for pool in ("validation", "test")
            for line in bench.lines(prepared, f"pools/{pool}/items.jsonl")
            if line["output"]["issue_type"] == "critical"
        ]
        right = [[arm.student.answer(item) == "critical" for item in held_out] for arm in (guarded, unguarded)]
        pairs = list(zip(*right, strict=True))
        wins, losses = pairs.count((True, False)), pairs.count((False, True))
        differing = Pairs(differing.wins + wins, differing.losses + losses, differing.items + len(pairs))
        print(
            f"seed {seed}: teacher's error {error.value:.2f} ({error.low:.2f} to {error.high:.2f}) of {items},"
            f" gap {gaps[-1]:+.2f}, critical recall {sum(right[0]) / len(pairs):.2f} guarded,"
            f" {sum(right[1]) / len(pairs):.2f} not, tokens {guarded.used} and {unguarded.used}"
        )
        assert max(guarded.used, unguarded.used) <= BUDGET
        assert error.low <= TRUE_ERROR <= error.high
        assert not unguarded.gaps and sum(items for items, _, _ in unguarded.blind) == 0
    difference = tango(differing, level=0.95)
    print(f"guarded minus unguarded: {difference.difference:+.3f} ({difference.low:+.3f} to {difference.high:+.3f})")
    mean, error = statistics.mean(gaps), statistics.stdev(gaps) / len(gaps) ** 0.5
    # Whether it is above zero is asked in one direction.
    low = mean - float(student_t.ppf(0.95, len(gaps) - 1)) * error
    print(f"inflation gap over {len(gaps)} seeds: {mean:+.3f} (above {low:+.3f})")
    assert difference.low > 0
    assert low > 0
