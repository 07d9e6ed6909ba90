"""decide_curriculum: one prepare Job per generation, whatever happens to it; the world is a list of Jobs."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from resources import LABELS, NAMESPACE, NOW, curriculum, digest, metadata
from simulation import Script

from flywheel.api.curriculum import CurriculumStatus
from flywheel.api.request import PrepareParameters
from flywheel.api.result import ExamFigures, PrepareFigures, StepError, StepResult
from flywheel.loop.curriculum import LOOK_AGAIN_SECONDS, CurriculumPlan, decide_curriculum
from flywheel.loop.observed import CurriculumObserved, JobView, PodView
from flywheel.loop.plan import StepJob

POOLS = ("exam", "curriculum", "validation", "test", "probe")
FIGURES = PrepareFigures(
    revision="abc123",
    items=dict.fromkeys(POOLS, 40),
    labels={pool: [10, 10, 10, 10] for pool in POOLS},
    rejected={"SchemaMismatch": 3, "Duplicate": 2},
)


class Data:
    """A Curriculum and its Jobs."""

    def __init__(self) -> None:
        self.generation, self.now = 1, NOW
        self.status: dict[str, Any] = {}
        self.jobs: dict[str, JobView] = {}
        self.created: list[StepJob] = []
        self.events = 0
        self.writes = 0

    def observe(self) -> CurriculumObserved:
        found = curriculum(status=self.status, generation=self.generation)
        return CurriculumObserved(found, "Question: {{ question }}", tuple(self.jobs.values()))

    def look(self, crash: bool = False) -> CurriculumPlan:
        observed = self.observe()
        plan = decide_curriculum(observed, self.now)
        assert plan == decide_curriculum(observed, self.now)
        if plan.create:
            assert not any(job.active for job in self.jobs.values()), "two prepare Jobs at work"
        for name in plan.delete:
            assert self.jobs[name].iteration != self.generation, "its own Job is not deleted"
            self.jobs[name] = replace(self.jobs[name], deleting=True)
        for job in plan.create:
            assert job.name not in self.jobs
            self.created.append(job)
            self.jobs[job.name] = JobView(
                job.name, job.name, job.step, job.request.iteration, job.request.attempt, self.now, rereads=job.rereads
            )
        if not crash:
            self._write(plan)
        return plan

    def _write(self, plan: CurriculumPlan) -> None:
        value = plan.status.to_json_object()
        if value != self.status:
            self.writes += 1
            self.events += len(plan.events)
            self.status = value
            assert CurriculumStatus.model_validate(value).to_json_object() == value

    def end(self, name: str, code: int = 0, message: str | None = None, pod: bool = True) -> None:
        done = StepResult(manifest=digest("revision"), figures=FIGURES).to_message()
        text = message if message is not None else done if code == 0 else ""
        found = PodView("pod", "1", started=True, exit_code=code, message=text) if pod else None
        self.jobs[name] = replace(self.jobs[name], state="Failed" if code else "Succeeded", pod=found)

    def ready(self) -> tuple[str, str]:
        found = {entry["type"]: entry for entry in self.status["conditions"]}
        return found["Ready"]["status"], found["Ready"]["reason"]


def test_a_revision_is_prepared_once_a_generation() -> None:
    data = Data()
    plan = data.look()
    job = plan.create[0]
    assert job.request.output == f"curricula/{NAMESPACE}/severity-{metadata('severity')['uid'][:8]}"
    assert isinstance(job.request.parameters, PrepareParameters)
    assert job.request.parameters.template == "Question: {{ question }}"
    assert sum(job.request.parameters.ratios.values()) == 1
    data.end(job.name)
    plan = data.look()
    status = plan.status
    assert data.ready() == ("True", "Prepared")
    assert status.revision is not None
    assert (status.revision.path, status.revision.digest) == (f"{job.request.output}/abc123", digest("revision"))
    assert (status.items, status.prepared_generation, status.attempt) == (200, 1, None)
    assert [(entry.label, entry.items) for entry in status.pools[0].labels] == [(label, 10) for label in LABELS]
    assert {entry.reason: entry.lines for entry in status.rejected} == {"SchemaMismatch": 3, "Duplicate": 2}
    assert data.look().status == data.observe().curriculum.status and not data.look().create
    data.generation = 2
    assert [job.request.iteration for job in data.look().create] == [2]
    assert data.ready()[0] == "False"
    assert data.observe().curriculum.status.revision is not None, "runs that are pinned still read the old one"


def test_a_change_of_spec_stops_the_old_prepare_before_the_new_one_starts() -> None:
    data = Data()
    old = data.look().create[0].name
    data.generation = 2
    plan = data.look()
    assert plan.delete == (old,) and not plan.create
    assert not data.look().create and not data.look().delete, "it waits until the old Job is gone"
    del data.jobs[old]
    new = data.look().create[0]
    assert (new.request.iteration, new.request.attempt) == (2, 2)
    attempt = data.observe().curriculum.status.attempt
    assert attempt is not None and attempt.failures == 0


def test_a_write_that_was_lost_after_a_create_finds_its_own_job() -> None:
    data = Data()
    data.look(crash=True)
    plan = data.look()
    assert not plan.create and not plan.delete
    data.end(data.created[0].name)
    data.look()
    assert data.ready() == ("True", "Prepared") and len(data.created) == 1


def test_a_job_deleted_by_hand_is_made_again_as_a_reading_again() -> None:
    data = Data()
    data.look()
    data.jobs.clear()
    again = data.look().create[0]
    assert (again.request.attempt, again.rereads, again.request.step) == (2, 1, "prepare")
    data.end(again.name)
    data.look()
    assert data.ready() == ("True", "Prepared")


def test_a_result_that_is_never_readable_uses_the_attempts() -> None:
    data = Data()
    for _ in range(30):
        plan = data.look()
        for job in plan.create:
            data.end(job.name, message="{broken")
        data.now += timedelta(seconds=plan.requeue_after or 1)
        if data.status and data.ready()[1] == "AttemptsExhausted":
            break
    assert data.ready() == ("False", "AttemptsExhausted")
    assert len(data.created) <= 6


@pytest.mark.parametrize(("code", "reason"), [(64, "SourceRejected"), (1, "SourceRejected"), (137, "OutOfMemory")])
def test_a_stalled_curriculum_looks_again_by_itself_and_writes_nothing_meanwhile(code: int, reason: str) -> None:
    data = Data()
    message = StepResult(error=StepError(reason="SourceRejected", message="line 3 is broken")).to_message()
    for _ in range(40):
        plan = data.look()
        for job in plan.create:
            data.end(job.name, code, message)
        if data.ready()[1] == reason:
            break
        data.now += timedelta(seconds=plan.requeue_after or 1)
    assert data.ready() == ("False", reason)
    assert {entry["type"]: entry["status"] for entry in data.status["conditions"]} == {
        "Ready": "False",
        "Stalled": "True",
    }
    assert plan.requeue_after == LOOK_AGAIN_SECONDS
    before = (data.writes, data.events, data.now)
    for seconds in (1, 60, 200):
        data.now = before[2] + timedelta(seconds=seconds)
        assert not data.look().create
    assert (data.writes, data.events) == before[:2]
    data.now = before[2] + timedelta(seconds=LOOK_AGAIN_SECONDS)
    mended = data.look().create[0]
    data.end(mended.name)
    data.look()
    assert data.ready() == ("True", "Prepared")


def test_a_curriculum_being_deleted_is_left_alone() -> None:
    found = curriculum()
    gone = found.model_copy(update={"metadata": found.metadata.model_copy(update={"deletion_timestamp": NOW})})
    plan = decide_curriculum(CurriculumObserved(gone, ""), NOW)
    assert plan.status == gone.status and not plan.create


def test_a_result_of_another_step_is_no_result() -> None:
    data = Data()
    other = StepResult(manifest=digest("m"), figures=ExamFigures(questions=1)).to_message()
    for _ in range(30):
        plan = data.look()
        for job in plan.create:
            data.end(job.name, message=other)
        if data.ready()[1] == "AttemptsExhausted":
            break
        data.now += timedelta(seconds=plan.requeue_after or 1)
    assert data.ready() == ("False", "AttemptsExhausted")
    assert "jobs.steps[].image" in next(entry["message"] for entry in data.status["conditions"])


OUTCOMES = ("success", "fails", "bad input", "later", "unreadable", "no pod", "evicted")


@settings(max_examples=60)
@given(st.binary(max_size=120))
def test_whatever_happens_the_newest_generation_is_prepared(numbers: bytes) -> None:
    script, data = Script(numbers), Data()
    codes = {"success": 0, "fails": 1, "bad input": 64, "later": 75, "unreadable": 0, "no pod": 1, "evicted": 137}
    for _ in range(120):
        mishap = script.of(["nothing"] * 8 + ["edit", "delete", "expire"])
        if mishap == "edit":
            data.generation += 1
        elif mishap == "delete" and data.jobs:
            del data.jobs[script.of(list(data.jobs))]
        elif mishap == "expire":
            data.jobs = {name: job for name, job in data.jobs.items() if job.active}
        plan = data.look(crash=script.of([False] * 5 + [True]))
        for name, job in list(data.jobs.items()):
            if job.deleting:
                if script.of([True, False]):
                    del data.jobs[name]
            elif job.active:
                end = script.of([*["success"] * 4, *OUTCOMES, "still at work"])
                if end != "still at work":
                    message = "{broken" if end == "unreadable" else None
                    data.end(name, codes[end], message, pod=end != "no pod")
                    if end == "evicted":
                        pod = data.jobs[name].pod
                        data.jobs[name] = replace(data.jobs[name], pod=replace(pod, disrupted=True)) if pod else job
        data.now += timedelta(seconds=(plan.requeue_after or 20) + 0.001)
        if script.over and data.status.get("preparedGeneration") == data.generation and data.ready()[0] == "True":
            break
    assert data.ready() == ("True", "Prepared")
    assert data.status["preparedGeneration"] == data.generation == data.status["observedGeneration"]


@pytest.mark.parametrize(
    "conditions", [[], [{"type": "Ready", "status": "False"}], [{"type": "Stalled", "status": "True"}]]
)
def test_conditions_written_by_hand_are_written_anew(conditions: list[dict[str, Any]]) -> None:
    data = Data()
    data.look()
    data.end(data.created[0].name)
    data.look()
    truth = data.status["conditions"]
    said = {"reason": "Made", "message": "up", "lastTransitionTime": NOW.isoformat()}
    data.status = data.status | {"conditions": [said | entry for entry in conditions]}
    data.look()
    data.look()
    assert [entry | {"lastTransitionTime": None} for entry in data.status["conditions"]] == [
        entry | {"lastTransitionTime": None} for entry in truth
    ]
    assert len(data.created) == 1 and data.writes == 3


def test_labels_of_a_rule_that_are_held_out_are_said_as_long_as_it_is_so() -> None:
    data = Data()

    def prepared(held_out_by_rule: int) -> dict[str, str]:
        (job,) = data.look().create
        figures = FIGURES.model_copy(update={"held_out_by_rule": held_out_by_rule})
        data.end(job.name, message=StepResult(manifest=digest("revision"), figures=figures).to_message())
        data.look()
        return {entry["type"]: entry["message"] for entry in data.status["conditions"]}

    assert "7 items of validation and test" in prepared(7)["HeldOutNotHuman"]
    data.generation = 2
    assert "HeldOutNotHuman" not in prepared(0)
