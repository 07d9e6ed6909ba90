"""Openings of test pools: a record each, kept for good, counted by every run whose test pool shares an item with it.

A record is written before any item is asked, so that a killed test counts. It must not know what is measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from pydantic import ValidationError

from flywheel.api.model import Closed
from flywheel.api.request import StepRequest, TestTerms
from flywheel.workspace.program import BadInputError
from flywheel.workspace.store import Workspace


class _Record(Closed):
    share: Decimal
    items: list[str]


@dataclass(frozen=True)
class Opened:
    """Openings of these items so far, what they spent of alpha, and whether this one may be made."""

    openings: int
    spent: Decimal
    allowed: bool


def open_test_pool(workspace: Workspace, request: StepRequest, terms: TestTerms, items: Sequence[str]) -> Opened:
    """Record that this iteration's test opens these items (by id); refused where openings or alpha are spent.

    Made again by a later attempt it is the same opening. Of two runs that open at the same moment both see both, and
    neither goes on where together they are too many. Raises BadInputError for a record that cannot be read.
    """
    folder = terms.folder
    name = f"{request.output.split('/')[2]}-iter-{request.iteration}.json"
    own = _Record(share=terms.share, items=sorted(items))
    others = _sharing(workspace, folder, items, leave_out=name)
    if not workspace.exists(f"{folder}/{name}"):
        if not _within(terms, [*others, own]):
            return _opened(others, allowed=False)
        workspace.create_json(f"{folder}/{name}", own.to_json_object())
        others = _sharing(workspace, folder, items, leave_out=name)
    return _opened([*others, own], allowed=_within(terms, [*others, own]))


def _sharing(workspace: Workspace, folder: str, items: Iterable[str], leave_out: str) -> list[_Record]:
    wanted = set(items)
    names = [name for name in workspace.files(folder) if name != leave_out and not name.startswith("tmp-")]
    return [record for name in names if wanted & set((record := _read(workspace, f"{folder}/{name}")).items)]


def _read(workspace: Workspace, path: str) -> _Record:
    try:
        return _Record.model_validate_json(workspace.read_bytes(path))
    except ValidationError as error:
        raise BadInputError(f"{path} is no record of an opened test pool: put it back as it was") from error


def _within(terms: TestTerms, records: Sequence[_Record]) -> bool:
    return len(records) <= terms.most and _spent(records) <= terms.alpha


def _opened(records: Sequence[_Record], *, allowed: bool) -> Opened:
    return Opened(len(records), _spent(records), allowed)


def _spent(records: Sequence[_Record]) -> Decimal:
    return sum((record.share for record in records), Decimal(0))
