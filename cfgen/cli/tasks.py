"""``cfgen tasks``: which tasks there are."""

from __future__ import annotations

from pathlib import Path

from cfgen.cli.options import Json
from cfgen.cli.output import show, write_json


def tasks(json: Json = False) -> None:
    """List the tasks: those of the folder you stand in, then the built-in ones."""
    from cfgen.paths import display
    from cfgen.report.task import task_list
    from cfgen.tasks import list_tasks

    found = [(name, describe(path), path) for name, path in list_tasks().items()]
    if json:
        write_json([{"name": n, "description": d, "path": str(p)} for n, d, p in found])
        return
    show(task_list([(name, text, display(path)) for name, text, path in found]))


def describe(path: Path) -> str:
    """First line of a task file's docstring, read without running the file."""
    import ast

    try:
        docstring = ast.get_docstring(ast.parse(path.read_bytes()))
    except (SyntaxError, ValueError):
        return "(the file is not valid Python)"
    return (docstring or "").strip().partition("\n")[0]
