"""prepare: real findings become a revision; anything wrong has a reason and says what to do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flywheel.api.item import Item
from flywheel.api.result import PrepareFigures

NEAR = {"NearDuplicate": 5}  # of the 300 findings, in another pool
POOLS = ("exam", "curriculum", "validation", "test", "probe")


def figures(ran: Any) -> PrepareFigures:
    assert ran.code == 0, ran.log
    assert isinstance(ran.result.figures, PrepareFigures)
    return ran.result.figures


def pools(bench: Any, ran: Any) -> dict[str, list[Item]]:
    return {
        pool: [Item.model_validate(line) for line in bench.lines(ran, f"pools/{pool}/items.jsonl")] for pool in POOLS
    }


def add(bench: Any, *lines: Any) -> None:
    with bench.findings.open("a") as file:
        for line in lines:
            file.write((line if isinstance(line, str) else json.dumps(line)) + "\n")


def finding(code: str = "x = 1", label: str = "minor", file: str = "new.py") -> dict[str, Any]:
    return {"input": {"code": code, "review": "Why?"}, "output": {"issue_type": label}, "file": file}


def test_every_finding_is_in_one_pool_and_no_group_in_two(bench: Any) -> None:
    ran = bench.prepare()
    held = pools(bench, ran)
    shown = figures(ran)
    assert shown.items == {pool: len(items) for pool, items in held.items()}
    assert sum(shown.items.values()) + sum(shown.rejected.values()) == 300
    for pool, items in held.items():
        counts = [sum(item.output["issue_type"] == label for item in items) for label in ("critical", "major")]
        assert shown.labels[pool][:2] == counts
    groups = [{item.group for item in items} for items in held.values()]
    assert sum(len(each) for each in groups) == len(set().union(*groups))
    identities = [item.id for items in held.values() for item in items]
    assert len(set(identities)) == len(identities)
    task = bench.workspace.read_json(f"{ran.result.path}/task.json")
    assert task["template"] == "{{ fields }}"
    assert len(ran.result.to_message().encode()) <= 1024


def test_prepared_again_it_is_found_again(bench: Any) -> None:
    first = bench.prepare()
    second = bench.prepare()
    assert (second.result.path, second.result.manifest) == (first.result.path, first.result.manifest)
    assert figures(second) == figures(first)
    assert "was prepared before" in second.log


def test_groups_keep_their_pools_when_data_grows(bench: Any) -> None:
    before = {item.group: pool for pool, items in pools(bench, bench.prepare()).items() for item in items}
    add(bench, finding("def f(): ..."))
    grown = bench.prepare()
    after = {item.group: pool for pool, items in pools(bench, grown).items() for item in items}
    assert before.items() <= after.items()
    assert len(after) == len(before) + 1


@pytest.mark.parametrize("change", ["template", "poolsKey", "content"])
def test_another_input_is_another_revision(bench: Any, change: str) -> None:
    first = bench.prepare()
    if change == "content":
        add(bench, finding())
        second = bench.prepare()
    else:
        second = bench.prepare(**{change: "tests 2"})
    assert figures(second).revision != figures(first).revision
    assert bench.workspace.exists(f"{first.result.path}/manifest.json")


def test_a_killed_attempts_leftovers_do_not_hurt(bench: Any) -> None:
    first = bench.prepare()
    home, _, revision = first.result.path.rpartition("/")
    (bench.root / first.result.path).rename(bench.root / home / f"tmp-{revision}-a1")
    (bench.root / home / f"tmp-{revision}-a1" / "manifest.json").unlink()
    (bench.root / home / f"tmp-{revision}-a1" / "strange.bin").write_text("half")
    again = bench.prepare()
    assert again.result.manifest == first.result.manifest
    assert [path.name for path in (bench.root / home).iterdir()] == [revision]


def test_a_damaged_revision_is_said(bench: Any) -> None:
    first = bench.prepare()
    (bench.root / first.result.path / "pools/exam/items.jsonl").write_text("")
    again = bench.prepare()
    assert (again.code, again.result.error.reason) == (64, "RevisionDamaged")


def test_copies_and_contradictions_are_counted_not_fatal(bench: Any) -> None:
    add(bench, finding("a"), finding("a "), finding("b", "major"), finding("b", "minor"))
    ran = bench.prepare()
    assert figures(ran).rejected == {"ConflictingLabels": 2, "Duplicate": 1, **NEAR}
    assert [reject["line"] for reject in bench.lines(ran, "rejected.jsonl") if reject["line"] > 300] == [303, 304, 302]


def source(**changes: Any) -> list[dict[str, Any]]:
    return [
        {"name": "findings", "truth": "Rule", "group": "file", "path": "datasets/findings.jsonl", **changes},
    ]


def test_broken_lines_stall_with_line_and_path(bench: Any) -> None:
    add(bench, '{"input": ', finding(label="fatal"))
    ran = bench.prepare()
    assert (ran.code, ran.result.error.reason) == (64, "SourceRejected")
    assert "source findings: 2 lines rejected, 0 allowed; line 301" in ran.result.error.message
    assert "maxRejected" in ran.result.error.message


def test_a_schema_that_does_not_fit_says_so(bench: Any) -> None:
    add(bench, finding(label="fatal"))
    ran = bench.prepare()
    assert (ran.code, ran.result.error.reason) == (64, "SchemaMismatch")
    assert "line 301: output.issue_type" in ran.result.error.message
    assert "fatal" not in ran.result.error.message


def test_as_many_rejects_as_allowed_pass_with_samples(bench: Any) -> None:
    add(bench, *["broken"] * 30, *[finding(f"code {number}", "fatal") for number in range(5)])
    ran = bench.prepare(sources=source(maxRejected=35))
    assert figures(ran).rejected == {"NotJson": 30, "SchemaMismatch": 5, **NEAR}
    reasons = [reject["reason"] for reject in bench.lines(ran, "rejected.jsonl")]
    assert (reasons.count("NotJson"), reasons.count("SchemaMismatch")) == (20, 5)
    assert bench.prepare(sources=source(maxRejected=34)).code == 64


def test_a_missing_file_is_waited_for(bench: Any) -> None:
    bench.findings.unlink()
    ran = bench.prepare()
    assert (ran.code, ran.result.error.reason) == (75, "SourceMissing")
    assert "datasets/findings.jsonl" in ran.result.error.message


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        ({"ratios": {"exam": "0.5", "curriculum": "0.4"}}, "SourceRejected", "add up to 0.9"),
        ({"ratios": {"exam": "0.5", "curriculum": "0.5"}}, "PoolEmpty", "validation"),
        ({"sources": source(group="nothing")}, "SourceRejected", "nothing"),
    ],
)
def test_unusable_settings_say_what_to_do(bench: Any, changes: dict[str, Any], reason: str, words: str) -> None:
    ran = bench.prepare(**changes)
    assert (ran.code, ran.result.error.reason) == (64, reason)
    assert words in ran.result.error.message


def test_a_label_missing_from_a_held_out_pool_is_said(bench: Any) -> None:
    lines = [json.loads(line) for line in bench.findings.read_text().splitlines()]
    kept = [line for line in lines if line["output"]["issue_type"] != "major"]
    bench.findings.write_text("".join(json.dumps(line) + "\n" for line in kept))
    ran = bench.prepare()
    assert (ran.code, ran.result.error.reason) == (64, "LabelAbsent")
    assert "validation has no item labelled major" in ran.result.error.message


@pytest.mark.parametrize("schema", [{"$ref": "https://example.com/x.json"}, {"type": "objekt"}])
def test_an_unusable_schema_stalls(bench: Any, schema: dict[str, Any]) -> None:
    from copy import deepcopy

    task = deepcopy({"task": None} | _task())
    task["inputSchema"] = schema
    task.pop("task")
    ran = bench.prepare(task=task)
    assert (ran.code, ran.result.error.reason) == (64, "SchemaMismatch")
    assert "inputSchema" in ran.result.error.message


def _task() -> dict[str, Any]:
    labels = ["critical", "major", "minor", "trivial"]
    return {
        "instructions": "Rate.",
        "inputSchema": {"type": "object"},
        "outputSchema": {"type": "object"},
        "label": {"path": "issue_type", "order": labels},
    }


@pytest.mark.parametrize("place", ["file", "folder"])
def test_a_source_behind_a_link_is_bad_input_and_unread(
    bench: Any, tmp_path_factory: pytest.TempPathFactory, place: str
) -> None:
    secret = tmp_path_factory.mktemp("secret")
    bench.findings.rename(secret / "findings.jsonl")
    if place == "file":
        bench.findings.symlink_to(secret / "findings.jsonl")
    else:
        bench.findings.parent.rmdir()
        bench.findings.parent.symlink_to(secret)
    ran = bench.prepare()
    assert (ran.code, ran.result.error.reason) == (64, "BadInput")
    assert "symbolic link" in ran.result.error.message
    assert not (bench.root / "curricula").exists()


def logged(bench: Any, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A request log of users who corrected the label of each line to `minor`, as a second source."""
    entries = [
        {
            "file": line["file"],
            "request": {"messages": [{"role": "user", "content": json.dumps(line["input"])}]},
            "feedback": {"verdict": "corrected", "corrected": "minor"},
        }
        for line in lines
    ]
    (bench.root / "datasets/log.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    log = {"name": "log", "truth": "Feedback", "group": "file", "path": "datasets/log.jsonl", "format": "RequestLog"}
    return [*source(), log]


def test_feedback_teaches_and_is_never_held_out(bench: Any) -> None:
    before = pools(bench, bench.prepare())
    fresh = [finding(f"def unseen_{number}(): return {number}", file=f"new/{number}.py") for number in range(80)]
    ran = bench.prepare(sources=logged(bench, fresh))
    after = pools(bench, ran)
    taught = [item for pool in ("exam", "curriculum") for item in after[pool] if item.truth == "Feedback"]
    assert len(taught) + figures(ran).rejected["TruthUnfit"] == 80
    assert len(taught) > 20
    for pool in ("validation", "test", "probe"):
        assert after[pool] == before[pool]


def test_log_rows_that_match_held_out_items_are_rejected_and_displace_nothing(bench: Any) -> None:
    first = bench.prepare()
    before = pools(bench, first)
    held_out = [item for pool in ("validation", "test", "probe") for item in before[pool]]
    training = {item.group for item in before["curriculum"]}
    again = [
        {
            "input": {"code": f"{item.input['code']}  # seen in production", "review": item.input["review"]},
            "file": group,
        }
        for item, group in zip(held_out, sorted(training) * len(held_out), strict=False)
    ]
    ran = bench.prepare(sources=logged(bench, again))
    after = pools(bench, ran)
    assert figures(ran).rejected["MatchesHeldOut"] >= 0.9 * len(again)
    for pool in ("validation", "test", "probe"):
        assert after[pool] == before[pool]


def test_what_a_rule_labelled_is_counted_where_it_is_held_out(bench: Any) -> None:
    shown = figures(bench.prepare())
    assert shown.held_out_by_rule == shown.items["validation"] + shown.items["test"]
    people = figures(bench.prepare(sources=source(truth="Human")))
    assert people.held_out_by_rule == 0


def test_hostile_files_are_counted_by_reason(bench: Any) -> None:
    raw = bench.findings.read_bytes()
    bench.findings.write_bytes(raw + b"\xff\xfe\n" + b"x" * (3 << 20) + b"\n{\n")
    ran = bench.prepare(sources=source(maxRejected=3))
    assert figures(ran).rejected == {"LineTooLong": 1, "NotJson": 1, "NotUtf8": 1, **NEAR}
