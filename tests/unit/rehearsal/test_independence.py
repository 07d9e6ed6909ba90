"""What the stand-in teaches from is in no pool of the example's Curriculum, and it knows none of the product's code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from flywheel.api.curriculum import Curriculum
from flywheel.data.normalise import question_id
from flywheel.data.pools import POOLS, Thresholds
from flywheel.data.schemas import TaskSchemas

EXAMPLES = Path(__file__).parents[3] / "examples"


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def curriculum(example: str) -> Curriculum:
    return Curriculum.model_validate(yaml.safe_load((EXAMPLES / example / "curriculum.yaml").read_text()))


# Each example with the stock that the stand-in teaches it from.
STOCKS = [
    ("code-review", "rehearsal-teacher/teacher.jsonl"),
    ("code-review-explained", "code-review-explained/teacher.jsonl"),
]


@pytest.mark.parametrize(("example", "taught_from"), STOCKS)
def test_no_group_of_the_teacher_is_in_any_pool(example: str, taught_from: str) -> None:
    spec = curriculum(example).spec
    ratios = {pool: getattr(spec.pools.ratios, pool) for pool in POOLS}
    thresholds = Thresholds(spec.pools.key, ratios)
    stock = read(EXAMPLES / taught_from)
    groups: dict[str, set[str]] = {pool: set() for pool in POOLS}
    questions: set[str] = set()
    for source in spec.sources:
        for line in read(EXAMPLES / example / source.dataset.path):
            groups[thresholds.pool(line[source.group])].add(line[source.group])
            questions.add(question_id(line["input"]))
        taught = {line[source.group] for line in stock}
        assert len(taught) > 10
        assert all(groups.values()), "every pool has a group"
        assert not taught & set().union(*groups.values())
    assert not questions & {question_id(line["input"]) for line in stock}


@pytest.mark.parametrize(("example", "taught_from"), STOCKS)
def test_what_it_teaches_fits_the_task(example: str, taught_from: str) -> None:
    schemas = TaskSchemas(curriculum(example).spec.task)
    stock = read(EXAMPLES / taught_from)
    assert not [line["id"] for line in stock if schemas.fault(line["input"], line["output"]) is not None]


def test_it_imports_nothing_of_the_product() -> None:
    sources = [path.read_text() for path in (EXAMPLES / "rehearsal-teacher").glob("*.py")]
    assert len(sources) == 8
    assert not any("flywheel" in source for source in sources)
