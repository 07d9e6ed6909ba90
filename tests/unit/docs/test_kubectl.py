"""kubectl commands and YAML of the documents name kinds, fields and conditions that the CRDs have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, get_args

import pytest
import yaml
from shell_blocks import ROOT, blocks, commands, documents, simple_commands

from flywheel.api.conditions import ConditionType
from flywheel.api.crd import all_crds
from flywheel.controller import labels

Schema = dict[str, Any]
VERBS = {
    "annotate", "api-resources", "apply", "create", "delete", "describe", "exec", "explain", "flywheel", "get",
    "kustomize", "label", "logs", "patch", "port-forward", "rollout", "wait",
}  # fmt: skip
OTHERS = {
    "configmap", "deployment", "endpointslices", "events", "job", "jobs", "lease", "namespace", "pod", "pods", "pvc",
    "secret", "service", "application", "workloads",
}  # fmt: skip
OTHER_LABELS = ("app.kubernetes.io/", "kubernetes.io/service-name")
SECRET_KEYS = {"apiKey", "hosts", "hubToken", "header", "value", "accessKeyId", "secretAccessKey"}
VALUED = {"-n", "--namespace", "-f", "-o", "-l", "-p", "--type", "-c", "--timeout", "-k"}


def schemas() -> dict[str, Schema]:
    """Every name of a kind to the schema of its objects."""
    found: dict[str, Schema] = {}
    for crd in all_crds().values():
        names = crd["spec"]["names"]
        schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        for name in (names["kind"], names["plural"], names["singular"], *names["shortNames"]):
            found[name] = schema
    return found


KINDS = schemas()
KUBECTL = [
    arguments
    for text in commands().values()
    for program, *arguments in simple_commands(text)
    if program == "kubectl" and arguments[0] != "flywheel"
]


def options(arguments: list[str], *names: str) -> list[str]:
    """Values of an option, in either spelling."""
    found = [value for option, value in pairwise(arguments) if option in names]
    return found + [word.partition("=")[2] for word in arguments if word.partition("=")[0] in names and "=" in word]


def plain(arguments: list[str]) -> list[str]:
    """Words that are no options: the verb, then what it is about."""
    found, skip = list[str](), False
    for word in arguments:
        if word == "--":
            break
        if not skip and not word.startswith("-"):
            found.append(word)
        skip = word in VALUED
    return found


def step(schema: Schema, name: str) -> Schema | None:
    """The schema of a field; anything below a free map or a list's place is there."""
    if "items" in schema and (name == "-" or name.isdecimal()):
        return schema["items"]
    schema = schema.get("items", schema)
    if name in schema.get("properties", {}):
        return schema["properties"][name]
    if schema.get("x-kubernetes-preserve-unknown-fields") or (
        schema.get("type") == "object" and "properties" not in schema
    ):
        free = schema.get("additionalProperties")
        return free if isinstance(free, dict) else {"type": "object"}
    return None


def has(schema: Schema | None, path: list[str]) -> bool:
    """Whether a path of fields is there."""
    for name in path:
        schema = step(schema, name) if schema is not None else None
    return schema is not None


def takes(schema: Schema, value: object) -> bool:
    """Whether a value has no field that the schema lacks, and no word that is none of its own."""
    if isinstance(value, dict):
        below = [(step(schema, str(name)), entry) for name, entry in value.items()]
        return all(found is not None and takes(found, entry) for found, entry in below)
    if isinstance(value, list):
        return "items" in schema and all(takes(schema["items"], entry) for entry in value)
    return value in schema.get("enum", [value])


@pytest.mark.parametrize("arguments", KUBECTL, ids=" ".join)
def test_kubectl_names_what_exists(arguments: list[str]) -> None:
    """Verbs, kinds, fields of patches and JSON paths, conditions, labels, and keys of Secrets."""
    verb, *about = plain(arguments)
    assert verb in VERBS
    kinds: list[str] = []
    if verb in ("get", "describe", "wait", "patch", "delete", "label") and about:
        kinds = about[0].split("/")[0].split(",")
        assert [kind for kind in kinds if kind not in KINDS and kind not in OTHERS] == []
    if verb == "explain":
        kind, *path = about[0].split(".")
        assert has(KINDS[kind], path)
    for file in options(arguments, "-f"):
        if file.endswith((".yaml", ".yml")) and (ROOT / file).exists():
            kinds = [yaml.safe_load((ROOT / file).read_text().split("\n---")[0])["kind"]]
    ours = KINDS.get(kinds[0]) if kinds else None
    if ours is not None:
        inside: list[str] = []
        for ranges, path in re.findall(r"\{(range )?\.([^}]*)\}", " ".join(options(arguments, "-o", "--for"))):
            fields = [*inside, *re.sub(r"\[[^\]]*\]", "", path).split(".")]
            assert has(ours, fields), path
            inside = fields if ranges else inside
        for patch in options(arguments, "-p"):
            told = json.loads(patch)
            if isinstance(told, dict):
                assert takes(ours, told)
            else:
                assert [op for op in told if not has(ours, op["path"].split("/")[1:])] == []
        for condition in options(arguments, "--for"):
            assert not condition.startswith("condition=") or condition.split("=")[1] in get_args(ConditionType)
    for literal in options(arguments, "--from-literal"):
        assert literal.partition("=")[0] in SECRET_KEYS
    for label in options(arguments, "-l"):
        assert label.partition("=")[0] in vars(labels).values() or label.startswith(OTHER_LABELS)


def documented() -> Iterator[tuple[str, str]]:
    """Every YAML block of the documents."""
    for name in documents():
        for text in blocks(name, "yaml"):
            yield name, text


def places(schema: Schema) -> Iterator[Schema]:
    """An object and everything in it."""
    yield schema
    for below in (*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])):
        yield from places(below)


@pytest.mark.parametrize(("name", "text"), list(documented()), ids=lambda text: text.strip()[:30])
def test_yaml_has_fields_that_exist(name: str, text: str) -> None:
    """A resource of ours by its kind, a part of one anywhere in them; a part of a pod is not ours."""
    if text.strip().startswith("initContainers:"):
        return
    for part in yaml.safe_load_all(text):
        if isinstance(part, dict) and "kind" in part:
            if part["kind"] in KINDS:
                assert takes(KINDS[part["kind"]], part)
        else:
            assert any(takes(place, part) for kind in KINDS.values() for place in places(kind)), name
