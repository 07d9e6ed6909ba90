"""The store on disk: whole folders or none, never changed, and nobody else's removed."""

from __future__ import annotations

from pathlib import Path

import pytest

from flywheel.serving.names import adapter_name
from flywheel.serving.store import bring, retire
from flywheel.workspace.program import BadInputError, TryLaterError

MODEL, DIGEST = "severity", "sha256:" + "1" * 64
NAME = adapter_name(MODEL, DIGEST)
FILES = ("adapter_config.json", "adapter_model.safetensors", "contract.json")


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = tmp_path / "adapter"
    folder.mkdir()
    for name in (*FILES, "probes.jsonl"):
        (folder / name).write_text(name)
        (folder / name).chmod(0o600)
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Path:
    (tmp_path / "store").mkdir()
    return tmp_path / "store"


def test_a_folder_comes_whole_readable_and_once(store: Path, adapter: Path) -> None:
    for _ in range(2):
        bring(store, MODEL, NAME, adapter, DIGEST)
    assert [path.name for path in store.iterdir()] == [NAME]
    assert sorted(file.name for file in (store / NAME).iterdir()) == sorted(FILES)
    assert {file.stat().st_mode & 0o777 for file in (store / NAME).iterdir()} == {0o644}
    assert (store / NAME).stat().st_mode & 0o777 == 0o755


def test_what_is_there_is_never_changed_in_place(store: Path, adapter: Path) -> None:
    bring(store, MODEL, NAME, adapter, DIGEST)
    (store / NAME / "adapter_model.safetensors").write_text("another")
    with pytest.raises(TryLaterError, match="not touched"):
        bring(store, MODEL, NAME, adapter, DIGEST)
    assert (store / NAME / "adapter_model.safetensors").read_text() == "another"


def test_a_name_that_is_not_the_digests_is_refused(store: Path, adapter: Path) -> None:
    with pytest.raises(BadInputError):
        bring(store, MODEL, "severity-222222222222", adapter, DIGEST)
    (adapter / "contract.json").unlink()
    with pytest.raises(BadInputError, match=r"contract\.json"):
        bring(store, MODEL, NAME, adapter, DIGEST)
    assert list(store.iterdir()) == []


@pytest.mark.parametrize("foreign", ["severity", "severity-x-111111111111", "../adapter", "severity-1111", ".adapters"])
def test_only_our_own_folders_are_removed(store: Path, adapter: Path, foreign: str) -> None:
    bring(store, MODEL, NAME, adapter, DIGEST)
    with pytest.raises(BadInputError, match="nothing was removed"):
        retire(store, MODEL, [NAME, foreign])
    assert (store / NAME).exists() and adapter.exists()
    for _ in range(2):
        retire(store, MODEL, [NAME])
    assert list(store.iterdir()) == []


def test_a_nemo_that_was_made_of_our_adapter_under_its_name_is_left_alone(store: Path, adapter: Path) -> None:
    (store / NAME).mkdir()
    (store / NAME / "severity.nemo").write_text("theirs")
    with pytest.raises(TryLaterError, match="not touched"):
        bring(store, MODEL, NAME, adapter, DIGEST)
    retire(store, MODEL, [NAME])
    assert (store / NAME / "severity.nemo").read_text() == "theirs"
