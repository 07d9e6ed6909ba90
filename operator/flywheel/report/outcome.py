"""What came of the run: how it ended, what was proven, and what the operator says of it."""

from __future__ import annotations

from flywheel.api.conditions import READY
from flywheel.api.flywheelrun import FlywheelRun
from flywheel.api.flywheelrun_status import FlywheelRunStatus, TestReport
from flywheel.loop.gate import best_untrained, proven_better
from flywheel.report.blocks import Cell, Facts, Table, mono, text
from flywheel.report.run import MissingError, Run

BAG_OF_WORDS = "bagOfWords"


def outcome(run: Run) -> Facts:
    """The end, the best adapter and the gate's verdict, in sentences."""
    status = run.status
    ready = next((entry for entry in status.conditions if entry.type == READY), None)
    if ready is None:
        raise MissingError("the FlywheelRun has no condition Ready: the operator has not looked at it")
    entries: list[tuple[str, Cell]] = [("State", text(f"{ready.reason}: {ready.message}"))]
    entries.append(("Untrained", text(_untrained(status))))
    entries.append(("Best on validation", text(_best(status))))
    entries.append(("Proof on the test pool", text(_proof(run.resource, status))))
    entries.append(("Without a language model", text(_word_counts(status))))
    entries.append(("Offered for serving", text(_candidate(run.resource, status))))
    return Facts("In short", entries)


def _untrained(status: FlywheelRunStatus) -> str:
    arm = best_untrained(status.baseline)
    if arm is None:
        return "not measured yet"
    return f"best way of asking the bare student: {arm.name}, {arm.accuracy} ({arm.low} to {arm.high}) on validation"


def _best(status: FlywheelRunStatus) -> str:
    best = status.best
    if best is None:
        return "no adapter yet"
    chosen = "chosen as the highest of several, so on these items it looks better than it is"
    return f"iteration {best.iteration}, {best.accuracy}; {chosen}"


def _proof(run: FlywheelRun | None, status: FlywheelRunStatus) -> str:
    test = status.test
    if test is None:
        why = "this run is a control" if run is not None and run.spec.control else "no adapter was proven better before"
        return f"the test pool was not opened: {why}"
    untrained = best_untrained(test.arms)
    words = f"iteration {test.iteration}: {test.accuracy} ({test.low} to {test.high}) on {test.items} items"
    return f"{words}; {_gain(test, untrained.name)}" if untrained is not None else words


def _gain(test: TestReport, versus: str) -> str:
    gain = next((entry for entry in test.gains if entry.versus == versus), None)
    if gain is None:
        return f"not compared with {versus}"
    return f"{gain.difference} ({gain.low} to {gain.high}) above {versus}, the best untrained arm there"


def _word_counts(status: FlywheelRunStatus) -> str:
    """Whether a far cheaper thing would have done: it decides nothing, so nobody else says it here."""
    test = status.test
    arm = next((entry for entry in test.arms if entry.name == BAG_OF_WORDS), None) if test is not None else None
    if test is None or arm is None:
        return "not compared on the test pool"
    proven = "is proven better" if proven_better(test.gains, arm.name) else "is NOT proven better"
    return f"a regression on word counts has {arm.accuracy} ({arm.low} to {arm.high}) there: the adapter {proven}"


def _candidate(run: FlywheelRun | None, status: FlywheelRunStatus) -> str:
    candidate, test = status.candidate, status.test
    last = "" if test is None or test.passed else f"; that of iteration {test.iteration} did not pass the gate"
    if candidate is None:
        return f"none{last}"
    to = run.spec.deployment_ref.name if run is not None and run.spec.deployment_ref is not None else None
    where = f"AdapterDeployment {to}" if to is not None else "no AdapterDeployment is named"
    return f"the adapter of iteration {candidate.iteration}, which passed the gate ({where}){last}"


def conditions(run: Run) -> Table:
    """All that the operator says, with its advice."""
    rows = [
        [text(entry.type), text(entry.status), text(entry.reason), text(entry.message)]
        for entry in run.status.conditions
    ]
    return Table("Conditions of the FlywheelRun", ("Condition", "Status", "Reason", "Message"), rows)


def identity(run: Run) -> Facts:
    """Which run this is."""
    resource = run.resource
    entries = [
        ("Run", mono(run.name)),
        ("Folder in the workspace", mono(run.home)),
        ("Control", text("yes: trained on seed items instead of the teacher's examples" if run.control else "no")),
    ]
    if resource is not None:
        status = resource.status
        times = f"{_moment(status.started_at)} to {_moment(status.ended_at)}"
        entries.append(("From, to", text(times)))
    return Facts("Which run this is", entries)


def _moment(value: object) -> str:
    return "?" if value is None else f"{value:%Y-%m-%d %H:%M:%S %Z}"
