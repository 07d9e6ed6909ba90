"""The Curriculum's revision of the files on this computer, by the same decisions and the same step as in the cluster.

Must not know a run.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from flywheel.api.curriculum import Curriculum
from flywheel.local.manifests import ManifestError
from flywheel.loop.curriculum import decide_curriculum
from flywheel.loop.observed import CurriculumObserved, JobView, PodView
from flywheel.steps.prepare import prepare
from flywheel.teacher.prompts import load_prompt
from flywheel.workspace.program import Attempt, BadInputError, TryLaterError
from flywheel.workspace.store import Workspace


def copy_sources(curriculum: Curriculum, folder: Path, workspace: Path) -> None:
    """Put the sources' files where steps look for them. Raises ManifestError for one that is missing."""
    for source in curriculum.spec.sources:
        given = source.repository or source.dataset
        if given is None or given.path is None:  # of a cluster: read_manifests refuses it
            continue
        origin, target = folder / given.path, workspace / given.path
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            if source.repository is not None:
                shutil.copytree(origin, target, symlinks=True, dirs_exist_ok=True)
            else:
                shutil.copyfile(origin, target)
        except OSError as error:
            words = f"source {source.name}: {origin} cannot be read: put the data beside the YAML"
            raise ManifestError(words) from error


def prepared(curriculum: Curriculum, folder: Path, workspace: Path) -> Curriculum:
    """The Curriculum, Ready, with its revision on the workspace. Raises ManifestError where the data does not do."""
    copy_sources(curriculum, folder, workspace)
    observed = CurriculumObserved(curriculum, load_prompt("task").text)
    asked = decide_curriculum(observed, now := datetime.now(UTC))
    (job,) = asked.create
    attempt = Attempt(job.request, Workspace(workspace))
    try:
        message = prepare(attempt).to_message()
    except (BadInputError, TryLaterError) as error:
        raise ManifestError(str(error)) from error
    pod = PodView(name=job.name, uid="", started=True, exit_code=0, message=message)
    generation, number = job.request.iteration, job.request.attempt
    done = JobView(job.name, "", job.step, generation, number, now, "Succeeded", pod=pod)
    status = decide_curriculum(replace(observed, curriculum=_with(curriculum, asked.status), jobs=(done,)), now).status
    return _with(curriculum, status)


def _with(curriculum: Curriculum, status: object) -> Curriculum:
    return curriculum.model_copy(update={"status": status})
