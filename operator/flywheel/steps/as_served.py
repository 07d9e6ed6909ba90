"""Quality as served: the validation pool through one pod, against the answers that were measured (SCIENCE 7)."""

from __future__ import annotations

from flywheel.api.item import Answer, Probe
from flywheel.api.result import Difference
from flywheel.serving.asking import Asker
from flywheel.statistics.measurement import CANDIDATE, difference
from flywheel.steps.material import read_lines, read_pool
from flywheel.workspace.program import Attempt, BadInputError, log

LEVEL = 0.95
_TELL_EVERY = 50


def as_served(attempt: Attempt, pod: Asker, model: str) -> Difference:
    """Balanced accuracy as served minus as measured, paired. Raises ServingError, BadInputError."""
    measured = read_lines(attempt, "measured", f"answers/{CANDIDATE}.jsonl", Answer)
    questions = {item.id: item.input for item in read_pool(attempt, "validation")}
    if missing := [answer.id for answer in measured if answer.id not in questions]:
        raise BadInputError(f"{len(missing)} of the measured items are not in the validation pool: validate again")
    served: list[Answer] = []
    for answer in measured:
        if len(served) % _TELL_EVERY == 0:
            log.info("progress verify asked=%d of=%d", len(served), len(measured))
        # A question that is too long was not answered then, and would be refused now.
        said = None
        if answer.state != "overLong":
            said = pod.ask(model, Probe(id=answer.id, input=questions[answer.id], candidate="")).label
        served.append(Answer(id=answer.id, truth=answer.truth, label=said))
    attempt.workspace.write_jsonl(attempt.path("as-served.jsonl"), [answer.to_json_object() for answer in served])
    return difference(served, measured, "as served", level=LEVEL, seed=attempt.request.seed)
