"""The locks of the ML images are one set: installed one over the other, so a package may be pinned once only."""

from __future__ import annotations

import re
from pathlib import Path

IMAGES = Path(__file__).parents[3] / "images"
LOCKS = [*sorted(IMAGES.glob("*/requirements.lock")), IMAGES / "tests.lock"]


def pins(lock: Path) -> dict[str, str]:
    lines = [line for line in lock.read_text().splitlines() if line and not line.startswith("#")]
    found = [re.fullmatch(r"([a-z0-9-]+)==([^ ;]+)", line) for line in lines]
    assert all(found), f"{lock}: every line is name==version, names normalised"
    return {match[1]: match[2] for match in found if match}


def test_no_package_is_pinned_in_two_locks() -> None:
    owners: dict[str, list[str]] = {}
    for lock in LOCKS:
        for name in pins(lock):
            owners.setdefault(name, []).append(str(lock.relative_to(IMAGES)))
    assert len(owners) > 100
    assert {name: locks for name, locks in owners.items() if len(locks) > 1} == {}


def test_what_serving_and_nemo_need_is_kept() -> None:
    pinned = {name: version for lock in LOCKS for name, version in pins(lock).items()}
    assert pinned["torch"] == "2.13.0"
    assert pinned["numpy"].startswith("1.26."), "NumPy 2 kills Triton's Python backend"
    assert pinned["nemo-toolkit"] == "2.5.3", "the last version that trains Hugging Face models with llm.finetune"
    assert pinned["triton"] == "3.7.1"
