"""What a run's status says of the leakage firewall: counts in `leakage`, and the condition LeakageChecked."""

from __future__ import annotations

from collections import Counter

from flywheel.api.conditions import Reason
from flywheel.api.flywheelrun_status import FlywheelRunStatus, LeakageReport, Quarantined, Redacted
from flywheel.api.result import EvaluateFigures, ExamFigures
from flywheel.loop.finding import Finding


def counted(status: FlywheelRunStatus, figures: ExamFigures | EvaluateFigures) -> FlywheelRunStatus:
    """The status with what one more step compared, left out, and redacted in its prompts."""
    before = status.leakage or LeakageReport()
    leaks = Counter({entry.reason: entry.items for entry in before.quarantined}) + Counter(figures.quarantined)
    report = LeakageReport(
        checked=before.checked + figures.checked,
        quarantined=[Quarantined(reason=reason, items=items) for reason, items in sorted(leaks.items())][:8],
    )
    kinds = Counter({entry.kind: entry.replaced for entry in status.redacted}) + Counter(figures.redacted)
    redacted = [Redacted(kind=kind, replaced=replaced) for kind, replaced in sorted(kinds.items())][:8]
    return status.model_copy(update={"leakage": report, "redacted": redacted})


def leakage_checked(status: FlywheelRunStatus) -> Finding | None:
    """What the firewall found, once something was compared."""
    report = status.leakage
    if report is None or not report.checked:
        return None
    words = f"{report.checked} items of the teacher were compared with all held-out items: "
    counts = ", ".join(f"{entry.reason} {entry.items}" for entry in report.quarantined)
    if counts:
        words += f"{counts} left out, see quarantine.jsonl of exam and evaluate"
        return Finding(True, Reason.LEAKS_QUARANTINED, words)
    return Finding(True, Reason.NO_LEAK, f"{words}none was one of them")
