"""Blind labels: the label is never shown, votes decide by majority and cost no more than they must, refusals count."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redactors import PLAIN

from flywheel.api.request import TeacherParameters
from flywheel.teacher.asking import Teacher
from flywheel.teacher.labelling import Labelled, Labeller, Panel
from flywheel.teacher.ledger import Ledger, Reply
from flywheel.teacher.prompts import Prompt
from flywheel.workspace.store import Workspace

LABELS = ["critical", "major", "minor"]
PROMPT = Prompt("labelling", "{{ mark }} {{ questions | tojson }}")
Say = Callable[[str, int], Any]


class Voting:
    """Says of the question `q` what `say` returns for its how-manieth vote; None: nothing."""

    def __init__(self, say: Say, finish: str = "stop") -> None:
        self.settings: dict[str, Any] = {}
        self.prompts: list[str] = []
        self.seen: dict[str, int] = {}
        self._say, self._finish = say, finish

    def complete(self, text: str) -> Reply:
        self.prompts.append(text)
        said: list[Any] = []
        for entry in json.loads(text.split(" ", 1)[1]):
            name = entry["question"]["q"]
            self.seen[name] = self.seen.get(name, 0) + 1
            label = self._say(name, self.seen[name] - 1)
            said += [] if label is None else [{"number": entry["number"], "label": label}]
        return Reply(text=json.dumps({"labels": said}), finish_reason=self._finish)


def labeller(root: Path, endpoint: Voting, votes: int = 3, trusted: Sequence[Labelled] = ()) -> Labeller:
    parameters = TeacherParameters(base_url="http://teacher/v1", model="gpt", concurrency=1)
    teacher = Teacher(parameters, endpoint, Ledger(Workspace(root), "ledger/ns"), "payer", 1, PLAIN)
    return Labeller(teacher, Panel(PROMPT, {"labels": LABELS}, votes, 1), trusted)


def entry(name: str, label: str = "major") -> Labelled:
    return Labelled(name, {"q": name}, label)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(st.lists(st.sampled_from([*LABELS, None, "fatal"]), min_size=5, max_size=5), max_size=25),
    st.integers(1, 5),
)
def test_more_than_half_of_all_votes_confirm_it_or_it_is_out(
    tmp_path_factory: Any, ballots: list[list[str | None]], votes: int
) -> None:
    endpoint = Voting(lambda name, turn: ballots[int(name)][turn])
    written = [entry(str(place)) for place in range(len(ballots))]
    out = labeller(tmp_path_factory.mktemp("w"), endpoint, votes).voted_out(written, "slot")
    for place, ballot in enumerate(ballots):
        confirmed = 2 * ballot[:votes].count("major") > votes
        assert (str(place) not in out) == confirmed
        # Not asked once it is certain.
        ayes = [said == "major" for said in ballot]
        certain = next(
            turn
            for turn in range(1, votes + 1)
            if 2 * sum(ayes[:turn]) > votes or 2 * (sum(ayes[:turn]) + votes - turn) <= votes
        )
        assert endpoint.seen[str(place)] == certain


def test_trusted_items_are_asked_once_among_the_others_and_no_label_is_shown(tmp_path: Path) -> None:
    trusted = [entry(f"trusted {place}", "critical") for place in range(15)]
    endpoint = Voting(lambda name, _: "minor" if name in ("trusted 1", "trusted 2") else "critical")
    made = labeller(tmp_path, endpoint, trusted=trusted)
    written = [entry(f"written {place}", "critical") for place in range(15)]
    assert made.voted_out(written, "round 0") == set()
    assert made.voted_out([entry("written later", "critical")], "round 1") == set()
    assert {endpoint.seen[item.id] for item in trusted} == {1}
    assert made.blind(LABELS) == [(15, 2, 0), (0, 0, 0), (0, 0, 0)]
    assert made.report()["takenFor"] == [{"label": "critical", "said": "minor", "items": 2}]
    mixed = [text for text in endpoint.prompts if "trusted" in text]
    assert len(mixed) == 3 and all("written" in text for text in mixed)
    assert not [text for text in endpoint.prompts if any(label in text for label in LABELS)]


@pytest.mark.parametrize("finish", ["refusal", "content_filter"])
def test_refusals_are_counted_by_label_and_never_asked_again(tmp_path: Path, finish: str) -> None:
    trusted = [entry(str(place), LABELS[place % 3]) for place in range(12)]
    endpoint = Voting(lambda *_: "major", finish)
    made = labeller(tmp_path, endpoint, trusted=trusted)
    assert made.voted_out([], "round 0") == set()
    assert made.blind(LABELS) == [(0, 0, 4)] * 3
    assert len(endpoint.prompts) == 2
    assert made.voted_out([], "round 1") == set() and len(endpoint.prompts) == 2


def test_what_is_no_label_is_wrong_and_what_was_not_said_is_not_counted(tmp_path: Path) -> None:
    odd = {"0": "fatal", "1": None, "2": {"a": 1}, "3": "major"}
    made = labeller(tmp_path, Voting(lambda name, _: odd[name]), trusted=[entry(name) for name in odd])
    made.voted_out([], "slot")
    assert made.blind(["major"]) == [(3, 2, 0)]
    assert {found["said"] for found in made.report()["takenFor"]} == {"no label"}


def test_each_vote_is_a_call_of_its_own(tmp_path: Path) -> None:
    endpoint = Voting(lambda *_: "major")
    labeller(tmp_path, endpoint).voted_out([entry("x")], "slot")
    intents = [json.loads(path.read_text()) for path in tmp_path.rglob("*.intent.json")]
    assert sorted(intent["sample"] for intent in intents) == [0, 1]
    labeller(tmp_path, endpoint).voted_out([entry("x")], "slot")
    assert len(endpoint.prompts) == 2, "made again, they are in the ledger"
