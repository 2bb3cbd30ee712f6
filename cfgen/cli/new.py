"""``cfgen new``: the files of a small task that works, to be changed into one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cfgen.cli.options import Json
from cfgen.cli.output import show, write_json

NEXT = ("lint {task}", "preview {task}", "generate {task} -n 1000 --out pairs", "run {task} -n 16")


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
    from cfgen.authoring.scaffold import new_task
    from cfgen.paths import display

    files = new_task(name, Path.cwd())
    commands = [f"cfgen {command.replace('{task}', name)}" for command in NEXT]
    if json:
        write_json({"task": name, "files": [display(path) for path in files], "next": commands})
        return
    lines = [f"Task {name}, in these files:", *(f"  {display(path)}" for path in files)]
    lines += ["", "It works as it is. What to try:", *(f"  {command}" for command in commands)]
    lines += [f"  pytest tests/test_{name}.py"]
    show("\n".join(lines), wrap=False)
