"""When the next request may go out: requests and tokens in any minute, and what the endpoint itself asks for.

Pure: the time is given, in seconds of a clock that only goes on. Must not know what a request is.
Own code: the libraries for it (pyrate-limiter, limits, aiolimiter) cannot settle what was reserved for a request by
what it used, and either burst at the start of a window or sleep by a clock of their own.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

# One per cent above a minute: requests reach the endpoint a little earlier or later than they were sent.
WINDOW_SECONDS = 60.6
# A request that begins late does not make all later ones late: less than what the window has above a minute.
CATCH_UP_SECONDS = 0.5


@dataclass(eq=False)
class Slot:
    """A request in the window: when it began, and its tokens."""

    began: float
    tokens: int
    counted: bool = True


class Pace:
    """Requests are spread evenly over the minute; tokens are summed over the last one.

    Spacing by window / n needs no history: n + 1 requests begin at least a window less the catching up apart, which is
    more than a minute.
    """

    def __init__(self, requests_per_minute: int | None = None, tokens_per_minute: int | None = None) -> None:
        self._spacing = WINDOW_SECONDS / requests_per_minute if requests_per_minute is not None else 0.0
        self._tokens_per_minute = tokens_per_minute
        self._next = float("-inf")
        self._window: deque[Slot] = deque()
        self._sum = 0

    def wait(self, now: float, tokens: int) -> float:
        """Seconds until a request of at most so many tokens may begin; 0 when it may now."""
        return max(0.0, self._next - now, self._wait_for_tokens(now, tokens))

    def begin(self, now: float, tokens: int) -> Slot:
        """A request begins. Only where `wait` is 0."""
        self._next = max(self._next, now - CATCH_UP_SECONDS) + self._spacing
        slot = Slot(now, tokens)
        self._window.append(slot)
        self._sum += tokens
        return slot

    def settle(self, slot: Slot, tokens: int) -> None:
        """The request is over, and used so many."""
        if slot.counted:
            self._sum += tokens - slot.tokens
        slot.tokens = tokens

    def hold(self, until: float) -> None:
        """The endpoint wants nothing before then."""
        self._next = max(self._next, until)

    def _wait_for_tokens(self, now: float, tokens: int) -> float:
        while self._window and self._window[0].began + WINDOW_SECONDS <= now:
            old = self._window.popleft()
            old.counted = False
            self._sum -= old.tokens
        if self._tokens_per_minute is None:
            return 0.0
        excess = self._sum + tokens - self._tokens_per_minute
        for slot in self._window:
            if excess <= 0:
                return 0.0
            excess -= slot.tokens
            if excess <= 0:
                return slot.began + WINDOW_SECONDS - now
        # Larger than the limit: when all others have left the window.
        return self._window[-1].began + WINDOW_SECONDS - now if self._window else 0.0
