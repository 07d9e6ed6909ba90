"""The step verify: asks every serving pod the recorded probes, and compares with what was measured (SCIENCE 7).

An answer counts where the parsed label is the recorded one and, on Triton, the pod says that this adapter gave it.
Serving the base, or the adapter before, under the new name is so found out. vLLM and NIM do not say which adapter gave
an answer: there only probes count that what serves now answers otherwise, as the base does.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flywheel.api.conditions import Reason
from flywheel.api.endpoint import ConfigMapKeyRef
from flywheel.api.item import Probe
from flywheel.api.request import VerifyParameters
from flywheel.api.result import Difference, StepResult, VerifyFigures
from flywheel.api.target import BASE
from flywheel.data.tokens import Contract
from flywheel.serving.access import CA_VARIABLE, SECRET_KEYS, Access, Credential, Server, credential, trust_of
from flywheel.serving.asking import Asker, NoPromptError, asking
from flywheel.serving.errors import ServingError
from flywheel.steps.as_served import as_served
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
    _require(parameters, probes, "base and candidate disagree")
    if not parameters.addresses:
        raise TryLaterError("there is no serving pod to verify", Reason.TARGET_UNAVAILABLE)
    pods = _Pods(parameters.server, contract, _access(parameters))
    if (serving := parameters.serving_model) is not None:
        before = pods.answers(parameters.addresses[0], serving, probes)
        probes = [probe for probe, answer in zip(probes, before, strict=True) if answer["label"] != probe.candidate]
        _require(parameters, probes, "the candidate answers otherwise than the base and than what serves")

    def ask(address: str) -> list[dict[str, str | None]]:
        return pods.answers(address, parameters.model, probes)

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
    quality: Difference | None = None
    if passed and parameters.margin is not None:
        with pods.pod(parameters.addresses[0], parameters.model) as pod:
            quality = as_served(attempt, pod, parameters.model)
        passed = quality.low > -parameters.margin
        log.info("as served minus as measured: %.4f (%.4f to %.4f)", quality.difference, quality.low, quality.high)
    return attempt.seal(VerifyFigures(probes=len(probes), agreed=agreed, as_served=quality, passed=passed))


@dataclass(frozen=True)
class _Pods:
    """Serving pods, and how they are asked."""

    server: Server
    contract: Contract
    access: Access

    @contextmanager
    def pod(self, address: str, model: str) -> Generator[Asker]:
        """One, while it is asked; one that does not answer is asked again later."""
        try:
            with asking(self.server, address, self.contract, self.access) as pod:
                yield pod
        except ServingError as error:
            raise TryLaterError(f"model {model}: {error}", error.reason) from error

    def answers(self, address: str, model: str, probes: Sequence[Probe]) -> list[dict[str, str | None]]:
        """What it says to each probe."""
        try:
            with self.pod(address, model) as pod:
                said = [pod.ask(model, probe) for probe in probes]
        except NoPromptError as error:
            words = (
                "its probes were recorded without their tokens, by an older version: have it trained and tested again"
            )
            raise BadInputError(words, Reason.TOO_FEW_PROBES) from error
        return [
            {"id": probe.id, "label": answer.label, "servedBy": answer.served_by}
            for probe, answer in zip(probes, said, strict=True)
        ]


def _access(parameters: VerifyParameters) -> Access:
    """What the pod was given: certificates as a file, the Secret's keys as variables."""
    try:
        return Access(trust_of(parameters.server, parameters.tls, _bundle), _credential(parameters))
    except ServingError as error:
        raise TryLaterError(str(error), error.reason) from error


def _bundle(_ref: ConfigMapKeyRef) -> str | None:
    file = Path(os.environ[CA_VARIABLE])
    return file.read_text(errors="replace") if file.is_file() else None


def _credential(parameters: VerifyParameters) -> Credential | None:
    if not parameters.credentials:
        return None
    names = SECRET_KEYS[parameters.server]
    values = {key: os.environ[variable] for key, variable in names.items() if variable in os.environ}
    return credential(parameters.server, values, f"the Secret of target.{parameters.server}.credentialsRef")


def _require(parameters: VerifyParameters, probes: Sequence[Probe], where: str) -> None:
    if len(probes) < parameters.minimum_probes:
        raise BadInputError(
            f"there are {len(probes)} probes on which {where}, verification.probes asks for"
            f" {parameters.minimum_probes}: lower it, or give the probe pool more items",
            Reason.TOO_FEW_PROBES,
        )


def _agreed(answers: Sequence[dict[str, str | None]], probes: Sequence[Probe], parameters: VerifyParameters) -> int:
    expected = [probe.base if parameters.serve_base else probe.candidate for probe in probes]
    # vLLM and NIM do not say which adapter answered.
    revision = BASE if parameters.serve_base else parameters.adapter_digest if parameters.server == "triton" else None
    return sum(
        answer["label"] == label and answer["servedBy"] == revision
        for answer, label in zip(answers, expected, strict=True)
    )


if __name__ == "__main__":
    run(verify)
