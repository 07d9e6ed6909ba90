"""What servers read, in a bucket: whatever is cut off anywhere, a copy serves the revision before or the one after."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import mkdtemp

import pytest
from crash_points import Disk, DyingBucket, watched
from hypothesis import given, settings
from hypothesis import strategies as st
from s3_server import ACCESS, Server

from flywheel.api.conditions import Reason
from flywheel.api.workspace import S3
from flywheel.serving import repository
from flywheel.workspace.bucket import Bucket
from flywheel.workspace.copied import Copy, files_of
from flywheel.workspace.remote import RemoteError
from flywheel.workspace.revisions import Revisions
from flywheel.workspace.store import UnsafePathError

MODEL = "severity"
ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64
CONFIG = 'name: "severity"\nbackend: "python"\n'
PARTS = ("adapter_config.json", "adapter_model.safetensors", "contract.json")


class Failing(Bucket):
    """A bucket of which one request fails, and every later one."""

    left: int | None = None

    def ask(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise RemoteError(Reason.WORKSPACE_UNAVAILABLE, "away")

    def read(self, key: str) -> bytes | None:
        self.ask()
        return super().read(key)

    def get(self, key: str, target: Path) -> bool:
        self.ask()
        return super().get(key, target)

    def put(self, key: str, source: Path) -> None:
        self.ask()
        super().put(key, source)

    def create(self, key: str, data: bytes) -> bool:
        self.ask()
        made = super().create(key, data)
        self.ask()  # the answer may be lost
        return made

    def sizes(self, folder: str) -> dict[str, int]:
        self.ask()
        return super().sizes(folder)

    def delete(self, keys: Sequence[str]) -> None:
        self.ask()
        super().delete(keys[:1])
        self.ask()
        super().delete(keys[1:])


class World:
    """One bucket with a model of no adapter; publishes on it, and pods that follow it."""

    def __init__(self, s3: Server, home: Path) -> None:
        self.place, self.home = s3.place(), home
        seed = self.folder()
        (seed / MODEL / "1").mkdir(parents=True)
        (seed / MODEL / "1/model.py").write_text("# the model")
        (seed / MODEL / "config.pbtxt").write_text(CONFIG)
        assert Copy(Revisions(self.bucket()), seed).seed()

    def folder(self) -> Path:
        return Path(mkdtemp(dir=self.home))

    def bucket(self) -> Bucket:
        return Bucket(self.place, ACCESS)

    def adapter(self, digest: str) -> Path:
        folder = self.folder()
        for part in PARTS:
            (folder / part).write_text(f"{part} of {digest}")
        return folder

    def publish(self, step: Callable[[Path], None], bucket: Bucket | None = None) -> bool:
        """As the step's pod does."""
        copy = Copy(Revisions(bucket or self.bucket()), folder := self.folder())
        copy.bring()
        step(folder)
        return copy.put()

    def stage(self, digest: str) -> Callable[[Path], None]:
        name, adapter = candidate(digest), self.adapter(digest)
        return lambda folder: repository.stage(folder, MODEL, name, adapter, digest)

    def commit(self, digest: str, *drop: str) -> Callable[[Path], None]:
        adapter = self.adapter(digest)

        def step(folder: Path) -> None:
            repository.commit(folder, MODEL, adapter, digest)
            repository.drop(folder, drop)

        return step

    def pulled(self, folder: Path | None = None, bucket: Bucket | None = None) -> Path:
        folder = folder or self.folder()
        Copy(Revisions(bucket or self.bucket()), folder).bring()
        return folder


def candidate(digest: str) -> str:
    return f"{MODEL}-cand-{digest[7:15]}"


def served(folder: Path) -> dict[str, str | None]:
    """What a server would load now, by model. Everything that a model needs must be there, and be its own."""
    found: dict[str, str | None] = {}
    for config in sorted(folder.glob("[!.]*/config.pbtxt")):
        model = config.parent.name
        assert (config.parent / "1/model.py").read_text() == "# the model"
        found[model] = digest = repository.committed(folder, model)
        if digest is not None:
            adapter = folder / ".adapters" / digest.replace(":", "-")
            for part in PARTS:
                assert (adapter / part).read_text() == f"{part} of {digest}", f"{model} names what is not whole"
    for model in folder.glob("[!.]*"):
        assert (model / "config.pbtxt").exists(), f"half of {model.name} is seen"
    return found


BARE: dict[str, str | None] = {MODEL: None}
STAGED: dict[str, str | None] = {MODEL: None, candidate(ONE): ONE}
FIRST: dict[str, str | None] = {MODEL: ONE, candidate(ONE): ONE}
SECOND: dict[str, str | None] = {MODEL: ONE, candidate(TWO): TWO}
SWITCHED: dict[str, str | None] = {MODEL: TWO, candidate(TWO): TWO}
# Each step of two rollouts, and what is served before it and after it; the last one drops the first adapter. The cuts
# are made in the last two, which bring, change and remove.
STEPS: list[tuple[str, str, tuple[str, ...]]] = [
    ("stage", ONE, ()),
    ("commit", ONE, ()),
    ("stage", TWO, ()),
    ("commit", TWO, (ONE,)),
]
SERVED = [BARE, STAGED, FIRST, SECOND, SWITCHED]


@pytest.fixture
def world(s3: Server, tmp_path: Path) -> World:
    return World(s3, tmp_path)


def step_of(world: World, number: int) -> Callable[[Path], None]:
    kind, digest, drop = STEPS[number]
    return world.stage(digest) if kind == "stage" else world.commit(digest, *drop)


def after(world: World, number: int) -> None:
    for earlier in range(number):
        assert world.publish(step_of(world, earlier))


def test_a_pod_follows_two_rollouts(world: World) -> None:
    folder = world.pulled()
    copy = Copy(Revisions(world.bucket()), folder)
    for number, wanted in enumerate(SERVED):
        if number:
            assert world.publish(step_of(world, number - 1))
        copy.bring()
        assert served(folder) == wanted
    assert copy.number == len(SERVED)
    assert [path.name for path in (folder / ".adapters").iterdir()] == [TWO.replace(":", "-")], "what is gone, goes"
    assert not list(folder.rglob(".tmp-*"))
    modes = {path.stat().st_mode & 0o777 for path in folder.rglob("*")}
    assert modes == {0o644, 0o755}, "the server is another user"
    kept = world.bucket().sizes("files")
    assert len(kept) == len(files_of(folder)), "what no pod needs is removed from the bucket"
    assert len(world.bucket().sizes("revisions")) == 1


def test_a_repeated_step_makes_no_revision(world: World) -> None:
    after(world, 1)
    before = world.bucket().sizes("revisions")
    assert world.publish(step_of(world, 0))
    assert world.bucket().sizes("revisions") == before, "a pod would have something to do"


@pytest.mark.parametrize("number", [2, 3])
def test_a_publish_that_is_killed_anywhere(world: World, s3: Server, number: int) -> None:
    after(world, number)
    old, new = SERVED[number], SERVED[number + 1]
    keep = world.place
    seen: list[dict[str, str | None]] = []
    for kill_at in range(200):
        world.place = _copied(world, s3, keep, kill_at)
        pod = world.pulled()
        disk = Disk((), kill_at=kill_at)
        with watched(disk):
            world.publish(step_of(world, number), DyingBucket(world.place, ACCESS))
        seen.append(served(world.pulled()))
        assert seen[-1] in (old, new)
        assert served(world.pulled(pod)) == seen[-1]
        assert world.publish(step_of(world, number))
        assert served(world.pulled(pod)) == new
        assert len(world.bucket().sizes("files")) == len(files_of(pod)), "what the killed one left is removed"
        if not disk.dead:
            break
    assert not disk.dead and kill_at > 3 and old in seen and new in seen


@pytest.mark.parametrize("number", [2, 3])
def test_a_publish_of_which_any_request_fails(world: World, s3: Server, number: int) -> None:
    after(world, number)
    old, new = SERVED[number], SERVED[number + 1]
    keep = world.place
    for left in range(200):
        world.place = _copied(world, s3, keep, left)
        bucket = Failing(world.place, ACCESS)
        bucket.left = left
        try:
            done = world.publish(step_of(world, number), bucket)
        except RemoteError:
            done = False
        assert served(world.pulled()) in ([new] if done else [old, new])
        if done:
            break
        assert world.publish(step_of(world, number))
        assert served(world.pulled()) == new
    assert done and left > 3


@pytest.mark.parametrize("number", [2, 3])
def test_a_pull_that_is_killed_anywhere(world: World, number: int, tmp_path: Path) -> None:
    after(world, number)
    before = world.pulled()
    after_ = SERVED[number + 1]
    assert world.publish(step_of(world, number))
    seen: list[dict[str, str | None]] = []
    for kill_at in range(300):
        folder = tmp_path / f"pod-{kill_at}"
        shutil.copytree(before, folder)
        disk = Disk((folder,), kill_at=kill_at)
        with watched(disk):
            world.pulled(folder)
        seen.append(served(folder))
        assert between(seen[-1], SERVED[number], after_)
        world.pulled(folder)
        assert served(folder) == after_ and not list(folder.rglob(".tmp-*"))
        assert files_of(folder) == files_of(world.pulled())
        shutil.rmtree(folder)
        if not disk.dead:
            break
    assert not disk.dead and kill_at > 3 and SERVED[number] in seen and after_ in seen


@pytest.mark.parametrize("number", [2, 3])
def test_a_pull_of_which_any_request_fails(world: World, number: int) -> None:
    after(world, number)
    folder = world.pulled()
    assert world.publish(step_of(world, number))
    for left in range(100):
        bucket = Failing(world.place, ACCESS)
        bucket.left = left
        try:
            world.pulled(folder, bucket)
            break
        except RemoteError:
            assert served(folder) == SERVED[number]
    assert left > 1 and served(folder) == SERVED[number + 1]


def _copied(world: World, s3: Server, keep: S3, number: int) -> S3:
    """Another folder of the bucket that holds the same: the next cut begins where this one did."""
    other = keep.model_copy(update={"prefix": f"copy/{number}"})
    shutil.copytree(s3.files(keep), s3.files(other))
    return other


def between(found: dict[str, str | None], old: dict[str, str | None], new: dict[str, str | None]) -> bool:
    """Each model is as it was or as it will be: wholly, which `served` has seen to."""
    return all(
        found.get(model, "gone") in (old.get(model, "gone"), new.get(model, "gone")) for model in {*found, *old, *new}
    )


def test_of_two_publishes_at_once_one_is_told_to_begin_anew(world: World) -> None:
    slow = Copy(Revisions(world.bucket()), folder := world.folder())
    slow.bring()
    world.stage(ONE)(folder)
    assert world.publish(world.stage(TWO))
    assert not slow.put()
    assert served(world.pulled()) == {MODEL: None, candidate(TWO): TWO}
    assert world.publish(world.commit(TWO)), "the number that the slow one wanted is taken and removed by now"
    assert not slow.put()
    assert served(world.pulled()) == {MODEL: TWO, candidate(TWO): TWO}


def test_a_model_that_is_there_is_not_seeded_again(world: World) -> None:
    after(world, 2)
    seed = world.folder()
    for model in (MODEL, "another"):
        (seed / model / "1").mkdir(parents=True)
        (seed / model / "1/model.py").write_text("# the model")
        (seed / model / "config.pbtxt").write_text(f'name: "{model}"\nbackend: "other"\n')
    assert Copy(Revisions(world.bucket()), seed).seed()
    folder = world.pulled()
    assert served(folder) == FIRST | {"another": None}
    assert (folder / MODEL / "config.pbtxt").read_text().count("python") == 1


def test_in_a_model_that_is_there_the_configuration_is_changed_last(world: World, tmp_path: Path) -> None:
    def step(folder: Path) -> None:
        for name in ("a.txt", "config.pbtxt", "labels.txt"):
            (folder / MODEL / name).write_text("new")

    before = world.pulled()
    assert world.publish(step)
    kill_at, dead = 0, True
    while dead:
        shutil.copytree(before, folder := tmp_path / f"pod-{kill_at}")
        with watched(disk := Disk((folder,), kill_at=kill_at)):
            world.pulled(folder)
        if (folder / MODEL / "config.pbtxt").read_text() == "new":
            assert (folder / MODEL / "a.txt").exists() and (folder / MODEL / "labels.txt").exists()
        kill_at, dead = kill_at + 1, disk.dead
    assert (folder / MODEL / "config.pbtxt").read_text() == "new" and kill_at > 3


def test_what_somebody_removed_or_changed_by_hand_is_said_and_nothing_is_taken(world: World, s3: Server) -> None:
    after(world, 2)
    folder = world.pulled()
    copy = Copy(Revisions(world.bucket()), folder)
    copy.bring()
    assert world.publish(world.stage(TWO))
    (weights,) = s3.files(world.place).glob(f"files/*/.adapters/{TWO.replace(':', '-')}/*.safetensors")
    good = weights.read_bytes()
    for spoil in (lambda: weights.write_bytes(good[:-1] + b"x"), weights.unlink):
        spoil()
        with pytest.raises(RemoteError, match="revision 4 in the bucket is not whole") as said:
            copy.bring()
        assert said.value.reason is Reason.TARGET_UNAVAILABLE
        assert served(folder) == FIRST
    (revision,) = s3.files(world.place).glob("revisions/*")
    revision.write_text('{"files": [{"path": "../../etc/passwd", "digest": "", "key": "x"}]}')
    with pytest.raises(RemoteError, match="cannot be read"):
        copy.bring()
    revision.unlink()
    with pytest.raises(RemoteError, match="no revision any more"):
        copy.bring()
    assert served(folder) == FIRST


def test_a_damaged_copy_is_mended_by_the_next_process(world: World) -> None:
    after(world, 2)
    folder = world.pulled()
    (folder / MODEL / "1/model.py").write_text("# cut")
    (folder / ".adapters" / ONE.replace(":", "-") / PARTS[1]).unlink()
    assert served(world.pulled(folder)) == FIRST


def test_no_link_is_followed_into_the_bucket(world: World) -> None:
    def step(folder: Path) -> None:
        (folder / MODEL / "link").symlink_to("/etc/hostname")

    with pytest.raises(UnsafePathError, match="symbolic link"):
        world.publish(step)


_names = st.sampled_from(["a", "b", ".c/d", ".c/e"])
_trees = st.dictionaries(
    st.tuples(_names, st.sampled_from(["x", "1/y", "config.pbtxt"])).map("/".join), st.sampled_from([b"", b"1", b"2"]),
    min_size=1,
)  # fmt: skip


@settings(max_examples=25)
@given(trees=st.lists(_trees, min_size=1, max_size=4))
def test_a_copy_is_what_was_put(
    s3: Server, tmp_path_factory: pytest.TempPathFactory, trees: list[dict[str, bytes]]
) -> None:
    home = tmp_path_factory.mktemp("trees")
    bucket, follower = Revisions(Bucket(s3.place(), ACCESS)), home / "follower"
    follower.mkdir()
    following = Copy(bucket, follower)
    for number, tree in enumerate(trees):
        publisher = Copy(bucket, home / str(number))
        (home / str(number)).mkdir()
        publisher.bring()
        for entry in (home / str(number)).iterdir():
            shutil.rmtree(entry)
        for path, data in tree.items():
            (file := home / str(number) / path).parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        assert publisher.put()
        following.bring()
        assert {path: (follower / path).read_bytes() for path in files_of(follower)} == tree
        assert all(any(folder.iterdir()) for folder in follower.glob("*/*/") if folder.parent.name != ".c")
