"""What teaching steps read: task, pools and the records of other steps, as typed lines.

Must not know what is done with them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from pydantic import ValidationError

from flywheel.api.conditions import Reason
from flywheel.api.item import Item, Unit
from flywheel.api.leakage import Signatures
from flywheel.api.model import Open
from flywheel.api.request import Redaction
from flywheel.api.task import PreparedTask, Task
from flywheel.data.firewall import Firewall
from flywheel.data.growth import drawn
from flywheel.data.redaction import Redactor
from flywheel.data.schemas import BadSchemaError, TaskSchemas
from flywheel.teacher.labelling import Labelled, Panel
from flywheel.teacher.prompts import load_prompt
from flywheel.workspace.program import Attempt, BadInputError

SEEDS_A_CALL, UNITS_A_CALL = 3, 2
Line = TypeVar("Line", bound=Open)
Drawn = TypeVar("Drawn", Item, Unit)


def read_task(attempt: Attempt) -> Task:
    """The task of the curriculum's revision."""
    path = attempt.input_path("curriculum", "task.json")
    try:
        return PreparedTask.model_validate(attempt.workspace.read_json(path)).task
    except ValidationError as error:
        raise BadInputError(f"{path} is not a task of this version: prepare a new revision") from error


def task_schemas(task: Task) -> TaskSchemas:
    """The task's schemas; raises BadInputError for such as cannot be used."""
    try:
        return TaskSchemas(task)
    except BadSchemaError as error:
        raise BadInputError(str(error), Reason.SCHEMA_MISMATCH) from error


def read_lines(attempt: Attempt, name: str, file: str, kind: type[Line]) -> list[Line]:
    """The lines of an input's JSONL file."""
    path = attempt.input_path(name, file)
    try:
        return [kind.model_validate(line) for line in attempt.workspace.read_jsonl(path)]
    except (ValidationError, ValueError) as error:
        raise BadInputError(f"{path} has lines that are no {kind.__name__}") from error


def read_pool(attempt: Attempt, pool: str) -> list[Item]:
    """A pool of the curriculum."""
    return read_lines(attempt, "curriculum", f"pools/{pool}/items.jsonl", Item)


def read_units(attempt: Attempt, pool: str) -> list[Unit]:
    """The units of a pool; none where the curriculum has no repository."""
    path = f"pools/{pool}/units.jsonl"
    if not attempt.workspace.exists(attempt.input_path("curriculum", path)):
        return []
    return read_lines(attempt, "curriculum", path, Unit)


def read_firewall(attempt: Attempt) -> Firewall:
    """The revision's signatures of held-out items."""
    path = attempt.input_path("curriculum", "signatures.json")
    try:
        return Firewall(Signatures.model_validate(attempt.workspace.read_json(path)))
    except (OSError, ValidationError) as error:
        raise BadInputError(f"{path} holds no signatures of this version: prepare a new revision") from error


def redactor_for(task: Task, redaction: Redaction) -> Redactor:
    """What redacts prompts and replayed items of the task."""
    return Redactor(redaction.redact, redaction.key, frozenset(task.label.order))


class Seeds:
    """Seed items by label, and units without one, in an order drawn by seed and iteration.

    Each slot begins at another place.
    """

    def __init__(
        self, items: Iterable[Item], units: Iterable[Unit], label_path: str, seed: int, iteration: int
    ) -> None:
        self._seed = seed
        self._units = sorted(units, key=lambda unit: drawn(seed, "units", iteration, unit.id))
        self._piles: defaultdict[str, list[Item]] = defaultdict(list)
        for item in sorted(items, key=lambda item: drawn(seed, "seeds", iteration, item.id)):
            self._piles[str(item.output[label_path])].append(item)

    def of(self, label: str, slot: str) -> dict[str, Any]:
        """For one call the variables `seeds`, a few items of a label, and `units`, where there are any."""
        chosen = self._few(self._piles[label], "slot", slot, SEEDS_A_CALL)
        shown = {"seeds": [{"question": item.input, "answer": item.output} for item in chosen]}
        units = [unit.question for unit in self._few(self._units, "unit", slot, UNITS_A_CALL)]
        return {**shown, "units": units} if units else shown

    def _few(self, pile: Sequence[Drawn], purpose: str, slot: str, count: int) -> list[Drawn]:
        if not pile:
            return []
        first = int(drawn(self._seed, purpose, slot)[:12], 16)
        return [pile[(first + place) % len(pile)] for place in range(min(count, len(pile)))]


def panel_of(task: Task, votes: int, seed: int) -> Panel:
    """How items of the task are labelled blind."""
    return Panel(load_prompt("labelling"), task_variables(task), votes, seed)


def labelled(items: Iterable[Item], task: Task) -> list[Labelled]:
    """Items of a pool as the labeller takes them."""
    return [Labelled(item.id, item.input, str(item.output[task.label.path])) for item in items]


def task_variables(task: Task) -> dict[str, Any]:
    """The variables that every teaching template has."""
    return {
        "instructions": task.instructions,
        "input_schema": task.input_schema,
        "output_schema": task.output_schema,
        "label_path": task.label.path,
        "labels": list(task.label.order),
    }
