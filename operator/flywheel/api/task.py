"""The task a student learns: instructions, the shapes of question and answer, and which field is the label."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from flywheel.api.model import Closed, list_type

JsonSchema = Annotated[
    dict[str, Any],
    Field(json_schema_extra={"type": "object", "x-kubernetes-preserve-unknown-fields": True}),
]
Label = Annotated[str, Field(min_length=1, max_length=63)]


class LabelField(Closed):
    """The field of an answer that is compared."""

    path: str = Field(
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=63, description="Property of the answer that holds the label."
    )
    order: list[Label] = Field(
        min_length=2,
        max_length=16,
        description="All labels, from the most to the least important; reports keep this order.",
        json_schema_extra=list_type("set"),
    )


class Task(Closed):
    """What the student is asked and how its answer is read."""

    instructions: str = Field(
        min_length=1, max_length=8192, description="What the student has to do, in plain words; shown to the teacher."
    )
    input_schema: JsonSchema = Field(description="JSON Schema of a question. $ref only inside the schema.")
    output_schema: JsonSchema = Field(description="JSON Schema of an answer. $ref only inside the schema.")
    label: LabelField = Field(description="Which field of the answer is compared, and its possible values.")


class PreparedTask(Closed):
    """task.json of a revision: the task and the student's prompt template, pinned together."""

    task: Task
    template: str = Field(description="Jinja2 text of the student's prompt; its digest is in the adapter's contract.")
