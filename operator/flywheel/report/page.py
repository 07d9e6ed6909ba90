"""The page: its sections, and what is missing of each, as HTML. All data is escaped by the templates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import jinja2

from flywheel.report import (
    arms,
    cost,
    growth,
    labels,
    outcome,
    progress,
    provenance,
    rollouts,
    samples,
    teaching,
    timeline,
    training,
)
from flywheel.report.blocks import Block, Maker
from flywheel.report.run import MissingError, Run

SECTIONS: tuple[tuple[str, tuple[Maker, ...]], ...] = (
    ("Outcome", (outcome.outcome, outcome.identity)),
    ("Progress", (progress.accuracy_chart, progress.proficiency_chart, progress.iterations)),
    (
        "Proof on held-out data",
        (arms.test_arms_chart, arms.test_arms, arms.differences_chart, arms.differences, arms.floors),
    ),
    ("Other ways of answering", (arms.untrained_arms, arms.controls, arms.preferences)),
    ("Label by label", (labels.base_confusion, labels.best_confusion, labels.recall_chart, labels.recall)),
    ("Data", (growth.pools, growth.balance_chart, growth.balance, growth.growth)),
    ("Training", (training.loss_chart, training.training)),
    ("Teacher", (teaching.error_chart, teaching.error, teaching.gap, teaching.replies, teaching.firewall)),
    ("Cost", (cost.spent, cost.tokens_chart, cost.charges)),
    ("Timeline", (timeline.timeline_chart, timeline.timeline)),
    ("Sample questions", (samples.samples,)),
    ("Rollout", (rollouts.rollouts, rollouts.deployment_conditions, rollouts.pods, rollouts.adapters)),
    ("What the operator says", (outcome.conditions,)),
    (
        "Provenance",
        (
            provenance.sources,
            provenance.student,
            provenance.contract,
            provenance.teacher,
            provenance.settings,
            provenance.attempts,
        ),
    ),
)


@dataclass(frozen=True)
class Section:
    """What of a section is there, and what is not."""

    title: str
    blocks: Sequence[Block]
    missing: Sequence[str]

    @property
    def anchor(self) -> str:
        """Where links within the page lead."""
        return self.title.lower().replace(" ", "-")


def sections(run: Run) -> list[Section]:
    """All sections; what cannot be shown is said once in its section."""
    found: list[Section] = []
    for title, makers in SECTIONS:
        blocks: list[Block] = []
        missing: list[str] = []
        for maker in makers:
            try:
                blocks.append(maker(run))
            except MissingError as error:
                missing.append(str(error))
        found.append(Section(title, blocks, list(dict.fromkeys(missing))))
    return found


def page(run: Run) -> bytes:
    """The whole page; the same bytes for the same run."""
    return render(run.name, sections(run), control=run.control, rehearsal=_rehearsal(run))


def render(name: str, found: Sequence[Section], *, control: bool, rehearsal: bool) -> bytes:
    """Sections as HTML. What UTF-8 cannot hold, such as half a surrogate pair, becomes a question mark."""
    html = _template().render(name=name, sections=found, control=control, rehearsal=rehearsal)
    return html.encode(errors="replace")


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("flywheel.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2")


def _rehearsal(run: Run) -> bool:
    """Whether the teacher was the stand-in of examples/: its model is called so."""
    for entry in run.attempts:
        asked = run.request(entry).parameters
        if (teacher := getattr(asked, "teacher", None)) is not None and teacher.model == "rehearsal":
            return True
    return False
