"""The step judge: which texts are better, the candidate's or another arm's, in the eyes of a judge (SCIENCE 5).

The items are held out: the judge and the models compared with see them, and no step that teaches sees what is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from flywheel.api.conditions import Reason
from flywheel.api.item import Anchor, Answer, Item
from flywheel.api.request import ComparedModel, JudgeParameters
from flywheel.api.result import Agreement, JudgeFigures, Preference, Spent, StepResult, Usage
from flywheel.api.task import Task
from flywheel.data.growth import drawn
from flywheel.data.redaction import Redactor
from flywheel.data.texts import judged_text
from flywheel.statistics.agreement import agreement
from flywheel.statistics.length_control import length_controlled_rate
from flywheel.statistics.measurement import CANDIDATE, INCUMBENT
from flywheel.statistics.preference import Judged, Outcome, first_place_share, preference
from flywheel.steps.material import read_lines, read_pool, read_task, redactor_for, task_variables
from flywheel.steps.parameters import parameters_of
from flywheel.teacher.asking import Question
from flywheel.teacher.endpoints import endpoint_for, spoken_of
from flywheel.teacher.judging import Judge, Pair
from flywheel.teacher.prompts import load_prompt
from flywheel.teacher.replies import read_object, without_reasoning
from flywheel.workspace.digest import digest_json
from flywheel.workspace.program import Attempt, BadInputError, TryLaterError, log, run

FEWEST_ANCHORS = 50
LEVEL = 0.95  # of the agreement with people
_PEOPLE: dict[str, Outcome] = {"first": 1, "second": -1, "tie": 0}
Texts = Mapping[str, str]


def judge(attempt: Attempt) -> StepResult:
    """judgements.jsonl, anchors.jsonl and replies.json, and the preference over each arm."""
    parameters, task = parameters_of(attempt, JudgeParameters), read_task(attempt)
    if task.text is None:
        raise BadInputError("the Curriculum's task has no text to judge: set task.scoring and task.text")
    items = _drawn(attempt, parameters)
    anchors = _anchors(attempt, parameters)
    candidate = _recorded(attempt, task, items, "tested", CANDIDATE)
    others = {entry.name: _recorded(attempt, task, items, entry.input, entry.arm) for entry in parameters.versus}
    redactor = redactor_for(task, parameters.redaction)
    usage: dict[str, Usage] = {}
    replies: dict[str, dict[str, int]] = {}
    for place, model in enumerate(parameters.models):
        with spoken_of(f"model {model.name}", f"spec.evaluation.compare[{place}]"):
            others[model.name], usage[model.name] = _answered(attempt, task, items, redactor, place, model, replies)

    with spoken_of("judge", "spec.evaluation.judge"):
        endpoint = endpoint_for(attempt, parameters.judge, redactor, "JUDGE")
        attempt.usage = lambda: endpoint.usage
        asked = Judge(endpoint, task)
        agreed = _agreement(attempt, asked, anchors)
        everything: list[Judged] = []
        preferences: dict[str, Preference] = {}
        lines: list[dict[str, Any]] = []
        for name, texts in others.items():
            pairs = [
                Pair(item.id, item.input, item.output, candidate[item.id], texts[item.id])
                for item in items
                if item.id in texts
            ]
            found = _within_budget(pairs, asked.judge(pairs, _progress(name, _calls(pairs))))
            preferences[name] = _preference(found, float(parameters.level), attempt.request.seed)
            everything += [judged for pair, judged in found if pair.settled is None]
            lines += [_line(name, pair, judged) for pair, judged in found]
    usage["judge"], replies["judge"] = endpoint.usage, dict(asked.replies)
    attempt.workspace.write_jsonl(attempt.path("judgements.jsonl"), lines)
    attempt.workspace.write_json(attempt.path("replies.json"), replies)
    return attempt.seal(
        JudgeFigures(
            preferences=preferences,
            first_place=first_place_share(everything),
            agreement=agreed,
            usage={name: Spent.model_validate(spent.model_dump()) for name, spent in usage.items()},
            served_model=endpoint.served_model,
        )
    )


def _drawn(attempt: Attempt, parameters: JudgeParameters) -> list[Item]:
    """The same items for every candidate of a seed; so many of them as are wanted."""
    items = sorted(read_pool(attempt, "test"), key=lambda item: drawn(attempt.request.seed, "judged", item.id))
    return items[: parameters.items]


def _recorded(attempt: Attempt, task: Task, items: Sequence[Item], name: str, arm: str) -> Texts:
    said = {answer.id: answer.text for answer in read_lines(attempt, name, f"answers/{arm}.jsonl", Answer)}
    missing = next((item.id for item in items if item.id not in said), None)
    if missing is not None and arm != INCUMBENT:  # which is not asked about groups that it was trained on
        raise BadInputError(f"arm {arm} of input {name} has no answer to item {missing}: test on the same revision")
    return {item.id: judged_text(said[item.id], task) for item in items if item.id in said}


def _answered(
    attempt: Attempt,
    task: Task,
    items: Sequence[Item],
    redactor: Redactor,
    place: int,
    model: ComparedModel,
    replies: dict[str, dict[str, int]],
) -> tuple[Texts, Usage]:
    """What a compared model answers; items that its budget does not cover are left out."""
    assert task.text is not None  # noqa: S101 - judge() has looked
    endpoint, prompt = endpoint_for(attempt, model.endpoint, redactor, f"COMPARED_{place}"), load_prompt("answer")
    fixed = {**task_variables(task), "text_path": task.text.path}
    questions = [Question(prompt, {**fixed, "question": item.input}, slot=item.id) for item in items]
    texts: dict[str, str] = {}
    counts: dict[str, int] = {}
    for item, reply in zip(items, endpoint.ask(questions, _progress(model.name, len(items))), strict=True):
        if reply is None:
            continue
        read = read_object(reply, (task.text.path,))
        counts[read.rung] = counts.get(read.rung, 0) + 1
        said = str(read.items[0][task.text.path]) if read.items else without_reasoning(reply.text)
        texts[item.id] = "" if read.rung in ("refused", "filtered") else said.strip()
    replies[model.name] = counts
    return texts, endpoint.usage


def _within_budget(pairs: Sequence[Pair], judged: Sequence[Judged | None]) -> list[tuple[Pair, Judged]]:
    """The pairs before the first that the budget did not cover: settled ones after it would not be a fair draw."""
    found: list[tuple[Pair, Judged]] = []
    for pair, verdicts in zip(pairs, judged, strict=True):
        if verdicts is None:
            log.warning("the judge's budget covers %d of %d pairs", len(found), len(pairs))
            break
        found.append((pair, verdicts))
    return found


def _preference(found: Sequence[tuple[Pair, Judged]], level: float, seed: int) -> Preference:
    if not found:
        return Preference(items=0, wins=0, losses=0, flips=0, unjudged=0, difference=0, low=-1, high=1)
    judged = [verdicts for _, verdicts in found]
    result = preference(judged, level=level, seed=seed)
    longer_by = [len(pair.candidate) - len(pair.other) for pair, _ in found]
    rate = length_controlled_rate([verdicts.outcome for verdicts in judged], longer_by, level=level)
    return Preference(
        items=len(judged),
        wins=result.wins,
        losses=result.losses,
        flips=result.flips,
        unjudged=result.unjudged,
        difference=result.difference.difference,
        low=result.difference.low,
        high=result.difference.high,
        **({} if rate is None else {"rate": rate.value, "rate_low": rate.low, "rate_high": rate.high}),
    )


def _anchors(attempt: Attempt, parameters: JudgeParameters) -> list[Anchor]:
    """The pairs that people have judged. Raises TryLaterError: the file can be mended, and nothing was paid yet."""
    path = parameters.anchors
    if path is None:
        return []
    field = "spec.evaluation.judge.anchors"
    if not attempt.workspace.local(path).is_file():
        raise TryLaterError(f"{field}: there is no file {path} on the workspace: put it there", Reason.JUDGE_ANCHORS)
    try:
        found = [Anchor.model_validate(line) for line in attempt.workspace.read_jsonl(path)]
    except ValueError as error:
        faults = f"{error.error_count()} faults" if isinstance(error, ValidationError) else "a line is no JSON"
        words = f"{field}: a line of {path} is no judged pair ({faults}): input, first, second and preferred"
        raise TryLaterError(words, Reason.JUDGE_ANCHORS) from error
    if len(found) < FEWEST_ANCHORS:
        words = f"{field}: {path} has {len(found)} judged pairs, fewer than {FEWEST_ANCHORS} tell nothing: add some"
        raise TryLaterError(words, Reason.JUDGE_ANCHORS)
    return found


def _agreement(attempt: Attempt, asked: Judge, anchors: Sequence[Anchor]) -> Agreement | None:
    """How far the judge agrees with people; a pair it did not judge is a tie, as elsewhere."""
    pairs = [
        Pair(digest_json([anchor.input, anchor.first, anchor.second]), anchor.input, anchor.reference, *texts)
        for anchor in anchors
        for texts in [(anchor.first, anchor.second)]
    ]
    found = _within_budget(pairs, asked.judge(pairs, _progress("anchors", _calls(pairs))))
    attempt.workspace.write_jsonl(
        attempt.path("anchors.jsonl"),
        [
            _line("people", pair, judged) | {"people": anchor.preferred}
            for anchor, (pair, judged) in zip(anchors, found, strict=False)
        ],
    )
    if len(found) < FEWEST_ANCHORS:
        return None
    people = [_PEOPLE[anchor.preferred] for anchor in anchors[: len(found)]]
    result = agreement([judged.outcome for _, judged in found], people, level=LEVEL)
    share, kappa = result.share, result.kappa
    return Agreement(
        items=len(found),
        share=share.value,
        low=share.low,
        high=share.high,
        **({} if kappa is None else {"kappa": kappa.value, "kappa_low": kappa.low, "kappa_high": kappa.high}),
    )


def _line(versus: str, pair: Pair, judged: Judged) -> dict[str, Any]:
    return {
        "id": pair.id,
        "versus": versus,
        "forward": judged.forward,
        "backward": judged.backward,
        "outcome": judged.outcome,
        "asked": pair.settled is None,
        "candidateLength": len(pair.candidate),
        "otherLength": len(pair.other),
    }


def _calls(pairs: Sequence[Pair]) -> int:
    return 2 * sum(pair.settled is None for pair in pairs)


def _progress(name: str, calls: int) -> Callable[[int], None]:
    def progress(done: int) -> None:
        log.info("progress judge %s %d/%d calls", name, done, calls)

    return progress


if __name__ == "__main__":
    run(judge)
