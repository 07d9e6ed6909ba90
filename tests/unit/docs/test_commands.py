"""Every command of the documents is in commands.txt: run here, run by a test that is named, or only parsed.

Parsed are all of them: targets, sub-commands, options, files and folders must exist.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import typer.main
from shell_blocks import ROOT, SECTION, classified, commands, documents, simple_commands

from flywheel.cli.main import app

COMMANDS = commands()
FOLDERS = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}
LISTED = classified()


def test_every_command_is_classified_once() -> None:
    """A command that is new, changed or gone changes commands.txt."""
    known = [command for section in LISTED.values() for command in section]
    new, gone = sorted(set(COMMANDS) - set(known)), sorted(set(known) - set(COMMANDS))
    assert not new, "new in the documents: add to a section of commands.txt\n" + "\n".join(new)
    assert not gone, "gone from the documents: remove from commands.txt\n" + "\n".join(gone)
    assert len(known) == len(set(known))


def test_tests_that_run_commands_are_there() -> None:
    """`[run by FILE: WORDS]`: the file is there and holds the words."""
    named = [match for section in LISTED if (match := SECTION.match(section)) and match["test"]]
    assert named
    assert [match[0] for match in named if match["words"] not in (ROOT / match["test"]).read_text()] == []


@pytest.mark.parametrize("command", LISTED["[run here]"])
def test_runs(command: str) -> None:
    """As it stands, with this environment's Python in place of .venv's."""
    text = COMMANDS[command].replace(".venv/bin/python", shlex.quote(sys.executable))
    done = subprocess.run(["bash", "-euc", text], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0 and done.stdout.strip(), done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_names_what_exists(command: str) -> None:
    """Each program of it is known, and takes what it is given; files of the repository are there."""
    for program, *arguments in simple_commands(COMMANDS[command]):
        PROGRAMS.get(Path(program).name, unknown(program))(arguments)
        assert [name for name in files([program, *arguments]) if not list(ROOT.glob(name))] == []


@pytest.mark.parametrize("name", documents())
def test_code_is_fenced(name: str) -> None:
    """An indented block would be a command that nothing here sees."""
    outside = re.sub(r"^```.*?^```$", "", (ROOT / name).read_text(), flags=re.MULTILINE | re.DOTALL)
    assert re.findall(r"^(?:#.*)?\n {4}.*$", outside, re.MULTILINE) == []


def files(words: list[str]) -> Iterator[str]:
    """Words that are paths of the repository."""
    for word in words:
        first, slash, _ = word.partition("/")
        if (slash and first in FOLDERS) or (word in FOLDERS and words[0] != "make"):
            yield word.rstrip("/")


def unknown(program: str) -> Callable[[list[str]], None]:
    """A program of the repository by its path; any other must be among PROGRAMS."""

    def check(_: list[str]) -> None:
        assert program.removeprefix("$(").split("/")[0] in FOLDERS, f"{program}: teach PROGRAMS what it takes"

    return check


def make(arguments: list[str]) -> None:
    """Targets of the Makefile."""
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(arguments) <= targets


def flywheel(arguments: list[str]) -> None:
    """Parsed by the command line itself, which then does nothing."""
    group = typer.main.get_command(app)
    with group.make_context("flywheel", arguments) as context:
        name, command, rest = group.resolve_command(context, arguments)  # type: ignore[attr-defined]
        command.make_context(name, rest, parent=context)


def cluster(arguments: list[str]) -> None:
    """Sub-commands of tools/cluster/cluster."""
    usage = re.search(r"<<'TEXT'\n(.*?)^TEXT", (ROOT / "tools/cluster/cluster").read_text(), re.MULTILINE | re.DOTALL)
    assert usage is not None
    assert arguments[0] in re.findall(r"^  ([a-z]+)", usage[1], re.MULTILINE)


def python(arguments: list[str]) -> None:
    """A program compiles."""
    if arguments[0] == "-c":
        compile(arguments[1], "documented", "exec")


def buildah(arguments: list[str]) -> None:
    """Stages and arguments that its Dockerfile has."""
    file = (ROOT / arguments[arguments.index("-f") + 1]).read_text()
    for option, value in pairwise(arguments):
        if option == "--build-arg":
            assert f"ARG {value.split('=')[0]}" in file
        if option == "--target":
            assert re.search(rf" AS {value}$", file, re.MULTILINE | re.IGNORECASE)


def anything(_: list[str]) -> None:
    """Not ours: what it is given is only looked through for files."""


# What kubectl is given is looked at in the file test_kubectl beside this one.
PROGRAMS: dict[str, Callable[[list[str]], None]] = {
    "make": make,
    "flywheel": flywheel,
    "kubectl-flywheel": flywheel,
    "cluster": cluster,
    "python": python,
    "buildah": buildah,
} | dict.fromkeys(
    ["kubectl", "helm", "argocd", "eval", "source", "echo", "sed", "tar", "curl", "uv", "git", "cd"], anything
)
