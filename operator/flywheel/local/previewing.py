"""What the teacher will be shown, before a token is spent: the very prompts of an iteration, and items of the pools.

What nobody knows yet (the student's answers, the teacher's feedback) is filled in as the estimate fills it in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from pydantic import Field

from flywheel.api.curriculum import Curriculum
from flywheel.api.flywheelrun import FlywheelRun
from flywheel.api.item import Item
from flywheel.api.model import Open
from flywheel.local.expected_calls import Pools, exam_prompts, example_prompts, label_prompt, shown_items
from flywheel.teacher.asking import Question as Call
from flywheel.teacher.redacting import prompt_variables
from flywheel.workspace.store import Workspace

SAMPLES = 2


class RenderedPrompt(Open):
    """One prompt of its kind."""

    step: str
    purpose: str
    template: str = Field(description="Digest of its template.")
    calls: int | None = Field(
        description="How many such calls the iteration makes, if no reply is bad; of votes, open."
    )
    text: str


class PoolPreview(Open):
    """A pool's size and its first items; of held-out pools only the size."""

    name: str
    items: int
    labels: dict[str, int]
    samples: list[dict[str, Any]]


class Preview(Open):
    """An iteration's prompts and the pools that they are made of."""

    prompts: list[RenderedPrompt]
    pools: list[PoolPreview]
    rejected: dict[str, int]
    redacted: dict[str, int] = Field(description="What was replaced in these prompts, by kind.")


def preview(curriculum: Curriculum, run: FlywheelRun, workspace: Workspace, iteration: int = 1) -> Preview:
    """Of a prepared Curriculum and a run that has not begun."""
    pools = Pools(curriculum, workspace)
    status = curriculum.status
    samples = {"exam": pools.exam, "curriculum": pools.curriculum}
    calls = list(_calls(pools, run, iteration))
    redacted = sum((prompt_variables(call.variables, pools.redactor)[1] for *_, call in calls), Counter[str]())
    return Preview(
        prompts=[
            RenderedPrompt(step=step, purpose=purpose, calls=count, template=call.prompt.digest, text=pools.text(call))
            for step, purpose, count, call in calls
        ],
        pools=[
            PoolPreview(
                name=pool.name,
                items=pool.items,
                labels={entry.label: entry.items for entry in pool.labels},
                samples=[_sample(item) for item in samples.get(pool.name, [])[:SAMPLES]],
            )
            for pool in status.pools
        ],
        rejected={entry.reason: entry.lines for entry in status.rejected},
        redacted=dict(sorted(redacted.items())),
    )


def _calls(pools: Pools, run: FlywheelRun, iteration: int) -> Iterator[tuple[str, str, int | None, Call]]:
    """One call of each kind, with its step, its purpose, and how many there are."""
    questions = exam_prompts(pools, run, iteration)
    grade, examples = example_prompts(pools, run, iteration)
    _, shown = shown_items(pools, run)
    yield "exam", "write questions", len(questions), questions[0][2]
    yield "exam, evaluate", "label blind what was written, and trusted items", None, label_prompt(pools, run, shown)
    yield "evaluate", "grade the exam and give feedback", 1, grade
    yield "evaluate", "write training examples", len(examples), examples[0][2]


def _sample(item: Item) -> dict[str, Any]:
    return {"input": item.input, "output": item.output}
