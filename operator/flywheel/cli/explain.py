"""`flywheel explain NAME`: why is it where it is, and what happens next?"""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from flywheel.cli.cluster import connect
from flywheel.cli.explaining import Explanation
from flywheel.cli.explaining import explain as explained
from flywheel.cli.naming import CURRICULA, DEPLOYMENTS, RUNS, find
from flywheel.cli.options import Context, Format, Kubeconfig, Namespace, Output
from flywheel.cli.printing import print_data, terminal

Named = Annotated[
    str, typer.Argument(help="Name of a run, else of an AdapterDeployment or a Curriculum; or TYPE/NAME.")
]


def explain(
    name: Named,
    output: Format = Output.TEXT,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Say why it is so, and what happens next.

    Of a run, an AdapterDeployment or a Curriculum.
    """
    found = find(connect(namespace, context, kubeconfig), name, [RUNS, DEPLOYMENTS, CURRICULA])
    said = explained(found.item)
    if output is Output.TEXT:
        print_explanation(terminal(), said)
    else:
        print_data(said.to_json_object(), output)


def print_explanation(console: Console, said: Explanation) -> None:
    """Under headings, a sentence a line."""
    console.print(
        f"[bold]{said.kind} {said.namespace}/{said.name}[/bold]: {said.reason or 'not seen yet'}", highlight=False
    )
    for title, sentences in (("Where", said.where), ("Why", said.why), ("Next", said.next)):
        _print_list(console, title, sentences)
    findings = [f"{entry.type} is {entry.status} ({entry.reason}): {entry.message}" for entry in said.findings]
    _print_list(console, "Also", findings)


def _print_list(console: Console, title: str, sentences: list[str]) -> None:
    if sentences:
        console.print(f"[bold]{title}[/bold]")
    for sentence in sentences:
        console.print(f"  {escape(sentence)}", highlight=False, soft_wrap=True)
