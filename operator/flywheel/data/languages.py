"""Source code to its logical units, by tree-sitter: functions, classes and methods. Must not know files or tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

import tree_sitter_go
import tree_sitter_java
import tree_sitter_javascript
import tree_sitter_python
import tree_sitter_typescript
from tree_sitter import Language, Node, Parser

LanguageName = Literal["Python", "Java", "Go", "JavaScript", "TypeScript", "TSX"]
Kind = Literal["function", "class", "method"]

LONGEST_UNIT = 16_384  # bytes; what is longer is no piece that a question is about, and its methods come by themselves

_GRAMMARS: dict[LanguageName, Callable[[], object]] = {
    "Python": tree_sitter_python.language,
    "Java": tree_sitter_java.language,
    "Go": tree_sitter_go.language,
    "JavaScript": tree_sitter_javascript.language,
    "TypeScript": tree_sitter_typescript.language_typescript,
    "TSX": tree_sitter_typescript.language_tsx,
}
_SUFFIXES: dict[str, LanguageName] = {
    ".py": "Python",
    ".java": "Java",
    ".go": "Go",
    **dict.fromkeys((".js", ".mjs", ".cjs", ".jsx"), "JavaScript"),
    **dict.fromkeys((".ts", ".mts", ".cts"), "TypeScript"),
    ".tsx": "TSX",
}
_CLASSES = frozenset(
    {
        *("class_definition", "class_declaration", "abstract_class_declaration"),
        *("interface_declaration", "enum_declaration", "record_declaration"),
    }
)
_METHODS = frozenset(
    {"method_declaration", "method_definition", "constructor_declaration", "compact_constructor_declaration"}
)
_FUNCTIONS = frozenset({"function_definition", "function_declaration", "generator_function_declaration"})
_FUNCTION_VALUES = frozenset({"arrow_function", "function_expression", "generator_function"})


class NotParsedError(ValueError):
    """The text is not of its language, or of a newer version of it. `line`: where that is seen first."""

    def __init__(self, line: int) -> None:
        super().__init__(f"cannot be parsed from line {line}")
        self.line = line


@dataclass(frozen=True)
class Piece:
    """A unit as it stands in its file, without the margin; `text` is None where it is too long."""

    kind: Kind
    line: int
    text: str | None


def language_of(path: str) -> LanguageName | None:
    """The language of a file, by its name."""
    return next((language for suffix, language in _SUFFIXES.items() if path.endswith(suffix)), None)


def pieces(source: bytes, language: LanguageName) -> Iterator[Piece]:
    """Units of UTF-8 source in their order; a class, and its methods after it. Raises NotParsedError.

    Functions within functions are part of these.
    """
    root = _parser(language).parse(source).root_node
    if root.has_error:
        raise NotParsedError(_first_error(root))
    waiting = [(root, False)]
    while waiting:  # by hand: hostile code is nested more deeply than Python calls
        node, in_class = waiting.pop()
        # A decorator belongs to what it decorates.
        inner = node.child_by_field_name("definition") or node if node.type == "decorated_definition" else node
        kind = _kind(inner, in_class)
        if kind is not None:
            yield _piece(source, node, kind)
        if kind is None or kind == "class":
            waiting += [(child, in_class or kind == "class") for child in reversed(inner.named_children)]


def _kind(node: Node, in_class: bool) -> Kind | None:
    if node.type in _CLASSES:
        return "class"
    if node.type in _METHODS or node.type in _FUNCTIONS:
        if node.child_by_field_name("body") is None:  # only declared
            return None
        return "method" if in_class or node.type in _METHODS else "function"
    if node.type in ("lexical_declaration", "variable_declaration"):
        values = (child.child_by_field_name("value") for child in node.named_children)
        if any(value is not None and value.type in _FUNCTION_VALUES for value in values):
            return "function"
    return None


def _piece(source: bytes, node: Node, kind: Kind) -> Piece:
    line = node.start_point.row + 1
    if node.end_byte - node.start_byte > LONGEST_UNIT:
        return Piece(kind, line, None)
    start = source.rfind(b"\n", 0, node.start_byte) + 1
    before = source[start : node.start_byte].decode()
    margin = "" if before.strip() else before
    text = source[node.start_byte : node.end_byte].decode()
    return Piece(kind, line, "\n".join(each.removeprefix(margin) for each in text.split("\n")))


def _first_error(root: Node) -> int:
    """The line of the first error, found from the top: only one way leads down."""
    node = root
    while (below := next((child for child in node.children if child.has_error), None)) is not None:
        node = below
    return node.start_point.row + 1


@cache
def _parser(language: LanguageName) -> Parser:
    return Parser(Language(_GRAMMARS[language]()))
