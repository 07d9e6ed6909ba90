"""What the steps of a rollout are asked. Pure.

Each may be repeated at will, so a lost result is had by doing the step again: there is no report step here.
"""

from __future__ import annotations

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
from flywheel.serving.candidates import before
from flywheel.serving.names import candidate_name
from flywheel.serving.observed import DeploymentObserved
from flywheel.workspace.adapter import CONTRACT, PROBES

RolloutStep = Literal["stage", "verify", "commit"]
PROGRAM: dict[RolloutStep, Literal["publish", "verify"]] = {"stage": "publish", "verify": "verify", "commit": "publish"}


def rollout_job(observed: DeploymentObserved, rollout: Rollout, step: RolloutStep, start: Start) -> StepJob:
    """The Job of one attempt. Rollouts are numbered, and the number takes the iteration's place."""
    deployment = observed.deployment
    number, ordinal = deployment.status.rollouts, start.attempt.ordinal
    program = PROGRAM[step]
    parameters: Parameters
    if step == "verify":
        parameters, inputs = _verify(observed, rollout)
        output = attempt_folder(deployment_folder(deployment.metadata), number, step, ordinal)
    else:
        parameters, inputs = _publish(observed, rollout, step)
        output = adapters_folder(deployment.metadata.namespace)
    request = StepRequest(
        namespace=deployment.metadata.namespace,
        owner=deployment.metadata.name,
        iteration=number,
        attempt=ordinal,
        output=output,
        inputs=inputs,
        parameters=parameters,
    )
    repository = deployment.spec.target.claim_name
    return StepJob(
        name=job_name(deployment.metadata, number, step, ordinal),
        step=step,
        request=request,
        settings=deployment.spec.jobs.for_step(program),
        claims=Claims(workspace=rollout.workspace, repository=repository if program == "publish" else None),
        rereads=start.rereads,
    )


def _publish(
    observed: DeploymentObserved, rollout: Rollout, phase: Literal["stage", "commit"]
) -> tuple[PublishParameters, list[Input]]:
    model = observed.deployment.spec.target.model
    parameters = PublishParameters(
        phase=phase,
        adapter_digest=rollout.adapter,
        serve_base=rollout.digest == BASE,
        repository_path=observed.repository_path,
        model=model,
        candidate_model=candidate_name(model, rollout.digest),
        run=rollout.run,
        run_iteration=rollout.iteration,
    )
    if phase == "commit":
        return parameters.model_copy(update={"drop": _dropped(observed, rollout)}), []
    if rollout.train is None or rollout.test is None:
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
    spec = observed.deployment.spec
    if rollout.staged is None:
        raise ValueError("verify before stage")
    folder = adapter_folder(observed.deployment.metadata.namespace, rollout.adapter)
    parameters = VerifyParameters(
        model=candidate_name(spec.target.model, rollout.digest),
        adapter_digest=rollout.adapter,
        serve_base=rollout.digest == BASE,
        addresses=[view.endpoint.address for view in observed.ready_pods],
        agreement=spec.verification.agreement,
        minimum_probes=spec.verification.probes,
    )
    return parameters, [Input(name="adapter", path=folder, digest=rollout.staged, parts=[CONTRACT, PROBES])]
