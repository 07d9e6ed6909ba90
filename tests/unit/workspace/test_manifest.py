"""Manifests find every change: a byte, a missing file, a missing part, another digest."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from resources import digest

from flywheel.api.request import Input
from flywheel.api.result import ExamFigures
from flywheel.workspace.manifest import (
    MANIFEST,
    Manifest,
    WrongInputError,
    check_input,
    list_files,
    read_manifest,
    result_of,
    seal,
)
from flywheel.workspace.store import Workspace

FILES = {
    "exam.jsonl": b'{"id":1}\n',
    "task.json": b"{}",
    "pools/exam/items.jsonl": b"one",
    "pools/test/items.jsonl": b"two",
}
FIGURES = ExamFigures(questions=4)


def sealed(workspace: Workspace, folder: str = "run/a1") -> Input:
    for name, data in FILES.items():
        workspace.write_bytes(f"{folder}/{name}", data)
    workspace.write_bytes(f"{folder}/checkpoints/step-1/state", b"scratch")
    files = list_files(workspace, folder, leave_out=("checkpoints",))
    manifest = Manifest(step="exam", owner="run", iteration=1, attempt=1, seed=0, files=files, figures=FIGURES)
    return Input(name="exam", path=folder, digest=seal(workspace, folder, manifest))


def test_an_untouched_folder_passes(workspace: Workspace) -> None:
    entry = sealed(workspace)
    manifest = check_input(workspace, entry)
    assert [file.path for file in manifest.files] == sorted(FILES)
    assert read_manifest(workspace, "run/a1") == (manifest, entry.digest)
    result = result_of("run/a1", manifest, entry.digest)
    assert (result.manifest, result.path, result.figures) == (entry.digest, "run/a1", FIGURES)


@settings(max_examples=40)
@given(st.sampled_from(sorted(FILES)), st.integers(0, 7), st.integers(1, 255))
def test_any_changed_byte_is_found(
    tmp_path_factory: pytest.TempPathFactory, name: str, place: int, change: int
) -> None:
    workspace = Workspace(tmp_path_factory.mktemp("changed"))
    entry = sealed(workspace)
    path = workspace.root / "run/a1" / name
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= change
    path.write_bytes(data)
    with pytest.raises(WrongInputError, match=f"{name} differs"):
        check_input(workspace, entry)


@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize("how", ["missing", "longer", "a folder", "a link"])
def test_a_file_that_is_not_the_same_is_found(workspace: Workspace, tmp_path: Path, name: str, how: str) -> None:
    entry = sealed(workspace)
    path = workspace.root / "run/a1" / name
    same = tmp_path / "same"
    same.write_bytes(path.read_bytes())
    if how == "longer":
        path.write_bytes(path.read_bytes() + b"\n")
    else:
        path.unlink()
    if how == "a folder":
        path.mkdir()
    if how == "a link":
        path.symlink_to(same)
    with pytest.raises(WrongInputError):
        check_input(workspace, entry)


def test_only_the_named_parts_are_needed(workspace: Workspace) -> None:
    entry = sealed(workspace)
    named = entry.model_copy(update={"parts": ["task.json", "pools/exam"]})
    (workspace.root / "run/a1/pools/test/items.jsonl").unlink()
    check_input(workspace, named)
    with pytest.raises(WrongInputError, match="missing"):
        check_input(workspace, entry)
    (workspace.root / "run/a1/pools/exam/items.jsonl").unlink()
    with pytest.raises(WrongInputError, match=r"pools/exam/items\.jsonl is missing"):
        check_input(workspace, named)


@pytest.mark.parametrize("part", ["pools/exa", "answers", "exam.jsonl/x", MANIFEST])
def test_a_part_that_holds_nothing_is_found(workspace: Workspace, part: str) -> None:
    entry = sealed(workspace).model_copy(update={"parts": [part]})
    with pytest.raises(WrongInputError, match=f"holds nothing named {part}"):
        check_input(workspace, entry)


def test_another_manifest_than_the_plans_is_found(workspace: Workspace) -> None:
    entry = sealed(workspace).model_copy(update={"digest": digest("another")})
    with pytest.raises(WrongInputError, match="the plan names"):
        check_input(workspace, entry)


@pytest.mark.parametrize("content", [None, b"", b"{", b'{"step":"exam"}', b"\xff\xfe"])
def test_a_manifest_that_cannot_be_read_is_an_unfinished_attempt(workspace: Workspace, content: bytes | None) -> None:
    entry = sealed(workspace)
    path = workspace.root / "run/a1" / MANIFEST
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WrongInputError, match=r"never finished|cannot be read"):
        check_input(workspace, entry)


def test_an_empty_or_missing_folder_and_a_link_are_no_inputs(workspace: Workspace, tmp_path: Path) -> None:
    (workspace.root / "empty").mkdir(parents=True)
    (workspace.root / "link").symlink_to(tmp_path)
    (workspace.root / "file").write_text("x")
    for folder in ("empty", "nowhere", "link", "file"):
        with pytest.raises(WrongInputError):
            read_manifest(workspace, folder)


@pytest.mark.parametrize(
    "path", ["../secret", "/etc/passwd", "pools/../../secret", "./task.json", "a\\\\b", "a//b", "ä"]
)
@pytest.mark.parametrize("field", ["files", "inputs"])
def test_a_manifest_that_names_a_path_outside_is_not_read(workspace: Workspace, path: str, field: str) -> None:
    entry = sealed(workspace)
    manifest = workspace.read_json("run/a1/manifest.json")
    named = {"path": path, "digest": digest("x")} | ({"size": 1} if field == "files" else {"name": "x", "parts": []})
    manifest[field] = [named]
    workspace.write_json("run/a1/manifest.json", manifest)
    changed = entry.model_copy(update={"digest": workspace.digest("run/a1/manifest.json")})
    with pytest.raises(WrongInputError, match="cannot be read"):
        check_input(workspace, changed)


def test_a_folder_of_an_input_that_is_a_link_is_found(workspace: Workspace, tmp_path: Path) -> None:
    entry = sealed(workspace)
    pools = workspace.root / "run/a1/pools"
    pools.rename(tmp_path / "elsewhere")
    pools.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(WrongInputError, match="symbolic link"):
        check_input(workspace, entry)
