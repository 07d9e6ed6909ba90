"""Openings of a test pool: counted over all runs that share an item, never beyond alpha, whatever each run's terms."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pods import Pod, asked

from flywheel.api.request import MeasureParameters, StepRequest, TestTerms
from flywheel.workspace.openings import Opened, open_test_pool
from flywheel.workspace.program import BadInputError
from flywheel.workspace.store import Workspace

FOLDER = "openings/review"
ITEMS = ["a", "b", "c"]


def share_of(alpha: str, most: int) -> Decimal:
    """Rounded down, as the operator gives it: sums of shares are exact."""
    return (Decimal(alpha) / most).quantize(Decimal("1e-9"), ROUND_DOWN)


def open_as(
    workspace: Workspace,
    run: str = "r-1",
    iteration: int = 1,
    *,
    attempt: int = 1,
    alpha: str = "0.05",
    most: int = 5,
    items: list[str] | None = None,
) -> Opened:
    share = share_of(alpha, most)
    terms = TestTerms(folder=FOLDER, share=share, alpha=Decimal(alpha), most=most)
    request = StepRequest(
        namespace="review",
        owner="r",
        iteration=iteration,
        attempt=attempt,
        output=f"runs/review/{run}/iter-{iteration}/test/a{attempt}",
        parameters=MeasureParameters(step="test", model_path="/m", pool="test", untrained_arms=True, opening=terms),
    )
    return open_test_pool(workspace, request, terms, items or ITEMS)


@pytest.fixture
def workspace(pod: Pod) -> Workspace:
    """On a volume, and in a bucket."""
    return pod(asked(also_writable=[FOLDER]))


def test_runs_that_share_items_share_their_openings(workspace: Workspace) -> None:
    found = [open_as(workspace, f"r-{number}") for number in range(7)]
    assert [opened.openings for opened in found] == [1, 2, 3, 4, 5, 5, 5]
    assert [opened.allowed for opened in found] == [True] * 5 + [False] * 2
    assert [opened.spent for opened in found][-1] == Decimal("0.05")
    assert len(workspace.files(FOLDER)) == 5, "what was refused was not opened"


def test_one_item_in_common_counts_and_fresh_items_do_not(workspace: Workspace) -> None:
    open_as(workspace)
    assert open_as(workspace, "r-2", items=["c", "d"]).openings == 2
    assert open_as(workspace, "r-3", items=["e"]).openings == 1
    assert open_as(workspace, "r-4", items=["d"]).openings == 2


def test_a_later_attempt_is_the_same_opening(workspace: Workspace) -> None:
    first = open_as(workspace, most=1)
    before = {name: workspace.read_bytes(f"{FOLDER}/{name}") for name in workspace.files(FOLDER)}
    assert open_as(workspace, attempt=2, most=1) == first == Opened(1, Decimal("0.05"), allowed=True)
    assert {name: workspace.read_bytes(f"{FOLDER}/{name}") for name in workspace.files(FOLDER)} == before
    assert not open_as(workspace, iteration=2, most=1).allowed


def test_what_a_killed_write_left_is_no_opening_and_what_is_unreadable_is_said(workspace: Workspace) -> None:
    workspace.write_bytes(f"{FOLDER}/tmp-abc-r-9-iter-1.json", b"{")
    assert open_as(workspace).openings == 1
    workspace.write_bytes(f"{FOLDER}/r-9-iter-1.json", b"{")
    with pytest.raises(BadInputError, match=r"openings/review/r-9-iter-1.json"):
        open_as(workspace, "r-2")


def test_of_two_at_the_same_moment_none_goes_beyond(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other's record appears between the look and the write."""
    create = type(workspace).create_json

    def both(self: Workspace, path: str, value: object) -> bool:
        create(self, path.replace("r-1", "r-2"), value)
        return create(self, path, value)

    monkeypatch.setattr(type(workspace), "create_json", both)
    assert open_as(workspace, most=1) == Opened(2, Decimal("0.10"), allowed=False)
    assert not open_as(workspace, attempt=2, most=1).allowed


terms_of = st.tuples(st.integers(0, 3), st.integers(1, 4), st.sampled_from(["0.05", "0.1", "0.01"]), st.integers(1, 7))


@given(st.lists(terms_of, max_size=25))
def test_no_run_goes_on_where_its_alpha_is_overspent(calls: list[tuple[int, int, str, int]]) -> None:
    """Alpha and maxTestOpenings edited between any two tests, by several runs."""
    with TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        made: dict[tuple[int, int], Decimal] = {}
        for run, iteration, alpha, most in calls:
            opened = open_as(workspace, f"r-{run}", iteration, alpha=alpha, most=most)
            if (run, iteration) in made:
                continue
            spent = sum(made.values(), Decimal(0)) + share_of(alpha, most)
            assert opened.allowed == (spent <= Decimal(alpha) and len(made) < most)
            if opened.allowed:
                made[run, iteration] = share_of(alpha, most)
                assert (opened.openings, opened.spent) == (len(made), spent)
