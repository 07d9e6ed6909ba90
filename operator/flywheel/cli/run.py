"""`flywheel run --local FOLDER`: a run to its end on this computer, without a cluster."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from flywheel.api.conditions import COMPLETED
from flywheel.api.flywheelrun import FlywheelRunSpec
from flywheel.cli.beside import print_beside
from flywheel.cli.errors import CommandError
from flywheel.cli.live import live_run, print_summary
from flywheel.cli.options import Folder
from flywheel.cli.printing import terminal
from flywheel.cli.report import write_report
from flywheel.local.control import as_control, local_runs
from flywheel.local.manifests import read_manifests
from flywheel.local.processes import key_environment, secret_variables, user_key_environment
from flywheel.local.programs import prepare_programs
from flywheel.local.rehearsal import rehearsal_teacher
from flywheel.local.run import LocalRun
from flywheel.loop.judging import endpoints
from flywheel.loop.state import holds
from flywheel.workspace.store import Workspace

Local = Annotated[bool, typer.Option("--local", help="Run the steps as processes on this computer.")]
Rehearsal = Annotated[
    bool, typer.Option("--rehearsal-teacher", help="Ask the stand-in teacher of examples/ instead of the real one.")
]
Shuffle = Annotated[
    bool, typer.Option("--shuffle-labels", help="Control: train on shuffled labels; accuracy must fall to chance.")
]

Control = Annotated[
    bool, typer.Option("--control", help="Control: train on as many seed items instead of the teacher's examples.")
]


def run(
    folder: Folder,
    local: Local = False,
    rehearsal: Rehearsal = False,
    workspace: Annotated[Path | None, typer.Option(help="Where files are kept; in the cache when absent.")] = None,
    iterations: Annotated[int | None, typer.Option(help="Stop after this many iterations.")] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed than the run's.")] = None,
    shuffle_labels: Shuffle = False,
    unguarded: Annotated[bool, typer.Option(hidden=True, help="Experiment: no guards against the teacher.")] = False,
    control: Control = False,
) -> None:
    """Run to the end, without a cluster."""
    console = terminal()
    if not local:
        raise typer.BadParameter("in a cluster, kubectl apply the resources; here, give --local", param_hint="--local")
    curriculum, flywheel_run = read_manifests(folder)
    programs = prepare_programs()
    home = workspace or _default_workspace(flywheel_run.metadata.name)
    if control:
        flywheel_run = as_control(flywheel_run)
    spec = with_options(flywheel_run.spec, iterations, seed)
    home.mkdir(parents=True, exist_ok=True)
    console.print(f"Workspace: {home} (delete it to start over; the log of a step is in .jobs/<name>/log)")
    with ExitStack() as stack:
        prefixes = ["TEACHER", *(prefix for _, prefix, _ in endpoints(spec.evaluation))]
        keys = user_key_environment(prefixes)
        if rehearsal:
            record, own = home / "teacher-requests.jsonl", folder.absolute() / "teacher.jsonl"
            stock = own if own.is_file() else None
            stand_in = stack.enter_context(rehearsal_teacher(programs.checkout, record, stock))
            keys = key_environment(stand_in.key, "127.0.0.1", prefixes)
            spec = _rehearsed(spec, stand_in.base_url)
            console.print("Teacher: the REHEARSAL stand-in. Its grades and data are for trying things out only.")
        elif missing := [name for prefix in prefixes for name in secret_variables(prefix) if name not in keys]:
            raise CommandError(f"error: set {' and '.join(missing)}, or give --rehearsal-teacher")
        work = LocalRun(
            curriculum,
            flywheel_run.model_copy(update={"spec": spec}),
            folder,
            home,
            programs,
            keys,
            shuffle_labels,
            unguarded,
        )
        status = work.drive(stack.enter_context(live_run(console)).show)
    print_summary(console, work.run)
    print_beside(console, [found for _, found in local_runs(Workspace(home))])
    page = home / ("report-control.html" if control else "report.html")
    write_report(home, f"{work.run.metadata.namespace}/{work.run.metadata.name}", None, page)
    console.print(f"Report: {page}", soft_wrap=True, highlight=False)
    if not holds(status.conditions, COMPLETED):
        raise typer.Exit(1)


def with_options(spec: FlywheelRunSpec, iterations: int | None, seed: int | None) -> FlywheelRunSpec:
    """The spec with what was said on the command line."""
    if iterations is not None:
        spec = spec.model_copy(update={"stop": spec.stop.model_copy(update={"max_iterations": iterations})})
    return spec if seed is None else spec.model_copy(update={"seed": seed})


def _rehearsed(spec: FlywheelRunSpec, base_url: str) -> FlywheelRunSpec:
    """The spec with the stand-in as teacher, judge and compared models."""
    update: dict[str, object] = {"teacher": spec.teacher.model_copy(update={"base_url": base_url})}
    if spec.evaluation is not None:
        judge = spec.evaluation.judge.model_copy(update={"base_url": base_url})
        compare = [entry.model_copy(update={"base_url": base_url}) for entry in spec.evaluation.compare]
        update["evaluation"] = spec.evaluation.model_copy(update={"judge": judge, "compare": compare})
    return spec.model_copy(update=update)


def _default_workspace(name: str) -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "flywheel" / "local" / name
