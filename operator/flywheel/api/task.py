"""The task a student learns: instructions, the shapes of question and answer, and which field is the label."""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, Field, model_validator

from flywheel.api.model import Closed, list_type, rules
from flywheel.api.model import Rule as Cel

MAX_SCHEMA_DEPTH = 64


def _shallow(schema: dict[str, Any]) -> dict[str, Any]:
    """No CRD can say how deep an open field may be nested, and what is deeper cannot be written into a request."""
    if not _within(MAX_SCHEMA_DEPTH, schema):
        raise ValueError(f"is nested more than {MAX_SCHEMA_DEPTH} levels deep: use $ref and $defs, or make it simpler")
    return schema


def _within(levels: int, part: Any) -> bool:
    if not isinstance(part, dict | list):
        return True
    inner = cast("list[Any]", list(cast("dict[str, Any]", part).values()) if isinstance(part, dict) else part)
    return levels > 0 and all(_within(levels - 1, entry) for entry in inner)


JsonSchema = Annotated[
    dict[str, Any],
    AfterValidator(_shallow),
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


class TextField(Closed):
    """The field of an answer that holds a text, such as the reason for the label."""

    path: str = Field(
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=63, description="Property of the answer that holds the text."
    )


_JUDGED = "text must be set exactly where scoring is Judge, and be another field than label"


class Task(Closed):
    """What the student is asked and how its answer is read."""

    model_config = Closed.model_config | {
        "json_schema_extra": rules(
            Cel("(self.scoring == 'Judge') == has(self.text)", _JUDGED),
            Cel("!has(self.text) || self.text.path != self.label.path", _JUDGED),
        )
    }
    instructions: str = Field(
        min_length=1, max_length=8192, description="What the student has to do, in plain words; shown to the teacher."
    )
    input_schema: JsonSchema = Field(description="JSON Schema of a question. $ref only inside the schema.")
    output_schema: JsonSchema = Field(description="JSON Schema of an answer. $ref only inside the schema.")
    label: LabelField = Field(description="Which field of the answer is compared, and its possible values.")
    scoring: Literal["Exact", "Judge"] = Field(
        default="Exact",
        description="Exact: the label alone counts. Judge: a run's spec.evaluation.judge also compares the texts.",
    )
    text: TextField | None = Field(
        default=None, description="Which field of the answer is a text, compared in pairs by a judge."
    )

    @property
    def label_alone(self) -> bool:
        """Whether an answer is the label and nothing else."""
        properties = self.output_schema.get("properties")
        return isinstance(properties, dict) and set(cast("dict[str, Any]", properties)) == {self.label.path}

    @model_validator(mode="after")
    def _judged(self) -> Task:
        """The CEL rules above, for those who do not ask an API server."""
        if (self.scoring == "Judge") != (self.text is not None) or (self.text and self.text.path == self.label.path):
            raise ValueError(_JUDGED)
        return self


class PreparedTask(Closed):
    """task.json of a revision: the task and the student's prompt template, pinned together."""

    task: Task
    template: str = Field(description="Jinja2 text of the student's prompt; its digest is in the adapter's contract.")
