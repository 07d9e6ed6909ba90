"""What a run will cost, before a token is spent: the prompts that the steps would render, counted.

Exact where it can be: which calls are made, and with which seeds. What the teacher and the student will say is not
known: the expected figures take items of the pools for it, the greatest take the longest of them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from math import ceil
from statistics import mean, median_low
from typing import Any

from pydantic import Field

from flywheel.api.curriculum import Curriculum
from flywheel.api.flywheelrun import FlywheelRun
from flywheel.api.item import Answer, Item, Question, Unit
from flywheel.api.jobs import gpus
from flywheel.api.model import Open
from flywheel.api.request import Redaction, TeacherParameters
from flywheel.api.task import Task
from flywheel.data.growth import replay_count
from flywheel.data.quotas import even_quotas
from flywheel.data.redaction import Redactor
from flywheel.loop.underpowered import smallest_gains
from flywheel.steps.evaluate import dataset_order, grading, marked, shown_answers
from flywheel.steps.exam import exam_order
from flywheel.steps.material import SEEDS_A_CALL, UNITS_A_CALL, Seeds, redactor_for
from flywheel.teacher.asking import TEMPLATE_TOKENS
from flywheel.teacher.asking import Question as Call
from flywheel.teacher.feedback import Evaluation, Feedback
from flywheel.teacher.redacting import prompt_variables
from flywheel.teacher.writing import ITEMS_A_CALL, calls_of
from flywheel.workspace.store import Workspace

BYTES_A_TOKEN = 4  # of English and code, as byte-pair tokenizers of large models come out; the bound does not use it
_MARK = "0" * 16
_SENTENCE, _LONGEST_SENTENCE = "x" * 120, "x" * 600
_MOST_OUTPUT = TeacherParameters(base_url="", model="").max_output_tokens


class Tokens(Open):
    """Calls and tokens. `most`: as the budget reserves, if the teacher writes no item longer than the pools'."""

    calls: int = 0
    least_calls: int = 0
    most_calls: int = 0
    input_tokens: int = 0
    most_input_tokens: int = 0
    output_tokens: int = 0
    most_output_tokens: int = 0

    def plus(self, other: Tokens) -> Tokens:
        """The sum."""
        return Tokens(**{name: getattr(self, name) + getattr(other, name) for name in Tokens.model_fields})


class IterationEstimate(Open):
    """One iteration."""

    number: int
    exam: Tokens
    evaluate: Tokens
    training_items: int
    training_steps: int


class Estimate(Open):
    """The whole run: all of `stop.maxIterations`."""

    iterations: list[IterationEstimate]
    teacher: Tokens
    cost: Decimal | None = None
    most_cost: Decimal | None = None
    currency: str | None = None
    seconds_at_limits: float | None = None
    gpu_hours: float | None = None
    smallest_gains: dict[str, float | None]
    unknown: list[str] = Field(description="What cannot be known, and what would tell.")


class Measured(Open):
    """What was measured elsewhere, or is guessed: seconds of an optimiser step, and of an answer of the student."""

    seconds_per_step: float | None = None
    seconds_per_answer: float | None = None


def estimate(curriculum: Curriculum, run: FlywheelRun, workspace: Workspace, measured: Measured) -> Estimate:
    """Of a prepared Curriculum and a run that has not begun."""
    spec = run.spec
    pools = _Pools(curriculum, workspace)
    iterations = [_iteration(pools, run, number) for number in range(1, spec.stop.max_iterations + 1)]
    total = Tokens()
    for entry in iterations:
        total = total.plus(entry.exam).plus(entry.evaluate)
    prices, held_out = spec.teacher.prices, curriculum.status.pools
    found = Estimate(
        iterations=iterations,
        teacher=total,
        seconds_at_limits=_seconds_at_limits(run, total),
        gpu_hours=_gpu_hours(
            run, iterations, sum(entry.items for entry in held_out if entry.name == "validation"), measured
        ),
        smallest_gains={name: gain for name, (_, gain) in smallest_gains(spec, held_out).items()},
        unknown=_unknown(run, measured),
    )
    if prices is None:
        return found
    cost = prices.cost(total.input_tokens, total.output_tokens)
    most = prices.cost(total.most_input_tokens, total.most_output_tokens)
    return found.model_copy(update={"cost": cost, "most_cost": most, "currency": prices.currency})


class _Longest(Seeds):
    """Always the longest items of a label, and the longest units."""

    def __init__(self, items: Sequence[Item], units: Sequence[Unit], label_path: str) -> None:
        self._items, self._path = sorted(items, key=_length, reverse=True), label_path
        longest = sorted((unit.question for unit in units), key=lambda question: -len(json.dumps(question)))
        self._shown_units = {"units": longest[:UNITS_A_CALL]} if longest else {}

    def of(self, label: str, slot: str) -> dict[str, Any]:
        found = [item for item in self._items if item.output[self._path] == label][:SEEDS_A_CALL]
        return {"seeds": [{"question": item.input, "answer": item.output} for item in found], **self._shown_units}


class _Pools:
    """What prompts are made of."""

    def __init__(self, curriculum: Curriculum, workspace: Workspace) -> None:
        revision, self.spec = curriculum.status.revision, curriculum.spec
        if revision is None:
            raise ValueError("the Curriculum is not prepared")
        self.task: Task = curriculum.spec.task
        redaction = Redaction(redact=self.spec.privacy.redact, key=self.spec.pools.key)
        self.redactor: Redactor = redactor_for(self.task, redaction)
        self.exam, self.curriculum = (
            [Item.model_validate(line) for line in workspace.read_jsonl(f"{revision.path}/pools/{pool}/items.jsonl")]
            for pool in ("exam", "curriculum")
        )
        self.exam_units, self.curriculum_units = (
            [Unit.model_validate(line) for line in workspace.read_jsonl(path)] if workspace.exists(path) else []
            for path in (f"{revision.path}/pools/{pool}/units.jsonl" for pool in ("exam", "curriculum"))
        )

    def size(self, call: Call) -> int:
        """Bytes of the prompt as it would be sent."""
        variables, _ = prompt_variables(call.variables, self.redactor)
        return len(call.prompt.render(variables, _MARK).encode())

    def sat(self, questions: int, *, longest: bool) -> tuple[list[Question], dict[str, Answer]]:
        """An exam of usual, or of the longest, items, each answered with another label."""
        order, path = self.task.label.order, self.task.label.path
        asked: list[Question] = []
        answers: dict[str, Answer] = {}
        for label, count in even_quotas(questions, order).items():
            pile = sorted((item for item in self.exam if item.output[path] == label), key=_length) or self.exam
            item = pile[-1] if longest else pile[len(pile) // 2]
            wrong = [other for other in order if other != label] or [label]
            for place in range(count):
                question = Question(id=f"{label}/{place}", question=item.input, answer=item.output)
                asked.append(question)
                said = wrong[place % len(wrong)]
                answers[question.id] = Answer(id=question.id, truth=label, label=said)
        return asked, answers


def _iteration(pools: _Pools, run: FlywheelRun, number: int) -> IterationEstimate:
    spec, count = run.spec, len(pools.curriculum)
    items = spec.exam.examples * number
    items += replay_count(items, pools.spec.growth.replay, count)
    steps = spec.training.max_steps or ceil(items * (spec.training.epochs or 1) / spec.training.global_batch_size)
    return IterationEstimate(
        number=number,
        exam=_exam(pools, run, number),
        evaluate=_evaluate(pools, run, number),
        training_items=items,
        training_steps=steps,
    )


def _exam(pools: _Pools, run: FlywheelRun, number: int) -> Tokens:
    task, path = pools.task, pools.task.label.path
    seeds, questions = Seeds(pools.exam, pools.exam_units, path, run.spec.seed, number), run.spec.exam.questions

    def sizes(previous: Evaluation) -> list[int]:
        told = previous.to_json_object() if number > 1 else None
        order = exam_order(task, seeds, told, questions, number)
        return [pools.size(call) for _, _, call in calls_of(order, order.quotas)]

    usual, most = sizes(_evaluation(longest=False)), sizes(_evaluation(longest=True))
    return _tokens(usual, most, len(most), len(most), _written(pools.exam, questions))


def _evaluate(pools: _Pools, run: FlywheelRun, number: int) -> Tokens:
    """One grading, and the calls for examples: how many of each label depends on the marks."""
    task, spec, path = pools.task, run.spec, pools.task.label.path

    def sizes(seeds: Seeds, *, longest: bool) -> tuple[int, list[int]]:
        sat = marked(*pools.sat(spec.exam.questions, longest=longest), task)
        grade = pools.size(grading(task, sat, shown_answers(sat, task, spec.seed, number), number))
        evaluation = _evaluation(longest=longest)
        order = dataset_order(task, sat, evaluation, seeds, spec.exam.examples, number)
        return grade, [pools.size(call) for _, _, call in calls_of(order, order.quotas)]

    grade, usual = sizes(Seeds(pools.curriculum, pools.curriculum_units, path, spec.seed, number), longest=False)
    most_grade, most = sizes(_Longest(pools.curriculum, pools.curriculum_units, path), longest=True)
    # Each label may leave one call that is not full.
    least_calls = ceil(spec.exam.examples / ITEMS_A_CALL)
    most_calls = (spec.exam.examples + (ITEMS_A_CALL - 1) * len(task.label.order)) // ITEMS_A_CALL
    written = _written(pools.curriculum, spec.exam.examples)
    reply = len(_evaluation(longest=False).model_dump_json())
    graded = _tokens([grade], [most_grade], 1, 1, reply)
    return _tokens(usual, [max(most)], least_calls, most_calls, written).plus(graded)


def _tokens(usual: Sequence[int], most: Sequence[int], least_calls: int, most_calls: int, written: int) -> Tokens:
    """From bytes of prompts and of replies; `most` are all calls, or one that stands for all."""
    all_most = list(most) if len(most) == most_calls else list(most) * most_calls
    return Tokens(
        calls=len(usual),
        least_calls=least_calls,
        most_calls=most_calls,
        input_tokens=ceil(sum(usual) / BYTES_A_TOKEN),
        most_input_tokens=sum(size + TEMPLATE_TOKENS for size in all_most),
        output_tokens=ceil(written / BYTES_A_TOKEN),
        most_output_tokens=_MOST_OUTPUT * most_calls,
    )


def _evaluation(*, longest: bool) -> Evaluation:
    sentences = [_LONGEST_SENTENCE] * 12 if longest else [_SENTENCE] * 3
    return Evaluation(proficiency=10, feedback=Feedback(strengths=sentences, weaknesses=sentences))


def _written(pool: Sequence[Item], count: int) -> int:
    """Bytes of so many items, as long as those of the pool, in a reply."""
    envelope = len('{"question": , "answer": }, ')
    return ceil(count * (mean(_length(item) for item in pool) + envelope)) if pool else 0


def _length(item: Item) -> int:
    entry = Question(id="", question=item.input, answer=item.output)
    return len(entry.model_dump_json(include={"question", "answer"}).encode())


def _seconds_at_limits(run: FlywheelRun, total: Tokens) -> float | None:
    limits = run.spec.teacher.limits
    tokens = total.input_tokens + total.output_tokens
    waits = [
        60 * used / limit
        for used, limit in ((total.calls, limits.requests_per_minute), (tokens, limits.tokens_per_minute))
        if limit is not None
    ]
    return max(waits, default=None)


def _gpu_hours(
    run: FlywheelRun, iterations: Sequence[IterationEstimate], validation: int, measured: Measured
) -> float | None:
    """Training, and each adapter and the untrained arms (three that ask the student) before the validation pool."""
    if measured.seconds_per_step is None or measured.seconds_per_answer is None:
        return None
    of = {step: _gpus(run, step) for step in ("train", "answer", "validate")}
    training = sum(entry.training_steps for entry in iterations) * measured.seconds_per_step * of["train"]
    count = len(iterations)
    answers = count * run.spec.exam.questions * of["answer"] + (count + 3) * validation * of["validate"]
    return (training + answers * measured.seconds_per_answer) / 3600


def _gpus(run: FlywheelRun, step: str) -> int:
    resources = run.spec.jobs.for_step(step).resources
    return gpus(resources.limits) if resources is not None else 0


def _unknown(run: FlywheelRun, measured: Measured) -> list[str]:
    found = [
        "top-ups and repairs, where replies are bad: stop.budget bounds them",
        "how the teacher counts tokens: expected is bytes / 4, most is a token a byte, as the budget reserves",
    ]
    if run.spec.teacher.prices is None:
        found.append("money: set teacher.prices of the FlywheelRun")
    if measured.seconds_per_step is None or measured.seconds_per_answer is None:
        found.append(
            "GPU hours: give --seconds-per-step and --seconds-per-answer, or --measured with the workspace of a run"
        )
    elif not any(_gpus(run, step) for step in ("train", "answer", "validate")):
        found.append("GPU hours: the run asks for no GPU (jobs.steps[].resources.limits)")
    if run.spec.teacher.limits.requests_per_minute is None and run.spec.teacher.limits.tokens_per_minute is None:
        found.append("time with the teacher: set teacher.limits")
    return found


def measured_in(workspace: Workspace) -> float | None:
    """Seconds of an optimiser step in the runs of a workspace, or None where none has trained."""
    paths = workspace.root.glob("runs/*/*/iter-*/train/a*/manifest.json")
    rates = [workspace.read_json(path.relative_to(workspace.root).as_posix())["figures"] for path in paths]
    speeds = [float(entry["stepsPerSecond"]) for entry in rates if entry.get("stepsPerSecond")]
    return 1 / median_low(speeds) if speeds else None
