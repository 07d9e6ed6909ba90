"""What the page says is what the workspace holds, reckoned here from the raw files."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from html_pages import Seen

from flywheel.report.page import page
from flywheel.report.resources import Resources
from flywheel.report.run import find_run

NAME = "local/severity-run"
LABELS = ["critical", "major", "minor", "trivial"]


@pytest.fixture(scope="module")
def seen(home: Path, resources: Resources) -> Seen:
    return Seen(page(find_run(home, NAME, resources)))


def attempt(home: Path, iteration: int, step: str) -> Path:
    (found,) = home.glob(f"runs/local/severity-run-????????/iter-{iteration}/{step}/a1")
    return found


def figures(home: Path, iteration: int, step: str) -> dict[str, Any]:
    return json.loads((attempt(home, iteration, step) / "manifest.json").read_text())["figures"]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_iteration_has_the_figures_of_its_manifests(home: Path, seen: Seen) -> None:
    rows = seen.rows("Every iteration")
    assert [row[0].split()[0] for row in rows] == ["1", "2"]
    for number, row in enumerate(rows, 1):
        validated, evaluated = figures(home, number, "validate"), figures(home, number, "evaluate")
        arm, gain = validated["arms"]["candidate"], validated["differences"]["base"]
        assert row[1:] == [
            str(evaluated["proficiency"]),
            f"{figures(home, number, 'answer')['score']['accuracy']:.4f}",
            f"{arm['accuracy']:.4f}",
            f"{arm['low']:.4f} to {arm['high']:.4f}",
            f"{gain[0]:.4f}",
            f"{gain[1]:.4f} to {gain[2]:.4f}",
        ]


@pytest.mark.parametrize(("caption", "iteration", "arm"), [("The bare", 0, "base"), ("The best", 1, "candidate")])
def test_confusion_is_counted_from_the_answers(home: Path, seen: Seen, caption: str, iteration: int, arm: str) -> None:
    answers = lines(attempt(home, iteration, "validate") / f"answers/{arm}.jsonl")
    counted = Counter((line["truth"], line.get("label")) for line in answers)
    expected = [
        [truth, *(str(counted[truth, label]) for label in [*LABELS, None]), str(items)]
        for truth in LABELS
        if (items := sum(line["truth"] == truth for line in answers))
    ]
    assert seen.rows(caption) == expected
    recalls = {row[0]: row[2 if arm == "base" else 4] for row in seen.rows("Recall by label")}
    for truth, *counts, items in expected:
        assert recalls[truth] == f"{int(counts[LABELS.index(truth)]) / int(items):.4f}"


def test_the_test_pool_shows_every_arm_and_difference(home: Path, seen: Seen) -> None:
    tested = figures(home, 1, "test")
    assert {row[0]: row[2] for row in seen.rows("Arms on the test pool")} == {
        name: f"{arm['accuracy']:.4f}" for name, arm in tested["arms"].items()
    }
    without = {f"without {name}": gain for name, gain in tested["blanked"].items()}
    assert without and {row[0]: row[2] for row in seen.rows("The adapter minus each arm")} == {
        name: f"{gain[0]:.4f}" for name, gain in {**tested["differences"], **without}.items()
    }


def test_the_outcome_says_whether_counting_words_would_have_done(home: Path, seen: Seen) -> None:
    tested = figures(home, 1, "test")
    better = tested["differences"]["bagOfWords"][1] > 0
    words = f"a regression on word counts has {tested['arms']['bagOfWords']['accuracy']:.4f}"
    assert words in seen.text and ("the adapter is proven better" in seen.text) is better
    assert ("the adapter is NOT proven better" in seen.text) is not better


def test_data_and_teacher_are_counted(home: Path, seen: Seen) -> None:
    for row in seen.rows("Balance of the training set"):
        train = lines(attempt(home, int(row[0]), "evaluate") / "train.jsonl")
        counted = Counter(line["output"]["issue_type"] for line in train)
        assert row[1:] == [str(len(train)), *(str(counted[label]) for label in LABELS)]
    for row in seen.rows("Growth of the training set"):
        train = lines(attempt(home, int(row[0]), "evaluate") / "train.jsonl")
        origins = Counter(line["origin"] for line in train)
        assert row[3:5] == [str(origins["teacher"]), str(origins["replay"])]
    blind = [figures(home, number, "exam")["blind"] for number in (1, 2)]
    pooled = [[sum(counts) for counts in zip(*of_label, strict=True)] for of_label in zip(*blind, strict=True)]
    rows = seen.rows("Teacher's error by label")
    assert [[int(row[1]), int(row[2]), int(row[5])] for row in rows] == pooled
    assert [row[3] for row in rows] == [f"{wrong / items:.4f}" for items, wrong, _ in pooled]


def test_cost_adds_up_to_what_the_operator_charged(home: Path, seen: Seen, resources: Resources) -> None:
    *rows, total = seen.rows("Calls and tokens")
    steps = [(row[0], row[1]) for row in rows]
    assert steps == [("0", "preflight"), ("1", "exam"), ("1", "evaluate"), ("2", "exam"), ("2", "evaluate")]
    for row in rows:
        usage = figures(home, int(row[0]), row[1])["usage"]
        assert (row[3], row[6], row[8]) == tuple(
            f"{usage.get(name, 0):,}" for name in ("calls", "inputTokens", "outputTokens")
        )
    (status,) = [run.status for run in resources.runs if run.metadata.name == "severity-run"]
    assert total[3] == f"{status.usage.teacher_calls:,}"
    tokens = sum(int(total[place].replace(",", "")) for place in (6, 8))
    assert tokens == status.usage.teacher_tokens > 0


def test_a_control_stands_beside_its_run(home: Path, seen: Seen) -> None:
    for _, number, mine, _, other, _ in seen.rows("With the teacher's examples"):
        (control,) = home.glob(f"runs/local/severity-run-control-*/iter-{number}/validate/a1/manifest.json")
        accuracy = json.loads(control.read_text())["figures"]["arms"]["candidate"]["accuracy"]
        assert (mine, other) == (seen.rows("Every iteration")[int(number) - 1][3], f"{accuracy:.4f}")


def test_every_manifest_is_named_and_accepted(home: Path, seen: Seen, resources: Resources) -> None:
    (run,) = [run for run in resources.runs if run.metadata.name == "severity-run"]
    accepted = {(str(one.number), step.name): step.digest for one in run.status.history for step in one.steps}
    assert run.status.baseline_step is not None
    accepted["0", "validate"] = run.status.baseline_step.digest
    rows = seen.rows("Manifests")
    named = {(row[0], row[1]): (row[3], row[4]) for row in rows}
    assert accepted and {key: named[key] for key in accepted} == {key: (d, "yes") for key, d in accepted.items()}
    assert len(rows) == len(list(home.glob("runs/local/severity-run-????????/iter-*/*/a1/manifest.json")))


def test_no_item_of_the_curriculum_is_on_the_page(home: Path, seen: Seen) -> None:
    items = [line for path in home.glob("curricula/*/*/*/pools/*/items.jsonl") for line in lines(path)]
    assert len(items) > 200
    assert [item["id"] for item in items if item["input"]["code"].strip() in seen.text] == []
    asked = [line for line in lines(attempt(home, 2, "exam") / "exam.jsonl") if line["origin"] == "teacher"]
    assert sum(line["question"]["code"].strip() in seen.text for line in asked) >= 4, "questions of the teacher are"
