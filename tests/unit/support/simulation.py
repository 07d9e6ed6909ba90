"""A cluster that is only data: Jobs, pods, the workspace and a clock, driven by decisions and by a script of mishaps.

`World.turn` lets one thing go wrong, decides and applies, and lets every Job go one step further. Whatever the script
says, `checks.check_plan` must hold for each plan; once the script is used up everything goes well and the run must end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from math import ceil
from typing import Any, TypeVar

import checks
from resources import NOW, curriculum, digest, flywheel_run, ready, run_spec

from flywheel.api.adapterdeployment import AdapterDeployment
from flywheel.api.conditions import Event
from flywheel.api.curriculum import Curriculum
from flywheel.api.flywheelrun_status import FlywheelRunStatus
from flywheel.api.request import CleanupParameters, JudgeParameters, MeasureParameters, ReportParameters, StepRequest
from flywheel.api.result import AbsentFigures, Figures, StepError, StepResult
from flywheel.loop.decide import RunPlan, decide_run, ended
from flywheel.loop.gate import UNTRAINED_ARMS
from flywheel.loop.observed import JobView, PodView, RunObserved
from flywheel.loop.plan import StepJob

T = TypeVar("T")
OUTCOMES = (
    *["success"] * 14,
    "fails",
    "oom",
    "killed after its manifest",
    "try later",
    "evicted",
    "deadline",
    "never started",
    "no pod",
    "unreadable",
    "pod gone",
    "bad input",
)
GPUS = {"answer": 1, "train": 8, "validate": 1, "test": 1}
FAILURES = ("fails", "oom", "killed after its manifest", "deadline")
FALL = {"difference": 0.1, "low": 0.02, "high": 0.2}
_NOTHING = ["nothing"]
MISHAPS = (
    _NOTHING * 16
    + ["suspend", "openings", "attempts", "target", "curriculum", "revision"]
    + ["delete a job"] * 3
    + ["expire", "stop"]
)


class Script:
    """Numbers that choose; when they are used up, the first option: nothing goes wrong."""

    def __init__(self, numbers: Sequence[int] = ()) -> None:
        self._numbers = list(reversed(numbers))

    @property
    def over(self) -> bool:
        return not self._numbers

    def of(self, options: Sequence[T]) -> T:
        return options[self._numbers.pop() % len(options)] if self._numbers else options[0]


@dataclass
class SimJob:
    """A Job with what it was asked and how far its pod is."""

    view: JobView
    request: StepRequest
    phases: list[str]
    stops: int = 0  # by its queue

    @property
    def pod_uid(self) -> str:
        return f"{self.view.uid}-{self.stops}"


@dataclass
class World:
    """One run, its Curriculum, its Jobs and the workspace."""

    script: Script = field(default_factory=Script)
    spec: dict[str, Any] = field(default_factory=run_spec)
    curriculum: Curriculum | None = field(default_factory=lambda: curriculum(status=ready()))
    data: dict[str, Any] | None = None  # spec of the Curriculum, where it is not the usual one
    outcomes: Sequence[str] = OUTCOMES
    now: datetime = NOW
    status: dict[str, Any] = field(default_factory=dict[str, Any])
    generation: int = 1
    jobs: dict[str, SimJob] = field(default_factory=dict[str, SimJob])
    created: list[StepJob] = field(default_factory=list[StepJob])
    recorded: dict[tuple[int, str], int] = field(default_factory=dict[tuple[int, str], int])
    workspace: dict[str, tuple[str, Figures]] = field(default_factory=dict[str, "tuple[str, Figures]"])
    accepted: dict[tuple[int, str], tuple[int, str]] = field(default_factory=dict[Any, Any])
    failures: dict[tuple[int, str], int] = field(default_factory=lambda: defaultdict(int))
    events: list[Event] = field(default_factory=list[Event])
    accuracies: Sequence[float] = ()  # by iteration, where the script shall not choose
    preferred: Sequence[float] = ()  # wins, losses and difference, where the script shall not choose
    unproven_tests: int = 0  # how many tests come out as no proof
    openings: dict[int, Decimal] = field(default_factory=dict[int, Decimal])  # what each iteration's test has spent
    honest: bool = True  # whether status is only what the operator wrote
    writes: int = 0
    uids: int = 0
    mishaps: Sequence[str] = tuple(MISHAPS)
    ran: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])  # seconds and GPUs, by pod
    vanished: set[str] = field(default_factory=set[str])  # pods that were gone before their end was seen
    deployment: AdapterDeployment | None = None
    left_for_serving: Sequence[float | None] = (0, 0.05)  # items that are left out, and the smallest gain

    # what the operator sees and does

    def observe(self) -> RunObserved:
        run = flywheel_run(self.spec, self.status, self.generation)
        views = tuple(job.view for job in self.jobs.values())
        return RunObserved(run, self.curriculum, views, "/model", deployment=self.deployment)

    def read_status(self) -> FlywheelRunStatus:
        return FlywheelRunStatus.model_validate(self.status)

    @property
    def ended(self) -> bool:
        return ended(self.read_status())

    def reconcile(self, crash: bool = False) -> RunPlan:
        observed = self.observe()
        plan = decide_run(observed, self.now)
        assert plan == decide_run(observed, self.now), "the same input gives the same plan"
        checks.check_plan(self, observed, plan)
        for name in plan.delete:
            self.jobs[name].view = replace(self.jobs[name].view, deleting=True)
        for job in plan.create:
            self._create(job, recorded=not crash)
        if not crash:
            self._write(plan)
        return plan

    def _create(self, job: StepJob, recorded: bool) -> None:
        assert job.name not in self.jobs, "a Job that is there is adopted by name, so it must be seen first"
        assert not self.honest or self._has_inputs(job.request), "an input is there, and as it was accepted"
        self.uids += 1
        view = JobView(
            name=job.name,
            uid=str(self.uids),
            step=job.step,
            iteration=job.request.iteration,
            attempt=job.request.attempt,
            created_at=self.now,
            rereads=job.rereads,
            suspended_since=self.now if self.spec.get("queueName") else None,
        )
        phases = self.script.of(["", "running", "waiting starting running"]).split()
        self.jobs[job.name] = SimJob(view, StepRequest.model_validate(job.request.to_json_object()), phases)
        self.created.append(job)
        if recorded:
            self.recorded[(view.iteration, view.step)] = view.attempt

    def _has_inputs(self, request: StepRequest) -> bool:
        inputs = [entry for entry in request.inputs if entry.path.startswith("runs/")]
        return all(self.workspace.get(entry.path, ("",))[0] == entry.digest for entry in inputs)

    def _write(self, plan: RunPlan) -> None:
        value = plan.status.to_json_object()
        if value == self.status:
            return
        self.writes += 1
        self.status = value
        self.events.extend(plan.events)
        checks.check_write(self)

    # the world's own doings

    def turn(self) -> None:
        if not self.script.over:
            self.mishap(self.script.of(self.mishaps))
        else:
            self._calm()
        plan = self.reconcile(crash=self.script.of([False] * 5 + [True]))
        if not self.script.of([False] * 5 + [True]):
            checks.check_idle(self)
        for job in list(self.jobs.values()):
            self._further(job)
        wait = plan.requeue_after if plan.requeue_after is not None and self.script.over else 20.0
        self.now += timedelta(seconds=wait + 0.001)

    def to_end(self, turns: int = 400) -> FlywheelRunStatus:
        """Turns until the run has ended and its Jobs are gone or at rest."""
        for _ in range(turns):
            self.turn()
            if self.ended and not any(job.view.active for job in self.jobs.values()):
                return self.read_status()
        raise AssertionError(f"the run does not end: {self.status.get('conditions')}")

    def _calm(self) -> None:
        if self.spec.get("suspend"):
            self.edit(suspend=False)
        if self.curriculum is None or self.curriculum.status.prepared_generation != self.curriculum.metadata.generation:
            self.curriculum = self._prepared()

    def _prepared(self) -> Curriculum:
        return curriculum(self.data, ready())

    def edit(self, **fields: Any) -> None:
        self.spec = self.spec | fields
        self.generation += 1

    def mishap(self, kind: str) -> None:
        stop: dict[str, Any] = self.spec["stop"]
        match kind:
            case "suspend":
                self.edit(suspend=not self.spec.get("suspend", False))
            case "stop":
                self.edit(stop=stop | {"now": self.script.of([False] * 9 + [True])})
            case "openings":
                self.edit(gate={"maxTestOpenings": self.script.of([1, 2, 3])})
            case "attempts":
                self.edit(jobs={"defaults": {"attempts": self.script.of([3, 2, 1])}})
            case "target":
                self.edit(stop=stop | {"accuracy": self.script.of(["0.95", "0.65"])})
            case "curriculum":
                self.curriculum = None if self.curriculum is not None else self._prepared()
            case "revision":
                generation = self.script.of([1, 2])
                self.curriculum = curriculum(self.data, ready(generation), self.script.of([1, 2]))
            case "delete a job":
                if self.jobs:
                    del self.jobs[self.script.of(list(self.jobs))]
            case "expire":
                self.jobs = {name: job for name, job in self.jobs.items() if job.view.active}
            case _:
                pass

    def _further(self, job: SimJob) -> None:
        if job.view.deleting:
            pod = job.view.pod
            if pod is not None and pod.started and pod.ended_at is None:
                self._ran(pod)
                job.view = replace(job.view, pod=replace(pod, ended_at=self.now))
            elif self.script.of([True, False]):
                self.jobs.pop(job.view.name, None)
            return
        if job.view.state in ("Succeeded", "Failed"):
            return
        if self._queue_acts(job):
            return
        if job.phases:
            self._phase(job, job.phases.pop(0))
        else:
            self.end(job, self.script.of(self.outcomes))

    def _queue_acts(self, job: SimJob) -> bool:
        """It admits what waits, or not yet; it stops what runs, and the same Job waits again."""
        if job.view.suspended_since is not None:
            if self.script.of([True, False]):
                job.view = replace(job.view, suspended_since=None, resumed_at=self.now)
            return True
        pod = job.view.pod
        if (
            job.view.resumed_at is None
            or pod is None
            or job.view.state != "Running"
            or self.script.of([True] * 3 + [False])
        ):
            return False
        job.stops, self.uids, job.phases = job.stops + 1, self.uids + 1, ["running"]
        pod = replace(pod, ended_at=self.now, disrupted=True)
        self._ran(pod)
        job.view = replace(job.view, state="Pending", suspended_since=self.now, resumed_at=None, pod=pod)
        return True

    def _phase(self, job: SimJob, phase: str) -> None:
        pod = PodView(name=f"{job.view.name}-x", uid=job.pod_uid)
        if phase == "waiting":
            trouble: dict[str, str] = self.script.of(
                [
                    {},
                    {"waiting_reason": "ImagePullBackOff"},
                    {"waiting_reason": "CreateContainerConfigError", "waiting_message": "secret not found"},
                    {"unschedulable": "0/1 nodes are available: 1 Insufficient cpu."},
                ]
            )
            job.view = replace(job.view, pod=replace(pod, **trouble)) if trouble else job.view
        elif phase == "starting":
            job.view = replace(job.view, pod=pod)
        else:
            began = replace(pod, started=True, started_at=self.now, gpus=GPUS.get(job.view.step, 0))
            job.view = replace(job.view, pod=began, state="Running")

    def end(self, job: SimJob, outcome: str) -> None:
        """The Job ends in that way."""
        if not self._has_inputs(job.request):  # as every step looks first
            outcome = "bad input"
        view, since = job.view, (job.view.pod and job.view.pod.started_at) or self.now
        pod = PodView(
            name=f"{view.name}-x",
            uid=job.pod_uid,
            started=True,
            started_at=since,
            ended_at=self.now,
            gpus=GPUS.get(view.step, 0),
            exit_code=1,
        )
        self._ran(pod)
        if outcome in ("success", "unreadable", "pod gone"):
            message = self._succeed(job).to_message()
            found = None if outcome == "pod gone" else replace(pod, exit_code=0, message=message)
            if outcome == "unreadable" and found is not None:
                found = replace(found, message=message[:-5])
            self.failures[(view.iteration, view.step)] += outcome != "success" and view.rereads is not None
            job.view = replace(view, state="Succeeded", pod=found)
            self.vanished |= {pod.uid} if found is None else set()
            return
        if outcome == "killed after its manifest":
            self._succeed(job)
        self.failures[(view.iteration, view.step)] += outcome in FAILURES
        error = StepResult(error=StepError(reason="TeacherKeyRefused", message="the teacher refused the key"))
        ends: dict[str, PodView | None] = {
            "fails": pod,
            "oom": replace(pod, exit_code=137, terminated_reason="OOMKilled"),
            "killed after its manifest": replace(pod, exit_code=137),
            "bad input": replace(pod, exit_code=64),
            "try later": replace(pod, exit_code=75, message=error.to_message()),
            "evicted": replace(pod, exit_code=137, disrupted=True),
            "deadline": replace(pod, exit_code=143, deadline_exceeded=True),
            "never started": replace(pod, started=False, exit_code=None),
            "no pod": None,
        }
        job.view = replace(view, state="Failed", pod=ends[outcome])
        self.vanished |= {pod.uid} if ends[outcome] is None else set()

    def _ran(self, pod: PodView) -> None:
        assert pod.started_at is not None
        self.ran[pod.uid] = ceil((self.now - pod.started_at).total_seconds()), pod.gpus

    def _succeed(self, job: SimJob) -> StepResult:
        parameters = job.request.parameters
        if isinstance(parameters, ReportParameters):
            found = self.workspace.get(parameters.attempt_path)
            if found is None:
                return StepResult(figures=AbsentFigures())
            return StepResult(manifest=found[0], path=parameters.attempt_path, figures=found[1])
        if isinstance(parameters, CleanupParameters):
            self._remove(parameters)
        made = digest(f"{job.request.output} {job.view.uid}"), self.figures(job.request)
        self.workspace[job.request.output] = made
        return StepResult(manifest=made[0], path=job.request.output, figures=made[1])

    def _remove(self, parameters: CleanupParameters) -> None:
        old = tuple(f"{parameters.home}/iter-{number}/" for number in range(1, parameters.through + 1))
        for path in [path for path in self.workspace if path.startswith(old) and path not in parameters.keep]:
            del self.workspace[path]

    def figures(self, request: StepRequest) -> Figures:
        """Figures as that step would leave."""
        value: dict[str, Any]
        match request.step:
            case "exam":
                value = {
                    "checked": 9,
                    "quarantined": {"HeldOutNear": 1},
                    "questions": 80,
                    "anchors": 24,
                    "voted_out": 2,
                    "blind": [[25, 2, 0], [25, 3, 1]],
                    "usage": {"calls": 9, "input_tokens": 100, "output_tokens": 10},
                }
            case "fetch":
                value = {"model": digest(request.output), "files": 5, "size": 10**9}
            case "preflight":
                value = {"usage": {"calls": 1, "input_tokens": 60, "output_tokens": 5}}
            case "answer":
                value = {"items": 80, "score": self._accuracy(request.iteration)}
            case "evaluate":
                value = {"proficiency": self.script.of([4, 9]), "new_examples": 40, "training_items": 50}
                value["inflation_gap"] = [0.1, -0.05, 0.25]
            case "train":
                value = {"adapter": digest(request.output), "steps": 9, "first_loss": 2.0, "last_loss": 0.5}
            case "judge":
                value = self._judged(request)
            case "cleanup":
                value = {"removed": 3, "freed_bytes": 1000}
            case _:
                value = self._measured(request)
        return StepResult.model_validate({"figures": {"step": request.step} | value}).figures or AbsentFigures()

    def _judged(self, request: StepRequest) -> dict[str, Any]:
        """A preference over every arm, and what it cost."""
        parameters = request.parameters
        assert isinstance(parameters, JudgeParameters)
        arms = [*(entry.name for entry in parameters.versus), *(entry.name for entry in parameters.models)]
        found = self.script.of([(30, 10, 0.1, 0.02, 0.2), (12, 14, -0.01, -0.1, 0.08), (5, 40, -0.2, -0.3, -0.1)])
        wins, losses, *difference = self.preferred or found
        counts = [200, wins, losses, 7, 3, *difference, 0.6, 0.5, 0.7]
        spent = {"calls": 400, "input_tokens": 4000, "output_tokens": 400}
        return {
            "preferences": dict.fromkeys(arms, counts),
            "first_place": 0.55,
            "usage": dict.fromkeys(("judge", *(entry.name for entry in parameters.models)), spent),
            "served_model": "0123456789ab",
        }

    def _opening(self, request: StepRequest, parameters: MeasureParameters) -> dict[str, Any]:
        """As the records would tell: an iteration's test is one opening, however often it is tried."""
        if parameters.opening is None:
            return {}
        self.openings.setdefault(request.iteration, parameters.opening.share)
        return {"openings": len(self.openings), "spent": float(sum(self.openings.values()))}

    def _accuracy(self, iteration: int) -> dict[str, float]:
        value = self.accuracies[iteration] if self.accuracies else self.script.of([0.7, 0.5, 0.6, 0.8])
        return {"accuracy": value, "low": value - 0.05, "high": value + 0.05}

    def _measured(self, request: StepRequest) -> dict[str, Any]:
        parameters = request.parameters
        assert isinstance(parameters, MeasureParameters)
        arms = ["majority", "bagOfWords", *UNTRAINED_ARMS] if parameters.untrained_arms else []
        compared = [entry.name for entry in parameters.comparisons]
        if request.input("adapter") is not None:
            compared += list(UNTRAINED_ARMS) if parameters.untrained_arms else []
            arms.append("candidate")
        serving = None
        if request.input("serving") is not None:
            left_out, smallest = self.left_for_serving
            serving = {"items": 300 - int(left_out or 0), "leftOut": left_out, "smallest": smallest}
            arms.append("incumbent")
            compared += ["incumbent"] if "candidate" in arms else []
        gains = [{"difference": 0.1, "low": 0.02, "high": 0.2}, {"difference": 0.0, "low": -0.02, "high": 0.005}]
        if request.step == "test" and self.unproven_tests:
            self.unproven_tests -= 1
            gains = gains[1:]
        return {
            "items": 300,
            "serving": serving,
            "arms": {name: self._accuracy(request.iteration) for name in arms},
            "differences": {name: self.script.of(gains) for name in compared},
            "blanked": dict.fromkeys(("code", "review"), FALL) if parameters.blanked else {},
            "recall_lows": [-0.01] * 4 if parameters.recall_versus else [],
            **self._opening(request, parameters),
        }
