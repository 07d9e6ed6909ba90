"""Names of Jobs and folders: deterministic, unique over re-created resources, within Kubernetes' limits."""

from __future__ import annotations

from flywheel.api.metadata import Metadata

_JOB_NAME_MAX = 63
_OWNER_MAX = 30
# A file system takes 255 bytes a name; the uid tells apart what is cut.
_FOLDER_MAX = 200


def job_name(owner: Metadata, iteration: int, step: str, attempt: int) -> str:
    """`<owner, 30 chars>-<uid5>-<iteration>-<step>-<attempt>`: at most 63 characters, a valid pod name prefix."""
    prefix = owner.name.replace(".", "-")[:_OWNER_MAX].rstrip("-")
    name = f"{prefix}-{owner.uid[:5]}-{iteration}-{step}-{attempt}"
    if len(name) > _JOB_NAME_MAX:
        raise ValueError(f"{name!r} is longer than {_JOB_NAME_MAX}")
    return name


def _folder(kind: str, owner: Metadata) -> str:
    return f"{kind}/{owner.namespace}/{owner.name[:_FOLDER_MAX].rstrip('-.')}-{owner.uid[:8]}"


def curriculum_folder(owner: Metadata) -> str:
    """Home of a Curriculum's revisions."""
    return _folder("curricula", owner)


def run_folder(owner: Metadata) -> str:
    """Home of a run's attempts."""
    return _folder("runs", owner)


def deployment_folder(owner: Metadata) -> str:
    """Home of an AdapterDeployment's attempts."""
    return _folder("deployments", owner)


def attempt_folder(home: str, iteration: int, step: str, attempt: int) -> str:
    """Folder of one attempt below its owner's home."""
    return f"{home}/iter-{iteration}/{step}/a{attempt}"


def attempt_of_folder(path: str) -> int:
    """The attempt's number in such a path; raises ValueError for any other path."""
    last = path.rsplit("/", 1)[-1]
    if not last.startswith("a"):
        raise ValueError(f"{path!r} is no attempt's folder")
    return int(last[1:])


def ledger_folder(namespace: str) -> str:
    """Recorded teacher calls, shared by the namespace's runs."""
    return f"ledger/{namespace}"


def judged_folder(namespace: str) -> str:
    """Recorded calls to judges and compared models: they may quote held-out items, so no teaching step mounts it."""
    return f"judged/{namespace}"


def openings_folder(namespace: str) -> str:
    """Records of the namespace's opened test pools."""
    return f"openings/{namespace}"


def models_folder(namespace: str) -> str:
    """Base models that were fetched for the namespace."""
    return f"models/{namespace}"


def model_folder(namespace: str, repo: str, revision: str) -> str:
    """Folder of one fetched base model, by repository and commit."""
    return f"{models_folder(namespace)}/{repo.replace('/', '--')}--{revision}"


def adapters_folder(namespace: str) -> str:
    """Published adapters of the namespace."""
    return f"adapters/{namespace}"


def adapter_folder(namespace: str, digest: str) -> str:
    """Folder of one published adapter; a colon is no part of a path."""
    return f"{adapters_folder(namespace)}/{digest.replace(':', '-')}"
