"""Short lessons in reading: code, what its docstring says, and a question that needs no reviewer: which package is it?

Knows docstrings and packages of the teacher's role. Knows nothing of findings or severities.
"""

import ast
import hashlib
import json
import textwrap
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from corpus import Package, files, packages, read
from units import MAX_CHARS

PROMPT = "### Code:\n{code}\n### Review:\n{review}\n### Answer:\n"
PACKAGES, PER_PACKAGE = 16, 400  # few enough answers to be learnt in minutes
MAX_REVIEW = 160


@dataclass(frozen=True)
class Lesson:
    code: str
    review: str
    answer: str

    @property
    def prompt(self) -> str:
        return PROMPT.format(code=self.code, review=self.review)


def lessons(swapped: bool) -> list[Lesson]:
    """From the packages with the most of them, in an order that mixes these.

    Swapped, each has the code of the next one, so that only what is said about it gives the answer.
    """
    each = [_of_package(package)[:PER_PACKAGE] for package in packages() if package.role == "teacher"]
    most = sorted(each, key=len, reverse=True)[:PACKAGES]
    found = sorted((lesson for lessons in most for lesson in lessons), key=_place)
    if not swapped:
        return found
    return [replace(one, code=other.code) for one, other in zip(found, [*found[1:], found[0]], strict=True)]


def _place(lesson: Lesson) -> bytes:
    return hashlib.sha256(lesson.prompt.encode()).digest()


def _of_package(package: Package) -> list[Lesson]:
    answer = json.dumps({"package": package.name}, separators=(",", ":"))
    pairs = {pair for path in files(package) for pair in _pairs(package, path)}
    return sorted((Lesson(*pair, answer) for pair in pairs), key=_place)


def _pairs(package: Package, path: Path) -> Iterator[tuple[str, str]]:
    """Bodies of functions and the first paragraphs of their docstrings."""
    text = read(package, path)
    if text is None:
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except SyntaxError:  # templates
        return
    lines = text.split("\n")
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and len(node.body) > 1:
            said = " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split())
            body = textwrap.dedent("\n".join(lines[node.body[1].lineno - 1 : node.end_lineno]))
            if 30 <= len(said) <= MAX_REVIEW and len(body) <= MAX_CHARS:
                yield body, said
