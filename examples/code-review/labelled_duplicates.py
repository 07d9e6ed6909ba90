"""A labelled set of duplicates made from real code, and how well the operator finds them at each threshold.

In two halves: bounds are chosen by the first, the second says whether they hold elsewhere.

    PYTHONPATH=operator python examples/code-review/labelled_duplicates.py

Positive: a unit of datasets/findings.jsonl (origin and licence: origin.csv) beside itself after a change of known kind.
Negative: every unit beside the unit of another package that is most like it. Packages are not copies of each other.
"""

import ast
import builtins
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from flywheel.data.near_duplicates import FEWEST_SHAPES, Known, Sketch, sketch

FINDINGS = Path(__file__).parent / "datasets" / "findings.jsonl"
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
SAMPLE = 500
_KEPT = {*dir(builtins), "self", "cls"}


class Renamed(ast.NodeTransformer):
    """Every name of a unit's own replaced, the same one by the same."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def _new(self, name: str) -> str:
        return name if name in _KEPT else self._names.setdefault(name, f"renamed_{len(self._names)}")

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self._new(node.id)
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.arg = self._new(node.arg)
        return self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.name = self._new(node.name)
        return self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        node.attr = self._new(node.attr)
        return self.generic_visit(node)


def variants(code: str) -> Iterator[tuple[str, str]]:
    """Kind and text of each change that the code can undergo."""
    yield "verbatim", code
    yield "indented", "\n".join("    " + line for line in code.split("\n"))
    if '"""' not in code and "\\\n" not in code:
        bare = re.sub(r"\s+#[^'\"\n]*$", "", code, flags=re.MULTILINE)
        yield "comments changed", re.sub(r"$", "  # what this line is for", bare, flags=re.MULTILINE)
    try:
        yield "reformatted", ast.unparse(ast.parse(code))
    except SyntaxError:  # a method's return, a loop's continue
        return
    yield "renamed", ast.unparse(Renamed().visit(ast.parse(code)))


def nearest_elsewhere(items: list[dict[str, object]], sketches: list[Sketch], floor: float) -> list[float]:
    """Similarity of each unit to the most similar one of another package; 0 where it is below `floor`."""
    by_package: dict[str, list[int]] = {}
    for place, item in enumerate(items):
        by_package.setdefault(str(item["package"]), []).append(place)
    found = [0.0] * len(items)
    known = Known(floor)
    for places in by_package.values():  # against the packages before: a pair is found at its later unit
        for place in places:
            near = known.nearest(sketches[place])
            found[place] = near[1] if near else 0.0
        for place in places:
            known.add(str(place), sketches[place])
    return found


def sample(items: list[dict[str, object]], count: int) -> list[dict[str, object]]:
    """The same items everywhere."""
    return sorted(items, key=lambda item: hashlib.sha256(str(item["id"]).encode()).digest())[:count]


def of_second_half(item: dict[str, object]) -> bool:
    """Which half an item belongs to, the same everywhere."""
    return hashlib.sha256(f"half{item['id']}".encode()).digest()[0] % 2 == 1


def similarities(items: list[dict[str, object]]) -> dict[str, list[float]]:
    """Per kind of change, how alike each unit and its variant are."""
    found: dict[str, list[float]] = {}
    for item in items:
        code = str(item["input"]["code"])  # type: ignore[index]
        own = sketch(code)
        for kind, text in variants(code):
            known = Known(THRESHOLDS[0])
            known.add("", sketch(text))
            near = known.nearest(own)
            found.setdefault(kind, []).append(near[1] if near else 0.0)
            if kind == "renamed" and own.shape:
                size = f"{FEWEST_SHAPES} shingles or more" if len(own.shape) >= FEWEST_SHAPES else "fewer"
                found.setdefault(f"renamed, {size}", []).append(found[kind][-1])
    return found


def main() -> None:
    items = [json.loads(line) for line in FINDINGS.read_text(encoding="utf-8").splitlines()]
    nearest = nearest_elsewhere(items, [sketch(item["input"]["code"]) for item in items], THRESHOLDS[0])
    for name, wanted in (("first", False), ("second", True)):
        half = [item for item in items if of_second_half(item) == wanted]
        negative = [found for item, found in zip(items, nearest, strict=True) if of_second_half(item) == wanted]
        report(name, similarities(sample(half, SAMPLE)), negative)


def report(name: str, positive: dict[str, list[float]], negative: list[float]) -> None:
    print(f"{f'recall by threshold, {name} half':<44}" + "".join(f"{threshold:>8}" for threshold in THRESHOLDS))
    for kind, found in sorted(positive.items()):
        shares = [sum(each >= threshold for each in found) / len(found) for threshold in THRESHOLDS]
        print(f"{kind + f' ({len(found)})':<44}" + "".join(f"{share:8.3f}" for share in shares))
    wrong = [sum(each >= threshold for each in negative) for threshold in THRESHOLDS]
    print(f"{f'unrelated taken for duplicates, of {len(negative)}':<44}" + "".join(f"{each:8}" for each in wrong))


if __name__ == "__main__":
    sys.exit(main())
