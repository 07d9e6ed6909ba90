"""A source is one thing at one place, and a repository has no labels: said where it is written."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from flywheel.api.crd import all_crds
from flywheel.api.curriculum import Source

FILE = {"name": "s", "truth": "Human", "group": "package", "dataset": {"path": "a.jsonl"}}
KEY = FILE | {"dataset": {"configMap": {"name": "labelled", "key": "items.jsonl"}}}
PLACE = {"endpoint": "https://s3.example.com", "bucket": "labelled", "key": "items.jsonl", "secretRef": {"name": "s3"}}
OBJECT = FILE | {"dataset": {"s3": PLACE}}
CODE = {"name": "s", "truth": "Teacher", "group": "file", "repository": {"path": "code", "include": ["src/*"]}}
CLAIM = CODE | {"repository": {"path": "code", "persistentVolumeClaim": {"claimName": "checkout"}}}


@pytest.mark.parametrize("source", [FILE, KEY, OBJECT, CODE, CLAIM, CODE | {"group": "repository"}])
def test_good(source: dict[str, Any]) -> None:
    read = Source.model_validate(source)
    assert Source.model_validate(read.to_json_object()) == read


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({**FILE, "repository": CODE["repository"]}, "dataset or repository"),
        ({"name": "s", "truth": "Human", "group": "package"}, "dataset or repository"),
        ({**FILE, "dataset": {}}, "path, configMap or s3"),
        ({**FILE, "dataset": {**FILE["dataset"], **KEY["dataset"]}}, "path, configMap or s3"),
        ({**FILE, "dataset": {**OBJECT["dataset"], **KEY["dataset"]}}, "path, configMap or s3"),
        ({**FILE, "dataset": {"s3": {**OBJECT["dataset"]["s3"], "key": "../items.jsonl"}}}, "pattern"),
        ({**CODE, "truth": "Human"}, "no labels"),
        ({**CODE, "group": "package"}, "no labels"),
        ({**CODE, "maxRejected": 1}, "no labels"),
        ({**FILE, "truth": "Feedback"}, "RequestLog"),
        ({**CODE, "repository": {"path": "../code"}}, "pattern"),
        ({**CODE, "repository": {"path": "code", "include": ["*"] * 2}}, "two entries"),
    ],
)
def test_bad(source: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Source.model_validate(source)


def test_the_api_server_is_told_the_same() -> None:
    spec = all_crds()["curricula.yaml"]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    source = spec["properties"]["sources"]["items"]
    assert len(source["x-kubernetes-validations"]) == 3
    assert len(source["properties"]["dataset"]["x-kubernetes-validations"]) == 1
    assert set(source["required"]) == {"name", "truth", "group"}
