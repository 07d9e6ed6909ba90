"""Two replicas as their pods run them: one leads; killed, frozen, stopped or cut off, the other goes on, nothing twice.

How long a take-over took is printed (`pytest -s`) and not judged.
"""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from bed_control_plane import ROOT
from bed_node import DONE, HOLD
from bed_operator import OperatorProcess
from bed_resources import curriculum, run

from conftest import Bed
from flywheel.controller.lease import LEASE_SECONDS, NotLeadingError
from flywheel.controller.resources import LEASE
from flywheel.controller.settings import read_settings

ONCE = {"prepare": 1, "validate": 2, "preflight": 1, "exam": 1, "answer": 1, "evaluate": 1, "train": 1, "test": 1}
ACCEPTED = ("200", "201")


@dataclass
class Pair:
    """Two replicas that share a Lease; `leader` leads when a test begins, and a run is in its exam."""

    bed: Bed
    leader: OperatorProcess
    other: OperatorProcess
    at: float = field(default_factory=time.monotonic)

    def holder(self) -> str:
        """Whose pod the Lease names; empty where it is free."""
        lease = self.bed.api.get(LEASE, "flywheel-system", "flywheel-operator")
        return str(((lease or {}).get("spec") or {}).get("holderIdentity") or "").partition("_")[0]

    def leads(self, operator: OperatorProcess) -> bool:
        """It holds the Lease and has listed everything."""
        mine = 'leader_election_master_status{name="flywheel-operator"} 1.0' in operator.answers("metrics")[1]
        return mine and self.holder() == operator.pod and operator.answers("readyz")[0] == 200

    def taken_over(self, how: str) -> None:
        """Wait until the other leads, and say how long that took."""
        self.bed.until("the other replica leads", lambda: self.leads(self.other))
        print(f"\ntake-over after {how}: {time.monotonic() - self.at:.1f} s")

    def strike(self, number: signal.Signals) -> None:
        """Send the leader a signal; the clock starts."""
        self.leader.send(number)
        self.at = time.monotonic()

    def finish(self) -> None:
        """The exam ends and the run goes on to its end: every step once, each accepted at its first attempt."""
        self.bed.node.script = lambda _request: DONE
        done = self.bed.until_completed()
        assert Counter(job["metadata"]["labels"]["flywheel.dev/step"] for job in self.bed.jobs()) == ONCE
        steps = done["status"]["history"][0]["steps"]
        assert {step["attempt"] for step in steps} == {1}


@pytest.fixture
def pair(bed: Bed, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Pair]:
    """A leader, a standby, and a run whose exam goes on until the test lets it end."""
    first = OperatorProcess(bed.plane, bed.namespace, tmp_path / "operator.log")
    second = OperatorProcess(bed.plane, bed.namespace, tmp_path / "other.log", other=True)
    made = Pair(bed, first, second)
    try:
        first.start()
        bed.until("a leader", lambda: made.leads(first))
        second.start()
        bed.until("a standby", lambda: second.answers("readyz")[0] == 200)
        bed.node.script = lambda request: HOLD if request.step == "exam" else DONE
        bed.apply(curriculum(bed.namespace), run(bed.namespace, iterations=1))
        bed.until("the exam", lambda: [name for name in bed.node.started if "-exam-" in name])
        yield made
    finally:
        for operator, log in ((first, "operator.log"), (second, "other.log")):
            if not operator.ended():
                operator.send(signal.SIGCONT)
                operator.stop()
            if request.session.testsfailed:
                print(f"\n{operator.pod}:\n{(tmp_path / log).read_text()}")


def test_the_standby_is_alive_and_ready_and_writes_nothing(pair: Pair) -> None:
    """Both answer; only one leads, in metrics too; all writes are the leader's."""
    for operator in (pair.leader, pair.other):
        assert [operator.answers(path)[0] for path in ("healthz", "readyz", "metrics")] == [200, 200, 200]
    status = 'leader_election_master_status{name="flywheel-operator"}'
    assert f"{status} 1.0" in pair.leader.answers("metrics")[1]
    assert f"{status} 0.0" in pair.other.answers("metrics")[1]
    pair.finish()
    assert {write["uid"] for write in pair.bed.writes()} == {pair.leader.pod}
    asked = pair.other.answers("metrics")[1]
    assert {line.partition("{")[2].partition("}")[0] for line in asked.splitlines() if "requests_total{" in line} == {
        'code="200",method="GET"'
    }


def test_killed(pair: Pair) -> None:
    """SIGKILL in the exam."""
    pair.strike(signal.SIGKILL)
    pair.leader.wait()
    pair.taken_over("SIGKILL")
    pair.finish()


def test_frozen_and_thawed(pair: Pair) -> None:
    """It wakes up believing to lead, with news to act upon: nothing of it takes effect, and it ends."""
    pair.strike(signal.SIGSTOP)
    pair.bed.node.script = lambda request: HOLD if request.step == "answer" else DONE
    pair.taken_over("SIGSTOP")
    pair.bed.until("the answer", lambda: [name for name in pair.bed.node.started if "-answer-" in name])
    before = len(pair.bed.plane.writes())
    pair.leader.send(signal.SIGCONT)
    assert pair.leader.wait() == 1
    pair.finish()
    late = [write for write in pair.bed.plane.writes()[before:] if write["uid"] == pair.leader.pod]
    assert [write for write in late if write["code"] in ACCEPTED] == []


def test_stopped_hands_over_at_once(pair: Pair) -> None:
    """SIGTERM: it ends well, and the Lease is free before it would have run out."""
    pair.strike(signal.SIGTERM)
    assert pair.leader.wait() == 0
    assert pair.holder() != pair.leader.pod
    pair.taken_over("SIGTERM")
    pair.finish()
    assert pair.other.stop() == 0
    assert pair.holder() == ""


def test_a_standby_stops_well(pair: Pair) -> None:
    """SIGTERM while it waits: the leader does not notice."""
    assert pair.other.stop() == 0
    assert pair.holder() == pair.leader.pod
    pair.finish()


def test_the_api_server_is_away_longer_than_the_lease(pair: Pair) -> None:
    """The leader ends, its container starts again; both are alive; afterwards somebody leads and nothing is twice."""
    api_server = pair.bed.plane.processes["kube-apiserver"]
    api_server.send_signal(signal.SIGSTOP)
    try:
        frozen = time.monotonic()
        assert pair.leader.wait() == 1
        print(f"\nthe leader ended after {time.monotonic() - frozen:.1f} s without the API server")
        pair.leader.start()
        pair.bed.until("it starts again", lambda: pair.leader.answers("healthz")[0] == 200)
        assert pair.leader.answers("readyz") == (503, "the API server has answered no listing for a while")
        pair.bed.until("the Lease is over", lambda: time.monotonic() > frozen + LEASE_SECONDS)
        assert pair.other.answers("healthz")[0] == 200
    finally:
        api_server.send_signal(signal.SIGCONT)
    pair.at = time.monotonic()
    both = (pair.leader, pair.other)
    pair.bed.until("somebody leads", lambda: any(pair.leads(operator) for operator in both))
    print(f"\ntake-over once the API server is back: {time.monotonic() - pair.at:.1f} s")
    pair.finish()
    assert sum(pair.leads(operator) for operator in both) == 1


def test_who_does_not_hold_the_lease_safely_writes_nothing(bed: Bed) -> None:
    """It tries, and each try is refused here and not sent; when the Lease is safe again, it goes on."""
    refused: list[int] = []
    safe = threading.Event()

    def guard() -> None:
        if not safe.is_set():
            refused.append(1)
            raise NotLeadingError("not held safely")

    bed.operator(guard)
    bed.apply(curriculum(bed.namespace), run(bed.namespace, iterations=1))
    bed.until("refusals, or a write", lambda: len(refused) >= 5 or bed.writes())
    assert bed.writes() == []
    safe.set()
    bed.until_completed()


def test_the_manifests_are_accepted(bed: Bed) -> None:
    """By the API server; and the Deployment sets all that the operator asks of its environment."""
    built = bed.plane.kubectl("kustomize", str(ROOT / "charts/kustomize/base"))
    deployment = next(entry for entry in yaml.safe_load_all(built) if entry["kind"] == "Deployment")
    env = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    values = {entry["name"]: str(entry.get("value", "from the pod")) for entry in env}
    read_settings({**values, "FLYWHEEL_PROMPTS": str(ROOT / "prompts")})
    told = bed.plane.kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", stdin=built)
    assert {"deployment.apps/flywheel-operator", "poddisruptionbudget.policy/flywheel-operator"} <= set(told.split())
