"""On one computer as in the cluster: a step's process has the keys of the endpoints that it asks, and no others."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from resources import NOW, curriculum, evaluation, judged_task, ready, run_spec
from simulation import World

from flywheel.local.processes import key_environment, secret_variables, start, user_key_environment
from flywheel.local.programs import Programs
from flywheel.loop.plan import StepJob

PREFIXES = ("TEACHER", "JUDGE", "COMPARED_0")


@dataclass(frozen=True)
class Telling(Programs):
    """Programs that only tell which keys they have."""

    def command(self, step: str) -> list[str]:
        code = "import json, os; print(json.dumps([name for name in os.environ if name.startswith('FLYWHEEL_')]))"
        return [sys.executable, "-c", code]


@pytest.fixture(scope="module")
def jobs() -> dict[str, StepJob]:
    spec = run_spec(maxIterations=1) | {"evaluation": evaluation()}
    world = World(spec=spec, curriculum=curriculum(judged_task(), ready()), data=judged_task())
    world.to_end()
    return {job.step: job for job in world.created}


@pytest.mark.parametrize(
    ("step", "prefixes"),
    [("exam", ["TEACHER"]), ("evaluate", ["TEACHER"]), ("judge", ["JUDGE", "COMPARED_0"]), ("test", []), ("train", [])],
)
def test_a_process_has_the_keys_of_its_step(
    jobs: dict[str, StepJob], tmp_path: Path, step: str, prefixes: list[str]
) -> None:
    process = start(jobs[step], tmp_path, Telling(tmp_path, tmp_path), key_environment("k", "h", PREFIXES), NOW)
    assert process.process.wait(60) == 0
    assert set(json.loads(process.log.read_text())) & {secret_variables(p)[0] for p in PREFIXES} == {
        secret_variables(prefix)[0] for prefix in prefixes
    }


@pytest.mark.parametrize(("step", "has"), [("exam", True), ("judge", False), ("train", False)])
def test_the_teachers_certificates_are_for_those_who_ask_it(
    jobs: dict[str, StepJob], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, has: bool
) -> None:
    monkeypatch.setenv("FLYWHEEL_TEACHER_CA", "ca.pem")
    keys = user_key_environment(PREFIXES)
    monkeypatch.delenv("FLYWHEEL_TEACHER_CA")
    process = start(jobs[step], tmp_path, Telling(tmp_path, tmp_path), keys, NOW)
    assert process.process.wait(60) == 0
    assert ("FLYWHEEL_TEACHER_CA" in json.loads(process.log.read_text())) == has
