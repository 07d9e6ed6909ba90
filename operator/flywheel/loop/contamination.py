"""IncumbentContaminated, and what it holds up: what serves was trained on groups that are held out today (SCIENCE 1).

Where nothing fair is left to compare, the run does not spend money on adapters that it cannot promote.
"""

from __future__ import annotations

from decimal import Decimal

from flywheel.api.conditions import Reason
from flywheel.api.flywheelrun import FlywheelRunSpec
from flywheel.api.flywheelrun_status import FlywheelRunStatus, LeftItems, ServingIncumbent
from flywheel.loop.finding import Finding
from flywheel.loop.state import State
from flywheel.loop.underpowered import gains_asked

_WHY = {
    "NotInWorkspace": "its files are not in this run's workspace",
    "ContractDiffers": "it was trained for another base model, tokenizer or template",
    "GroupsUnknown": "its card does not say what it was trained on",
}
_WAYS = "set gate.serving: Shown to promote without that proof, or name another AdapterDeployment"


def incomparable(spec: FlywheelRunSpec, status: FlywheelRunStatus) -> State | None:
    """Said before the teacher is paid: no candidate can be proven better than what serves."""
    serving = status.serving
    if serving is None or spec.gate.serving == "Shown" or spec.control or status.candidate is not None:
        return None
    if serving.obstacle is not None:
        why = _WHY[serving.obstacle]
    elif serving.validation is not None and serving.validation.smallest_gain is None:
        why = f"it was trained on groups of {serving.validation.left_out} validation items, and {_left(serving)}"
    else:
        return None
    words = f"no candidate can be proven better than what serves, {_named(serving)}: {why}; {_WAYS}"
    return State("blocked", Reason.INCUMBENT_NOT_COMPARABLE, words)


def contaminated(spec: FlywheelRunSpec, status: FlywheelRunStatus) -> Finding | None:
    """Whether what serves was trained on so many of the held-out groups that the rest cannot show what is asked for.

    By the rule of Underpowered; the smallest gain at all where nothing is asked for. None while it is not measured.
    """
    serving = status.serving
    if serving is None or status.candidate is not None or serving.obstacle not in (None, "GroupsUnknown"):
        return None
    if serving.obstacle is not None:
        words = f"what serves, {_named(serving)}, counts as trained on all held-out groups: {_WHY[serving.obstacle]}"
        return Finding(True, Reason.GROUPS_UNKNOWN, words)
    pools = {"validation": serving.validation, "test": serving.test}
    measured = {pool: left for pool, left in pools.items() if left is not None}
    if not measured:
        return None
    words = "; ".join(_pool(pool, left) for pool, left in measured.items())
    words = f"of groups that what serves, {_named(serving)}, was trained on: {words}"
    if any(left.left_out and _too_few(left, pool, spec, status) for pool, left in measured.items()):
        return Finding(True, Reason.TOO_FEW_ITEMS, f"{words}; take fresh held-out items, or {_WAYS}")
    return Finding(False, Reason.ENOUGH_ITEMS, words)


def _too_few(left: LeftItems, pool: str, spec: FlywheelRunSpec, status: FlywheelRunStatus) -> bool:
    if left.smallest_gain is None:
        return True
    asked = [gain for _, gain, pools in gains_asked(spec, status) if pool in pools]
    return any(Decimal(left.smallest_gain) > gain for gain in asked)


def _pool(pool: str, left: LeftItems) -> str:
    shown = "no gain" if left.smallest_gain is None else f"a gain from {left.smallest_gain}"
    return f"{left.left_out} {pool} items, and the other {left.items} show {shown}"


def _left(serving: ServingIncumbent) -> str:
    left = serving.validation
    return f"the other {left.items if left is not None else 0} cannot show any gain"


def _named(serving: ServingIncumbent) -> str:
    return f"{serving.digest[:19]} of iteration {serving.iteration} of FlywheelRun {serving.run}"
