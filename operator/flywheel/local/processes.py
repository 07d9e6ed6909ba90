"""Jobs as processes: start, watch, stop, and say how they ended, in the words that decisions read."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from flywheel.local.programs import ML_STEPS, Programs
from flywheel.loop.observed import JobView, PodView
from flywheel.loop.plan import StepJob

PROGRESS = "progress "
_TAIL_BYTES = 4096
_TEACHER_CA = "FLYWHEEL_TEACHER_CA"


@dataclass
class Process:
    """One attempt of one step as a process."""

    job: StepJob
    folder: Path
    created_at: datetime
    process: subprocess.Popen[bytes]
    ended_at: datetime | None = None

    @property
    def log(self) -> Path:
        """Where it writes its log."""
        return self.folder / "log"

    def view(self) -> JobView:
        """As decisions see it."""
        code = self.process.poll()
        if code is not None and self.ended_at is None:
            self.ended_at = datetime.now(UTC)
        message = self.folder / "result"
        pod = PodView(
            name=self.job.name,
            uid=str(self.process.pid),
            started=True,
            started_at=self.created_at,
            ended_at=self.ended_at,
            exit_code=128 - code if code is not None and code < 0 else code,
            message=message.read_text() if code is not None and message.exists() else "",
        )
        state = "Running" if code is None else "Succeeded" if code == 0 else "Failed"
        return JobView(
            name=self.job.name,
            uid=str(self.process.pid),
            step=self.job.step,
            iteration=self.job.request.iteration,
            attempt=self.job.request.attempt,
            created_at=self.created_at,
            state=state,
            rereads=self.job.rereads,
            pod=pod,
        )

    def progress(self) -> str:
        """The newest line of the log that reports progress, without its prefix."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as stream:
            stream.seek(max(0, self.log.stat().st_size - _TAIL_BYTES))
            lines = stream.read().decode(errors="replace").splitlines()
        found = next((line for line in reversed(lines) if PROGRESS in line), "")
        return found.partition(PROGRESS)[2]

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for one that does not end within a checkpoint's time."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start(job: StepJob, workspace: Path, programs: Programs, keys: dict[str, str], now: datetime) -> Process:
    """Start a step. Only the teaching steps get the teacher's key, only the judge's step the judge's."""
    folder = workspace / ".jobs" / job.name
    folder.mkdir(parents=True, exist_ok=True)
    program = job.request.step
    env = programs.environment(program) | {
        "FLYWHEEL_REQUEST": job.request.model_dump_json(by_alias=True, exclude_none=True),
        "FLYWHEEL_WORKSPACE": str(workspace),
        "FLYWHEEL_TERMINATION_LOG": str(folder / "result"),
    }
    if job.teacher_secret is not None and program not in ML_STEPS:
        env |= {name: value for name, value in keys.items() if name in (*secret_variables("TEACHER"), _TEACHER_CA)}
    if job.hub_secret is not None:
        env |= {name: value for name, value in os.environ.items() if name == "FLYWHEEL_HUB_TOKEN"}
    for prefix, _ in job.other_secrets:
        env |= {name: value for name, value in keys.items() if name in secret_variables(prefix)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            programs.command(program), env=env, stdout=log, stderr=subprocess.STDOUT, cwd=folder, start_new_session=True
        )
    return Process(job, folder, now, process)


def secret_variables(prefix: str) -> tuple[str, str]:
    """The variables of a Secret's keys apiKey and hosts."""
    return f"FLYWHEEL_{prefix}_API_KEY", f"FLYWHEEL_{prefix}_HOSTS"


def key_environment(key: str, hosts: str, prefixes: Iterable[str] = ("TEACHER",)) -> dict[str, str]:
    """Key and hosts as the Secrets would give them."""
    return {
        name: value for prefix in prefixes for name, value in zip(secret_variables(prefix), (key, hosts), strict=True)
    }


def user_key_environment(prefixes: Iterable[str]) -> dict[str, str]:
    """What the user's own environment says of these endpoints; without what is not set.

    FLYWHEEL_TEACHER_CA is the file for caBundleRef.
    """
    names = [*(name for prefix in prefixes for name in secret_variables(prefix)), _TEACHER_CA]
    return {name: os.environ[name] for name in names if os.environ.get(name)}
