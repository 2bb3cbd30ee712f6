"""``cfgen tasks``, ``show`` and ``new``: which tasks there are, what one consists of, a new one."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cfgen.cli.options import Json, TaskName
from cfgen.cli.output import present, write_json

NEXT = ("lint {task}", "preview {task}", "generate {task} -n 1000 --out pairs", "run {task} -n 16")


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
        docstring = ast.get_docstring(ast.parse(path.read_bytes()))
    except (SyntaxError, ValueError):
        return "(the file is not valid Python)"
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
        typer.echo(drawing.mermaid() if graph is GraphForm.mermaid else drawing.dot(), nl=False)
    else:
        present(task_view(loaded))


def new(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="Name of the task: small letters, digits and _."),
    ],
    json: Json = False,
) -> None:
    """Start a task in the folder you stand in: its files, which work at once.

    Writes a causal model, two templates, a lexicon and tests. Nothing is written over.
    """
    from cfgen.authoring import new_task
    from cfgen.paths import display

    files = new_task(name, Path.cwd())
    commands = [f"cfgen {command.replace('{task}', name)}" for command in NEXT]
    if json:
        write_json({"task": name, "files": [display(path) for path in files], "next": commands})
        return
    lines = [f"Task {name}, in these files:", *(f"  {display(path)}" for path in files)]
    lines += ["", "It works as it is. What to try:", *(f"  {command}" for command in commands)]
    lines += [f"  pytest tests/test_{name}.py"]
    present("\n".join(lines), wrap=False)
