"""Files of the workspace: all or nothing, and never outside."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from flywheel.api.model import RelativePath
from flywheel.workspace.digest import canonical_json, digest_bytes, digest_json
from flywheel.workspace.store import UnsafePathError, Workspace

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcü\n", max_size=4), inner, max_size=4),
    max_leaves=8,
)


@pytest.mark.parametrize("moment", ["write", "fsync", "replace"])
def test_a_kill_while_writing_leaves_the_old_content(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    workspace.write_bytes("run/a.json", b"old")

    def killed(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    with monkeypatch.context() as patch:
        if moment == "replace":
            patch.setattr(Path, "replace", killed)
        elif moment == "fsync":
            patch.setattr(os, "fsync", killed)
        else:
            patch.setattr(Path, "open", killed)
        with pytest.raises(OSError, match="no space"):
            workspace.write_bytes("run/a.json", b"new and longer")
        with pytest.raises(OSError, match="no space"):
            workspace.write_bytes("run/b.json", b"new")
    assert workspace.read_bytes("run/a.json") == b"old"
    assert not workspace.exists("run/b.json")
    workspace.write_bytes("run/a.json", b"new")
    assert workspace.read_bytes("run/a.json") == b"new"


def test_content_is_on_disk_before_its_name(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    sync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (order.append("sync"), sync(handle))[1])
    monkeypatch.setattr(Path, "replace", lambda self, to: (order.append("rename"), replace(self, to))[1])
    workspace.write_bytes("run/a.json", b"x")
    assert order == ["sync", "rename", "sync"]


BAD_PATHS = [
    "",
    "/etc/passwd",
    "..",
    "../x",
    "a/../b",
    "a/./b",
    "a//b",
    "a/",
    "./a",
    ".hidden",
    "a\\b",
    "a b",
    "a\n",
    "ä",
]


@pytest.mark.parametrize("path", BAD_PATHS)
def test_paths_that_could_leave_are_refused(workspace: Workspace, path: str) -> None:
    for use in (workspace.local, workspace.exists, workspace.read_bytes, workspace.files, workspace.digest):
        with pytest.raises(UnsafePathError):
            use(path)
    with pytest.raises(UnsafePathError):
        workspace.write_bytes(path, b"x")
    with pytest.raises(ValidationError):
        TypeAdapter(RelativePath).validate_python(path)


@given(st.text("ab./\\-_ \n", min_size=1, max_size=12))
def test_the_store_and_the_contract_agree_on_paths(path: str) -> None:
    store = Workspace("/nonexistent")
    try:
        TypeAdapter(RelativePath).validate_python(path)
    except ValidationError:
        with pytest.raises(UnsafePathError):
            store.local(path)
        return
    assert store.local(path).is_relative_to("/nonexistent")
    assert ".." not in store.local(path).parts


def test_links_are_refused_wherever_they_are(workspace: Workspace, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("hunter2")
    workspace.write_bytes("run/real.txt", b"x")
    (workspace.root / "run" / "file").symlink_to(secret / "key")
    (workspace.root / "run" / "folder").symlink_to(secret)
    for path in ("run/file", "run/folder/key", "run/folder/new"):
        with pytest.raises(UnsafePathError, match="symbolic link"):
            workspace.read_bytes(path)
        with pytest.raises(UnsafePathError, match="symbolic link"):
            workspace.write_bytes(path, b"x")
    with pytest.raises(UnsafePathError, match="symbolic link"):
        workspace.files("run")
    assert [path.name for path in secret.iterdir()] == ["key"]


def test_a_finished_folder_is_put_in_place_once(workspace: Workspace) -> None:
    workspace.write_bytes("home/tmp-1/a", b"1")
    workspace.rename("home/tmp-1", "home/deep/revision")
    assert workspace.files("home") == ["deep/revision/a"]
    workspace.write_bytes("home/tmp-2/a", b"2")
    with pytest.raises(OSError, match="not empty"):
        workspace.rename("home/tmp-2", "home/deep/revision")
    assert workspace.read_bytes("home/deep/revision/a") == b"1"


def test_lines_are_values(workspace: Workspace) -> None:
    workspace.write_jsonl("a.jsonl", [{"b": 1, "a": "ü"}, [1, 2]])
    assert workspace.read_bytes("a.jsonl") == '{"a":"ü","b":1}\n[1,2]\n'.encode()
    workspace.write_bytes("a.jsonl", workspace.read_bytes("a.jsonl") + b"\n\n")
    assert list(workspace.read_jsonl("a.jsonl")) == [{"a": "ü", "b": 1}, [1, 2]]
    assert workspace.size("a.jsonl") == 25
    workspace.write_json("a.json", {"z": None})
    assert workspace.read_json("a.json") == {"z": None}
    with pytest.raises(FileNotFoundError):
        workspace.read_bytes("missing")


@given(json_values)
def test_canonical_json_says_the_same_in_one_way(value: object) -> None:
    data = canonical_json(value)
    assert json.loads(data) == value
    assert canonical_json(json.loads(data.decode())) == data
    if isinstance(value, dict):
        assert digest_json(dict(reversed(value.items()))) == digest_json(value)


def test_nan_has_no_digest() -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"loss": float("nan")})


@given(st.binary(max_size=3000))
def test_a_files_digest_is_that_of_its_bytes(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    workspace = Workspace(tmp_path_factory.getbasetemp())
    workspace.write_bytes("some.bin", data)
    assert workspace.digest("some.bin") == digest_bytes(data)
