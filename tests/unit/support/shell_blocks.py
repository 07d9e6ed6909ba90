"""Commands and YAML of the documents: every fenced block without a language is shell, anything else names itself."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
_FENCE = re.compile(r"^```([a-z]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NOT_FOR_USERS = ("docs/design/", "docs/api/", "tests/")
CLASSES = ROOT / "tests/unit/docs/commands.txt"
SECTION = re.compile(r"^\[(run here|run after the demo|run by (?P<test>\S+): (?P<words>.+)|parsed)\]$")
BREAKS = {"|", "||", "&&", "&", ";"}


def documents() -> list[str]:
    """The Markdown files that users read."""
    told = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout.split()
    return [name for name in told if not name.startswith(_NOT_FOR_USERS) and (ROOT / name).is_file()]


def blocks(name: str, *languages: str) -> list[str]:
    """Fenced blocks of a document in these languages."""
    return [text for language, text in _FENCE.findall((ROOT / name).read_text()) if language in languages]


def commands(*names: str) -> dict[str, str]:
    """Every command of these documents, or all: what it is known by (no comment, single spaces), and as it stands."""
    found = [text for name in names or documents() for block in blocks(name, "", "sh") for text in _split(block)]
    return {" ".join(re.sub(r"\s# .*$|\\$", "", text, flags=re.MULTILINE).split()): text for text in found}


def classified() -> dict[str, list[str]]:
    """Sections of tests/unit/docs/commands.txt: heading to its commands."""
    found: dict[str, list[str]] = {}
    for line in CLASSES.read_text().splitlines():
        if SECTION.match(line):
            entries = found.setdefault(line, [])
        elif line and not line.startswith("#"):
            entries.append(line)
    return found


def _split(block: str) -> Iterator[str]:
    """Whole commands: with the lines that a quote, a backslash, a pipe or a here-document goes on in."""
    held: list[str] = []
    for line in block.splitlines():
        held.append(line)
        text = "\n".join(held)
        if not text.strip() or text.strip().startswith("#"):
            held = []
        elif not _goes_on(text):
            yield text.strip()
            held = []
    if held:
        raise ValueError(f"a command that does not end: {held}")


def _goes_on(text: str) -> bool:
    here = re.search(r"<<'?(\w+)'?", text)
    if here is not None:
        return not re.search(rf"^{here[1]}$", text, re.MULTILINE)
    try:
        found = words(text)
    except ValueError:
        return True
    return text.endswith("\\") or (bool(found) and found[-1] in BREAKS - {"&", ";"})


def words(text: str) -> list[str]:
    """Words and operators of a command; comments and the text of a here-document are left out."""
    text = re.sub(r"<<'?(\w+)'?([^\n]*)\n.*?^\1$", r"\2", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^\w+=\$\([^()]*\)", "", text.replace("\\\n", " "), flags=re.MULTILINE)
    lexer = shlex.shlex(text, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    return list(lexer)


def simple_commands(text: str) -> Iterator[list[str]]:
    """The single programs of a command with their arguments; assignments before them and redirections left out."""
    found: list[str] = []
    skip = False
    for word in [*words(text), ";"]:
        if skip:
            skip = False
        elif word in (">", "<", ">>"):
            skip = True
        elif word in BREAKS:
            if found:
                yield found
            found = []
        elif found or not re.match(r"^[A-Za-z_]+=", word):
            found.append(word)
    for inner in re.findall(r"\$\(([^()]*)\)", text):
        yield from simple_commands(inner)
