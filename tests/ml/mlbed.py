"""A workspace with the example's student, and the real programs of the ML images run over it as processes."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flywheel.api.item import Item
from flywheel.api.request import Input, StepRequest
from flywheel.api.result import MAX_RESULT_BYTES, StepResult, parse_result
from flywheel.api.task import Task
from flywheel.workspace.manifest import Manifest, list_files, seal
from flywheel.workspace.program import Attempt, Step
from flywheel.workspace.store import Workspace

ROOT = Path(__file__).parents[2]
STUDENT = ROOT / "examples" / "code-review" / "student"
PATH = os.pathsep.join(str(ROOT / part) for part in ("operator", "images/student", "images/trainer"))

STEPS = 40  # of the training
LABELS = ["critical", "major", "minor", "trivial"]
WORDS = {"critical": "eval runs user input", "major": "result is off by one", "minor": "slow loop", "trivial": "typo"}
TASK = Task.model_validate(
    {
        "instructions": "Rate the severity.",
        "inputSchema": {
            "type": "object",
            "properties": {"code": {"type": "string"}, "review": {"type": "string"}},
            "required": ["code", "review"],
        },
        "outputSchema": {
            "type": "object",
            "properties": {"issue_type": {"enum": LABELS}},
            "required": ["issue_type"],
        },
        "label": {"path": "issue_type", "order": LABELS},
    }
)


@dataclass
class Bed:
    """A workspace, and the programs run over it as their pods would be."""

    root: Path
    sidecar: Path | None = None

    @property
    def workspace(self) -> Workspace:
        return Workspace(self.root)

    @property
    def model(self) -> str:
        """Folder of the base model."""
        return str(self.root / "model")

    def sealed(self, folder: str, figures: Any, name: str, parts: list[str] | None = None) -> Input:
        manifest = Manifest(
            step=figures.step,
            owner="x",
            iteration=0,
            attempt=1,
            seed=0,
            files=list_files(self.workspace, folder),
            figures=figures,
        )
        return Input(name=name, path=folder, digest=seal(self.workspace, folder, manifest), parts=parts or [])

    def input(self, result: StepResult, name: str, *parts: str) -> Input:
        assert result.path is not None and result.manifest is not None
        return Input(name=name, path=result.path, digest=result.manifest, parts=list(parts))

    def request(self, output: str, parameters: dict[str, Any], inputs: list[Input]) -> StepRequest:
        return StepRequest.model_validate(
            {
                "namespace": "test",
                "owner": "run",
                "iteration": 1,
                "attempt": 1,
                "seed": 7,
                "output": output,
                "inputs": [entry.to_json_object() for entry in inputs],
                "parameters": parameters,
            }
        )

    def carry_out(self, step: Step, output: str, parameters: dict[str, Any], inputs: list[Input]) -> StepResult:
        """A step in this process, which has imported torch already."""
        attempt = Attempt(self.request(output, parameters, inputs), self.workspace)
        attempt.check_inputs()
        result = step(attempt)
        assert len(result.to_message()) <= MAX_RESULT_BYTES
        return result

    def start(self, module: str, output: str, parameters: dict[str, Any], inputs: list[Input]) -> subprocess.Popen[str]:
        request = self.request(output, parameters, inputs)
        message = self.root / f"termination-{output.replace('/', '-')}"
        environment = os.environ | {
            "PYTHONPATH": PATH,
            "PYTHONUNBUFFERED": "1",
            "HF_HUB_OFFLINE": "1",
            "FLYWHEEL_REQUEST": json.dumps(request.to_json_object()),
            "FLYWHEEL_WORKSPACE": str(self.root),
            "FLYWHEEL_TERMINATION_LOG": str(message),
        }
        if self.sidecar is not None:
            environment["FLYWHEEL_SIDECAR"] = str(self.sidecar)
        (self.root / output).mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", module]
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=self.root
        )

    def run(self, module: str, output: str, parameters: dict[str, Any], inputs: list[Input]) -> tuple[StepResult, str]:
        """Run a program to its end; its result and its log. Fails the test when the program fails."""
        process = self.start(module, output, parameters, inputs)
        log, _ = process.communicate()
        assert process.returncode == 0, f"exit code {process.returncode}: {log[-4000:]}"
        return self.result(output), log

    def terminated(self, module: str, output: str, parameters: dict[str, Any], inputs: list[Input]) -> str:
        """Start a program and send it SIGTERM at its first optimiser step; its log. Fails where it does not say 143."""
        process = self.start(module, output, parameters, inputs)
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("progress train step="):
                process.send_signal(signal.SIGTERM)
                break
        log, _ = process.communicate()
        assert process.returncode == 143, log[-4000:]
        return log

    def result(self, output: str) -> StepResult:
        result = parse_result((self.root / f"termination-{output.replace('/', '-')}").read_text())
        assert result is not None
        return result

    def lines(self, path: str) -> list[Any]:
        return list(self.workspace.read_jsonl(path))


def make_items(count: int, seed: int) -> list[Item]:
    """Items whose label can be read from the review, beside code of very different lengths."""
    chance = random.Random(seed)
    items: list[Item] = []
    for place in range(count):
        label = LABELS[place % 4]
        code = "\n".join(f"x{chance.randint(0, 99)} = {chance.randint(0, 999)}" for _ in range(chance.randint(1, 9)))
        items.append(
            Item(
                id=f"sha256:{seed:032d}{place:032d}",
                input={"code": code, "review": f"{WORDS[label]} in x{chance.randint(0, 9)}"},
                output={"issue_type": label},
                group=f"g{place // 4 % 6}",
                source="s",
                truth="Rule",
            )
        )
    return items


def training(bed: Bed, **more: Any) -> dict[str, Any]:
    lora = {"rank": 8, "alpha": 16}
    return {
        "step": "train",
        "modelPath": bed.model,
        "baseModelName": "code-review-student",
        "maxSteps": STEPS,
        "batchSize": 8,
        "learningRate": "5e-3",
        "lora": lora,
    } | more
