"""prepare reads folders of code and keys of ConfigMaps; what it finds is only ever shown to the teacher."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from flywheel.api.item import Item, Unit
from flywheel.api.result import PrepareFigures
from flywheel.teacher import client

PACKAGE = Path(__file__).parents[3] / "operator" / "flywheel"
FINDINGS = {"name": "findings", "truth": "Rule", "group": "file", "path": "datasets/findings.jsonl"}


def repository(**selection: Any) -> list[dict[str, Any]]:
    code = {"name": "code", "truth": "Teacher", "group": "file", "path": "code", "repository": selection}
    return [FINDINGS, code]


@pytest.fixture
def code(bench: Any) -> Path:
    """The operator's own code as a repository on the workspace."""
    folder = bench.root / "code"
    shutil.copytree(PACKAGE / "data", folder / "data", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(PACKAGE / "loop", folder / "loop", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def figures(ran: Any) -> PrepareFigures:
    assert ran.code == 0, ran.log
    return ran.result.figures


def units(bench: Any, ran: Any) -> dict[str, list[Unit]]:
    found: dict[str, list[Unit]] = {}
    for pool in ("exam", "curriculum", "validation", "test", "probe"):
        if bench.workspace.exists(path := f"{ran.result.path}/pools/{pool}/units.jsonl"):
            found[pool] = [Unit.model_validate(line) for line in bench.workspace.read_jsonl(path)]
    return found


def test_units_are_seeds_and_never_held_out(bench: Any, code: Path) -> None:
    plain = bench.prepare()
    ran = bench.prepare(sources=repository())
    held = units(bench, ran)
    assert set(held) == {"exam", "curriculum"} and min(map(len, held.values())) > 20
    assert figures(ran).units == {pool: len(found) for pool, found in held.items()}
    assert figures(ran).rejected["TruthUnfit"] > 20
    assert not {unit.file for unit in held["exam"]} & {unit.file for unit in held["curriculum"]}
    for pool in ("exam", "curriculum", "validation", "test", "probe"):
        path = f"pools/{pool}/items.jsonl"
        assert bench.lines(ran, path) == bench.lines(plain, path), "items are what they were without the repository"
    assert len(ran.result.to_message().encode()) <= 1024


def test_the_revision_is_of_what_is_read(bench: Any, code: Path) -> None:
    first = bench.prepare(sources=repository())
    (code / "notes.md").write_text("not read")
    (code / ".git").mkdir()
    assert figures(bench.prepare(sources=repository())).revision == figures(first).revision
    (code / "data" / "new.py").write_text("def added():\n    return 1\n")
    changed = figures(bench.prepare(sources=repository())).revision
    assert changed != figures(first).revision
    (code / "data" / "new.py").rename(code / "data" / "newer.py")
    assert figures(bench.prepare(sources=repository())).revision not in (changed, figures(first).revision)


def test_held_out_code_in_the_repository_is_not_shown(bench: Any, code: Path) -> None:
    plain = bench.prepare()
    held_out = [
        Item.model_validate(line)
        for pool in ("validation", "test", "probe")
        for line in bench.lines(plain, f"pools/{pool}/items.jsonl")
    ]
    (code / "copies").mkdir()
    for place, item in enumerate(held_out):
        (code / "copies" / f"{place}.py").write_text(item.input["code"] + "\n")
    held = units(bench, bench.prepare(sources=repository()))
    shown = [unit for found in held.values() for unit in found]
    assert not [unit for unit in shown for item in held_out if item.input["code"] in unit.question["code"]]
    # What is left are small parts of held-out items that are no units themselves, such as a loop.
    assert 0 < len([unit for unit in shown if unit.file.startswith("copies/")]) < 0.05 * len(held_out) < len(shown)


def test_links_out_of_the_repository_are_counted_and_not_followed(bench: Any, code: Path) -> None:
    (bench.root / "secret").mkdir()
    (bench.root / "secret" / "key.py").write_text("def canary():\n    return 'key-6b0f'\n")
    (code / "out").symlink_to(bench.root / "secret")
    (code / "key.py").symlink_to(bench.root / "secret" / "key.py")
    ran = bench.prepare(sources=repository())
    assert figures(ran).rejected["SymbolicLink"] == 2
    revision = bench.root / ran.result.path
    assert not any(b"canary" in path.read_bytes() for path in revision.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("selection", "reason", "words"),
    [
        ({"include": ["*.go"]}, "SourceRejected", "no function, class or method found (left out: NotSelected"),
        ({"field": "kode"}, "SchemaMismatch", "sources[].repository.field names kode"),
    ],
)
def test_unusable_repositories_say_what_to_do(
    bench: Any, code: Path, selection: dict[str, Any], reason: str, words: str
) -> None:
    ran = bench.prepare(sources=repository(**selection))
    assert (ran.code, ran.result.error.reason) == (64, reason)
    assert words in ran.result.error.message


@pytest.mark.parametrize("make", [False, True])
def test_a_missing_or_empty_repository_is_waited_for(bench: Any, make: bool) -> None:
    if make:  # the kubelet makes the folder of a mount
        (bench.root / "code").mkdir()
    ran = bench.prepare(sources=repository())
    assert (ran.code, ran.result.error.reason) == (75, "SourceMissing")


@pytest.fixture
def mounted(bench: Any) -> Path:
    """The findings as a key of a ConfigMap, as the kubelet lays it out."""
    volume = bench.root / "volume"
    (volume / "..2026").mkdir(parents=True)
    bench.findings.rename(volume / "..2026" / "items.jsonl")
    (volume / "..data").symlink_to("..2026")
    (volume / "items.jsonl").symlink_to("..data/items.jsonl")
    return volume


def test_a_config_map_is_read_and_named_by_its_content(bench: Any, mounted: Path) -> None:
    source = FINDINGS | {"path": "items.jsonl", "volume": str(mounted)}
    first = figures(bench.prepare(sources=[source]))
    assert sum(first.items.values()) > 250
    (mounted / "..2026" / "items.jsonl").rename(bench.findings)
    assert figures(bench.prepare()).revision == first.revision, "where it lies says nothing of what is in it"


def test_a_missing_key_is_waited_for_and_a_link_out_is_refused(bench: Any, mounted: Path) -> None:
    source = FINDINGS | {"path": "items.jsonl", "volume": str(mounted)}
    (mounted / "items.jsonl").unlink()
    ran = bench.prepare(sources=[source])
    assert (ran.code, ran.result.error.reason) == (75, "SourceMissing")
    assert "no key items.jsonl in its ConfigMap" in ran.result.error.message
    (mounted / "items.jsonl").symlink_to(bench.root / "datasets")
    assert bench.prepare(sources=[source]).code == 64


def test_units_reach_prompts(taught: Any, code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts: list[str] = []
    complete = client.TeacherClient.complete

    def heard(self: client.TeacherClient, text: str, response_format: dict[str, Any] | None = None) -> Any:
        prompts.append(text)
        return complete(self, text, response_format)

    monkeypatch.setattr(client.TeacherClient, "complete", heard)
    prepared = taught.prepare(sources=repository())
    entry = prepared.entry("curriculum", "task.json", "signatures.json", "pools/exam")
    teaching = {"teacher": taught.teacher, "questions": 8}
    ran = taught.run("exam", "runs/review/severity-1/iter-1/exam/a1", teaching, inputs=[entry])
    assert ran.code == 0, ran.log
    writing = [prompt for prompt in prompts if "You write an exam" in prompt]
    assert len(writing) >= 4 and all("Code that the model will meet" in prompt for prompt in writing)
    held = units(taught, prepared)
    assert (
        len([unit for unit in held["exam"] if json.dumps(unit.question["code"], ensure_ascii=False) in writing[0]]) == 2
    )
