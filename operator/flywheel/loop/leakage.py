"""What a run's status says of the leakage firewall: counts in `leakage`, and the condition LeakageChecked."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from flywheel.api.conditions import LEAKAGE_CHECKED, Reason
from flywheel.api.flywheelrun_status import FlywheelRunStatus, LeakageReport, Quarantined, Redacted
from flywheel.api.result import EvaluateFigures, ExamFigures
from flywheel.loop.state import condition


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


def with_leakage_checked(status: FlywheelRunStatus, generation: int, now: datetime) -> FlywheelRunStatus:
    """The status with LeakageChecked, once something was compared."""
    report = status.leakage
    if report is None or not report.checked:
        return status
    counts = ", ".join(f"{entry.reason} {entry.items}" for entry in report.quarantined)
    reason = Reason.LEAKS_QUARANTINED if counts else Reason.NO_LEAK
    words = f"{report.checked} items of the teacher were compared with all held-out items: "
    words += f"{counts} left out, see quarantine.jsonl of exam and evaluate" if counts else "none was one of them"
    before = next((entry for entry in status.conditions if entry.type == LEAKAGE_CHECKED), None)
    fresh = condition(before, LEAKAGE_CHECKED, "True", reason, words, generation, now)
    kept = [entry for entry in status.conditions if entry.type != LEAKAGE_CHECKED]
    return status.model_copy(update={"conditions": [*kept, fresh]})
