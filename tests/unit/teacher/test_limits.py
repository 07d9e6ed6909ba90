"""Never more than allowed in any minute, and hardly less: whatever calls come, and whatever they turn out to use."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel.teacher.limits import WINDOW_SECONDS, Pace, Slot

# Most tokens of a call, the share of it that is used, how long the call takes, how long until the next one is wanted.
CALLS = st.lists(
    st.tuples(st.integers(1, 900), st.floats(0, 1), st.floats(0, 90), st.sampled_from([0.0] * 6 + [3.0, 70.0])),
    min_size=1,
    max_size=60,
)


def drive(pace: Pace, calls: list[tuple[int, float, float, float]]) -> list[Slot]:
    """Each call begins as soon as it may; what is over is settled first."""
    now, begun = 0.0, list[Slot]()
    under_way: list[tuple[float, Slot, int]] = []
    for most, share, duration, pause in calls:
        now += pause
        while True:
            for entry in [entry for entry in under_way if entry[0] <= now]:
                pace.settle(entry[1], entry[2])
                under_way.remove(entry)
            seconds = pace.wait(now, most)
            if seconds == 0:
                break
            now = min([now + max(seconds, 1e-6), *(end for end, _, _ in under_way)])
        slot = pace.begin(now, most)
        begun.append(slot)
        under_way.append((now + duration, slot, int(most * share)))
    for _, slot, used in under_way:
        slot.tokens = used
    return begun


@given(CALLS, st.integers(1, 40), st.integers(1000, 4000))
def test_no_minute_holds_more_than_is_allowed(
    calls: list[tuple[int, float, float, float]], requests: int, tokens: int
) -> None:
    begun = drive(Pace(requests, tokens), calls)
    for first, slot in enumerate(begun):
        minute = [other for other in begun[first:] if other.began < slot.began + 60]
        assert len(minute) <= requests
        assert sum(other.tokens for other in minute) <= tokens


@given(st.integers(2, 400), st.integers(1, 5))
def test_where_calls_wait_at_least_95_per_cent_of_the_rate_are_made(requests: int, minutes: int) -> None:
    begun = drive(Pace(requests), [(1, 1.0, 5.0, 0.0)] * (requests * minutes + 1))
    assert minutes * 60 / begun[-1].began >= 0.95


def test_where_calls_wait_the_tokens_of_a_minute_are_used() -> None:
    begun = drive(Pace(tokens_per_minute=1000), [(100, 0.5, 1.0, 0.0)] * 200)
    assert sum(slot.tokens for slot in begun if slot.began < 600) >= 0.95 * 10 * 1000


def test_a_call_larger_than_the_limit_goes_alone() -> None:
    pace = Pace(tokens_per_minute=1000)
    pace.begin(0.0, 10)
    assert pace.wait(1.0, 5000) == pytest.approx(WINDOW_SECONDS - 1)
    pace.begin(WINDOW_SECONDS, 5000)
    assert pace.wait(WINDOW_SECONDS + 1, 1) > 0


def test_what_was_not_used_is_free_at_once() -> None:
    pace = Pace(tokens_per_minute=1000)
    slot = pace.begin(0.0, 900)
    assert pace.wait(1.0, 200) > 0
    pace.settle(slot, 100)
    assert pace.wait(1.0, 200) == 0


def test_a_wish_of_the_endpoint_holds_all_back() -> None:
    pace = Pace()
    pace.begin(0.0, 1)
    pace.hold(20.0)
    pace.hold(5.0)
    assert (pace.wait(1.0, 1), pace.wait(20.0, 1)) == (19.0, 0.0)
