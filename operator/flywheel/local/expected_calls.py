"""What a run will ask its teacher: the very prompts that the steps would render, counted.

What the teacher and the student will say is not known: the expected figures take usual items of the pools for it, the
greatest the longest. Must not know prices.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import ceil
from statistics import mean
from typing import Any

from flywheel.api.curriculum import Curriculum
from flywheel.api.flywheelrun import FlywheelRun
from flywheel.api.item import Answer, Item, Question, Unit
from flywheel.api.model import Open
from flywheel.api.request import Redaction, TeacherParameters
from flywheel.api.task import PreparedTask, Task
from flywheel.data.quotas import even_quotas
from flywheel.data.redaction import Redactor
from flywheel.data.trusted import anchor_block, blind_items
from flywheel.steps.evaluate import dataset_order, grading, marked, shown_answers
from flywheel.steps.exam import exam_order, quotas_beside
from flywheel.steps.material import SEEDS_A_CALL, UNITS_A_CALL, Seeds, labelled, panel_of, redactor_for
from flywheel.teacher.asking import TEMPLATE_TOKENS
from flywheel.teacher.asking import Question as Call
from flywheel.teacher.feedback import Evaluation, Feedback
from flywheel.teacher.labelling import QUESTIONS_A_CALL, labelling
from flywheel.teacher.prompts import load_prompt
from flywheel.teacher.redacting import prompt_variables
from flywheel.teacher.writing import CALLS_A_TURN, ITEMS_A_CALL, calls_of
from flywheel.workspace.store import Workspace

BYTES_A_TOKEN = 4  # of English and code, as byte-pair tokenizers of large models come out; the bound does not use it
_MARK = "0" * 16
Calls = list[tuple[str, int, Call]]  # label, items asked for
_SENTENCE, _LONGEST_SENTENCE = "x" * 120, "x" * 600
_LABEL_ENTRY = len('{"number": 10, "label": "critical"}, ')
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


class _Longest(Seeds):
    """Always the longest items of a label, and the longest units."""

    def __init__(self, items: Sequence[Item], units: Sequence[Unit], label_path: str) -> None:
        self._items, self._path = sorted(items, key=_length, reverse=True), label_path
        longest = sorted((unit.question for unit in units), key=lambda question: -len(json.dumps(question)))
        self._shown_units = {"units": longest[:UNITS_A_CALL]} if longest else {}

    def of(self, label: str, slot: str) -> dict[str, Any]:
        found = [item for item in self._items if item.output[self._path] == label][:SEEDS_A_CALL]
        return {"seeds": [{"question": item.input, "answer": item.output} for item in found], **self._shown_units}


class Pools:
    """What prompts are made of."""

    def __init__(self, curriculum: Curriculum, workspace: Workspace) -> None:
        revision, self.spec = curriculum.status.revision, curriculum.spec
        if revision is None:
            raise ValueError("the Curriculum is not prepared")
        # As the steps read it: the order of a schema's keys is part of the prompt.
        self.task: Task = PreparedTask.model_validate(workspace.read_json(f"{revision.path}/task.json")).task
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

    def text(self, call: Call) -> str:
        """The prompt as it would be sent, but for its mark."""
        variables, _ = prompt_variables(call.variables, self.redactor)
        return call.prompt.render(variables, _MARK)

    def size(self, call: Call) -> int:
        """Bytes of the prompt as it would be sent."""
        return len(self.text(call).encode())

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


def preflight_calls(pools: Pools) -> Tokens:
    """One call that asks for nothing."""
    size = len(load_prompt("preflight").render({}, _MARK).encode())
    return _tokens([size], [size], 1, 1, len('{"exam": []}'))


def shown_items(pools: Pools, run: FlywheelRun) -> tuple[list[Item], list[Item]]:
    """Anchors, which the teacher does not see, and the items of the exam pool that it is shown."""
    anchors = anchor_block(pools.exam, pools.task, run.spec.exam.questions, run.spec.seed)
    return anchors, [item for item in pools.exam if item not in anchors]


def exam_prompts(pools: Pools, run: FlywheelRun, number: int, *, longest: bool = False) -> Calls:
    """The calls for questions; feedback, which nobody knows yet, is usual or the longest."""
    anchors, shown = shown_items(pools, run)
    seeds = Seeds(shown, pools.exam_units, pools.task.label.path, run.spec.seed, number)
    quotas = quotas_beside(anchors, run.spec.exam.questions, pools.task)
    told = _evaluation(longest=longest).to_json_object() if number > 1 else None
    order = exam_order(pools.task, seeds, told, quotas, number)
    return calls_of(order, order.quotas)


def example_prompts(pools: Pools, run: FlywheelRun, number: int, *, longest: bool = False) -> tuple[Call, Calls]:
    """The call for a grade, and those for examples; answers and feedback are usual or the longest."""
    task, spec, path = pools.task, run.spec, pools.task.label.path
    usual = Seeds(pools.curriculum, pools.curriculum_units, path, spec.seed, number)
    seeds = _Longest(pools.curriculum, pools.curriculum_units, path) if longest else usual
    sat = marked(*pools.sat(spec.exam.questions, longest=longest), task)
    grade = grading(task, sat, shown_answers(sat, task, spec.seed, number), number)
    order = dataset_order(task, sat, _evaluation(longest=longest), seeds, spec.exam.examples, number)
    return grade, calls_of(order, order.quotas)


def label_prompt(pools: Pools, run: FlywheelRun, items: Sequence[Item]) -> Call:
    """The call that has such items labelled blind, at most so many as one call asks."""
    panel = panel_of(pools.task, run.spec.exam.votes, run.spec.seed)
    return labelling(panel, labelled(items, pools.task)[:QUESTIONS_A_CALL], "", 0)


def exam_calls(pools: Pools, run: FlywheelRun, number: int) -> Tokens:
    """The questions that the teacher writes, and the labels of these and of trusted items."""
    _, shown = shown_items(pools, run)
    usual, most = exam_prompts(pools, run, number), exam_prompts(pools, run, number, longest=True)
    sizes = [pools.size(call) for _, _, call in most]
    written = _tokens(
        [pools.size(call) for _, _, call in usual],
        sizes,
        len(most),
        len(most),
        _written(shown, sum(count for _, count, _ in usual)),
    )
    trusted = len(blind_items(shown, pools.task.label.path, number, run.spec.seed))
    return written.plus(_labels(pools, shown, run, _turns(usual), len(_turns(usual)), trusted))


def evaluate_calls(pools: Pools, run: FlywheelRun, number: int) -> Tokens:
    """One grading, and the calls for examples and their labels: how many of each label depends on the marks."""
    task, spec = pools.task, run.spec
    usual_grade, usual = example_prompts(pools, run, number)
    longest_grade, most = example_prompts(pools, run, number, longest=True)
    grade, most_grade = pools.size(usual_grade), pools.size(longest_grade)
    # Each label may leave one call that is not full.
    least_calls = ceil(spec.exam.examples / ITEMS_A_CALL)
    most_calls = (spec.exam.examples + (ITEMS_A_CALL - 1) * len(task.label.order)) // ITEMS_A_CALL
    written = _tokens(
        [pools.size(call) for _, _, call in usual],
        [max(pools.size(call) for _, _, call in most)],
        least_calls,
        most_calls,
        _written(pools.curriculum, spec.exam.examples),
    )
    reply = len(_evaluation(longest=False).model_dump_json())
    graded = _tokens([grade], [most_grade], 1, 1, reply)
    most_turns = ceil(most_calls / CALLS_A_TURN)
    return written.plus(graded).plus(_labels(pools, pools.curriculum, run, _turns(usual), most_turns))


def _turns(calls: Calls) -> list[int]:
    """How many items are written before each vote."""
    parts = [part for _, part, _ in calls]
    return [sum(parts[first : first + CALLS_A_TURN]) for first in range(0, len(parts), CALLS_A_TURN)]


def _labels(
    pools: Pools, pool: Sequence[Item], run: FlywheelRun, turns: Sequence[int], most_turns: int, trusted: int = 0
) -> Tokens:
    """Votes on what was written, until they are certain, and trusted items among the first of them."""
    votes = run.spec.exam.votes
    asked = [items for items in turns for _ in range(votes // 2 + 1)]
    asked[0] += trusted
    calls = sum(ceil(items / QUESTIONS_A_CALL) for items in asked)
    # Whatever the turns are, each vote of each may leave one call that is not full.
    most_calls = ceil(trusted / QUESTIONS_A_CALL) + votes * (sum(turns) // QUESTIONS_A_CALL + most_turns)
    sample = sorted(pool, key=_length)
    usual = pools.size(label_prompt(pools, run, sample[len(sample) // 2 :]))
    most = pools.size(label_prompt(pools, run, sample[-QUESTIONS_A_CALL:]))
    return _tokens([usual] * calls, [most], calls, most_calls, _LABEL_ENTRY * sum(asked))


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
