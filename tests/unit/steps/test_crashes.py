"""Every step killed at every change that it makes on disk: the next attempt ends as if nothing had happened.

What is half done is never taken for finished, and no teacher call whose reply was recorded is paid again.
"""

from __future__ import annotations

import itertools
import json
import shutil
from collections import Counter
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from crash_points import Disk, watched
from faults_table import AddRow, Row

from flywheel.api.result import AbsentFigures
from flywheel.api.task import PreparedTask
from flywheel.data.tokens import BaseIdentity, Contract
from flywheel.serving import asking, repository
from flywheel.serving.access import Access
from flywheel.serving.triton import Reply
from flywheel.workspace.adapter import adapter_digest
from flywheel.workspace.program import REQUEST
from flywheel.workspace.store import Workspace

ITERATION = "runs/review/severity-1/iter-1"
CONCURRENCY = 3
CHANGING = ("curricula", "runs", "ledger", "adapters", "deployments", "models")
Step = Callable[[Any, int], Any]
pytestmark = pytest.mark.parametrize("bench", ["volume", "bucket"], indirect=True)


@dataclass(frozen=True)
class Scene:
    """A step with its inputs on a bench. `home`: the folder that attempt 1 seals; `beside`: what else it writes."""

    run: Step
    home: str | None
    beside: tuple[str, ...] = ()
    teaching: bool = False


def crash_everywhere(bench: Any, scene: Scene, row: Row) -> None:
    """Kill the first attempt at each change, on a fresh copy each time; look at what it left; make the second."""
    points = 0
    whole = clone(bench, "whole")
    with watched(disk(whole)) as counted:
        golden = outcome(whole, scene, scene.run(whole, 1))
    for points in itertools.count():
        broken = clone(bench, "broken")
        before = asked(broken) if scene.teaching else []
        with watched(disk(broken, kill_at=points)) as dying:
            scene.run(broken, 1)
        if not dying.dead:
            break
        row.cases += 1
        half_done_counts_as_nothing(broken, scene, golden)
        recorded = replies(broken) - replies(bench)
        again = scene.run(broken, 2)
        assert outcome(broken, scene, again) == golden, f"killed after {dying.changes[-1:]}"
        models_are_whole(broken)
        if scene.teaching:
            usage, calls = again.result.figures.usage, Counter(asked(broken)[len(before) :])
            row.calls += recorded - usage.recorded
            assert usage.recorded == recorded, "what was recorded is not asked again"
            # Calls that were being made may have been paid for: at most as many as are made at once.
            assert calls.total() - len(calls) <= usage.lost_in_flight <= CONCURRENCY
            assert (usage.input_tokens, usage.output_tokens) == charged(broken, scene), "exact, whatever was cut off"
        row.converged += 1
    # Two threads may make the same folder at once.
    assert abs(points - len(counted.changes)) < CONCURRENCY


def clone(bench: Any, name: str) -> Any:
    """A copy of the bench before the step; what was there under this name is gone."""
    root = bench.root.parent / name
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(bench.root, root)
    return replace(bench, root=root)


def disk(bench: Any, kill_at: int | None = None) -> Disk:
    """All that outlives a pod: of a workspace in a bucket, the bucket's requests count, and the models' claim."""
    names = ["models"] if in_bucket(bench) else CHANGING
    return Disk(tuple(bench.root / name for name in names), kill_at)


def in_bucket(bench: Any) -> bool:
    return getattr(bench, "place", None) is not None


def fault(bench: Any) -> str:
    return "killed at a request to the bucket" if in_bucket(bench) else "killed at a change on disk"


def asked(bench: Any) -> list[str]:
    """Every request that the teacher answered, by its content."""
    return [entry["digest"] for entry in bench.asked()["requests"] if entry["status"] == 200]


def replies(bench: Any) -> int:
    return sum(not path.name.startswith("tmp-") for path in (bench.root / "ledger").rglob("*.reply.json"))


def charged(bench: Any, scene: Scene) -> tuple[int, int]:
    """Tokens in and out, as the ledger says: replies as they say, requests that were cut off as reserved."""
    payer, tokens = str(scene.home).rpartition("/")[0], [0, 0]
    for path in (bench.root / "ledger").rglob("[0-9a-f]*.intent.json"):
        intent = json.loads(path.read_bytes())
        reply = json.loads(path.with_name(path.name.replace(".intent.", ".reply.")).read_bytes())
        if reply["payer"] == payer:
            tokens[0] += reply["inputTokens"] + intent["lost"] * intent["mostInputTokens"]
            tokens[1] += reply["outputTokens"] + intent["lost"] * intent["mostOutputTokens"]
    return tokens[0], tokens[1]


def outcome(bench: Any, scene: Scene, ran: Any) -> dict[str, Any]:
    """Everything that must be the same whichever attempt made it."""
    assert ran.code == 0, ran.log
    folders = {"": ran.result.path, **{name: name for name in scene.beside}}
    files = {name: contents(bench.root / folder) for name, folder in folders.items()}
    return {"figures": plain(ran.result.figures.to_json_object()), "files": files}


def contents(folder: Path) -> dict[str, Any]:
    """Finished files: an attempt's own number is not part of what it made."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if name.name == REQUEST:  # the attempt's number is what it was asked for
            continue
        if path.is_file() and not any(part.startswith(("tmp-", ".tmp-")) for part in name.parts):
            data = path.read_bytes()
            if name.name.endswith(".intent.json"):  # how often it was cut off
                found[str(name)] = {key: part for key, part in json.loads(data).items() if key != "lost"}
            else:
                found[str(name)] = plain(json.loads(data)) if name.name == "manifest.json" else data
    return found


def plain(value: dict[str, Any]) -> dict[str, Any]:
    """Without the attempt's number, which calls it found recorded or cut off, and how much there was left to remove."""
    figures = value.get("figures", value)
    if "files" in value:
        value["files"] = [entry for entry in value["files"] if entry["path"] != REQUEST]
    for found in ("removed", "freedBytes"):
        figures.pop(found, None)
    if "usage" in figures:
        # Tokens are charged for what was cut off, too: `charged` says how many.
        figures["usage"] = {key: n for key, n in figures["usage"].items() if key in ("calls", "unaffordable")}
    return {key: part for key, part in value.items() if key != "attempt"}


def half_done_counts_as_nothing(bench: Any, scene: Scene, golden: dict[str, Any]) -> None:
    """A report of the killed attempt finds nothing, or all of it; and changes nothing itself."""
    models_are_whole(bench)
    if scene.home is None:
        return
    with watched(disk(bench)) as looking:
        told = bench.run("report", f"{ITERATION}/report/a1", {"attemptPath": scene.home})
    assert not looking.changes
    if told.result.figures != AbsentFigures():
        found = outcome(bench, Scene(scene.run, scene.home), told)
        assert (found["figures"], found["files"][""]) == (golden["figures"], golden["files"][""])


def models_are_whole(bench: Any) -> None:
    """Every model that a server would see can be loaded, and its adapter is the one that it names."""
    models = bench.root / "models"
    for folder in models.glob("[!.]*"):
        digest = repository.committed(models, folder.name)
        assert list((folder / "1").glob("*.py"))
        if digest is not None:
            assert adapter_digest(Workspace(models / ".adapters"), digest.replace(":", "-")) == digest


def test_prepare(bench: Any, add_row: AddRow) -> None:
    def run(at: Any, attempt: int) -> Any:
        return at.prepare(attempt)

    home = run(clone(bench, "first"), 1).result.path
    crash_everywhere(bench, Scene(run, home), add_row("prepare", fault(bench)))


def test_exam(taught: Any, add_row: AddRow) -> None:
    inputs = [taught.prepare().entry("curriculum", "task.json", "signatures.json", "pools/exam")]
    parameters = {"teacher": {**taught.teacher, "concurrency": CONCURRENCY}, "questions": 8, "votes": 1}

    def run(at: Any, attempt: int) -> Any:
        return at.run("exam", f"{ITERATION}/exam/a{attempt}", parameters, inputs=inputs, attempt=attempt)

    crash_everywhere(
        taught, Scene(run, f"{ITERATION}/exam/a1", ("ledger",), teaching=True), add_row("exam", fault(taught))
    )


def test_evaluate(taught: Any, add_row: AddRow) -> None:
    prepared = taught.prepare()
    teacher = {**taught.teacher, "concurrency": CONCURRENCY}
    pool = [prepared.entry("curriculum", "task.json", "signatures.json", "pools/exam")]
    sat = taught.run("exam", f"{ITERATION}/exam/a1", {"teacher": teacher, "questions": 8}, inputs=pool)
    given = taught.answered(taught.lines(sat, "exam.jsonl"))
    inputs = [
        prepared.entry("curriculum", "task.json", "signatures.json", "pools/curriculum"),
        sat.entry("exam", "exam.jsonl"),
        given,
    ]
    parameters = {"teacher": teacher, "examples": 8, "replay": "0.25", "votes": 1}

    def run(at: Any, attempt: int) -> Any:
        return at.run("evaluate", f"{ITERATION}/evaluate/a{attempt}", parameters, inputs=inputs, attempt=attempt)

    crash_everywhere(
        taught, Scene(run, f"{ITERATION}/evaluate/a1", ("ledger",), teaching=True), add_row("evaluate", fault(taught))
    )


def publishing(shop: Any, phase: str) -> Step:
    def run(at: Any, attempt: int) -> Any:
        own = copy(shop)
        own.bench, own.repository = at, at.root / "models"
        return own.publish(phase, attempt)

    return run


@pytest.mark.parametrize("damaged", [False, True], ids=["", "over a damaged copy"])
def test_publish_stage(shop: Any, damaged: bool, add_row: AddRow) -> None:
    shutil.copytree(shop.repository / "severity", shop.repository / "severity-cand-99999999")
    if damaged:
        copied = shop.repository / ".adapters" / shop.folder.name
        copied.mkdir(parents=True)
        (copied / "contract.json").write_text("{")
    home = str(shop.folder.relative_to(shop.bench.root))
    crash_everywhere(
        shop.bench,
        Scene(publishing(shop, "stage"), home, ("models",)),
        add_row("publish, stage" + ", over a damaged copy" * damaged, fault(shop.bench)),
    )


def test_publish_commit(shop: Any, add_row: AddRow) -> None:
    assert shop.publish().code == 0
    shop.inputs = []
    crash_everywhere(
        shop.bench, Scene(publishing(shop, "commit"), None, ("models",)), add_row("publish, commit", fault(shop.bench))
    )


def test_cleanup(bench: Any, add_row: AddRow) -> None:
    home = "runs/review/severity-1"
    for number, step, attempt in itertools.product((1, 2, 3), ("train", "test"), (1, 2)):
        bench.workspace.write_bytes(f"{home}/iter-{number}/{step}/a{attempt}/deep/file", b"12345")
    parameters = {"home": home, "through": 2, "keep": [f"{home}/iter-1/train/a2"]}

    def run(at: Any, attempt: int) -> Any:
        output = f"{home}/iter-3/cleanup/a{attempt}"
        return at.run("cleanup", output, parameters, iteration=3, attempt=attempt)

    beside = (f"{home}/iter-1", f"{home}/iter-2", f"{home}/iter-3/train", f"{home}/iter-3/test")
    crash_everywhere(bench, Scene(run, f"{home}/iter-3/cleanup/a1", beside), add_row("cleanup", fault(bench)))


class Pod:
    """Answers as measured."""

    def __init__(self, address: str, access: Access) -> None: ...

    def __enter__(self) -> Pod:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def lora_name(self, _model: str) -> None: ...

    def ask(self, model: str, question: dict[str, Any]) -> Reply:
        return Reply('{"issue_type":"major"}', "sha256:" + "a" * 64)


def test_verify(bench: Any, monkeypatch: pytest.MonkeyPatch, add_row: AddRow) -> None:
    monkeypatch.setattr(asking, "TritonPod", Pod)
    prepared = PreparedTask.model_validate(bench.workspace.read_json(f"{bench.prepare().result.path}/task.json"))
    contract = Contract(
        prepared=prepared,
        base=BaseIdentity(weights="w", config="c", dtype="float32"),
        tokenizer="t",
        template="t",
        rendered_prompt="p",
        bos="none",
        stop_ids=[1],
        max_new_tokens=8,
        output_schema=prepared.task.output_schema,
        label_path=prepared.task.label.path,
        labels=list(prepared.task.label.order),
    )
    adapter, home = "adapters/review/x", "deployments/review/severity-1/iter-1/verify"
    bench.workspace.write_json(f"{adapter}/contract.json", contract.to_json_object())
    probes = [{"id": str(n), "input": {"code": str(n)}, "candidate": "major", "base": "minor"} for n in range(3)]
    bench.workspace.write_jsonl(f"{adapter}/probes.jsonl", probes)
    inputs = [{"name": "adapter", **bench.finished(adapter, AbsentFigures())}]
    parameters = {
        "model": "severity-cand-aaaaaaaa",
        "adapterDigest": "sha256:" + "a" * 64,
        "addresses": ["one:8001", "two:8001"],
        "agreement": "0.95",
        "minimumProbes": 3,
    }

    def run(at: Any, attempt: int) -> Any:
        return at.run("verify", f"{home}/a{attempt}", parameters, inputs=inputs, attempt=attempt)

    crash_everywhere(bench, Scene(run, f"{home}/a1"), add_row("verify", fault(bench)))
