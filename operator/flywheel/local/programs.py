"""Which program carries out a step here, and in which Python: ours, or the one ML environment."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ML_STEPS = {
    "fetch": "flywheel_student.fetch",
    "answer": "flywheel_student.answer",
    "train": "flywheel_trainer.train",
    "validate": "flywheel_student.measure",
    "test": "flywheel_student.measure",
}


class NoCheckoutError(Exception):
    """The files of a checkout (images/, examples/) are not where they must be."""


@dataclass(frozen=True)
class Programs:
    """Interpreters and search paths of the steps' processes."""

    checkout: Path
    ml_python: Path

    def command(self, step: str) -> list[str]:
        """The command of a step, as its image would run it."""
        if step in ML_STEPS:
            return [str(self.ml_python), "-m", ML_STEPS[step]]
        return [sys.executable, "-m", f"flywheel.steps.{step}"]

    def environment(self, step: str) -> dict[str, str]:
        """Environment of a step's process; ML steps get their own search path and no teacher key."""
        env = {key: value for key, value in os.environ.items() if not key.startswith("FLYWHEEL_")}
        env |= {"PYTHONUNBUFFERED": "1", "FLYWHEEL_PROMPTS": str(self.checkout / "prompts")}
        if step in ML_STEPS:
            folders = ("operator", "images/student", "images/trainer")
            env["PYTHONPATH"] = os.pathsep.join(str(self.checkout / folder) for folder in folders)
            env |= {"TOKENIZERS_PARALLELISM": "false"} | ({} if step == "fetch" else {"HF_HUB_OFFLINE": "1"})
        return env


def find_checkout() -> Path:
    """The checkout that this package runs from; raises NoCheckoutError for an installed wheel."""
    root = Path(__file__).resolve().parents[3]
    if not (root / "images" / "ml-environment.sh").is_file():
        raise NoCheckoutError("`flywheel run --local` needs a checkout of the project: run it from there with `uv run`")
    return root


def prepare_programs() -> Programs:
    """Make sure of the ML environment; the script says how large it is before it installs anything."""
    checkout = find_checkout()
    script = checkout / "images" / "ml-environment.sh"
    found = subprocess.run([str(script)], check=True, stdout=subprocess.PIPE, text=True)
    python = Path(found.stdout.strip().splitlines()[-1])
    if not python.is_file():
        raise NoCheckoutError(f"{script} did not print the path of a Python interpreter")
    return Programs(checkout, python)
