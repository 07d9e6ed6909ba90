"""The commands of `flywheel`."""

from __future__ import annotations

import os
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from flywheel.api.conditions import COMPLETED
from flywheel.api.flywheelrun import FlywheelRunSpec
from flywheel.cli.beside import print_beside
from flywheel.cli.estimate import print_estimate
from flywheel.cli.live import live_run, print_summary
from flywheel.cli.replay import print_verdicts
from flywheel.cli.report import report, write_report
from flywheel.local.control import as_control, local_runs
from flywheel.local.estimate import Measured, measured_in
from flywheel.local.estimate import estimate as estimated
from flywheel.local.manifests import ManifestError, read_manifests
from flywheel.local.preparing import prepared
from flywheel.local.processes import key_environment, secret_variables, user_key_environment
from flywheel.local.programs import NoCheckoutError, prepare_programs
from flywheel.local.rehearsal import rehearsal_teacher
from flywheel.local.replay import ReplayError, replayed
from flywheel.local.run import LocalRun, local_metadata
from flywheel.loop.judging import endpoints
from flywheel.loop.state import holds
from flywheel.workspace.manifest import WrongInputError
from flywheel.workspace.store import Workspace

_LOG_WIDTH = 140


class Output(StrEnum):
    """How figures are printed."""

    TEXT = "text"
    JSON = "json"


app = typer.Typer(no_args_is_help=True, add_completion=False, help="Self-improvement of small language models.")
app.command()(report)


@app.callback()
def flywheel() -> None:
    """Self-improvement of small language models."""


def _console() -> Console:
    """A log has no width of its own: 80 columns would break every table."""
    console = Console()
    return console if console.is_terminal else Console(width=_LOG_WIDTH)


def _default_workspace(name: str) -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "flywheel" / "local" / name


Folder = Annotated[Path, typer.Argument(help="Folder with one Curriculum and one FlywheelRun, and their data.")]
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


@app.command()
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
    """Run a Curriculum and a FlywheelRun to the end, without a cluster."""
    console = _console()
    if not local:
        raise typer.BadParameter("in a cluster, kubectl apply the resources; here, give --local", param_hint="--local")
    try:
        curriculum, flywheel_run = read_manifests(folder)
        programs = prepare_programs()
    except (ManifestError, NoCheckoutError) as error:
        _fail(console, str(error))
    home = workspace or _default_workspace(flywheel_run.metadata.name)
    if control:
        flywheel_run = as_control(flywheel_run)
    spec = _with(flywheel_run.spec, iterations, seed)
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
            _fail(console, f"set {' and '.join(missing)}, or give --rehearsal-teacher")
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


@app.command()
def estimate(
    folder: Folder,
    iterations: Annotated[int | None, typer.Option(help="As if the run stopped after this many iterations.")] = None,
    seconds_per_step: Annotated[float | None, typer.Option(help="Of the optimiser, for GPU hours.")] = None,
    seconds_per_answer: Annotated[float | None, typer.Option(help="Of the student, for GPU hours.")] = None,
    measured: Annotated[Path | None, typer.Option(help="Workspace of a run whose steps per second count.")] = None,
    output: Annotated[Output, typer.Option("--output", "-o", help="text or json.")] = Output.TEXT,
) -> None:
    """What a run will cost, before it begins: calls, tokens, money, GPU hours, and what it could prove."""
    console = _console()
    try:
        curriculum, flywheel_run = read_manifests(folder)
        spec = _with(flywheel_run.spec, iterations, None)
        if seconds_per_step is None and measured is not None:
            seconds_per_step = measured_in(Workspace(measured))
        known = Measured(seconds_per_step=seconds_per_step, seconds_per_answer=seconds_per_answer)
        with TemporaryDirectory() as scratch:
            local = curriculum.model_copy(update={"metadata": local_metadata(curriculum.metadata)})
            ready = prepared(local, folder, Path(scratch))
            found = estimated(ready, flywheel_run.model_copy(update={"spec": spec}), Workspace(scratch), known)
    except ManifestError as error:
        _fail(console, str(error))
    if output is Output.JSON:
        typer.echo(found.model_dump_json(by_alias=True, indent=2))
    else:
        print_estimate(console, found)


@app.command()
def watch(
    name: Annotated[str, typer.Argument(help="Name of the FlywheelRun.")],
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Its namespace.")] = "default",
) -> None:
    """Follow a run in the cluster of the current kube context until it ends, then sum it up."""
    from flywheel.cli.watch import RunNotFoundError, follow

    console = _console()
    try:
        followed = follow(console, namespace, name)
    except RunNotFoundError as error:
        _fail(console, str(error))
    print_summary(console, followed)
    if not holds(followed.status.conditions, COMPLETED):
        raise typer.Exit(1)


@app.command()
def replay(
    workspace: Annotated[Path, typer.Argument(help="Folder of a workspace: of a local run, or a volume's.")],
    name: Annotated[str | None, typer.Argument(help="namespace/name of the run, where there are several.")] = None,
    resources: Annotated[
        Path | None, typer.Option(help="Folder with the Curriculum and FlywheelRun as kubectl get -o yaml prints them.")
    ] = None,
) -> None:
    """Repeat what code did in a finished run, from its ledger and its recorded answers, without any network."""
    console = _console()
    try:
        verdicts = replayed(workspace, name, resources)
        same = print_verdicts(console, verdicts)
    except (ManifestError, ReplayError, WrongInputError) as error:
        _fail(console, str(error))
    if not same:
        raise typer.Exit(1)


def _with(spec: FlywheelRunSpec, iterations: int | None, seed: int | None) -> FlywheelRunSpec:
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


def _fail(console: Console, message: str) -> NoReturn:
    console.print(f"error: {message}", highlight=False, style="red")
    raise typer.Exit(2)


if __name__ == "__main__":
    app()
