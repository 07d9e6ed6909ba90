"""`flywheel`, also `kubectl flywheel`: the commands, one file each, and how they fail."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from flywheel.cli.change import approve, promote, resume, rollback, stop, suspend
from flywheel.cli.compare import compare
from flywheel.cli.errors import CommandError
from flywheel.cli.estimate import estimate
from flywheel.cli.explain import explain
from flywheel.cli.history import history
from flywheel.cli.lint import lint
from flywheel.cli.logs import logs
from flywheel.cli.preview import preview
from flywheel.cli.replay import replay
from flywheel.cli.report import report
from flywheel.cli.run import run
from flywheel.cli.status import status
from flywheel.local.manifests import ManifestError
from flywheel.local.programs import NoCheckoutError
from flywheel.local.replay import ReplayError
from flywheel.report.resources import BadResourcesError
from flywheel.workspace.manifest import WrongInputError
from flywheel.workspace.program import BadInputError
from flywheel.workspace.recorded import NoRunError

_KNOWN = (
    ManifestError,
    NoCheckoutError,
    ReplayError,
    NoRunError,
    BadResourcesError,
    WrongInputError,
    BadInputError,
    OSError,
)


class OneLineErrors(TyperGroup):
    """What goes wrong for a known reason is one line on standard error and exit code 1."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except CommandError as error:
            typer.echo(str(error), err=True)
        except _KNOWN as error:
            typer.echo(f"error: {error}", err=True)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        raise typer.Exit(1)


app = typer.Typer(
    cls=OneLineErrors,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def flywheel() -> None:
    """Self-improvement of small language models, on this computer and in the cluster of the current kube context."""


for command in (
    status,
    explain,
    logs,
    history,
    compare,
    suspend,
    resume,
    stop,
    approve,
    rollback,
    promote,
    lint,
    preview,
    estimate,
    run,
    replay,
    report,
):
    app.command()(command)

if __name__ == "__main__":
    app()
