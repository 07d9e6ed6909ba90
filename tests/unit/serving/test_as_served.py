"""Quality as served: the validation pool through one pod, against what was measured."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel.api.adapterdeployment import AdapterDeployment
from flywheel.api.item import Answer, Item, Probe
from flywheel.api.request import Input, StepRequest, VerifyParameters
from flywheel.api.result import MeasureFigures, VerifyFigures
from flywheel.serving.asking import Said
from flywheel.steps.as_served import as_served
from flywheel.workspace.manifest import Manifest, list_files, seal
from flywheel.workspace.program import Attempt, BadInputError
from flywheel.workspace.store import Workspace

from .world import World, deployment, digest, run_with

LABELS = ("major", "minor")
DIGEST = "sha256:" + "a" * 64


def attempt(folder: Path, answers: list[Answer], items: int) -> Attempt:
    """What verify finds: the measured answers and the pool."""
    workspace = Workspace(folder)
    pool = [
        Item(id=str(n), input={"code": str(n)}, output={"x": LABELS[n % 2]}, group="g", source="s", truth="Rule")
        for n in range(items)
    ]
    workspace.write_jsonl("validate/answers/candidate.jsonl", [answer.to_json_object() for answer in answers])
    workspace.write_jsonl("revision/pools/validation/items.jsonl", [item.to_json_object() for item in pool])
    inputs: list[Input] = []
    for name, path in (("measured", "validate"), ("curriculum", "revision")):
        figures = MeasureFigures(step="validate", items=1, arms={})
        files = list_files(workspace, path)
        manifest = Manifest(step="validate", owner="x", iteration=1, attempt=1, seed=0, files=files, figures=figures)
        inputs.append(Input(name=name, path=path, digest=seal(workspace, path, manifest)))
    parameters = VerifyParameters(model="m", adapter_digest=DIGEST, addresses=["one"], agreement="0.95", margin="0.02")
    request = StepRequest(namespace="n", owner="o", attempt=1, output="out", inputs=inputs, parameters=parameters)
    made = Attempt(request, workspace)
    made.check_inputs()
    return made


class Pod:
    """Answers as told, and remembers what it was asked."""

    def __init__(self, answers: dict[str, str | None]) -> None:
        self.answers, self.asked = answers, list[str]()

    def ask(self, model: str, probe: Probe) -> Said:
        assert model == "m" and probe.input == {"code": probe.id}
        self.asked.append(probe.id)
        return Said(self.answers[probe.id])


def measured(labels: list[str | None]) -> list[Answer]:
    return [Answer(id=str(n), truth=LABELS[n % 2], label=label) for n, label in enumerate(labels)]


@given(st.lists(st.sampled_from([*LABELS, None]), min_size=20, max_size=40))
def test_the_same_answers_are_the_same_quality(
    tmp_path_factory: pytest.TempPathFactory, labels: list[str | None]
) -> None:
    answers = measured(labels)
    pod = Pod({answer.id: answer.label for answer in answers})
    found = as_served(attempt(tmp_path_factory.mktemp("a"), answers, len(labels)), pod, "m")
    assert found.difference == 0
    assert pod.asked == [answer.id for answer in answers]


def test_a_server_that_answers_worse_is_below(tmp_path: Path) -> None:
    answers = measured([LABELS[n % 2] for n in range(200)])
    pod = Pod({answer.id: answer.label if int(answer.id) % 5 else None for answer in answers})
    found = as_served(attempt(tmp_path, answers, 200), pod, "m")
    assert found.difference == pytest.approx(-0.2, abs=1e-9)
    assert found.high < 0
    lines = list(Workspace(tmp_path).read_jsonl("out/as-served.jsonl"))
    assert len(lines) == 200


def test_a_question_that_was_too_long_is_not_asked(tmp_path: Path) -> None:
    answers = measured(["major"] * 20)
    answers[3] = answers[3].model_copy(update={"label": None, "state": "overLong"})
    pod = Pod({answer.id: answer.label for answer in answers})
    assert as_served(attempt(tmp_path, answers, 20), pod, "m").difference == 0
    assert "3" not in pod.asked


def test_items_of_another_revision_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="2 of the measured items"):
        as_served(attempt(tmp_path, measured(["major"] * 20), 18), Pod({}), "m")


def asking_for_quality() -> AdapterDeployment:
    value = deployment().to_json_object()
    value["spec"]["verification"] = {"asServed": {"margin": "0.02"}}
    return AdapterDeployment.model_validate(value)


def test_verify_is_given_the_pool_only_where_the_spec_asks() -> None:
    for made, names in ((asking_for_quality(), ["adapter", "measured", "curriculum"]), (deployment(), ["adapter"])):
        world, requests = World(runs=[run_with(1)], deployment=made), dict[str, StepRequest]()
        for _ in range(20):
            requests |= {job.step: job.request for job in world.decide().create}
            world.end_jobs()
        verify = requests["verify"]
        assert [entry.name for entry in verify.inputs] == names
        assert isinstance(verify.parameters, VerifyParameters)
        assert (verify.parameters.margin is None) == (len(names) == 1)
        if len(names) > 1:
            assert [entry.parts for entry in verify.inputs[1:]] == [["answers"], ["pools/validation"]]


def test_a_candidate_that_is_worse_as_served_is_rejected_with_the_figures() -> None:
    world = World(runs=[run_with(1)], deployment=asking_for_quality())
    for _ in range(20):
        world.decide()
        for name, job in list(world.jobs.items()):
            if job.active and job.step == "verify":
                worse = {"difference": -0.1, "low": -0.15, "high": -0.05}
                said = VerifyFigures(probes=20, agreed={"triton-0:8001": 20}, as_served=worse, passed=False)
                world.end_with(name, said)
        world.end_jobs()
    assert [entry.digest for entry in world.deployment.status.rejected] == [digest(1)]
    assert any("-0.1000 (-0.1500 to -0.0500)" in event.message for event in world.events)
