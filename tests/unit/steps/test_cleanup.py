"""The step cleanup over real files."""

from __future__ import annotations

from pathlib import Path

import pytest

from flywheel.api.request import CleanupParameters, StepRequest
from flywheel.api.result import CleanupFigures
from flywheel.steps.cleanup import cleanup
from flywheel.workspace.program import Attempt, BadInputError
from flywheel.workspace.store import Workspace

HOME = "runs/review/first-abc"
ATTEMPTS = [
    f"iter-{number}/{step}/a{ordinal}" for number in range(5) for step in ("train", "test") for ordinal in (1, 2)
]


def attempt(root: Path, through: int, keep: list[str], iteration: int = 4) -> Attempt:
    parameters = CleanupParameters(home=HOME, through=through, keep=[f"{HOME}/{path}" for path in keep])
    output = f"{HOME}/iter-{iteration}/cleanup/a1"
    request = StepRequest(
        namespace="review", owner="first", iteration=iteration, attempt=1, output=output, parameters=parameters
    )
    return Attempt(request, Workspace(root))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for path in ATTEMPTS:
        Workspace(tmp_path).write_bytes(f"{HOME}/{path}/deep/file", b"12345")
    Workspace(tmp_path).write_bytes("ledger/review/aa/reply", b"paid")
    return tmp_path


def left(root: Path) -> set[str]:
    return {path.relative_to(root / HOME).as_posix() for path in (root / HOME).glob("iter-*/*/a*")}


def test_old_attempts_go_but_for_those_to_keep(root: Path) -> None:
    keep = ["iter-1/train/a2", "iter-2/test/a1"]
    result = cleanup(attempt(root, 2, keep))
    gone = {path for path in ATTEMPTS if path.startswith(("iter-1/", "iter-2/"))} - set(keep)
    assert left(root) == set(ATTEMPTS) - gone | {"iter-4/cleanup/a1"}
    assert result.figures == CleanupFigures(removed=len(gone), freed_bytes=5 * len(gone))
    assert (root / "ledger/review/aa/reply").read_bytes() == b"paid"


def test_done_again_after_a_crash_it_finds_nothing_to_do(root: Path) -> None:
    cleanup(attempt(root, 3, []))
    assert cleanup(attempt(root, 3, [])).figures == CleanupFigures(removed=0, freed_bytes=0)


def test_its_own_iteration_is_never_removed(root: Path) -> None:
    with pytest.raises(BadInputError, match="only older ones"):
        cleanup(attempt(root, 4, []))
    assert left(root) == set(ATTEMPTS)


def test_links_are_not_followed(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "ledger/review/aa"
    (root / HOME / "iter-1/train/a1/link").symlink_to(outside)
    (root / HOME / "iter-1/linked").symlink_to(outside.parent)
    cleanup(attempt(root, 1, []))
    assert (outside / "reply").read_bytes() == b"paid"
