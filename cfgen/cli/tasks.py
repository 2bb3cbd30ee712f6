"""``cfgen tasks`` and ``cfgen show``: which tasks there are, and what one consists of."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cfgen.bounded import read_file
from cfgen.cli.options import Json, TaskName
from cfgen.cli.output import output, present, write_json


def tasks(json: Json = False) -> None:
    """List the tasks: those of the folder you stand in, then the built-in ones."""
    from cfgen.paths import display
    from cfgen.report import task_list
    from cfgen.tasks import list_tasks

    found = [(name, describe(path), path) for name, path in list_tasks().items()]
    if json:
        write_json([{"name": n, "description": d, "path": str(p)} for n, d, p in found])
        return
    present(task_list([(name, text, display(path)) for name, text, path in found]))


def describe(path: Path) -> str:
    """First line of a task file's docstring, read without running the file."""
    import ast

    try:
        docstring = ast.get_docstring(ast.parse(read_file(path)))
    except (SyntaxError, RecursionError, MemoryError):  # the last of a text that is nested
        return "(the file is not valid Python)"
    except (OSError, ValueError):
        return "(the file cannot be read)"
    return (docstring or "").strip().partition("\n")[0]


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
    from cfgen.report import task_record, task_view
    from cfgen.tasks import load_task

    loaded = load_task(task)
    if json:
        write_json(task_record(loaded))
    elif graph:
        drawing = loaded.causal_model.graph()
        typer.echo(
            drawing.mermaid() if graph is GraphForm.mermaid else drawing.dot(), output(), nl=False
        )
    else:
        present(task_view(loaded))
