"""`flywheel`, also `kubectl flywheel`: the commands, one file each, and how they fail."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from flywheel.cli.errors import CommandError
from flywheel.local.manifests import ManifestError
from flywheel.local.programs import NoCheckoutError
from flywheel.report.resources import BadResourcesError
from flywheel.workspace.manifest import WrongInputError
from flywheel.workspace.program import BadInputError
from flywheel.workspace.recorded import NoRunError

_KNOWN = (ManifestError, NoCheckoutError, NoRunError, BadResourcesError, WrongInputError, BadInputError, OSError)
_CHANGES = ("suspend", "resume", "stop", "approve", "rollback", "promote")
_SHOW = ("status", "explain", "logs", "history", "compare")
# In the order of the help.
_COMMANDS = (*_SHOW, *_CHANGES, "lint", "preview", "estimate", "run", "replay", "report")


class Commands(TyperGroup):
    """Only the command that is asked for is imported: all of them take seconds. What goes wrong for a known reason is
    one line on standard error and exit code 1."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        names: dict[str, Any] = dict.fromkeys(_COMMANDS)  # for the help, and for "did you mean"
        self.commands = names

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, if there is one."""
        if cmd_name not in _COMMANDS:
            return None
        module = "change" if cmd_name in _CHANGES else cmd_name
        only = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        only.command(cmd_name)(getattr(import_module(f"flywheel.cli.{module}"), cmd_name))
        return get_command(only)

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
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def flywheel() -> None:
    """Self-improvement of small language models, on this computer and in the cluster of the current kube context."""


if __name__ == "__main__":
    app()
