"""Faults of manifests: file, line, document and field, as the API server names it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from resources import curriculum_spec, run_spec
from typer.testing import CliRunner

from flywheel.api.flywheelrun import FlywheelRun
from flywheel.cli.linting import lint
from flywheel.cli.main import app

EXAMPLES = Path(__file__).parents[3] / "examples"


def manifest(kind: str, spec: dict[str, Any], name: str = "severity") -> dict[str, Any]:
    return {"apiVersion": "flywheel.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def faults(*documents: dict[str, Any]) -> list[tuple[int, str, str]]:
    """Document, field and message of what is wrong."""
    found = lint([("run.yaml", yaml.safe_dump_all(documents, sort_keys=False))])
    return [(fault.document, fault.field, fault.message) for fault in found.faults]


def test_good_manifests_have_no_faults() -> None:
    good = [manifest("Curriculum", curriculum_spec()), manifest("FlywheelRun", run_spec())]
    found = lint([("a.yaml", yaml.safe_dump_all([*good, {"apiVersion": "v1", "kind": "Service"}]))])
    assert (found.checked, found.others, found.faults) == (2, 1, [])
    assert any("immutable" in entry for entry in found.not_checked)


@pytest.mark.parametrize(
    ("path", "value", "field", "message"),
    [
        (("training",), {}, "spec.training", "exactly one of epochs and maxSteps must be set"),
        (("trainning",), {}, "spec.trainning", "unknown field"),
        (("stop", "accuracy"), 0.9, "spec.stop.accuracy", "must be text"),
        (("stop", "budget"), {"cost": "3"}, "spec", "stop.budget.cost needs teacher.prices"),
        (("teacher", "secretRef", "name"), "No", "spec.teacher.secretRef.name", "pattern"),
        (("teacher", "headers"), [{"name": "x-a", "value": "1", "key": 2}], "spec.teacher.headers[0].key", "unknown"),
    ],
)
def test_a_fault_is_told_with_its_field(path: tuple[str, ...], value: Any, field: str, message: str) -> None:
    bad = copy.deepcopy(manifest("FlywheelRun", run_spec()))
    at = bad["spec"]
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = value
    document, told, words = faults(manifest("Curriculum", curriculum_spec()), bad)[0]
    assert (document, told) == (2, field) and message in words


def test_the_line_is_that_of_the_field_or_of_what_it_should_be_in() -> None:
    text = "apiVersion: v1\nkind: Service\n---\n" + yaml.safe_dump(manifest("FlywheelRun", run_spec()), sort_keys=False)
    text = text.replace("    maxSteps: 200", "    maxSteps: many").replace("    secretRef:\n      name: teacher\n", "")
    found = {fault.field: fault for fault in lint([("run.yaml", text)]).faults}
    lines = text.splitlines()
    assert lines[found["spec.training.maxSteps"].line - 1].strip() == "maxSteps: many"
    assert lines[found["spec.teacher.secretRef"].line - 1].strip() == "teacher:"
    assert found["spec.teacher.secretRef"].message == "is required"
    assert str(found["spec.teacher.secretRef"]).startswith("run.yaml:")


def test_what_yaml_or_the_type_would_swallow() -> None:
    twice = yaml.safe_dump(manifest("FlywheelRun", run_spec())) + "kind: FlywheelRun\n"
    assert [(entry.field, entry.message) for entry in lint([("a", twice)]).faults] == [("kind", "is there twice")]
    assert faults({**manifest("FlywheelRun", run_spec()), "sepc": {}}) == [(1, "sepc", "unknown field")]
    assert faults(manifest("FlywheelRun", run_spec(), "Upper"))[0][1] == "metadata.name"
    assert "the same object" in faults(*[manifest("FlywheelRun", run_spec())] * 2)[0][2]
    team = yaml.safe_dump(manifest("FlywheelRun", run_spec()))
    assert lint([("checkout/run.yaml", team), ("search/run.yaml", team)]).faults == [], "each gets its own namespace"
    assert "this flywheel knows" in faults(manifest("FlywheelRun", {}) | {"apiVersion": "flywheel.dev/v2"})[0][2]
    assert "none of Curriculum" in faults(manifest("FlywheelRuns", {}))[0][2]
    broken = lint([("broken.yaml", "a: b\nc: [")]).faults
    assert broken[0].line >= 2 and "is not YAML" in broken[0].message


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(st.sampled_from(["spec", "metadata", "kind", "apiVersion", "status"]), JSONS)
def test_whatever_is_written_it_is_refused_or_fits_the_type(field: str, value: Any) -> None:
    """Never a crash; and no fault only where the type takes it."""
    document = manifest("FlywheelRun", run_spec()) | {field: value}
    found = lint([("any.yaml", json.dumps(document))])
    if found.checked and not found.faults:
        FlywheelRun.model_validate({name: entry for name, entry in document.items() if name != "status"})


def test_the_command_reads_folders_and_exits_by_what_it_finds(tmp_path: Path) -> None:
    runner = CliRunner()
    fine = runner.invoke(app, ["lint", *(str(path) for path in EXAMPLES.glob("*/flywheelrun.yaml")), str(EXAMPLES)])
    assert "the same object is in" in fine.output and fine.exit_code == 1
    fine = runner.invoke(app, ["lint", str(EXAMPLES)])
    assert fine.exit_code == 0, fine.output
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "run.yaml").write_text(yaml.safe_dump(manifest("FlywheelRun", {})))
    told = runner.invoke(app, ["lint", str(tmp_path), "-o", "json"])
    listed = json.loads(told.stdout)
    assert told.exit_code == 1 and {fault["field"] for fault in listed["faults"]} >= {"spec.teacher", "spec.student"}
    assert listed["notChecked"] and listed["faults"][0]["file"].endswith("sub/run.yaml")
    none = runner.invoke(app, ["lint", str(tmp_path / "absent.yaml")])
    assert none.exit_code == 1 and "cannot be read" in none.output and "Traceback" not in none.output
