"""An image holds every module of ours that its programs import: what is missing shows only in a pod, minutes later."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
OURS = ("flywheel", "flywheel_student", "flywheel_trainer", "flywheel_triton")
IMAGES = [path.parent.name for path in sorted(ROOT.glob("images/*/Dockerfile"))]


def copied(image: str) -> dict[str, Path]:
    """The modules that a Dockerfile brings to /opt/flywheel, by name, with their sources."""
    text = (ROOT / "images" / image / "Dockerfile").read_text().replace("\\\n", " ")
    found: dict[str, Path] = {}
    for line in re.findall(r"^COPY (?!--)(.*)$", text, re.MULTILINE):
        *sources, target = line.split()
        if not target.startswith("/opt/flywheel/"):
            continue
        for source in sources:
            start = ROOT / source
            for file in sorted(start.rglob("*.py")) if start.is_dir() else [start]:
                inside = Path(target) / (file.relative_to(start) if start.is_dir() else file.name)
                parts = inside.relative_to("/opt/flywheel").with_suffix("").parts
                found[".".join(parts).removesuffix(".__init__")] = file
    return found


def imported(file: Path) -> Iterator[str]:
    """Our modules that a file imports, also within functions; not what only type checkers read."""
    tree = ast.parse(file.read_text())
    unread = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in unread:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_has_what_its_programs_import(image: str) -> None:
    modules, ours = copied(image), all_of_ours()
    own = f"flywheel_{image}"
    left = [name for name in modules if name.split(".")[0] == (own if own in modules else "flywheel")]
    seen, missing = set[str](), set[str]()
    while left:
        name = left.pop()
        if name in seen:
            continue
        seen.add(name)
        for wanted in imported(modules[name]):
            if wanted in modules:
                left.append(wanted)
            elif wanted in ours:
                missing.add(f"{name} imports {wanted}")
    assert not missing


def all_of_ours() -> set[str]:
    """Every module of the repository, by name."""
    homes = [ROOT / "operator", *(ROOT / "images").glob("*/")]
    return {
        ".".join(file.relative_to(home).with_suffix("").parts).removesuffix(".__init__")
        for home in homes
        for package in OURS
        for file in (home / package).rglob("*.py")
    }
