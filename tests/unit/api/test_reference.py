"""docs/api has every field of every CRD, and says when each may change."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from flywheel.api.crd import all_crds
from flywheel.api.reference import pages

PAGES = pages()


def rows(page: str) -> dict[str, list[str]]:
    """Path of each field of a page to the cells of its row."""
    found: dict[str, list[str]] = {}
    section = ""
    for line in page.splitlines():
        if line.startswith("##"):
            section = line.split(" ", 1)[1]
        elif line.startswith("| `"):
            cells = re.split(r"(?<!\\) \| ", line.removeprefix("| ").removesuffix(" |"))
            found[f"{section}.{cells[0].strip('`')}"] = cells
    return found


def fields(schema: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Name and description of all fields of an object and of those below."""
    for name, entry in schema.get("properties", {}).items():
        yield name, " ".join(entry.get("description", "").split()).replace("|", "\\|")
        yield from fields(entry)
    for below in ("items", "additionalProperties"):
        if isinstance(schema.get(below), dict):
            yield from fields(schema[below])


@pytest.mark.parametrize("crd", all_crds().values(), ids=lambda crd: crd["spec"]["names"]["kind"])
def test_every_field_has_a_row(crd: dict[str, Any]) -> None:
    """With its description: its own row, or, where an object has one field alone, that object's."""
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    own, alone = set[tuple[str, str]](), set[str]()
    for cells in rows(PAGES[f"{crd['spec']['names']['singular']}.md"]).values():
        own.add((cells[0].strip("`"), cells[2]))
        alone.update(re.findall(r"^`{(\w+)}`$", cells[1]))
    wanted = {field for part in ("spec", "status") for field in fields(schema[part])}
    assert len(wanted) > 50
    missing = [
        (name, words)
        for name, words in sorted(wanted)
        if name not in alone and not any(name == row and cell.startswith(words) for row, cell in own)
    ]
    assert missing == []


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("spec.curriculumRef", "never"),
        ("spec.student.model.persistentVolumeClaim", "never"),
        ("spec.training.maxSteps", "until iteration 1"),
        ("spec.teacher.model", "until iteration 1"),
        ("spec.teacher.limits.concurrency", "yes"),
        ("spec.evaluation.judge.items", "until iteration 1"),
        ("spec.stop.maxIterations", "yes"),
    ],
)
def test_when_a_field_may_change(path: str, change: str) -> None:
    """What the rules of the CRD say; tests/apiserver/test_crds.py asks an API server."""
    assert rows(PAGES["flywheelrun.md"])[path][4] == change
