"""How the end of a Job counts: the classes of exit codes (DESIGN 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from flywheel.api.conditions import Reason
from flywheel.api.result import EXIT_BAD_INPUT, EXIT_TRY_LATER, StepError, Usage, parse_result
from flywheel.loop.observed import JobView, PodView

Class = Literal["BadInput", "TryLater", "Failure", "Disruption", "NeverStarted"]
_SIGKILL = 137
_KNOWN = {reason.value: reason for reason in Reason}


@dataclass(frozen=True)
class Exit:
    """The class of an end, with the reason and words for the condition."""

    kind: Class
    reason: Reason
    message: str
    usage: Usage | None = None


def known_reason(text: str | None, otherwise: Reason) -> Reason:
    """The reason of that name: a step of another version, or a hand in status, may have used one that we lack."""
    return _KNOWN.get(text or "", otherwise)


def classify(job: JobView) -> Exit:
    """Class of a failed Job. Only failures of the container `step` count as attempts."""
    pod = job.pod
    if pod is None:
        return Exit("NeverStarted", Reason.POD_REFUSED, f"Job {job.name} ended without a pod: see kubectl describe job")
    if pod.disrupted:
        return Exit("Disruption", Reason.DISRUPTED, f"pod {pod.name} was evicted or its node was lost")
    if pod.deadline_exceeded:
        return Exit(
            "Failure", Reason.DEADLINE_EXCEEDED, f"pod {pod.name} ran past its timeout: raise jobs.steps[].timeout"
        )
    if not pod.started:
        return Exit("NeverStarted", Reason.POD_REFUSED, f"pod {pod.name} ended before the step started")
    return _by_code(job.step, pod)


def _by_code(step: str, pod: PodView) -> Exit:
    said = _said(pod)
    reason = None if said is None else _KNOWN.get(said.reason)
    words = None if said is None else _one_line(said.message)
    usage = None if said is None else said.usage
    if pod.exit_code == EXIT_BAD_INPUT:
        text = words or f"step {step} cannot use its input: see kubectl logs {pod.name}"
        return Exit("BadInput", reason or Reason.BAD_INPUT, text, usage)
    if pod.exit_code == EXIT_TRY_LATER:
        return Exit("TryLater", reason or Reason.TRY_LATER, words or f"step {step} asked to be tried later")
    if pod.terminated_reason == "OOMKilled" or pod.exit_code == _SIGKILL:
        return Exit(
            "Failure",
            Reason.OUT_OF_MEMORY,
            f"step {step} was killed, probably out of memory (exit 137): raise jobs.steps[].resources.limits.memory",
        )
    text = words or f"step {step} failed (exit {pod.exit_code}): see kubectl logs {pod.name}"
    return Exit("Failure", reason or Reason.STEP_FAILED, text, usage)


def _said(pod: PodView) -> StepError | None:
    result = parse_result(pod.message)
    return result.error if result is not None else None


def _one_line(words: str) -> str:
    """A pod's words end up in terminals: no control characters, no lines of their own."""
    return "".join(char for char in " ".join(words.split()) if char.isprintable())
