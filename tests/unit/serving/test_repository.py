"""The model repository on disk: what a server would read, at every moment."""

from __future__ import annotations

from pathlib import Path

import pytest

from flywheel.api.target import BASE
from flywheel.serving.names import candidate_name
from flywheel.serving.repository import ADAPTERS, commit, committed, discard, drop, stage
from flywheel.workspace.program import BadInputError, TryLaterError

MODEL = "severity"
ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64
CONFIG = """# by hand
name: "severity"
backend: "python"
instance_group { count: 2 kind: KIND_CPU }
parameters { key: "mine" value: { string_value: "kept" } }
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    version = tmp_path / "repository" / MODEL / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_text("# the model")
    (version.parent / "config.pbtxt").write_text(CONFIG)
    return tmp_path / "repository"


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = tmp_path / "adapter"
    folder.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors", "contract.json", "probes.jsonl"):
        (folder / name).write_text(name)
        (folder / name).chmod(0o600)
    return folder


def config(repository: Path, model: str) -> str:
    return (repository / model / "config.pbtxt").read_text()


def test_stage_leaves_what_serves_alone(repository: Path, adapter: Path) -> None:
    candidate = candidate_name(MODEL, ONE)
    stage(repository, MODEL, candidate, adapter, ONE)
    assert config(repository, MODEL) == CONFIG
    assert committed(repository, MODEL) is None
    staged = config(repository, candidate)
    for part in (f'name: "{candidate}"', ONE, '"kept"', "count: 2"):
        assert part in staged
    assert (repository / candidate / "1/model.py").read_text() == "# the model"
    placed = repository / ADAPTERS / ONE.replace(":", "-")
    assert sorted(file.name for file in placed.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "contract.json",
    ]
    for file in (*placed.iterdir(), repository / candidate / "config.pbtxt"):
        assert file.stat().st_mode & 0o777 == 0o644
    for folder in (placed, placed.parent, repository / candidate, repository / candidate / "1"):
        assert folder.stat().st_mode & 0o777 == 0o755


def test_commit_names_the_adapter_and_keeps_the_rest(repository: Path, adapter: Path) -> None:
    commit(repository, MODEL, adapter, ONE)
    assert committed(repository, MODEL) == ONE
    assert '"kept"' in config(repository, MODEL)
    commit(repository, MODEL, adapter, TWO)
    assert committed(repository, MODEL) == TWO
    assert config(repository, MODEL).count("sha256:") == 1


def test_repeating_changes_nothing(repository: Path, adapter: Path) -> None:
    candidate = candidate_name(MODEL, ONE)
    for _ in range(2):
        stage(repository, MODEL, candidate, adapter, ONE)
        commit(repository, MODEL, adapter, ONE)
    before = (repository / MODEL / "config.pbtxt").stat().st_mtime_ns
    commit(repository, MODEL, adapter, ONE)
    assert (repository / MODEL / "config.pbtxt").stat().st_mtime_ns == before  # a change would mean a reload
    assert not list(repository.rglob(".tmp-*"))


def test_a_new_candidate_takes_the_place_of_leftovers(repository: Path, adapter: Path) -> None:
    old, new = candidate_name(MODEL, ONE), candidate_name(MODEL, TWO)
    stage(repository, MODEL, old, adapter, ONE)
    stage(repository, MODEL, new, adapter, TWO)
    assert not (repository / old).exists()
    assert (repository / new).exists()
    discard(repository, new)
    discard(repository, new)
    assert sorted(path.name for path in repository.iterdir()) == [ADAPTERS, MODEL]


def test_a_damaged_copy_is_brought_again(repository: Path, adapter: Path) -> None:
    commit(repository, MODEL, adapter, ONE)
    weights = repository / ADAPTERS / ONE.replace(":", "-") / "adapter_model.safetensors"
    weights.write_text("adapter_model.safetensorS")
    commit(repository, MODEL, adapter, ONE)
    assert weights.read_text() == "adapter_model.safetensors"


def test_an_empty_repository_is_waited_for(tmp_path: Path, adapter: Path) -> None:
    with pytest.raises(TryLaterError, match=r"severity/config\.pbtxt") as caught:
        stage(tmp_path, MODEL, candidate_name(MODEL, ONE), adapter, ONE)
    assert caught.value.reason == "TargetUnavailable"


def test_an_unreadable_configuration_is_said(repository: Path, adapter: Path) -> None:
    (repository / MODEL / "config.pbtxt").write_text("name = severity")
    with pytest.raises(TryLaterError, match="cannot be read"):
        commit(repository, MODEL, adapter, ONE)


def test_an_adapter_that_lacks_a_file_is_refused(repository: Path, adapter: Path) -> None:
    (adapter / "contract.json").unlink()
    with pytest.raises(BadInputError, match=r"contract\.json"):
        stage(repository, MODEL, candidate_name(MODEL, ONE), adapter, ONE)
    assert not (repository / candidate_name(MODEL, ONE)).exists()


def test_the_bare_student_is_asked_as_an_adapter_s_contract_says(repository: Path, adapter: Path) -> None:
    commit(repository, MODEL, adapter, ONE, bare=True)
    assert committed(repository, MODEL) == BASE
    assert config(repository, MODEL).count(ONE) == 1, "whose contract"
    commit(repository, MODEL, adapter, ONE)
    assert committed(repository, MODEL) == ONE
    assert config(repository, MODEL).count(ONE) == 1, "no contract of another"


def test_only_adapters_that_no_model_names_are_dropped(repository: Path, adapter: Path) -> None:
    commit(repository, MODEL, adapter, ONE)
    commit(repository, MODEL, adapter, TWO)
    neighbour = repository / "another"
    neighbour.mkdir()
    (neighbour / "config.pbtxt").write_text(config(repository, MODEL).replace(TWO, ONE))
    home = repository / ADAPTERS
    drop(repository, [ONE, TWO])
    assert len(list(home.iterdir())) == 2, "another deployment on this server serves one, this one the other"
    (neighbour / "config.pbtxt").unlink()
    drop(repository, [ONE, TWO])
    assert [path.name for path in home.iterdir()] == [TWO.replace(":", "-")]
    drop(repository, [ONE])
