"""What the documents say of the repository is so: targets, files and commands exist."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from functools import cache
from pathlib import Path
from typing import get_args

import pytest

from flywheel.api.conditions import ConditionType, Reason

ROOT = Path(__file__).resolve().parents[3]
TRACKED = subprocess.run(["git", "ls-files"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.split(
    "\n"
)
DOCUMENTS = [name for name in TRACKED if name.endswith(".md") and (ROOT / name).is_file()]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_relative_link_leads_somewhere(name: str) -> None:
    """Links and pictures into the repository, with their anchors. No other is asked: tests have no network."""
    outside = re.sub(r"```.*?```|`[^`\n]+`", "", (ROOT / name).read_text(), flags=re.DOTALL)
    gone: list[str] = []
    for link in re.findall(r"\]\(([^)\s]+)\)", outside):
        path, _, anchor = link.partition("#")
        target = (ROOT / name).parent / path if path else ROOT / name
        if "://" in link:
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            gone.append(link)
    assert gone == []


@cache
def anchors(path: Path) -> set[str]:
    """What GitHub, and the site, call the headings of a document."""
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    headings = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", line) for line in re.findall(r"^#+ (.+)$", text, re.MULTILINE)]
    names = [re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings]
    assert len(names) == len(set(names)), f"{path}: two headings of one name have no link that stays"
    return set(names)


def test_every_page_is_in_the_index() -> None:
    """The site's navigation is made of docs/index.md; design notes and runbooks have lists of their own."""
    pages = {
        name.removeprefix("docs/")
        for name in DOCUMENTS
        if re.match(r"docs/(?!index|(design|runbooks)/(?!index))", name)
    }
    linked = set(re.findall(r"\]\(([^)#:]+\.md)\)", (ROOT / "docs/index.md").read_text()))
    assert pages - linked == set()


def test_every_reason_and_condition_is_explained() -> None:
    """docs/troubleshooting.md has each reason once (twice where two conditions give it), and no other."""
    text = (ROOT / "docs/troubleshooting.md").read_text().split("## The operator itself")[0].split("## At work")[1]
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| `")]
    explained = Counter(word for row in rows for word in re.findall(r"`([A-Z][A-Za-z]+)`", row[1]))
    beside = text.split("## What conditions tell beside")[1].split("## Events")[0]
    for row in (line.split("|") for line in beside.splitlines() if line.startswith("| `")):
        (condition,) = re.findall(r"`([A-Z][A-Za-z]+)`", row[1])
        assert condition in get_args(ConditionType)
        del explained[condition]
        explained.update(set(re.findall(r"`([A-Z][A-Za-z]+)`", row[2])))
    assert explained.keys() == {reason.value for reason in Reason}
    twice = {Reason.TOO_FEW_ITEMS, Reason.ENOUGH_ITEMS}
    assert {reason: count for reason, count in explained.items() if count > 1} == dict.fromkeys(twice, 2)


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
