"""The judge of texts: when it is asked, what it may spend, and what its verdicts decide (SCIENCE 5).

It is asked on the test pool only, once the labels have passed there: nothing is paid for an adapter that is not
promoted anyway, and no selection is made by it.
"""

from __future__ import annotations

from decimal import ROUND_UP, Decimal

from flywheel.api.conditions import Reason
from flywheel.api.evaluation import AskedModel, Evaluation
from flywheel.api.flywheelrun import FlywheelRunSpec
from flywheel.api.flywheelrun_status import FlywheelRunStatus, Iteration
from flywheel.api.gate import Gate
from flywheel.api.judge_status import AgreementReport, EndpointUsage, JudgeReport, PreferenceReport
from flywheel.api.model import decimal_text
from flywheel.api.money import Allowance, Prices
from flywheel.api.result import Agreement, JudgeFigures, Preference, Usage
from flywheel.loop.gate import passes
from flywheel.loop.observed import RunObserved
from flywheel.loop.preference_leakage import risk_blocks
from flywheel.loop.state import State
from flywheel.statistics.measurement import INCUMBENT

JUDGE, BASE = "judge", "base"
_CENT_OF_CENTS, _MOST_SHOWN, _MOST_COUNTED = Decimal("0.0001"), Decimal("999999999"), 10**15


def nothing_to_judge(observed: RunObserved) -> State | None:
    """Said before anything is spent: a judge, and a Curriculum whose answers hold no text."""
    curriculum, status = observed.curriculum, observed.run.status
    if observed.run.spec.evaluation is None or curriculum is None or status.baseline_step is not None:
        return None
    if curriculum.spec.task.text is not None:
        return None
    words = (
        f"spec.evaluation names a judge, and the answers of Curriculum {curriculum.metadata.name} hold no text: set"
        " task.scoring: Judge and task.text there, or leave evaluation out"
    )
    return State("blocked", Reason.NOTHING_TO_JUDGE, words)


def wants_judge(spec: FlywheelRunSpec, status: FlywheelRunStatus, current: Iteration) -> bool:
    """Whether this iteration's labels passed on the test pool, and a judge has the last word."""
    if spec.evaluation is None or not current.tested or status.test is None:
        return False
    return status.test.iteration == current.number and passes(spec.gate, status, status.test)


def endpoints(evaluation: Evaluation | None) -> list[tuple[str, str, AskedModel]]:
    """Name in the figures, prefix of its variables in the pod, and what it is: the judge first."""
    if evaluation is None:
        return []
    compared = [(entry.name, f"COMPARED_{place}", entry) for place, entry in enumerate(evaluation.compare)]
    return [(JUDGE, "JUDGE", evaluation.judge), *compared]


def endpoint_left(name: str, model: AskedModel, status: FlywheelRunStatus) -> Allowance | None:
    """What an endpoint's own budget leaves; None where it has none. Never negative."""
    budget, used = model.budget, _used(name, status)
    if budget is None:
        return None
    return Allowance(
        tokens=None if budget.tokens is None else max(0, budget.tokens - used.input_tokens - used.output_tokens),
        cost=None if budget.cost is None else max(Decimal(0), budget.cost - _cost(model.prices, used)),
        prices=model.prices,
    )


def judge_charged(status: FlywheelRunStatus, spec: FlywheelRunSpec, usage: dict[str, Usage]) -> FlywheelRunStatus:
    """The status with what judge and compared models were paid, by endpoint."""
    if spec.evaluation is None:
        return status
    report = status.judge or JudgeReport()
    entries = [
        _sum(_used(name, status), usage.get(name, Usage()), model.prices)
        for name, _, model in endpoints(spec.evaluation)
    ]
    known = {entry.name for entry in entries}
    entries += [entry for entry in report.usage if entry.name not in known]
    return status.model_copy(update={"judge": report.model_copy(update={"usage": entries[:8]})})


def judge_told(status: FlywheelRunStatus, figures: JudgeFigures) -> FlywheelRunStatus:
    """The status with what the judge said, and what is known of the judge."""
    report = status.judge or JudgeReport()
    update: dict[str, object] = {"served_model": report.served_model or figures.served_model}
    if figures.first_place is not None:
        update["first_place"] = decimal_text(figures.first_place)
    if figures.agreement is not None:
        update["agreement"] = _agreement(figures.agreement)
    test = status.test
    if test is not None:
        reports = [_preference(versus, entry) for versus, entry in figures.preferences.items()]
        test = test.model_copy(update={"preferences": reports})
    return status.model_copy(update={"judge": report.model_copy(update=update), "test": test})


def objection(spec: FlywheelRunSpec, reports: list[PreferenceReport]) -> str | None:
    """Why the texts hold the candidate back, in words; None where they do not."""
    gate = spec.gate.preference
    if gate is None:
        return None
    if risk_blocks(spec):
        return "the judge is of the teacher's family, and gate.preference.leakageRisk blocks that"
    return _not_preferred(spec.gate, reports)


def _not_preferred(gate: Gate, reports: list[PreferenceReport]) -> str | None:
    margin = gate.preference.margin if gate.preference is not None else Decimal(0)
    by_arm = {report.versus: report for report in reports}
    base, incumbent = by_arm.get(BASE), by_arm.get(INCUMBENT)
    if base is None or Decimal(base.low) <= margin:
        said = "was not asked" if base is None else f"{base.difference} ({base.low} to {base.high})"
        return f"its texts are not proven preferred over the bare student's by {margin}: {said}"
    if incumbent is not None and Decimal(incumbent.high) < 0:
        return f"its texts are proven worse than those in service: {incumbent.difference} (at most {incumbent.high})"
    return None


def _preference(versus: str, entry: Preference) -> PreferenceReport:
    rates = {name: getattr(entry, name) for name in ("rate", "rate_low", "rate_high")}
    return PreferenceReport(
        versus=versus,
        items=entry.items,
        wins=entry.wins,
        losses=entry.losses,
        flips=entry.flips,
        unjudged=entry.unjudged,
        difference=decimal_text(entry.difference),
        low=decimal_text(entry.low),
        high=decimal_text(entry.high),
        **{name: None if value is None else decimal_text(value) for name, value in rates.items()},
    )


def _agreement(entry: Agreement) -> AgreementReport:
    kappas = {name: getattr(entry, name) for name in ("kappa", "kappa_low", "kappa_high")}
    return AgreementReport(
        items=entry.items,
        share=decimal_text(entry.share),
        low=decimal_text(entry.low),
        high=decimal_text(entry.high),
        **{name: None if value is None else decimal_text(value) for name, value in kappas.items()},
    )


def _used(name: str, status: FlywheelRunStatus) -> EndpointUsage:
    known = status.judge.usage if status.judge is not None else []
    return next((entry for entry in known if entry.name == name), EndpointUsage(name=name))


def _sum(before: EndpointUsage, step: Usage, prices: Prices | None) -> EndpointUsage:
    fields = ("calls", "input_tokens", "output_tokens", "cached_tokens", "lost_in_flight", "unaffordable")
    counts = {name: min(getattr(before, name) + getattr(step, name), _MOST_COUNTED) for name in fields}
    total = EndpointUsage(name=before.name, **counts)
    if prices is None:
        return total
    cost = min(_cost(prices, total), _MOST_SHOWN).quantize(_CENT_OF_CENTS, ROUND_UP)
    return total.model_copy(update={"cost": str(cost)})


def _cost(prices: Prices | None, used: EndpointUsage) -> Decimal:
    if prices is None:
        return Decimal(0)
    return prices.cost(used.input_tokens, used.output_tokens, used.cached_tokens)
