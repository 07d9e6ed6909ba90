"""Turns in a run's life that the simulation meets by chance: pinning, suspending, stopping, editing, odd results."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from resources import curriculum, curriculum_spec, digest, ready, run_spec
from restricted import check_job
from simulation import Script, World

from flywheel.api.flywheelrun_status import AcceptedStep, FlywheelRunStatus, Iteration
from flywheel.api.request import (
    EvaluateParameters,
    ExamParameters,
    FetchParameters,
    MeasureParameters,
    ReportParameters,
    StepRequest,
    TrainParameters,
)
from flywheel.api.result import (
    AbsentFigures,
    Accuracy,
    ExamFigures,
    Figures,
    MeasureFigures,
    PrepareFigures,
    StepError,
    StepResult,
)
from flywheel.loop.accept import UnexpectedResultError, accept
from flywheel.loop.attempts import Accepted
from flywheel.loop.decide import decide_run, next_step
from flywheel.loop.inputs import accepted, build_request
from flywheel.loop.observed import PodView
from flywheel.loop.soundness import damage


def reason(world: World, kind: str = "Ready") -> str:
    return next(entry.reason for entry in world.read_status().conditions if entry.type == kind)


def until(world: World, step: str, iteration: int = 1) -> None:
    for _ in range(60):
        last = world.created[-1] if world.created else None
        if last is not None and (last.request.iteration, last.request.step) == (iteration, step):
            return
        for job in world.jobs.values():
            if job.view.state == "Pending":
                world.end(job, "success")
        world.reconcile()
    raise AssertionError(f"{step} of iteration {iteration} is never made")


def test_a_run_waits_for_its_curriculum_and_is_then_pinned_for_good() -> None:
    world = World(curriculum=None)
    world.reconcile()
    assert (reason(world), reason(world, "Stalled")) == ("CurriculumNotFound", "CurriculumNotFound")
    world.curriculum = curriculum()
    world.reconcile()
    assert reason(world, "Reconciling") == "WaitingForCurriculum"
    stalled = ready()
    stalled["conditions"][0] |= {"type": "Stalled", "reason": "BadInput"}
    world.curriculum = curriculum(status=stalled | {"preparedGeneration": 0})
    world.reconcile()
    assert reason(world, "Stalled") == "CurriculumNotReady"
    world.curriculum = curriculum(status=ready())
    world.reconcile()
    world.curriculum = curriculum(status=ready(2), generation=2)
    status = world.to_end()
    assert status.curriculum is not None and status.curriculum.name == "revision1"
    paths = {entry.path for job in world.created for entry in job.request.inputs if entry.name == "curriculum"}
    assert paths == {status.curriculum.path}
    assert status.workspace == world.curriculum.spec.workspace


def test_a_revision_that_is_of_an_older_spec_is_not_pinned() -> None:
    world = World(curriculum=curriculum(status=ready(1), generation=2))
    plan = world.reconcile()
    assert not plan.create and plan.status.curriculum is None


def test_suspending_deletes_the_job_and_resuming_makes_the_next() -> None:
    world = World()
    until(world, "train")
    world.edit(suspend=True)
    plan = world.reconcile()
    assert plan.delete == (world.created[-1].name,)
    states = ("Ready", "Reconciling", "Stalled", "Completed", "Failed")
    found = {entry.type: entry.status for entry in plan.status.conditions if entry.type in states}
    assert found == {"Ready": "False"}
    assert reason(world) == "Suspended"
    world.edit(suspend=False)
    assert not world.reconcile().create, "the old Job is not yet gone"
    world.jobs.pop(world.created[-1].name)
    plan = world.reconcile()
    assert [job.request.attempt for job in plan.create] == [2] and plan.create[0].rereads is None
    assert plan.status.attempt is not None and plan.status.attempt.failures == 0


def test_stopping_keeps_the_best_so_far() -> None:
    world = World(spec=run_spec(maxIterations=9))
    until(world, "exam", 2)
    world.edit(stop={"maxIterations": 9, "now": True})
    plan = world.reconcile()
    assert plan.delete == (world.created[-1].name,) and plan.status.best is not None
    assert "best is iteration 1" in plan.status.conditions[0].message
    assert reason(world, "Completed") == "Stopped"
    assert plan.status.ended_at == world.now


def test_stopping_before_anything_began() -> None:
    world = World(spec=run_spec(now=True), curriculum=None)
    plan = world.reconcile()
    assert reason(world, "Completed") == "Stopped" and not plan.delete


def test_lowering_the_openings_during_a_test_takes_the_test_back() -> None:
    world = World(spec=run_spec(maxIterations=3) | {"gate": {"maxTestOpenings": 2}})
    world.accuracies = [0.3, 0.5, 0.6, 0.7]
    until(world, "test", 2)
    world.edit(gate={"maxTestOpenings": 1})
    plan = world.reconcile()
    assert plan.delete == (world.created[-1].name,) and not plan.create
    assert reason(world) == "CleaningUp"
    world.jobs.pop(world.created[-1].name)
    status = world.to_end()
    exam = next(job for job in world.created if (job.request.iteration, job.step) == (3, "exam"))
    assert exam.request.attempt == 1 and exam.rereads is None, "another step's ordinals are not the exam's"
    assert status.test_openings == 1
    assert reason(world, "HeldOutExhausted") == "HeldOutSpent"


def test_more_openings_end_the_exhaustion_as_far_as_alpha_goes() -> None:
    world = World(spec=run_spec(maxIterations=6) | {"gate": {"maxTestOpenings": 2}})
    world.accuracies = [0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95]
    until(world, "exam", 2)
    world.edit(gate={"maxTestOpenings": 1})
    until(world, "exam", 3)
    exhausted = next(entry for entry in world.reconcile().status.conditions if entry.type == "HeldOutExhausted")
    assert exhausted.status == "True" and "iteration 2" in exhausted.message
    world.edit(gate={"maxTestOpenings": 5})
    status = world.to_end()
    assert [entry.number for entry in status.history if entry.tested] == [1, 3, 4], "0.025 and two of 0.01"
    spent = next(entry for entry in status.conditions if entry.type == "HeldOutExhausted")
    assert (spent.status, status.test_openings, status.alpha_spent) == ("True", 3, "0.045")


class SharedWorld(World):
    """Another run has opened the test pool as often as it may be."""

    def figures(self, request: StepRequest) -> Figures:
        if request.step != "test":
            return super().figures(request)
        return MeasureFigures(step="test", items=300, arms={}, openings=5, spent=0.05)


def test_a_pool_that_other_runs_have_spent_is_not_opened_and_the_run_goes_on() -> None:
    world = SharedWorld(spec=run_spec(maxIterations=3), accuracies=[0.3, 0.5, 0.6, 0.7])
    status = world.to_end()
    tests = [job.request.iteration for job in world.created if job.step == "test"]
    assert tests == [1], "once it is known nothing is asked again"
    assert [entry.refused for entry in status.history] == [True, False, False]
    assert not any(entry.tested for entry in status.history) and status.candidate is None and status.test is None
    held = {entry.type: entry for entry in status.conditions}
    assert held["HeldOutExhausted"].status == "True" and held["Completed"].reason == "MaxIterations"
    assert "opened 5 times and 0.05 of alpha 0.05 is spent" in held["HeldOutExhausted"].message


def test_an_ended_run_deletes_what_a_lost_write_left() -> None:
    world = World(spec=run_spec(maxIterations=9))
    until(world, "exam", 2)
    stray = world.created[-1].name
    said = {"status": "True", "reason": "Stopped", "message": "m", "lastTransitionTime": world.now.isoformat()}
    seen = {"observedGeneration": world.generation}
    ended = [said | seen | {"type": kind} for kind in ("Ready", "Completed")]
    world.status = world.status | seen | {"conditions": ended}
    observed = world.observe()
    plan = decide_run(observed, world.now)
    assert plan.delete == (stray,) and plan.status == observed.run.status and not plan.create and not plan.events


def test_inputs_of_the_second_iteration() -> None:
    world = World(spec=run_spec(maxIterations=3, plateau={"patience": 1, "minDelta": "0.0001"}))
    until(world, "exam", 3)
    by_step = {job.step: job.request for job in world.created if job.request.iteration == 2}
    names = {step: [entry.name for entry in request.inputs] for step, request in by_step.items()}
    assert names == {
        "exam": ["curriculum", "feedback"],
        "answer": ["curriculum", "exam", "adapter"],
        "evaluate": ["curriculum", "exam", "answer", "previous"],
        "train": ["curriculum", "data"],
        "validate": ["curriculum", "adapter", "baseline", "incumbent", "patience"],
    }
    claims = {job.step: job.claims for job in world.created if job.request.iteration == 2}
    assert {step: claim.model for step, claim in claims.items()} == {
        "exam": None,
        "answer": "models",
        "evaluate": None,
        "train": "models",
        "validate": "models",
    }
    secrets = {job.step: job.teacher_secret for job in world.created if job.request.iteration == 2}
    assert {step for step, secret in secrets.items() if secret is not None} == {"exam", "evaluate"}
    writable = {step for step, request in by_step.items() if request.also_writable}
    assert writable == {"exam", "evaluate"}, "only who asks the teacher writes the ledger"
    measure = by_step["validate"].parameters
    assert isinstance(measure, MeasureParameters) and not measure.untrained_arms
    assert [entry.name for entry in measure.comparisons] == ["base", "likelihood", "fewShot", "incumbent", "patience"]


def test_the_teacher_is_asked_for_nothing_before_the_first_iteration_begins() -> None:
    world = World()
    until(world, "preflight", 0)
    preflight, validate = world.created[-1], world.created[-2]
    assert preflight.teacher_secret == "teacher" and preflight.request.also_writable == ["ledger/review"]
    assert [entry.parts for entry in preflight.request.inputs] == [["task.json"]], "no item is shown"
    measure = validate.request.parameters
    assert isinstance(measure, MeasureParameters) and measure.preflight == world.observe().run.spec.training.lora
    error = StepResult(error=StepError(reason="TeacherUnavailable", message="no model: check spec.teacher.model"))
    job = world.jobs[preflight.name]
    world.end(job, "try later")
    assert job.view.pod is not None
    job.view = replace(job.view, pod=replace(job.view.pod, message=error.to_message()))
    world.reconcile()
    assert reason(world, "Stalled") == "TeacherUnavailable"
    assert world.read_status().iteration == 0, "so that teacher and training may still be edited"
    world.now += timedelta(hours=1)
    world.edit(teacher=world.spec["teacher"] | {"model": "other"}, training={"maxSteps": 9})
    until(world, "exam")
    assert world.read_status().usage.teacher_calls == 1, "of the one that was answered"
    told = world.created[-1].request.parameters
    assert isinstance(told, ExamParameters) and told.teacher.model == "other"
    assert world.read_status().iteration == 1


def test_a_status_that_lost_its_place_before_the_first_iteration_is_found_again() -> None:
    world = World()
    until(world, "preflight", 0)
    assert damage(world.read_status()) is None
    lost = world.read_status().model_copy(update={"baseline_step": None})
    assert damage(lost) == "status.baseline or baselineStep is missing"


HUB = {"repo": "org/student", "revision": "c" * 40, "tokenSecretRef": {"name": "hub"}}


def test_a_model_on_a_hub_is_fetched_once_and_mounted_from_the_workspace() -> None:
    world = World(spec=run_spec(maxIterations=1) | {"student": {"model": {"hub": HUB}}})
    status = world.to_end()
    assert status.candidate is not None
    fetch, *others = world.created
    folder = f"models/review/org--student--{'c' * 40}"
    assert (fetch.step, fetch.hub_secret, fetch.request.also_writable) == ("fetch", "hub", ["models/review"])
    parameters = fetch.request.parameters
    assert isinstance(parameters, FetchParameters) and parameters.folder == folder
    assert {job.hub_secret for job in others} == {None}, "the token is nowhere else"
    assert "fetch" not in {job.step for job in others}
    mounted = {job.step: job.claims.model_folder for job in others if job.claims.model is not None}
    assert mounted == dict.fromkeys(("validate", "answer", "train", "test"), folder)
    assert {job.claims.model for job in others} == {None, "flywheel"}
    train = next(job.request.parameters for job in others if job.step == "train")
    assert isinstance(train, TrainParameters) and train.base_model_name == "org/student"
    for job in world.created:
        check_job(job)


def test_a_fetch_that_is_cut_off_or_lost_is_made_again() -> None:
    harmless = ("success", "try later", "evicted", "never started", "no pod", "pod gone")
    for seed in range(12):
        world = World(Script([seed + place for place in range(40)]), outcomes=harmless)
        world.spec |= {"student": {"model": {"hub": {name: HUB[name] for name in ("repo", "revision")}}}}
        status = world.to_end()
        assert next(entry.status for entry in status.conditions if entry.type == "Ready") == "True"
        assert {job.hub_secret for job in world.created} == {None}


def test_a_secret_without_the_hubs_token_is_said() -> None:
    world = World(spec=run_spec() | {"student": {"model": {"hub": HUB}}})
    world.reconcile()
    (job,) = world.jobs.values()
    pod = PodView("p", "u", waiting_reason="CreateContainerConfigError", waiting_message='secret "hub" not found')
    job.view = replace(job.view, pod=pod)
    world.reconcile()
    assert reason(world, "Stalled") == "HubToken"


def test_how_the_endpoint_is_reached_is_told_to_who_asks_it() -> None:
    more = {
        "headers": [{"name": "x-a", "value": "1"}],
        "query": [{"name": "api-version", "value": "2"}],
        "caBundleRef": {"name": "corp-ca", "key": "root.pem"},
        "proxy": "http://proxy:3128",
        "structuredOutputs": "JSONSchema",
    }
    spec = run_spec()
    world = World(spec=spec | {"teacher": spec["teacher"] | more})
    until(world, "train")
    for step in ("preflight", "exam", "evaluate"):
        told = next(job.request for job in world.created if job.step == step).to_json_object()["parameters"]["teacher"]
        assert {name: told[name] for name in ("headers", "query", "proxy", "structuredOutputs")} == {
            name: value for name, value in more.items() if name != "caBundleRef"
        }
        assert told["caBundle"] == more["caBundleRef"]


def test_a_later_test_reuses_the_untrained_answers_and_is_made_at_its_share_of_alpha() -> None:
    world = World(spec=run_spec(maxIterations=3) | {"gate": {"maxTestOpenings": 2, "alpha": "0.05"}})
    world.accuracies = [0.3, 0.5, 0.6, 0.7]
    until(world, "test", 2)
    first, second = (job.request for job in world.created if job.request.step == "test")
    assert [entry.name for entry in first.inputs] == ["curriculum", "adapter"]
    assert [entry.name for entry in second.inputs] == ["curriculum", "adapter", "reuse", "incumbent"]
    assert isinstance(second.parameters, MeasureParameters)
    assert str(second.parameters.level) == "0.975" and second.parameters.probes > 0
    assert second.parameters.blanked == 100
    others = [job.request.parameters for job in world.created if job.request.step == "validate"]
    assert not [one for one in others if isinstance(one, MeasureParameters) and one.blanked], "of the test pool only"


def test_a_test_that_proves_nothing_promotes_nothing_and_is_counted() -> None:
    world = World(spec=run_spec(maxIterations=2), accuracies=[0.3, 0.5, 0.6], unproven_tests=1)
    until(world, "exam", 2)
    status = world.read_status()
    assert status.candidate is None and status.best is not None and status.test_openings == 1
    assert status.test is not None and not status.test.passed and status.first_test_iteration == 1
    falls = [(entry.versus, entry.low) for entry in status.test.blanked]
    assert falls == [("blank:code", "0.0200"), ("blank:review", "0.0200")], "told, and no reason to pass"
    assert [entry.number for entry in status.history if entry.tested] == [1]
    assert [event.message for event in world.events if event.reason == "CandidateRejected"]
    status = world.to_end()
    second = [job.request for job in world.created if job.request.step == "test"][1]
    assert [entry.name for entry in second.inputs] == ["curriculum", "adapter", "reuse"]
    assert status.candidate is not None and status.candidate.iteration == 2
    assert status.first_test_iteration == 1, "the untrained arms are answered once"


def test_an_evicted_training_goes_on_from_its_checkpoint() -> None:
    world = World()
    until(world, "train")
    first = world.jobs[world.created[-1].name]
    world.end(first, "evicted")
    world.reconcile()
    parameters = world.created[-1].request.parameters
    assert isinstance(parameters, TrainParameters) and parameters.resume == first.request.output
    world.end(world.jobs[world.created[-1].name], "no pod")
    world.reconcile()
    world.now = world.now.replace(hour=7)
    world.reconcile()
    parameters = world.created[-1].request.parameters
    assert isinstance(parameters, TrainParameters) and parameters.resume == first.request.output


def test_a_lost_training_is_reported_with_nothing_but_its_folder() -> None:
    world = World()
    until(world, "train")
    lost = world.created[-1]
    del world.jobs[lost.name]
    world.reconcile()
    report = world.created[-1]
    assert isinstance(report.request.parameters, ReportParameters)
    assert report.request.parameters.attempt_path == lost.request.output
    assert (report.rereads, report.request.inputs, report.claims.model, report.teacher_secret) == (1, [], None, None)
    assert not report.request.also_writable


def test_replay_follows_the_curriculum() -> None:
    spec = curriculum_spec() | {"growth": {"replay": "0.5"}}
    world = World(curriculum=curriculum(spec, ready()))
    until(world, "evaluate")
    parameters = world.created[-1].request.parameters
    assert isinstance(parameters, EvaluateParameters) and str(parameters.replay) == "0.5"


@pytest.mark.parametrize(("growth", "order"), [({}, "Shuffled"), ({"order": "Staged"}, "Staged")])
def test_the_order_of_training_follows_the_curriculum(growth: dict[str, str], order: str) -> None:
    world = World(curriculum=curriculum(curriculum_spec() | {"growth": growth}, ready()))
    until(world, "train")
    parameters = world.created[-1].request.parameters
    assert isinstance(parameters, TrainParameters) and parameters.order == order


def _status() -> FlywheelRunStatus:
    train = AcceptedStep(name="train", attempt=1, digest=digest("t"))
    return FlywheelRunStatus(current=Iteration(number=1, steps=[train]))


@pytest.mark.parametrize(
    ("step", "result"),
    [
        ("exam", StepResult(figures=ExamFigures(questions=3))),
        ("exam", StepResult(manifest=digest("m"), figures=PrepareFigures(revision="r", items={}, labels={}))),
        ("prepare", StepResult(manifest=digest("m"), figures=PrepareFigures(revision="r", items={}, labels={}))),
        ("report", StepResult(manifest=digest("m"), figures=AbsentFigures())),
        ("validate", StepResult(manifest=digest("m"), figures=MeasureFigures(step="validate", items=1, arms={}))),
        ("test", StepResult(manifest=digest("m"), figures=MeasureFigures(step="test", items=1, arms={}))),
    ],
)
def test_a_result_that_is_not_the_steps_own_is_refused(step: str, result: StepResult) -> None:
    spec = World().observe().run.spec
    with pytest.raises(UnexpectedResultError):
        accept(_status(), spec, step, Accepted(result, 1))


@pytest.mark.parametrize(
    ("iteration", "arms"), [(0, {}), (1, {"candidate": Accuracy(accuracy=0.5, low=0.4, high=0.6)})]
)
def test_a_measurement_that_compares_with_nothing_is_refused(iteration: int, arms: dict[str, Accuracy]) -> None:
    """Another image's: what follows would take the gap for a hand in status."""
    status = FlywheelRunStatus(current=Iteration(number=iteration, adapter=digest("a")))
    result = StepResult(manifest=digest("m"), figures=MeasureFigures(step="validate", items=1, arms=arms))
    with pytest.raises(UnexpectedResultError, match=r"measured no untrained|compared the adapter with nothing"):
        accept(status, World().observe().run.spec, "validate", Accepted(result, 1))


def test_requests_need_a_pinned_run_with_an_iteration() -> None:
    observed = World().observe()
    with pytest.raises(ValueError, match="no iteration"):
        build_request(observed, FlywheelRunStatus(), "exam", 1, None)
    with pytest.raises(ValueError, match="not pinned"):
        build_request(observed, _status(), "exam", 1, None)
    with pytest.raises(KeyError, match="no accepted exam"):
        accepted(Iteration(number=1), "exam")


def test_an_evaluate_needs_the_curriculum() -> None:
    world = World()
    until(world, "evaluate")
    observed = replace(world.observe(), curriculum=None)
    with pytest.raises(ValueError, match="Curriculum is gone"):
        build_request(observed, observed.run.status, "evaluate", 1, None)


def test_next_step_of_an_empty_run_measures_the_untrained_student() -> None:
    observed = World().observe()
    assert next_step(observed, FlywheelRunStatus()) == "validate"
