"""What each program's pod gets unless `jobs` says otherwise: image, module, time, resources. One table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from flywheel.api.jobs import Resources, StepName

ImageName = Literal["operator", "student", "trainer"]


@dataclass(frozen=True)
class StepDefaults:
    """Defaults of one program. Every pod has a memory limit, so that a hungry step harms only itself."""

    image: ImageName
    module: str
    timeout: str
    cpu_request: str
    memory_request: str
    memory_limit: str
    scratch: str = "1Gi"
    shared_memory: str | None = None
    grace_seconds: int = 10

    @property
    def resources(self) -> Resources:
        """As `jobs` would say it. No CPU limit: throttling only makes a step slower."""
        requests = {"cpu": self.cpu_request, "memory": self.memory_request}
        return Resources(requests=requests, limits={"memory": self.memory_limit})


def _ours(step: StepName, memory_limit: str = "1Gi", timeout: str = "1h") -> StepDefaults:
    return StepDefaults("operator", f"flywheel.steps.{step}", timeout, "50m", "128Mi", memory_limit)


def _student(module: str) -> StepDefaults:
    return StepDefaults(
        "student", f"flywheel_student.{module}", "6h", "250m", "1Gi", "4Gi", scratch="4Gi", shared_memory="1Gi"
    )


STEP_DEFAULTS: dict[StepName, StepDefaults] = {
    "prepare": _ours("prepare", memory_limit="2Gi"),
    "fetch": _student("fetch"),
    "preflight": _ours("preflight"),
    "exam": _ours("exam"),
    "answer": _student("answer"),
    "evaluate": _ours("evaluate"),
    "train": StepDefaults(
        "trainer",
        "flywheel_trainer.train",
        "24h",
        "250m",
        "2Gi",
        "8Gi",
        scratch="16Gi",
        shared_memory="2Gi",
        grace_seconds=60,  # long enough for a checkpoint
    ),
    "validate": _student("measure"),
    "test": _student("measure"),
    "judge": _ours("judge", timeout="6h"),
    "publish": _ours("publish", memory_limit="2Gi"),
    "verify": _ours("verify"),
    "report": _ours("report", timeout="10m"),
    "cleanup": _ours("cleanup"),
}
