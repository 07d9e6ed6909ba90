"""The stand-in as a judge: of two answers it prefers the one that shares more words with the reference.

A rule that anyone can check, and no judgement. The knobs make it judge as bad judges do.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from knobs import Knobs
from reading import texts

_CLOSE = 0.02


def verdict(data: dict[str, Any], knobs: Knobs, draw: str) -> dict[str, Any]:
    """Which answer, and why."""
    first, second = str(data["answer-A"]), str(data["answer-B"])
    if knobs.turned("judgeMute", draw):
        return {"reason": "I would rather not say.", "preferred": "neither of them"}
    if knobs.turned("judgeFirst", draw):
        return {"reason": "It stands first.", "preferred": "A"}
    if knobs.turned("judgeLonger", draw):
        return _said(len(first), len(second), "length")
    if knobs.turned("judgeCoin", draw):
        side = hashlib.sha256(f"coin {draw}".encode()).digest()[0] % 2
        return {"reason": "A coin was tossed.", "preferred": "AB"[side]}
    wanted = " ".join(texts(data.get("reference") or data["question"]))
    return _said(alike(first, wanted), alike(second, wanted), "words of the reference")


def alike(one: str, other: str) -> float:
    """Share of words in common: twice the common ones over all (F1)."""
    mine, theirs = (set(re.findall(r"[a-z]{3,}", text.lower())) for text in (one, other))
    return 2 * len(mine & theirs) / (len(mine) + len(theirs)) if mine or theirs else 0.0


def _said(first: float, second: float, measure: str) -> dict[str, Any]:
    if abs(first - second) <= _CLOSE:
        return {"reason": f"Both are alike in {measure}.", "preferred": "tie"}
    return {"reason": f"It has more in {measure}.", "preferred": "A" if first > second else "B"}
