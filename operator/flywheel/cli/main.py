"""The commands of `flywheel`."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from flywheel.api.conditions import COMPLETED
from flywheel.api.flywheelrun import FlywheelRunSpec
from flywheel.cli.live import live_run, print_summary
from flywheel.local.manifests import ManifestError, read_manifests
from flywheel.local.processes import key_environment, secret_variables, user_key_environment
from flywheel.local.programs import NoCheckoutError, prepare_programs
from flywheel.local.rehearsal import rehearsal_teacher
from flywheel.local.run import LocalRun
from flywheel.loop.judging import endpoints
from flywheel.loop.state import holds

_LOG_WIDTH = 140

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Self-improvement of small language models.")


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


@app.command()
def run(
    folder: Folder,
    local: Local = False,
    rehearsal: Rehearsal = False,
    workspace: Annotated[Path | None, typer.Option(help="Where files are kept; in the cache when absent.")] = None,
    iterations: Annotated[int | None, typer.Option(help="Stop after this many iterations.")] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed than the run's.")] = None,
    shuffle_labels: Shuffle = False,
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
    spec = _with(flywheel_run.spec, iterations, seed)
    home = workspace or _default_workspace(flywheel_run.metadata.name)
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
        )
        status = work.drive(stack.enter_context(live_run(console)).show)
    print_summary(console, status)
    if not holds(status.conditions, COMPLETED):
        raise typer.Exit(1)


@app.command()
def watch(
    name: Annotated[str, typer.Argument(help="Name of the FlywheelRun.")],
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Its namespace.")] = "default",
) -> None:
    """Follow a run in the cluster of the current kube context until it ends, then sum it up."""
    from flywheel.cli.watch import RunNotFoundError, follow

    console = _console()
    try:
        status = follow(console, namespace, name)
    except RunNotFoundError as error:
        _fail(console, str(error))
    print_summary(console, status)
    if not holds(status.conditions, COMPLETED):
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
