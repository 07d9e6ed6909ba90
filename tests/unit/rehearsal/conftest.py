"""The rehearsal teacher's own modules: it is an example, not a part of the package."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    monkeypatch.syspath_prepend(ROOT / "examples/rehearsal-teacher")
    return importlib.import_module


@pytest.fixture
def stock() -> Path:
    return Path(__file__).with_name("stock.jsonl")


@pytest.fixture
def prompts() -> Callable[..., str]:
    """Prompts as the product renders them."""
    from flywheel.teacher.prompts import load_prompt

    task: dict[str, Any] = {
        "instructions": "Rate the severity.",
        "input_schema": {"type": "object"},
        "output_schema": {"type": "object"},
        "label_path": "issue_type",
        "labels": ["critical", "major", "minor", "trivial"],
        "label": "major",
        "count": 5,
        "seeds": [],
        "previous": None,
        "findings": {},
        "figures": {},
        "answers": [],
        "questions": [],
    }

    def render(name: str, mark: str = "0123456789abcdef", **changes: Any) -> str:
        return load_prompt(name).render({**task, **changes}, mark)

    return render
