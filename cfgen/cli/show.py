"""``cfgen show``: what a task consists of."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from cfgen.cli.options import Json, TaskName
from cfgen.cli.output import show as show_document
from cfgen.cli.output import write_json


class GraphForm(StrEnum):
    """Texts that draw a graph."""

    mermaid = "mermaid"
    dot = "dot"


def show(
    task: TaskName,
    graph: Annotated[
        GraphForm | None,
        typer.Option("--graph", help="Print only the causal graph, in this language."),
    ] = None,
    json: Json = False,
) -> None:
    """Show a task: its variables and graph, designs, hypotheses and templates."""
    from cfgen.report.task import task_record, task_view
    from cfgen.tasks import load_task

    loaded = load_task(task)
    if json:
        write_json(task_record(loaded))
    elif graph:
        drawing = loaded.causal_model.graph()
        typer.echo(drawing.mermaid() if graph is GraphForm.mermaid else drawing.dot(), nl=False)
    else:
        show_document(task_view(loaded))
