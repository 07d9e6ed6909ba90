"""What the steps of a rollout are asked. Pure.

Each may be repeated at will, so a lost result is had by doing the step again: there is no report step here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from flywheel.api.adapterdeployment import Rollout
from flywheel.api.request import Input, Parameters, PublishParameters, StepRequest, VerifyParameters
from flywheel.api.target import BASE
from flywheel.loop.attempts import Start
from flywheel.loop.naming import (
    adapter_folder,
    adapters_folder,
    attempt_folder,
    deployment_folder,
    job_name,
)
from flywheel.loop.plan import Claims, StepJob
from flywheel.serving.calls import ServingPodView
from flywheel.serving.candidates import before
from flywheel.serving.names import alias_of, tried_as
from flywheel.serving.observed import DeploymentObserved
from flywheel.serving.rechecking import unasked
from flywheel.workspace.adapter import CONTRACT, PROBES

RolloutStep = Literal["stage", "verify", "commit", "retire", "recheck"]
PROGRAM: dict[RolloutStep, Literal["publish", "verify"]] = {
    "stage": "publish",
    "verify": "verify",
    "commit": "publish",
    "retire": "publish",
    "recheck": "verify",
}


def rollout_job(observed: DeploymentObserved, rollout: Rollout, step: RolloutStep, start: Start) -> StepJob:
    """The Job of one attempt. Rollouts are numbered, and the number takes the iteration's place."""
    deployment = observed.deployment
    number, ordinal = deployment.status.rollouts, start.attempt.ordinal
    program = PROGRAM[step]
    parameters: Parameters
    output = attempt_folder(deployment_folder(deployment.metadata), number, step, ordinal)
    if step == "verify":
        parameters, inputs = _verify(observed, rollout)
    elif step == "recheck":
        parameters, inputs = _recheck(observed, rollout)
    else:
        parameters, inputs = _publish(observed, rollout, step)
        output = output if step == "retire" else adapters_folder(deployment.metadata.namespace)
    request = StepRequest(
        namespace=deployment.metadata.namespace,
        owner=deployment.metadata.name,
        iteration=number,
        attempt=ordinal,
        output=output,
        inputs=inputs,
        parameters=parameters,
    )
    repository = deployment.spec.target.repository
    credentials = deployment.spec.target.server.credentials_ref
    return StepJob(
        name=job_name(deployment.metadata, number, step, ordinal),
        step=step,
        request=request,
        settings=deployment.spec.jobs.for_step(program),
        claims=Claims(workspace=rollout.workspace, repository=repository if program == "publish" else None),
        rereads=start.rereads,
        serving_secret=credentials.name if credentials is not None and program == "verify" else None,
    )


def _publish(
    observed: DeploymentObserved, rollout: Rollout, phase: Literal["stage", "commit", "retire"]
) -> tuple[PublishParameters, list[Input]]:
    target, status = observed.deployment.spec.target, observed.deployment.status
    parameters = PublishParameters(
        phase=phase,
        layout="Triton" if target.triton is not None else "Folders",
        adapter_digest=rollout.adapter,
        serve_base=rollout.digest == BASE,
        repository_path=observed.repository_path,
        mount_path=triton.mount_path if (triton := target.triton) is not None and triton.backend == "Vllm" else None,
        model=target.model,
        candidate_model=tried_as(target, rollout.digest),
        run=rollout.run,
        run_iteration=rollout.iteration,
        retired=status.retiring if phase == "retire" else [],
    )
    if phase == "commit":
        return parameters.model_copy(update={"drop": _dropped(observed, rollout)}), []
    if phase == "retire" or rollout.train is None or rollout.test is None:
        return parameters, []
    train = attempt_folder(rollout.run_path, rollout.iteration, "train", rollout.train.attempt)
    test = attempt_folder(rollout.run_path, rollout.iteration, "test", rollout.test.attempt)
    inputs = [
        Input(name="adapter", path=train, digest=rollout.train.digest, parts=["adapter"]),
        Input(name="measured", path=test, digest=rollout.test.digest, parts=[PROBES]),
    ]
    if (taught := rollout.curriculum) is not None:
        inputs.append(Input(name="curriculum", path=taught.path, digest=taught.digest, parts=["pools/curriculum"]))
    return parameters, inputs


def _dropped(observed: DeploymentObserved, rollout: Rollout) -> list[str]:
    """Adapters that nobody can go back to from here: the server's volume needs them no more."""
    status = observed.deployment.status
    gone = [*before(status, rollout)[observed.deployment.spec.keep :], *status.rejected]
    return sorted({entry.digest for entry in gone} - {rollout.adapter})


def _verify(observed: DeploymentObserved, rollout: Rollout) -> tuple[VerifyParameters, list[Input]]:
    spec, status = observed.deployment.spec, observed.deployment.status
    parameters, inputs = _asked(observed, rollout, tried_as(spec.target, rollout.digest), observed.ready_pods)
    if spec.target.triton is None and status.serving is not None:
        parameters = parameters.model_copy(update={"serving_model": status.alias})
    as_served, measured, taught = spec.verification.as_served, rollout.validated, rollout.curriculum
    # What served before has no run any more to compare with.
    if as_served is None or measured is None or taught is None:
        return parameters, inputs
    validate = attempt_folder(rollout.run_path, rollout.iteration, "validate", measured.attempt)
    inputs.append(Input(name="measured", path=validate, digest=measured.digest, parts=["answers"]))
    inputs.append(Input(name="curriculum", path=taught.path, digest=taught.digest, parts=["pools/validation"]))
    return parameters.model_copy(update={"margin": as_served.margin}), inputs


def _recheck(observed: DeploymentObserved, serving: Rollout) -> tuple[VerifyParameters, list[Input]]:
    """The pods that joined, under the name that clients ask."""
    name = alias_of(observed.deployment.spec.target, serving.digest)
    return _asked(observed, serving, name, unasked(observed, observed.deployment.status))


def _asked(
    observed: DeploymentObserved, rollout: Rollout, model: str, pods: Sequence[ServingPodView]
) -> tuple[VerifyParameters, list[Input]]:
    """The probes of an adapter, put to pods."""
    spec = observed.deployment.spec
    if rollout.staged is None:
        raise ValueError("verify before stage")
    folder = adapter_folder(observed.deployment.metadata.namespace, rollout.adapter)
    parameters = VerifyParameters(
        server=spec.target.kind,
        model=model,
        adapter_digest=rollout.adapter,
        serve_base=rollout.digest == BASE,
        addresses=[view.endpoint.address for view in pods],
        tls=spec.target.server.tls,
        credentials=spec.target.server.credentials_ref is not None,
        agreement=spec.verification.agreement,
        minimum_probes=spec.verification.probes,
    )
    return parameters, [Input(name="adapter", path=folder, digest=rollout.staged, parts=[CONTRACT, PROBES])]
