"""What one pod writes, as another sees it: the same on a volume and in a bucket."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from crash_points import Disk, DyingBucket, watched
from pods import HOME, Pod, asked, cleaning, on_bucket

from flywheel.api.request import Input, JudgeParameters, PrepareParameters
from flywheel.api.result import ExamFigures
from flywheel.workspace.manifest import (
    MANIFEST,
    Manifest,
    WrongInputError,
    check_input,
    list_files,
    read_manifest,
    seal,
)
from flywheel.workspace.program import Attempt, FruitlessError
from flywheel.workspace.remote import RemoteWorkspace
from flywheel.workspace.staging import ForbiddenError
from flywheel.workspace.store import Workspace

TRAIN = f"{HOME}/iter-1/train"
LEDGER = {"also_writable": ["ledger/review"]}
ENTRY = "ledger/review/aa/aa.reply.json"
FILES = {"exam.jsonl": b"[]", "adapter/weights": b"w" * 100_000, "pools/test/items.jsonl": b"held out"}


def write(workspace: Workspace, folder: str, files: dict[str, bytes] = FILES, owner: str = "x") -> str:
    """A folder with its manifest, not yet committed; the manifest's digest."""
    for name, data in files.items():
        workspace.write_bytes(f"{folder}/{name}", data)
    listed = list_files(workspace, folder)
    figures = ExamFigures(questions=len(files))
    manifest = Manifest(step="exam", owner=owner, iteration=1, attempt=1, seed=0, files=listed, figures=figures)
    return seal(workspace, folder, manifest)


def given(digest: str, *parts: str, path: str = f"{TRAIN}/a1") -> Input:
    return Input(name="given", path=path, digest=digest, parts=list(parts))


def reader(pod: Pod, *inputs: Input, resume: str | None = None) -> Workspace:
    """A later step that is given something."""
    found = pod(asked(f"{TRAIN}/a2", inputs=list(inputs), resume=resume))
    found.begin()
    return found


def test_a_record_is_seen_as_it_is_now(pod: Pod) -> None:
    one, other = pod(asked(**LEDGER)), pod(asked(f"{TRAIN}/a2", **LEDGER))
    assert not other.exists(ENTRY)
    for data in (b"intent", b"reply, longer"):
        one.write_bytes(ENTRY, data)
        assert other.read_bytes(ENTRY) == data
    assert other.files("ledger/review") == ["aa/aa.reply.json"]
    one.unlink(ENTRY)
    assert not other.exists(ENTRY) and other.files("ledger/review/aa") == []
    with pytest.raises(FileNotFoundError):
        other.read_bytes(ENTRY)


def test_what_is_created_is_not_changed_by_who_comes_later(pod: Pod) -> None:
    one, other = pod(asked(**LEDGER)), pod(asked(f"{TRAIN}/a2", **LEDGER))
    assert one.create_json(ENTRY, {"share": 1})
    assert not other.create_json(ENTRY, {"share": 2})
    assert one.read_json(ENTRY) == other.read_json(ENTRY) == {"share": 1}


def test_of_many_who_create_at_once_one_does(bucket_pod: Pod) -> None:
    pods = [bucket_pod(asked(f"{TRAIN}/a{number}", **LEDGER)) for number in range(1, 9)]
    with ThreadPoolExecutor(len(pods)) as pool:
        made = list(pool.map(lambda at: at[1].create_json(ENTRY, {"by": at[0]}), enumerate(pods)))
    assert made.count(True) == 1
    assert {each.read_json(ENTRY)["by"] for each in pods} == {made.index(True)}


def test_a_finished_attempt_is_another_steps_input(pod: Pod) -> None:
    writer = pod(asked())
    digest = write(writer, f"{TRAIN}/a1")
    writer.commit(f"{TRAIN}/a1")
    workspace = reader(pod, given(digest))
    assert [file.path for file in check_input(workspace, given(digest)).files] == sorted(FILES)
    assert {name: workspace.read_bytes(f"{TRAIN}/a1/{name}") for name in FILES} == FILES


def test_only_the_named_parts_come(bucket_pod: Pod) -> None:
    writer = bucket_pod(asked())
    digest = write(writer, f"{TRAIN}/a1")
    writer.commit(f"{TRAIN}/a1")
    workspace = reader(bucket_pod, given(digest, "exam.jsonl"))
    check_input(workspace, given(digest, "exam.jsonl"))
    assert Workspace(workspace.root).files(TRAIN) == ["a1/exam.jsonl", f"a1/{MANIFEST}"]
    for path in (f"{TRAIN}/a1/pools", "ledger/review/aa", "curricula/review"):
        for ask in ("record", "sealed", "records", "remove", "put"):
            with pytest.raises(ForbiddenError):
                workspace._ask(ask, path)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", sorted(FILES))
def test_what_was_changed_in_the_bucket_is_found(s3, bucket_pod: Pod, name: str) -> None:
    writer = bucket_pod(asked())
    digest = write(writer, f"{TRAIN}/a1")
    writer.commit(f"{TRAIN}/a1")
    (stored,) = [path for path in s3.folder.rglob(f"{name.split('/')[-1]}.*") if path.is_relative_to(newest(s3))]
    stored.write_bytes(b"another")
    with pytest.raises(WrongInputError, match="differs from its manifest"):
        check_input(reader(bucket_pod, given(digest)), given(digest))


def newest(s3):
    return max(s3.folder.glob("bucket-*"), key=lambda path: int(path.name.split("-")[1]))


def test_sources_are_files_and_folders_that_people_put_there(s3, bucket_pod: Pod) -> None:
    objects = newest(s3) / "team/review"
    for name in ("datasets/a.jsonl", "datasets/a.jsonl.bak", "code/src/main.py", "code/.git/config", "code/a b.py"):
        (objects / name).parent.mkdir(parents=True, exist_ok=True)
        (objects / name).write_text(name)
    sources = [{"name": n, "truth": "Rule", "group": "g", "path": n} for n in ("datasets/a.jsonl", "code", "none")]
    task = {"instructions": "x", "inputSchema": {}, "outputSchema": {}, "label": {"path": "l", "order": ["a", "b"]}}
    wanted = {"step": "prepare", "task": task, "template": "", "sources": sources, "poolsKey": "k", "ratios": {}}
    workspace = bucket_pod(asked("curricula/review/x", parameters=PrepareParameters.model_validate(wanted)))
    workspace.begin()
    found = sorted(path.relative_to(workspace.root).as_posix() for path in workspace.root.rglob("*") if path.is_file())
    assert found == ["code/src/main.py", "datasets/a.jsonl"]


def test_a_judges_anchors_are_a_file_that_people_put_there(s3, bucket_pod: Pod) -> None:
    path = newest(s3) / "team/review/people/pairs.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    judge = {"baseUrl": "http://judge/v1", "model": "arbiter-2"}
    wanted = {"judge": judge, "versus": [], "items": 10, "level": "0.95", "anchors": "people/pairs.jsonl"}
    workspace = bucket_pod(asked(f"{HOME}/iter-1/judge/a1", parameters=JudgeParameters.model_validate(wanted)))
    workspace.begin()
    assert workspace.read_bytes("people/pairs.jsonl") == b"{}"


def test_until_it_is_committed_nothing_is_there(bucket_pod: Pod) -> None:
    writer = bucket_pod(asked())
    digest = write(writer, f"{TRAIN}/a1")
    with pytest.raises(WrongInputError, match="never finished"):
        check_input(reader(bucket_pod, given(digest)), given(digest))


def test_a_taken_name_is_refused_and_its_owners_folder_stays(pod: Pod) -> None:
    one, other = pod(asked("adapters/review")), pod(asked("adapters/review", attempt=2))
    first = write(one, "adapters/review/tmp-1", owner="one")
    write(other, "adapters/review/tmp-2", {"card.json": b"other"}, owner="other")
    one.rename("adapters/review/tmp-1", "adapters/review/sha256-0")
    with pytest.raises(OSError, match=r"another attempt|not empty"):
        other.rename("adapters/review/tmp-2", "adapters/review/sha256-0")
    assert other.exists("adapters/review/tmp-2")
    for workspace in (one, other, pod(asked("adapters/review", attempt=3))):
        assert workspace.exists("adapters/review/sha256-0")
        assert read_manifest(workspace, "adapters/review/sha256-0")[1] == first
        check_input(workspace, given(first, path="adapters/review/sha256-0"))


def test_of_many_who_finish_one_folder_at_once_one_does_and_it_is_whole(bucket_pod: Pod) -> None:
    """Each with other bytes under the same names."""
    pods = [bucket_pod(asked("adapters/review", attempt=number)) for number in range(1, 7)]
    digests = [write(at, "adapters/review/tmp", {"card.json": b"%d" % n}, str(n)) for n, at in enumerate(pods)]

    def finish(workspace: Workspace) -> bool:
        try:
            workspace.rename("adapters/review/tmp", "adapters/review/sha256-0")
        except FileExistsError:
            return False
        return True

    with ThreadPoolExecutor(len(pods)) as pool:
        made = list(pool.map(finish, pods))
    assert made.count(True) == 1
    workspace = bucket_pod(asked("adapters/review", attempt=9))
    assert workspace.exists("adapters/review/sha256-0")
    check_input(workspace, given(digests[made.index(True)], path="adapters/review/sha256-0"))


def test_a_commit_whose_answer_was_lost_is_made_again(bucket_pod: Pod) -> None:
    writer = bucket_pod(asked())
    write(writer, f"{TRAIN}/a1")
    writer.commit(f"{TRAIN}/a1")
    writer.commit(f"{TRAIN}/a1")
    write(writer, f"{TRAIN}/a1", owner="another")
    with pytest.raises(FileExistsError):
        writer.commit(f"{TRAIN}/a1")
    with pytest.raises(FruitlessError, match="another pod"):
        Attempt(asked(), writer).seal(ExamFigures(questions=2))


def test_checkpoints_outlive_a_killed_pod(pod: Pod) -> None:
    killed = pod(asked())
    killed.write_bytes(f"{TRAIN}/a1/order.jsonl", b"order")
    for step in (10, 20):
        killed.write_bytes(f"{TRAIN}/a1/checkpoints/step-{step}/state", b"state %d" % step)
        killed.keep(f"{TRAIN}/a1")
        if step == 10:
            Workspace(killed.root).remove(f"{TRAIN}/a1/checkpoints/step-10")
    killed.write_bytes(f"{TRAIN}/a1/checkpoints/unfinished-30/state", b"sta")
    again = reader(pod, resume=f"{TRAIN}/a1")
    assert again.read_bytes(f"{TRAIN}/a1/order.jsonl") == b"order"
    assert again.read_bytes(f"{TRAIN}/a1/checkpoints/step-20/state") == b"state 20"
    assert not again.local(f"{TRAIN}/a1/checkpoints/step-10").exists()


def test_another_pod_of_the_same_attempt_finds_its_checkpoints(pod: Pod) -> None:
    """A queue has stopped the one before."""
    stopped = pod(asked())
    stopped.write_bytes(f"{TRAIN}/a1/checkpoints/step-10/state", b"state")
    stopped.keep(f"{TRAIN}/a1")
    again = pod(asked())
    again.begin()
    assert again.read_bytes(f"{TRAIN}/a1/checkpoints/step-10/state") == b"state"


def test_half_of_a_checkpoint_is_none(s3, bucket_pod: Pod) -> None:
    killed = bucket_pod(asked())
    killed.write_bytes(f"{TRAIN}/a1/checkpoints/step-1/state", b"state")
    killed.write_bytes(f"{TRAIN}/a1/checkpoints/step-1/optimizer", b"optimizer")
    killed.keep(f"{TRAIN}/a1")
    (stored,) = newest(s3).rglob("optimizer.*")
    stored.unlink()
    assert not reader(bucket_pod, resume=f"{TRAIN}/a1").local(f"{TRAIN}/a1").exists()


def test_a_finished_attempt_leaves_no_checkpoints(s3, bucket_pod: Pod) -> None:
    done = bucket_pod(asked())
    done.write_bytes(f"{TRAIN}/a1/checkpoints/step-1/state", b"state")
    done.keep(f"{TRAIN}/a1")
    Workspace(done.root).remove(f"{TRAIN}/a1/checkpoints")
    write(done, f"{TRAIN}/a1")
    done.commit(f"{TRAIN}/a1")
    kept = [path.name for path in (newest(s3) / "team/review").rglob("*") if path.is_file()]
    assert len(kept) == len(FILES) + 1 and MANIFEST in kept


def test_what_is_removed_is_gone_for_all(pod: Pod) -> None:
    writer = pod(asked())
    write(writer, f"{TRAIN}/a1")
    writer.commit(f"{TRAIN}/a1")
    cleaner = pod(cleaning())
    assert cleaner.folders(f"{HOME}/iter-1") == [TRAIN]
    assert cleaner.folders(TRAIN) == [f"{TRAIN}/a1"]
    assert cleaner.remove(f"{TRAIN}/a1") > sum(map(len, FILES.values()))
    assert pod(cleaning()).folders(TRAIN) == []


def test_what_is_half_removed_is_not_taken_for_finished(tmp_path: Path, s3) -> None:
    writer, place = on_bucket(tmp_path, s3)(asked()), newest(s3).name
    digest = write(writer, f"{TRAIN}/a1")
    writer.commit(f"{TRAIN}/a1")
    cleaner = on_bucket(tmp_path, s3, place, DyingBucket)(cleaning())
    # One point is before the manifest goes, the next before all else does.
    for kill_at, found in ((0, True), (2, False)):
        with watched(Disk((), kill_at)) as killed:
            cleaner.remove(f"{TRAIN}/a1")
        assert killed.dead
        workspace = reader(on_bucket(tmp_path, s3, place), given(digest))
        assert workspace.local(f"{TRAIN}/a1/{MANIFEST}").exists() == found


def test_a_link_is_neither_followed_into_the_bucket_nor_out_of_it(bucket_pod: Pod) -> None:
    """The sidecar holds a key, and the step may put links where it works."""
    workspace = bucket_pod(asked(**LEDGER))
    assert isinstance(workspace, RemoteWorkspace)
    folder = workspace.root / "ledger/review"
    folder.mkdir(parents=True)
    (folder / "aa").symlink_to("/proc/self")
    for ask in ("put", "record"):
        with pytest.raises(ValueError, match="symbolic link"):
            workspace._ask(ask, "ledger/review/aa/environ")
