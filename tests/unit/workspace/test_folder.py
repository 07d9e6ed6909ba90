"""A folder that somebody else filled: nothing outside is read, nothing is waited for, the order is the same."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel.workspace.folder import DEEPEST, walk


def seen(top: Path) -> dict[str, str]:
    """Reason or text by path."""
    found: dict[str, str] = {}
    for entry in walk(top, lambda name: name == "skipped"):
        try:
            found[entry.path] = entry.reason or entry.read(100).decode()
        except OSError:
            found[entry.path] = "OSError"
    return found


def test_files_by_name_and_folders_after_them(tmp_path: Path) -> None:
    for path in ("b.py", "a/z.py", "a/b/c.py", "a.py", "skipped/x.py", "c/d.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    assert list(seen(tmp_path)) == ["a.py", "b.py", "skipped", "a/z.py", "a/b/c.py", "c/d.py"]
    assert seen(tmp_path)["skipped"] == "SkippedFolder"


def test_links_and_pipes_are_not_read(tmp_path: Path) -> None:
    outside, top = tmp_path / "outside", tmp_path / "top"
    outside.mkdir()
    top.mkdir()
    (outside / "secret.py").write_text("secret")
    (top / "file.py").symlink_to(outside / "secret.py")
    (top / "folder").symlink_to(outside)
    (top / "round").symlink_to(top)
    (top / "nowhere.py").symlink_to("nothing")
    os.mkfifo(top / "pipe.py")
    links = dict.fromkeys(("file.py", "folder", "round", "nowhere.py"), "SymbolicLink")
    assert seen(top) == links | {"pipe.py": "OSError"}


def test_a_file_that_becomes_a_link_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    top = tmp_path / "top"
    top.mkdir()
    (top / "a.py").write_text("code")
    walking = walk(top, lambda _: False)
    entry = next(walking)
    (top / "a.py").unlink()
    (top / "a.py").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError):
        entry.read(100)


def test_what_cannot_be_opened_is_said(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    (tmp_path / "closed").mkdir(mode=0)
    (tmp_path / "a.py").touch(mode=0)
    assert seen(tmp_path) == {"a.py": "OSError", "closed": "Unreadable"}


def test_deep_folders_end(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d"] * (DEEPEST + 5))
    deep.mkdir(parents=True)
    (deep / "x.py").touch()
    (path,) = seen(tmp_path)
    assert path.count("/") == DEEPEST and seen(tmp_path)[path] == "SkippedFolder"


@given(st.sets(st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=8), max_size=6))
def test_all_files_are_found_in_one_order(tmp_path_factory: pytest.TempPathFactory, names: set[str]) -> None:
    top = tmp_path_factory.mktemp("top")
    names -= {".", ".."}
    for name in names:
        (top / name).touch()
    assert [entry.path for entry in walk(top, lambda _: False)] == sorted(names)
