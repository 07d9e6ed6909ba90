"""Options that several commands share, spelt as kubectl spells them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Output(StrEnum):
    """How figures are printed."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"


Format = Annotated[Output, typer.Option("--output", "-o", help="text, json or yaml.")]
Namespace = Annotated[str | None, typer.Option("--namespace", "-n", help="Namespace; that of the context when absent.")]
Context = Annotated[
    str | None, typer.Option("--context", help="Context of the kubeconfig; the current one when absent.")
]
Kubeconfig = Annotated[
    Path | None, typer.Option("--kubeconfig", help="Kubeconfig; KUBECONFIG or ~/.kube/config when absent.")
]
Folder = Annotated[Path, typer.Argument(help="Folder with one Curriculum and one FlywheelRun, and their data.")]
