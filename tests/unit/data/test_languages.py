"""Functions, classes and methods of five languages; any bytes are units or a fault with its line."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel.data.languages import LONGEST_UNIT, LanguageName, NotParsedError, Piece, language_of, pieces

PACKAGE = Path(__file__).parents[3] / "operator" / "flywheel"
LANGUAGES: list[LanguageName] = ["Python", "Java", "Go", "JavaScript", "TypeScript", "TSX"]
SNIPPETS = [
    "def f(x):\n    return x\n",
    "class A {",
    "}",
    "\n  ",
    "func F() {",
    "(a) => {",
    "'",
    "`",
    "/*",
    "\x00",
    "é",
]


def found(source: str, language: LanguageName) -> list[tuple[str, int, str]]:
    return [(piece.kind, piece.line, piece.text or "") for piece in pieces(source.encode(), language)]


def test_python() -> None:
    source = (
        "@cached\ndef f(x):\n    def inner(): ...\n\nclass A:\n    @property\n    def g(self):\n\n        return 1\n"
    )
    assert found(source, "Python") == [
        ("function", 1, "@cached\ndef f(x):\n    def inner(): ..."),
        ("class", 5, source.partition("\n\n")[2].rstrip()),
        ("method", 6, "@property\ndef g(self):\n\n    return 1"),
    ]


@pytest.mark.parametrize(
    ("language", "source", "kinds"),
    [
        ("Java", "class A { A() {} int f() { return 1; } abstract int g(); }", ["class", "method", "method"]),
        ("Java", "enum E { P; void q() {} }", ["class", "method"]),
        ("Go", "package a\nfunc F() int { g := func() {}; g(); return 1 }\nfunc (t *T) M() {}", ["function", "method"]),
        ("JavaScript", "export const f = (a) => a; class A { m() {} }", ["function", "class", "method"]),
        ("JavaScript", "const one = 1; function* g() { function inner() {} }", ["function"]),
        ("TypeScript", "export function f(a: string): void {}\ninterface I { a: number }", ["function", "class"]),
        ("TSX", "export const F = () => <div a={1}>x</div>;", ["function"]),
    ],
)
def test_other_languages(language: LanguageName, source: str, kinds: list[str]) -> None:
    assert [kind for kind, _, _ in found(source, language)] == kinds


@pytest.mark.parametrize(
    ("path", "language"),
    [
        ("a/b.py", "Python"),
        ("x.tsx", "TSX"),
        ("x.d.ts", "TypeScript"),
        ("py", None),
        ("a.py/b.md", None),
        ("x.PY", None),
    ],
)
def test_the_name_tells_the_language(path: str, language: str | None) -> None:
    assert language_of(path) == language


def test_a_fault_has_its_line() -> None:
    with pytest.raises(NotParsedError) as caught:
        found("x = 1\ny = 2\ndef f(:\n", "Python")
    assert caught.value.line == 3


def test_what_is_too_long_has_no_text_and_its_methods_have() -> None:
    methods = "".join(f"    def f{number}(self):\n        return {number}\n" for number in range(LONGEST_UNIT // 20))
    first, *rest = pieces(f"class A:\n{methods}".encode(), "Python")
    assert first == Piece("class", 1, None)
    assert len(rest) == LONGEST_UNIT // 20 and all(piece.text for piece in rest)


def test_hostile_nesting_is_read() -> None:
    depth = 20_000
    assert len(list(pieces(b"class A{" * depth + b"}" * depth, "Java"))) == depth


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("data/*.py")), ids=lambda path: path.name)
def test_units_of_real_code_are_its_text(path: Path) -> None:
    source = path.read_text()
    lines = [line.strip() for line in source.split("\n")]
    for kind, line, text in found(source, "Python"):
        assert [each.strip() for each in text.split("\n")] == lines[line - 1 : line + text.count("\n")]
        compile(text, kind, "exec")


@given(
    st.one_of(st.binary(max_size=200), st.lists(st.sampled_from(SNIPPETS)).map(lambda parts: "".join(parts).encode()))
)
def test_any_text_is_units_or_a_fault(source: bytes) -> None:
    text = source.decode(errors="ignore").encode()
    for language in LANGUAGES:
        with suppress(NotParsedError):
            lines = [piece.line for piece in pieces(text, language)]
            assert lines == sorted(lines)
