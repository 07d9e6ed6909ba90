"""Findings of Ruff, Bandit and Pylint, cached per package.

Knows the tools' command lines and replies. Knows nothing of labels: rules come in as a list.
"""

import hashlib
import json
import keyword
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from corpus import CACHE, Package, fetch, files

PYLINT_FILES = 8  # Pylint infers types and takes a second per file
PYLINT_BYTES = 30_000
TOOLS = ("ruff", "bandit", "pylint")


@dataclass(frozen=True)
class Finding:
    path: str
    line: int
    column: int
    rule: str  # "tool:CODE"
    name: str | None  # the identifier the message is about


def findings(package: Package, rules: list[str], wide: list[str], tools: tuple[str, ...] = TOOLS) -> list[Finding]:
    """What the tools find in a sample of the files, and Ruff by the rules of "wide" in all files."""
    found = {finding for tool in tools for finding in _cached(package, tool, rules, files(package))}
    found |= set(_cached(package, "ruff", wide, files(package, everything=True)))
    return sorted(found, key=lambda f: (f.path, f.line, f.column, f.rule, f.name or ""))


def _cached(package: Package, tool: str, rules: list[str], wanted: list[Path]) -> list[Finding]:
    codes = sorted(rule.split(":")[1] for rule in rules if rule.startswith(tool + ":"))
    mark = hashlib.sha256(json.dumps([codes, [str(p) for p in wanted], _version(tool)]).encode()).hexdigest()[:16]
    cache = CACHE / "findings" / tool / f"{package.name}-{package.version}-{mark}.json"
    if not cache.exists():
        folder = fetch(package)
        replies = {"ruff": _ruff, "bandit": _bandit, "pylint": _pylint}[tool](folder, wanted, codes)
        cache.parent.mkdir(parents=True, exist_ok=True)
        partial = cache.with_suffix(".partial")
        partial.write_text(json.dumps([asdict(reply) for reply in replies]), encoding="utf-8")
        partial.rename(cache)
    return [Finding(**entry) for entry in json.loads(cache.read_text(encoding="utf-8"))]


def _version(tool: str) -> str:
    pins = (Path(__file__).parent / "tools.txt").read_text(encoding="utf-8").split()
    return next(pin for pin in pins if pin.startswith(tool))


def _run(command: list[str], folder: Path, good: set[int]) -> Any:
    done = subprocess.run(
        [sys.executable, "-P", "-m", *command], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode not in good:
        raise RuntimeError(f"{command[0]} failed in {folder} with status {done.returncode}: {done.stderr[-500:]}")
    return json.loads(done.stdout)


def _ruff(folder: Path, paths: list[Path], codes: list[str]) -> Iterator[Finding]:
    options = ["check", "--isolated", "--no-cache", "--preview", "--ignore-noqa", "--exit-zero", "--quiet"]
    command = ["ruff", *options, "--target-version", "py311", "--line-length", "110", "--select", ",".join(codes)]
    for entry in _run([*command, "--output-format", "json", *map(str, paths)], folder, {0}):
        if entry["code"] in codes:
            start = entry["location"]
            path = str(Path(entry["filename"]).relative_to(folder.resolve()))
            name = _quoted(entry["message"], "`")
            yield Finding(path, start["row"], start["column"] - 1, "ruff:" + entry["code"], name)


def _bandit(folder: Path, paths: list[Path], codes: list[str]) -> Iterator[Finding]:
    command = ["bandit", "-q", "--ignore-nosec", "--exit-zero", "-t", ",".join(codes), "-f", "json", *map(str, paths)]
    for entry in _run(command, folder, {0})["results"]:
        module = re.search(r"associated with (?:the )?(\w[\w.]*) module|Using (\w[\w.]*) to parse", entry["issue_text"])
        name = next((part for part in module.groups() if part), None) if module else None
        line, path = entry["line_number"], entry["filename"].removeprefix("./")
        yield Finding(path, line, entry["col_offset"], "bandit:" + entry["test_id"], name)


def _pylint(folder: Path, paths: list[Path], codes: list[str]) -> Iterator[Finding]:
    command = ["pylint", "--rcfile=", "--disable=all", "--enable=" + ",".join(codes), "--output-format=json2"]
    short = [path for path in paths if (folder / path).stat().st_size < PYLINT_BYTES]
    chosen = sorted(short, key=lambda p: hashlib.sha256(str(p).encode()).digest())[:PYLINT_FILES]
    if not chosen:
        return
    options = ["--score=n", "--check-str-concat-over-line-jumps=y", "--persistent=n"]
    # Any status below 32 only says which kinds of messages were found.
    for entry in _run([*command, *options, *map(str, sorted(chosen))], folder, set(range(32)))["messages"]:
        if entry["messageId"] in codes:
            name = _quoted(entry["message"], "'")
            yield Finding(entry["path"], entry["line"], entry["column"], "pylint:" + entry["messageId"], name)


def _quoted(message: str, quote: str) -> str | None:
    names = re.findall(rf"{quote}([A-Za-z_][\w.]*)(?:\(\))?{quote}", message)
    return next((name for name in names if len(name) <= 40 and not keyword.iskeyword(name)), None)
