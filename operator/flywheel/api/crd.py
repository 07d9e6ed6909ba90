"""Generates crds/*.yaml from the pydantic types: structural schemas, CEL, columns. Run by `make generate`.

Must stay deterministic: equal types give equal bytes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import BaseModel

from flywheel.api.adapterdeployment import AdapterDeployment, AdapterDeploymentSpec, AdapterDeploymentStatus
from flywheel.api.curriculum import Curriculum, CurriculumSpec, CurriculumStatus
from flywheel.api.flywheelrun import FLYWHEELRUN_RULES, FlywheelRun, FlywheelRunSpec
from flywheel.api.flywheelrun_status import FlywheelRunStatus
from flywheel.api.generated import write_or_check

GROUP, VERSION = "flywheel.dev", "v1alpha1"
Schema = dict[str, Any]
# JSON Schema words that a structural schema keeps.
_KEPT = {
    "type", "description", "default", "enum", "pattern", "format", "required", "items", "properties", "minimum",
    "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "minItems", "maxItems",
    "minProperties", "maxProperties",
}  # fmt: skip


def structural(model: type[BaseModel]) -> Schema:
    """The structural OpenAPI v3 schema of a type: no $ref, no null, no title."""
    schema = model.model_json_schema(by_alias=True, mode="validation")
    definitions = cast("dict[str, Schema]", schema.pop("$defs", {}))
    return _structural(schema, definitions)


def _structural(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    schema = _resolved(schema, definitions)
    if schema.get("x-kubernetes-int-or-string"):
        return {
            key: schema[key]
            for key in ("x-kubernetes-int-or-string", "anyOf", "minimum", "pattern", "maxLength", "description")
            if key in schema
        }
    if "const" in schema:
        schema["enum"] = [schema.pop("const")]
    if schema.get("type") == "array" and "type" not in _resolved(cast(Schema, schema.get("items", {})), definitions):
        raise ValueError(f"items of {schema} have no type")
    out: Schema = {key: value for key, value in schema.items() if key in _KEPT or key.startswith("x-kubernetes-")}
    for bound in ("minimum", "maximum"):  # OpenAPI v3.0 as Kubernetes reads it: a number and a flag
        exclusive = "exclusive" + bound.capitalize()
        if exclusive in out:
            out[bound], out[exclusive] = out[exclusive], True
    if "properties" in out:
        properties = cast("dict[str, Schema]", out["properties"])
        out["properties"] = {name: _structural(entry, definitions) for name, entry in properties.items()}
        out["type"] = "object"
    elif isinstance(schema.get("additionalProperties"), dict):
        out["additionalProperties"] = _structural(cast(Schema, schema["additionalProperties"]), definitions)
        longest = cast(Schema, schema.get("propertyNames", {})).get("maxLength")
        if longest is not None:  # a structural schema says nothing of names
            words = f"a name has more than {longest} characters"
            out["x-kubernetes-validations"] = [{"rule": f"self.all(name, size(name) <= {longest})", "message": words}]
    if "items" in out:
        out["items"] = _structural(cast(Schema, out["items"]), definitions)
    if out.get("default") is None:
        out.pop("default", None)
    return out


def _resolved(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """Follow $ref and drop null: what stands beside them (description, default, rules) wins."""
    schema = dict(schema)
    options = [entry for entry in cast("list[Schema]", schema.get("anyOf", [])) if entry.get("type") != "null"]
    if len(options) == 1 and "x-kubernetes-int-or-string" not in schema:
        del schema["anyOf"]
        schema = _resolved(options[0], definitions) | schema
    if "$ref" in schema:
        name = cast(str, schema.pop("$ref")).rsplit("/", 1)[-1]
        base = _resolved(definitions[name], definitions)
        both = [cast("list[Any]", part.get("x-kubernetes-validations", [])) for part in (base, schema)]
        schema = base | schema
        if any(both):
            schema["x-kubernetes-validations"] = both[0] + both[1]
    return schema


def _column(name: str, path: str, description: str, kind: str = "string", priority: int = 0) -> Schema:
    entry: Schema = {"name": name, "type": kind, "jsonPath": path, "description": description}
    if priority:
        entry["priority"] = priority
    return entry


def _condition(kind: str, field: str) -> str:
    return f'.status.conditions[?(@.type=="{kind}")].{field}'


_READY = [
    _column("Ready", _condition("Ready", "status"), "Whether it is ready."),
    _column("Reason", _condition("Ready", "reason"), "Why it is in this state."),
]
_AGE = [_column("Age", ".metadata.creationTimestamp", "Time since creation.", "date")]
_MESSAGE = [_column("Message", _condition("Ready", "message"), "What happened and what to do.", priority=1)]

_COLUMNS: dict[str, list[Schema]] = {
    "Curriculum": [
        _column("Items", ".status.items", "Items in all pools.", "integer"),
        _column("Revision", ".status.revision.name", "The newest prepared revision."),
        *_READY,
        *_AGE,
        *_MESSAGE,
    ],
    "FlywheelRun": [
        _column("Iteration", ".status.iteration", "Iteration at work.", "integer"),
        _column("Step", ".status.step", "Step at work."),
        _column("Proficiency", ".status.proficiency", "The teacher's newest grade, 1 to 10.", "integer"),
        _column("Validation", ".status.validation.accuracy", "Newest balanced accuracy on held-out data."),
        _column("Best", ".status.best.accuracy", "Best balanced accuracy on held-out data."),
        *_READY,
        *_AGE,
        _column("Exam", ".status.examAccuracy", "Newest accuracy on the teacher's exam.", priority=1),
        _column("Inflation", ".status.inflationGap.gap", "Exam by the teacher's key minus anchors.", priority=1),
        _column("Test", ".status.test.accuracy", "Accuracy of the last candidate on the test pool.", priority=1),
        _column("Candidate", ".status.candidate.iteration", "Iteration of the newest candidate.", "integer", 1),
        _column("Tokens", ".status.usage.teacherTokens", "Teacher tokens paid.", "integer", 1),
        _column("Control", ".spec.control", "Whether it is trained on seed items only.", "boolean", 1),
        _column("Progress", ".status.progress.line", "Newest progress line of the running step.", priority=1),
        *_MESSAGE,
    ],
    "AdapterDeployment": [
        _column("Run", ".status.serving.run", "The run whose adapter serves."),
        _column("Iteration", ".status.serving.iteration", "The iteration that trained it.", "integer"),
        _column("Step", ".status.step", "What is being done."),
        *_READY,
        *_AGE,
        _column("Digest", ".status.serving.digest", "Digest of the adapter that serves.", priority=1),
        *_MESSAGE,
    ],
}


def _crd(
    kind: type[BaseModel], spec: type[BaseModel], status: type[BaseModel], plural: str, short: str, rules: list[Schema]
) -> Schema:
    name = kind.__name__
    root: Schema = {
        "type": "object",
        "description": (kind.__doc__ or "").strip(),
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": "Version of this representation: flywheel.dev/v1alpha1."},
            "kind": {"type": "string", "description": f"{name}."},
            "metadata": {"type": "object"},
            "spec": structural(spec) | {"description": (spec.__doc__ or "").strip()},
            "status": structural(status) | {"description": (status.__doc__ or "").strip()},
        },
    }
    if rules:
        root["x-kubernetes-validations"] = rules
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}", "labels": {"app.kubernetes.io/part-of": "flywheel"}},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": name, "listKind": f"{name}List", "plural": plural, "singular": name.lower(),
                "shortNames": [short], "categories": ["flywheel"],
            },
            "versions": [
                {
                    "name": VERSION, "served": True, "storage": True, "subresources": {"status": {}},
                    "additionalPrinterColumns": _COLUMNS[name], "schema": {"openAPIV3Schema": root},
                }
            ],
        },
    }  # fmt: skip


def all_crds() -> dict[str, Schema]:
    """File name to CustomResourceDefinition."""
    run_rules = [dict(rule) for rule in FLYWHEELRUN_RULES]
    return {
        "curricula.yaml": _crd(Curriculum, CurriculumSpec, CurriculumStatus, "curricula", "curr", []),
        "flywheelruns.yaml": _crd(FlywheelRun, FlywheelRunSpec, FlywheelRunStatus, "flywheelruns", "fwr", run_rules),
        "adapterdeployments.yaml": _crd(
            AdapterDeployment, AdapterDeploymentSpec, AdapterDeploymentStatus, "adapterdeployments", "adep", []
        ),
    }


def render(crd: Schema) -> str:
    """YAML text of a CRD, with its keys in the order of the types."""
    text = yaml.safe_dump(crd, sort_keys=False, width=120, allow_unicode=True)
    return "# Generated by `make generate` from operator/flywheel/api. Do not edit.\n" + text


def main() -> None:
    """Write every CRD into the folders given, or fail with --check when a file would change."""
    folders, check = [Path(each) for each in sys.argv[1:] if each != "--check"], "--check" in sys.argv
    made = {folder / name: render(crd) for name, crd in all_crds().items() for folder in folders}
    write_or_check(made, "operator/flywheel/api", check=check)


if __name__ == "__main__":
    main()
