"""Logical units of Python code: the largest whole statement around a line that is short enough.

Knows syntax trees. Knows nothing of findings' meaning.
"""

import ast
import textwrap
import warnings
from collections import defaultdict
from dataclasses import dataclass

MAX_CHARS = 420  # with the review about 200 tokens of the student; longer units are left out, never cut
MIN_CHARS = 25
NAME_CHARS = 40


@dataclass(frozen=True)
class Unit:
    code: str
    first: int
    last: int
    name: str | None  # of the function or class, where the unit is one


class Module:
    """One parsed file."""

    def __init__(self, text: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in other people's strings
            self._tree = ast.parse(text)
        self._lines = text.split("\n")
        self._calls: dict[int, list[ast.Call]] = defaultdict(list)
        self._units: dict[int, Unit] = {}
        units: list[Unit] = []
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Call):
                self._calls[node.lineno].append(node)
            elif isinstance(node, ast.stmt) and _last(node) - _first(node) < MAX_CHARS // 5:
                unit = self._unit(node)
                if unit and MIN_CHARS <= len(unit.code) <= MAX_CHARS:
                    units.append(unit)
        for unit in sorted(units, key=lambda unit: (len(unit.code), -unit.first)):
            self._units.update(dict.fromkeys(range(unit.first, unit.last + 1), unit))  # larger ones come later

    def unit(self, line: int) -> Unit | None:
        """The largest fitting unit around the line."""
        return self._units.get(line)

    def call(self, line: int, column: int) -> str | None:
        """The dotted name of what is called at the position, or else first on the line."""
        here = sorted(
            self._calls[line],
            key=lambda node: (node.col_offset != column, node.col_offset, -(node.end_col_offset or 0)),
        )
        name = ast.unparse(here[0].func) if here else ""
        return name if name.replace(".", "").isidentifier() and len(name) <= NAME_CHARS else None

    def _unit(self, node: ast.stmt) -> Unit | None:
        first, last = _first(node), _last(node)
        head = self._lines[first - 1]
        column = min([node.col_offset, *(d.col_offset - 1 for d in _decorators(node))])
        starts_line = not head.encode()[:column].strip() and not head.lstrip().startswith(("elif", "else"))
        rest = self._lines[last - 1].encode()[node.end_col_offset :].strip()
        if not starts_line or (rest and not rest.startswith(b"#")):
            return None
        code = textwrap.dedent("\n".join(line.rstrip() for line in self._lines[first - 1 : last]))
        if code[0].isspace():  # a string inside reaches further left, so the unit does not stand alone
            return None
        named = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        return Unit(code, first, last, node.name if named else None)


def _decorators(node: ast.stmt) -> list[ast.expr]:
    named = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    return node.decorator_list if named else []


def _first(node: ast.stmt) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in _decorators(node))])


def _last(node: ast.stmt) -> int:
    return node.end_lineno or node.lineno
