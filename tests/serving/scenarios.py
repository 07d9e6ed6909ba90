"""What may happen to two pods under load: one rollout after the other, each of a newer run than the one before.

What must hold of every one: no request fails; each answer is of one known adapter, under whose digest it was given; no
adapter answers under the stable name before it was verified; and once a pod has answered with the new one, no request
that is sent to it later is answered by the old one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flywheel.serving.triton import TritonPod

from .bed import QUESTIONS, Bed, again, deployed_on, foreign, offer, said
from .load import Answer, Load
from .server import MODEL, Adapter, Models, Server


@dataclass
class Stage:
    """Two pods on one repository, and what is offered to them."""

    bed: Bed
    models: Models
    folder: Path
    runs: int = 0

    @property
    def serving(self) -> str:
        """Digest of the adapter in service."""
        serving = self.bed.deployment.status.serving
        assert serving is not None
        return serving.digest

    @property
    def old(self) -> Adapter:
        """In service."""
        return next(one for one in self.models.adapters.values() if one.digest == self.serving)

    @property
    def new(self) -> Adapter:
        """The other one."""
        return next(one for one in self.models.adapters.values() if one.digest != self.serving)

    def offer(self, adapter: Adapter, expected: str | None = None) -> None:
        """By a newer run; nothing is pinned."""
        self.runs += 1
        self.bed.verified_at.clear()
        offer(self.bed, self.runs, adapter, expected or adapter.label)
        self.bed.edit(pin=None)

    def load(self, per_second: float) -> Load:
        """On the stable name."""
        return Load(self.bed.service.urls, QUESTIONS[0], per_second)


def two_pods(start: Callable[..., Server], models: Models, folder: Path) -> Stage:
    """The first adapter serves."""
    one = start()
    stage = Stage(deployed_on(folder, one, start(one.repository)), models, folder)
    stage.offer(models.adapters["critical"])
    stage.bed.until_at_rest()
    return stage


def good(stage: Stage) -> Adapter:
    """A good rollout."""
    new = stage.new
    stage.offer(new)
    stage.bed.until_at_rest()
    assert all(pod.verified for pod in stage.bed.deployment.status.pods)
    return new


def broken(stage: Stage) -> Adapter:
    """An adapter made for other weights: it cannot be loaded."""
    old = stage.old
    candidate = foreign(stage.new, stage.folder / "broken")
    stage.offer(candidate)
    stage.bed.until_at_rest()
    assert candidate.digest in stage.bed.rejected()
    assert any("trained for another model" in line and "differs in base" in line for line in stage.bed.told)
    return old


def worse(stage: Stage) -> Adapter:
    """An adapter that answers worse than was measured."""
    old = stage.old
    candidate = again(stage.new, stage.folder / "worse")
    stage.offer(candidate, expected="minor")
    stage.bed.until_at_rest()
    assert candidate.digest in stage.bed.rejected()
    return old


def rollback(stage: Stage) -> Adapter:
    """By commit: spec.pin names the adapter before. Its run offers nothing any more."""
    before = stage.new
    assert [entry.digest for entry in stage.bed.deployment.status.previous] == [before.digest]
    stage.bed.verified_at.clear()
    stage.bed.runs = ()
    stage.bed.edit(pin=before.digest)
    stage.bed.until_at_rest()
    return before


def canary(stage: Stage) -> Adapter:
    """One pod first."""
    old, new = stage.old, stage.new
    stage.bed.edit(rollout={"canary": {"pods": 1, "pause": "60s"}})
    stage.offer(new)
    stage.bed.until(
        lambda deployment: (
            deployment.status.step == "canary"
            and deployment.status.rollout is not None
            and deployment.status.rollout.canary is not None
        )
    )
    assert {pod.revision for pod in stage.bed.deployment.status.pods} == {old.digest, new.digest}
    stage.bed.until_at_rest()
    stage.bed.edit(rollout=None)
    return new


def pod_killed(stage: Stage) -> Adapter:
    """One of the pods goes while the candidate is loaded, and is there again after the switch of the other."""
    new = stage.new
    stage.offer(new)
    stage.bed.until(lambda deployment: deployment.status.step == "load")
    stage.bed.service.remove("triton-1")
    stage.bed.until(lambda deployment: deployment.status.step == "switch")
    stage.bed.service.add("triton-1")
    with TritonPod(stage.bed.service.servers["triton-1"].address) as pod:  # the disk alone says what serves
        assert pod.loaded() == [MODEL]
        reply = pod.ask(MODEL, QUESTIONS[0])
    assert (reply.text, reply.served_by) == said(new)
    stage.bed.until_at_rest()
    return new


def operator_killed(stage: Stage) -> Adapter:
    """Each time that it has written what it will do, the operator dies; the next one has only the status."""
    new = stage.new
    stage.offer(new)
    stage.bed.until_at_rest(killed=True)
    return new


SCENARIOS: tuple[Callable[[Stage], Adapter], ...] = (good, broken, worse, rollback, canary, pod_killed, operator_killed)


def run(stage: Stage, scenario: Callable[[Stage], Adapter], per_second: float) -> tuple[Load, float]:
    """The load, and the seconds until all pods served what they should; raises AssertionError where one did not."""
    old = stage.old
    with stage.load(per_second) as load:
        begun = time.monotonic()
        wanted = scenario(stage)
        seconds = time.monotonic() - begun
        load.until_each_has_answered()
    assert stage.serving == wanted.digest
    assert {pod.revision for pod in stage.bed.deployment.status.pods} == {wanted.digest}
    assert not list(stage.bed.repository.glob("*tmp*"))
    check(stage, load.answers, old, wanted)
    return load, seconds


def check(stage: Stage, answers: list[Answer], old: Adapter, new: Adapter) -> None:
    """All but failures."""
    assert {(answer.text, answer.revision) for answer in answers} <= {said(old), said(new)}
    if old == new:
        return
    verified = stage.bed.verified_at[new.digest]
    for pod in {answer.pod for answer in answers}:
        after = [answer.done for answer in answers if answer.pod == pod and answer.revision == new.digest]
        assert after, f"{pod} never answered with the new adapter"  # each was asked at the end
        assert min(after) > verified
        late = [one for one in answers if one.pod == pod and one.revision == old.digest and one.sent > min(after)]
        assert late == []
