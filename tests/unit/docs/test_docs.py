"""What the documents say of the repository is so: targets, files and commands exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
TRACKED = subprocess.run(["git", "ls-files"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.split(
    "\n"
)
DOCUMENTS = [name for name in TRACKED if name.endswith(".md") and (ROOT / name).is_file()]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_relative_link_leads_somewhere(name: str) -> None:
    """Links into the repository, without their anchors."""
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / name).read_text())
    gone = [link for link in links if "://" not in link and not ((ROOT / name).parent / link).exists()]
    assert gone == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_make_target_exists(name: str) -> None:
    """`make x` in a document is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    asked = set(re.findall(r"\bmake ([a-z][a-z0-9-]*)\b(?=[`\s;]|$)", _code(ROOT / name)))
    assert asked <= targets


def _code(path: Path) -> str:
    """Fenced blocks and inline code of a document."""
    text = path.read_text()
    return "\n".join(re.findall(r"```.*?```", text, re.DOTALL) + re.findall(r"`[^`\n]+`", text))


def test_make_help_lists_every_target() -> None:
    """Each target of the Makefile has its line of help."""
    phony = re.findall(r"^([a-z0-9-]+):(?! *=)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    said = subprocess.run(["make", "-s", "help"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    assert [target for target in phony if not re.search(rf"^  {target} ", said, re.MULTILINE)] == []


def test_every_direct_dependency_is_explained() -> None:
    """docs/dependencies.md has a line for each package of pyproject.toml."""
    text = (ROOT / "pyproject.toml").read_text()
    names = set(re.findall(r'^  "([a-z0-9-]+)', text.split("[tool.", 1)[0], re.MULTILINE)) - {
        "flywheel-operator",
        "types-jsonschema",
        "types-pyyaml",
    }
    explained = (ROOT / "docs" / "dependencies.md").read_text()
    assert sorted(name for name in names if name not in explained) == []
