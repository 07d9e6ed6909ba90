"""What a step has spent on the teacher and what it has reserved: no call is begun that might not fit.

A call is reserved with the most that it can use, and settled by what it used. Must not know how a call is made.
"""

from __future__ import annotations

from flywheel.api.request import Allowance
from flywheel.api.result import Usage
from flywheel.teacher.ledger import Intent, Reply


class Purse:
    """Counts tokens against an allowance."""

    def __init__(self, allowance: Allowance | None) -> None:
        self._allowance = allowance or Allowance()
        self._reserved_input = self._reserved_output = 0
        self.usage = Usage()

    def fits(self, most: Intent) -> bool:
        """Whether this call, with all that is spent and reserved, stays within the allowance at its dearest."""
        usage = self.usage
        return self._allowance.covers(
            usage.input_tokens + self._reserved_input + most.most_input_tokens,
            usage.output_tokens + self._reserved_output + most.most_output_tokens,
            usage.cached_tokens,
        )

    def reserve(self, most: Intent) -> None:
        """Set aside the most that a call can use."""
        self._reserved_input += most.most_input_tokens
        self._reserved_output += most.most_output_tokens

    def release(self, most: Intent) -> None:
        """The call is over, or was refused: what was set aside is free."""
        self._reserved_input -= most.most_input_tokens
        self._reserved_output -= most.most_output_tokens

    def pay(self, reply: Reply) -> None:
        """A call was answered."""
        self._add(
            calls=1,
            input_tokens=reply.input_tokens,
            output_tokens=reply.output_tokens,
            cached_tokens=reply.cached_tokens,
        )

    def lose(self, most: Intent, times: int) -> None:
        """Requests of this call were cut off, and perhaps paid: they are charged as reserved."""
        self._add(
            lost_in_flight=times,
            input_tokens=most.most_input_tokens * times,
            output_tokens=most.most_output_tokens * times,
        )

    def found(self) -> None:
        """A call was answered from the ledger."""
        self._add(recorded=1)

    def turn_away(self, calls: int) -> None:
        """Calls were not made, because they would not have fitted."""
        self._add(unaffordable=calls)

    def _add(self, **counts: int) -> None:
        self.usage = self.usage.model_copy(
            update={name: getattr(self.usage, name) + count for name, count in counts.items()}
        )
