"""The step verify: asks every serving pod the recorded probes, and compares with what was measured (SCIENCE 7).

An answer counts where the parsed label is the recorded one and the pod says that this adapter gave it. Serving the
base, or the adapter before, under the new name is so found out.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from flywheel.api.conditions import Reason
from flywheel.api.item import Probe
from flywheel.api.request import VerifyParameters
from flywheel.api.result import StepResult, VerifyFigures
from flywheel.api.target import BASE
from flywheel.api.task import Task
from flywheel.data.tokens import Contract, parse_answer
from flywheel.serving.triton import ServingError, TritonPod
from flywheel.workspace.adapter import CONTRACT, PROBES
from flywheel.workspace.program import Attempt, BadInputError, TryLaterError, log, run

_PODS_AT_ONCE = 8


def verify(attempt: Attempt) -> StepResult:
    """answers.jsonl with every pod's answers, and per pod how many are as measured."""
    parameters = attempt.request.parameters
    assert isinstance(parameters, VerifyParameters)  # noqa: S101 - the request's discriminator is the module's name
    workspace = attempt.workspace
    contract = Contract.model_validate(workspace.read_json(attempt.input_path("adapter", CONTRACT)))
    lines = workspace.read_jsonl(attempt.input_path("adapter", PROBES))
    probes = [Probe.model_validate(line) for line in lines]
    if len(probes) < parameters.minimum_probes:
        raise BadInputError(
            f"the test recorded {len(probes)} probes on which base and candidate disagree,"
            f" verification.probes asks for {parameters.minimum_probes}: lower it, or give the probe pool more items",
            Reason.TOO_FEW_PROBES,
        )
    if not parameters.addresses:
        raise TryLaterError("there is no serving pod to verify", Reason.TARGET_UNAVAILABLE)

    def ask(address: str) -> list[dict[str, str | None]]:
        return _answers(address, parameters, contract.prepared.task, probes)

    with ThreadPoolExecutor(_PODS_AT_ONCE) as pool:
        answers = dict(zip(parameters.addresses, pool.map(ask, parameters.addresses), strict=True))
    agreed = {address: _agreed(found, probes, parameters) for address, found in answers.items()}
    passed = all(count >= parameters.agreement * len(probes) for count in agreed.values())
    for address, count in agreed.items():
        log.info("%s answered %d of %d probes as measured", address, count, len(probes))
    workspace.write_jsonl(
        attempt.path("answers.jsonl"),
        [{"address": address, **answer} for address, found in answers.items() for answer in found],
    )
    return attempt.seal(VerifyFigures(probes=len(probes), agreed=agreed, passed=passed))


def _answers(
    address: str, parameters: VerifyParameters, task: Task, probes: Sequence[Probe]
) -> list[dict[str, str | None]]:
    try:
        with TritonPod(address) as pod:
            replies = [pod.ask(parameters.model, probe.input) for probe in probes]
    except ServingError as error:
        raise TryLaterError(f"model {parameters.model}: {error}", Reason.TARGET_UNAVAILABLE) from error
    return [
        {"id": probe.id, "label": parse_answer(reply.text, task), "servedBy": reply.served_by}
        for probe, reply in zip(probes, replies, strict=True)
    ]


def _agreed(answers: Sequence[dict[str, str | None]], probes: Sequence[Probe], parameters: VerifyParameters) -> int:
    expected = [probe.base if parameters.serve_base else probe.candidate for probe in probes]
    revision = BASE if parameters.serve_base else parameters.adapter_digest
    return sum(
        answer["label"] == label and answer["servedBy"] == revision
        for answer, label in zip(answers, expected, strict=True)
    )


if __name__ == "__main__":
    run(verify)
