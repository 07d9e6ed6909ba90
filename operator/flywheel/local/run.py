"""Drive a Curriculum and a FlywheelRun to their end with processes, by the same decisions as in the cluster.

State is kept beside the workspace, so that an interrupted rehearsal goes on where it was.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flywheel.api.curriculum import Curriculum, CurriculumStatus
from flywheel.api.flywheelrun import FlywheelRun
from flywheel.api.flywheelrun_status import FlywheelRunStatus
from flywheel.api.metadata import Metadata
from flywheel.local.control import state_file
from flywheel.local.preparing import copy_sources
from flywheel.local.processes import Process, start
from flywheel.local.programs import Programs
from flywheel.loop.curriculum import decide_curriculum
from flywheel.loop.decide import decide_run, ended
from flywheel.loop.naming import model_folder
from flywheel.loop.observed import CurriculumObserved, JobView, RunObserved
from flywheel.loop.plan import Plan
from flywheel.workspace.digest import canonical_json
from flywheel.workspace.store import Workspace

POLL_SECONDS = 0.5
_NAMESPACE = "local"


@dataclass
class LocalRun:
    """A rehearsal: two resources, their processes, and where the files are."""

    curriculum: Curriculum
    run: FlywheelRun
    source: Path
    workspace: Path
    programs: Programs
    keys: dict[str, str]
    shuffle_labels: bool = False
    unguarded: bool = False
    processes: list[Process] = field(default_factory=list[Process])
    saved: bytes = field(default=b"", init=False)

    def __post_init__(self) -> None:
        self.curriculum = self.curriculum.model_copy(update={"metadata": local_metadata(self.curriculum.metadata)})
        self.run = self.run.model_copy(update={"metadata": local_metadata(self.run.metadata)})
        self.workspace.mkdir(parents=True, exist_ok=True)
        copy_sources(self.curriculum, self.source, self.workspace)
        if self.run.spec.evaluation is not None and (anchors := self.run.spec.evaluation.judge.anchors) is not None:
            target = self.workspace / anchors
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.source / anchors, target)
        self._load()

    def drive(self, show: Callable[[FlywheelRunStatus, str], None]) -> FlywheelRunStatus:
        """Run to the end; `show` gets the status and the running step's progress. Leaves no process behind."""
        try:
            while True:
                self._turn(datetime.now(UTC))
                running = [entry for entry in self.processes if entry.process.poll() is None]
                show(self.run.status, running[-1].progress() if running else "")
                if ended(self.run.status):
                    return self.run.status
                time.sleep(POLL_SECONDS)
        finally:
            for entry in self.processes:
                if entry.process.poll() is None:
                    entry.stop()

    def _turn(self, now: datetime) -> None:
        template = (self.programs.checkout / "prompts" / "task.j2").read_text()
        prepare = decide_curriculum(CurriculumObserved(self.curriculum, template, self._jobs({"prepare"})), now)
        self._apply(prepare, now)
        self.curriculum = self.curriculum.model_copy(update={"status": prepare.status})
        observed = RunObserved(
            self.run,
            self.curriculum,
            self._jobs(None),
            str(self._model()),
            shuffle_labels=self.shuffle_labels,
            unguarded=self.unguarded,
        )
        plan = decide_run(observed, now)
        self._apply(plan, now)
        self.run = self.run.model_copy(update={"status": plan.status})
        self._save()

    def _model(self) -> Path:
        """Folder of the base model: beside the manifests, or where it is fetched to."""
        model = self.run.spec.student.model
        if model.hub is not None:
            return (self.workspace / model_folder(_NAMESPACE, model.hub.repo, model.hub.revision)).absolute()
        return (self.source / model.name).absolute()

    def _jobs(self, only: set[str] | None) -> tuple[JobView, ...]:
        views = [entry.view() for entry in self.processes]
        return tuple(view for view in views if (view.step in only if only else view.step != "prepare"))

    def _apply(self, plan: Plan[Any], now: datetime) -> None:
        for name in plan.delete:
            for entry in self.processes:
                if entry.job.name == name:
                    entry.stop()
        for job in plan.create:
            self.processes.append(start(job, self.workspace, self.programs, self.keys, now))

    def _save(self) -> None:
        state = {
            "curriculum": self.curriculum.status.to_json_object(),
            "run": self.run.status.to_json_object(),
            "resources": [self.curriculum.to_json_object(), self.run.to_json_object()],  # for `flywheel replay`
        }
        if (text := canonical_json(state)) != self.saved:
            Workspace(self.workspace).write_bytes(state_file(self.run), text)
            self.saved = text

    def _load(self) -> None:
        store = Workspace(self.workspace)
        if not store.exists(state_file(self.run)):
            return
        state = store.read_json(state_file(self.run))
        status = CurriculumStatus.model_validate(state["curriculum"])
        self.curriculum = self.curriculum.model_copy(update={"status": status})
        self.run = self.run.model_copy(update={"status": FlywheelRunStatus.model_validate(state["run"])})


def local_metadata(metadata: Metadata) -> Metadata:
    """What the API server would have added; the uid is of the name, so that a rehearsal can be resumed."""
    uid = hashlib.sha256(metadata.name.encode()).hexdigest()[:32]
    return metadata.model_copy(update={"namespace": _NAMESPACE, "uid": uid, "generation": 1})
