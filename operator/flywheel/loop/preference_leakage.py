"""PreferenceLeakageRisk: a judge of the teacher's family prefers what its own kind has taught (SCIENCE 5).

Families are told by names: two models share one where their names share a word that says no size, date or purpose. An
alias hides it, and then nobody is warned.
"""

from __future__ import annotations

import re

from flywheel.api.conditions import Reason
from flywheel.api.flywheelrun import FlywheelRunSpec
from flywheel.loop.finding import Finding

# Words that names of models of many families have.
_COMMON = frozenset(
    re.findall(
        "[a-z]+",
        """awq base beta chat code coder dev distill dpo experimental fast flash gguf gptq instruct judge large latest
        lite long max medium mini moe nano omni plus preview pro reasoning sft small teacher thinking tiny turbo ultra
        vision""",
    )
)


def preference_leakage(spec: FlywheelRunSpec) -> Finding | None:
    """Whether judge and teacher are of one family; None without a judge."""
    if spec.evaluation is None:
        return None
    judge, teacher = spec.evaluation.judge.model, spec.teacher.model
    shared = sorted(_family(judge) & _family(teacher))
    if not shared:
        return Finding(False, Reason.JUDGE_OF_OTHER_FAMILY, f"judge {judge} and teacher {teacher} share no family name")
    words = (
        f"judge {judge} and teacher {teacher} are both {' '.join(shared)}: it may prefer what its own kind has taught"
    )
    if spec.gate.preference is None:
        return Finding(True, Reason.JUDGE_OF_TEACHERS_FAMILY, f"{words}; no promotion rests on it")
    if spec.gate.preference.leakage_risk == "Waived":
        return Finding(True, Reason.JUDGE_OF_TEACHERS_FAMILY, f"{words}; waived by gate.preference.leakageRisk")
    advice = "nothing is promoted; judge by another family, or set gate.preference.leakageRisk: Waived"
    return Finding(True, Reason.JUDGE_OF_TEACHERS_FAMILY, f"{words}; {advice}")


def risk_blocks(spec: FlywheelRunSpec) -> bool:
    """Whether the risk is there, promotion rests on the judge, and nobody has waived it."""
    found, gate = preference_leakage(spec), spec.gate.preference
    return found is not None and found.holds is True and gate is not None and gate.leakage_risk == "Blocks"


def _family(model: str) -> frozenset[str]:
    words = re.findall(r"[a-z]{3,}", model.lower().rsplit("/", 1)[-1])
    return frozenset(words) - _COMMON or frozenset({model.lower()})
