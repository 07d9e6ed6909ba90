"""The generated CustomResourceDefinitions: structural, described, bounded, the same every time, and committed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft4Validator
from pydantic import BaseModel, TypeAdapter, ValidationError
from resources import curriculum_spec, run_spec

from flywheel.api.crd import all_crds, render, structural
from flywheel.api.flywheelrun import FlywheelRunSpec
from flywheel.api.jobs import Jobs
from flywheel.api.model import Chance, Duration, PositiveDecimal, Share, Weight, duration_seconds
from flywheel.api.target import NimTarget, TritonTarget, VllmTarget

ROOT = Path(__file__).parents[3]
YAML_11_BOOLEANS = {"y", "Y", "yes", "Yes", "YES", "n", "N", "no", "No", "NO", "on", "On", "ON", "off", "Off", "OFF"}
CRDS = all_crds()
OPEN = "x-kubernetes-preserve-unknown-fields"
Schema = dict[str, Any]


def walk(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    yield path, schema
    for name, entry in schema.get("properties", {}).items():
        yield from walk(entry, f"{path}.{name}")
    if "items" in schema:
        yield from walk(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from walk(schema["additionalProperties"], f"{path}{{}}")


def part(name: str, section: str) -> Schema:
    return CRDS[name]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][section]


HUB = {"repo": "org/student", "revision": "c" * 40}
SECTIONS = [(name, section) for name in CRDS for section in ("spec", "status")]


@pytest.mark.parametrize("name", CRDS)
def test_committed_files_are_what_the_types_give(name: str) -> None:
    assert (ROOT / "crds" / name).read_text() == render(CRDS[name]), "run `make generate`"
    assert len(render(CRDS[name]).encode()) < 256 * 1024


def test_generation_is_the_same_in_another_process_and_drift_is_found(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "flywheel.api.crd", str(tmp_path)]
    env = {"PYTHONPATH": str(ROOT / "operator"), "PYTHONHASHSEED": "7"}
    subprocess.run(command, env=env, check=True)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        name: render(crd) for name, crd in CRDS.items()
    }
    changed = tmp_path / "curricula.yaml"
    changed.write_text(changed.read_text().replace("Namespaced", "Cluster"))
    found = subprocess.run([*command, "--check"], env=env, check=False, capture_output=True, text=True)
    assert found.returncode == 1 and "make generate" in found.stderr
    assert "Cluster" in changed.read_text(), "a check writes nothing"


@pytest.mark.parametrize(("name", "section"), SECTIONS)
def test_every_field_has_a_type_and_a_description(name: str, section: str) -> None:
    for path, schema in walk(part(name, section)):
        assert "type" in schema or schema.get("x-kubernetes-int-or-string"), path
        assert not {"$ref", "allOf", "oneOf", "title", "const", "definitions"} & set(schema), path
        assert "anyOf" not in schema or schema.get("x-kubernetes-int-or-string"), path
        if not path.endswith(("[]", "{}")):
            assert schema.get("description", "").strip().endswith((".", "?")), path


@pytest.mark.parametrize(("name", "section"), SECTIONS)
def test_every_list_string_and_map_has_a_maximum(name: str, section: str) -> None:
    for path, schema in walk(part(name, section)):
        kind = schema.get("type")
        if kind == "string" and "enum" not in schema and schema.get("format") != "date-time":
            assert "maxLength" in schema, path
        if kind == "array":
            assert "maxItems" in schema, path
            assert "x-kubernetes-list-type" in schema or schema["items"]["type"] == "string", path
        if "additionalProperties" in schema:
            assert "maxProperties" in schema, path
        if kind == "object" and not schema.get(OPEN):
            assert "properties" in schema or "additionalProperties" in schema, path


@pytest.mark.parametrize(("name", "section"), SECTIONS)
def test_lists_that_merge_by_keys_have_required_keys(name: str, section: str) -> None:
    for path, schema in walk(part(name, section)):
        for key in schema.get("x-kubernetes-list-map-keys", []):
            item = schema["items"]
            assert key in item["required"] or "default" in item["properties"][key], path


@pytest.mark.parametrize("name", CRDS)
def test_no_name_is_a_boolean_in_yaml(name: str) -> None:
    for path, schema in walk(part(name, "spec")):
        assert not set(schema.get("properties", {})) & YAML_11_BOOLEANS, path
        assert not set(schema.get("enum", [])) & YAML_11_BOOLEANS, path
    assert yaml.safe_load(render(CRDS[name])) == CRDS[name]


@pytest.mark.parametrize("name", CRDS)
def test_columns_name_fields_that_exist(name: str) -> None:
    version = CRDS[name]["spec"]["versions"][0]
    known = {path for path, _ in walk(version["schema"]["openAPIV3Schema"])}
    for column in version["additionalPrinterColumns"]:
        path = column["jsonPath"].split("[?")[0]
        assert path in known or path == ".metadata.creationTimestamp", column


def test_defaults_are_legal() -> None:
    for name in CRDS:
        for path, schema in walk(part(name, "spec")):
            if "default" in schema:
                Draft4Validator(schema).validate(schema["default"])
                assert schema["default"] is not None, path


def test_what_may_not_change_says_so() -> None:
    fields = {path for name in CRDS for path, schema in walk(part(name, "spec"), name) if _immutable(schema)}
    assert fields == {
        "curricula.yaml.pools",
        "curricula.yaml.workspace",
        "flywheelruns.yaml.curriculumRef",
        "flywheelruns.yaml.student.model",
        "flywheelruns.yaml.training.method",
        "flywheelruns.yaml.seed",
        "flywheelruns.yaml.control",
        *(
            f"adapterdeployments.yaml.target.{server}.{field}"
            for server, fields in {
                "triton": ("serviceRef", "port", "metricsPort", "model", "repository", "backend", "mountPath"),
                "vllm": ("serviceRef", "port", "model", "baseModel", "store", "drain", "mountPath"),
                "nim": ("serviceRef", "port", "model", "baseModel", "store", "drain", "refresh"),
            }.items()
            for field in fields
        ),
    }


@pytest.mark.parametrize(
    "tls",
    [
        {},
        {"serverName": ""},
        {"serverName": "10.0.0.7:8001"},
        {"serverName": "*.review.svc"},
        {"serverName": "x" * 254},
        {"serverName": "a", "caBundleRef": {"name": "c", "key": "../x"}},
    ],
)
def test_tls_without_a_name_to_check_is_no_tls(tls: dict[str, Any]) -> None:
    server = {"serviceRef": {"name": "s"}, "model": "m", "repository": {"persistentVolumeClaim": {"claimName": "c"}}}
    target = part("adapterdeployments.yaml", "spec")["properties"]["target"]["properties"]
    for kind, model in (("triton", TritonTarget), ("vllm", VllmTarget), ("nim", NimTarget)):
        assert not Draft4Validator(target[kind]["properties"]["tls"]).is_valid(tls)
        held = server if kind == "triton" else {**server, "store": server["repository"], "baseModel": "b"}
        held = {name: value for name, value in held.items() if kind == "triton" or name != "repository"}
        assert model.model_validate(held | {"tls": {"serverName": "triton.review.svc"}}).tls is not None
        with pytest.raises(ValidationError):
            model.model_validate(held | {"tls": tls})


def _immutable(schema: Schema) -> bool:
    return any(entry["rule"] == "self == oldSelf" for entry in schema.get("x-kubernetes-validations", []))


def test_an_untyped_field_is_refused() -> None:
    class Untyped(BaseModel):
        entries: list[Any]

    with pytest.raises(ValueError, match="have no type"):
        structural(Untyped)


# What the API server refuses must be refused without one too, and the other way round.
SCALARS: list[tuple[Any, str, list[str], list[str]]] = [
    (
        Duration,
        "Duration",
        ["90s", "15m", "1h30m", "12h", "99999h"],
        ["0s", "00m", "1", "s", "5x", "1m1h", "", "1h-5m"],
    ),
    (Share, "Share", ["0", "1", "0.5", "1.0", "0.123456"], ["1.1", "-0.1", "2", "x", ""]),
    (Chance, "Chance", ["0.05", "0.000001", "0.9"], ["0", "1", "0.0", "1.0", "-0.1", "x"]),
    (PositiveDecimal, "PositiveDecimal", ["1e-4", "3e-3", "0.0003", "5", "12.5"], ["0", "0.0", "-1", "x", "0e5"]),
    (Weight, "Weight", ["1", "1.5", "20", "99.999999", "100", "100.0"], ["0.9", "0", "100.1", "101", "1e1", "-2", "x"]),
]


@pytest.mark.parametrize(("kind", "good", "bad"), [(kind, good, bad) for kind, _, good, bad in SCALARS])
def test_scalars_agree(kind: Any, good: list[str], bad: list[str]) -> None:
    adapter = TypeAdapter(kind)
    schema = Draft4Validator(adapter.json_schema())
    for text in good:
        adapter.validate_python(text)
        assert schema.is_valid(text), text
    for text in bad:
        with pytest.raises(ValidationError):
            adapter.validate_python(text)
        assert not schema.is_valid(text), text


@pytest.mark.parametrize("text", ["90s", "15m", "1h30m", "99999h99999s", "999999999s"])
def test_a_timeout_fits_into_a_pods_deadline(text: str) -> None:
    TypeAdapter(Duration).validate_python(text)
    assert 0 < duration_seconds(text) < 2**31


def test_durations_in_seconds() -> None:
    assert [duration_seconds(text) for text in ("90s", "15m", "1h30m", "2h5s")] == [90, 900, 5400, 7205]
    for text in ("", "0s", "15"):
        with pytest.raises(ValueError, match="not a duration"):
            duration_seconds(text)


def test_rules_that_cel_checks_hold_without_an_api_server() -> None:
    for training in ({}, {"epochs": 1, "maxSteps": 5}):
        with pytest.raises(ValidationError, match="exactly one of epochs and maxSteps"):
            FlywheelRunSpec.model_validate(run_spec() | {"training": training})
    for model in ({}, {"hub": HUB, "persistentVolumeClaim": {"claimName": "c", "path": "p"}}):
        with pytest.raises(ValidationError, match="exactly one of persistentVolumeClaim and hub"):
            FlywheelRunSpec.model_validate(run_spec() | {"student": {"model": model}})
    for wrong in (
        {"revision": "main"},
        {"revision": "c" * 39},
        {"repo": "../etc"},
        {"repo": "a/b/c"},
        {"repo": "a/.."},
    ):
        with pytest.raises(ValidationError):
            FlywheelRunSpec.model_validate(run_spec() | {"student": {"model": {"hub": HUB | wrong}}})
    FlywheelRunSpec.model_validate(run_spec() | {"student": {"model": {"hub": HUB}}})
    with pytest.raises(ValidationError, match="leave out control or deploymentRef"):
        FlywheelRunSpec.model_validate(run_spec() | {"control": True, "deploymentRef": {"name": "severity"}})
    for legal in ({"control": True}, {"control": False, "deploymentRef": {"name": "severity"}}):
        FlywheelRunSpec.model_validate(run_spec() | legal)
    with pytest.raises(ValidationError, match="belong to the operator"):
        Jobs.model_validate({"defaults": {"env": [{"name": "FLYWHEEL_REQUEST", "value": "{}"}]}})
    rules = [
        entry["rule"]
        for _, schema in walk(part("flywheelruns.yaml", "spec"))
        for entry in schema.get("x-kubernetes-validations", [])
    ]
    assert "has(self.epochs) != has(self.maxSteps)" in rules
    assert "!self.name.startsWith('FLYWHEEL_')" in rules


@pytest.mark.parametrize(("name", "value"), [("curricula.yaml", curriculum_spec()), ("flywheelruns.yaml", run_spec())])
def test_specs_of_these_tests_are_legal(name: str, value: Schema) -> None:
    Draft4Validator(part(name, "spec")).validate(value)
