"""``cfgen new``: the files of a small task that works, to be changed into one's own."""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from typing import Annotated

import typer

from cfgen.cli.options import Json
from cfgen.cli.output import present, write_json
from cfgen.errors import CfgenError, Problem
from cfgen.paths import display

STARTER = Path(__file__).parent / "starter"
"""The files of the task ``my_task``, which is renamed when they are written."""

FILES = {
    "task.txt": "causal_models/my_task.py",
    "plain.txt": "templates/my_task/plain.jinja",
    "garden.txt": "templates/my_task/garden.jinja",
    "things.txt": "data/lexicons/my_task_things.txt",
    "tests.txt": "tests/test_my_task.py",
}
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
    files = new_task(name, Path.cwd())
    commands = [f"cfgen {command.replace('{task}', name)}" for command in NEXT]
    if json:
        write_json({"task": name, "files": [display(path) for path in files], "next": commands})
        return
    lines = [f"Task {name}, in these files:", *(f"  {display(path)}" for path in files)]
    lines += ["", "It works as it is. What to try:", *(f"  {command}" for command in commands)]
    lines += [f"  pytest tests/test_{name}.py"]
    present("\n".join(lines), wrap=False)


def new_task(name: str, folder: Path) -> tuple[Path, ...]:
    """Write the files of a task that works.

    Args:
        name: Name of the task.
        folder: The project's folder.

    Returns:
        The files, the task's own first.

    Raises:
        CfgenError: The name cannot be used (``task-name-unusable``), a file is already there
            (``file-exists``), or it cannot be written (``cannot-write``). Nothing is written then.
    """
    from cfgen.folders import write_file
    from cfgen.tasks import list_tasks

    targets = {source: folder / target.replace("my_task", name) for source, target in FILES.items()}
    problems = _name_problems(name)
    problems = problems or [
        Problem(
            "file-exists",
            f"{display(path)} is already there, and nothing is written over",
            hint="choose another name, or move the file away",
        )
        for path in targets.values()
        if path.exists()
    ]
    if not problems and name in list_tasks(folder):
        message = f"there is a task {name!r} already, whose templates would be mixed with yours"
        problems = [Problem("task-name-unusable", message, hint="choose another name")]
    if problems:
        raise CfgenError(problems)
    written: list[Path] = []
    try:
        for source, path in targets.items():
            text = (STARTER / source).read_text(encoding="utf-8")
            if write_file(path, _renamed(text, name).encode()):
                written.append(path)
    except BaseException:  # somebody else may have written one of them just now
        for path in written:
            path.unlink(missing_ok=True)
        raise
    return tuple(targets.values())


def _renamed(text: str, name: str) -> str:
    return text.replace("My_task", name[:1].upper() + name[1:]).replace("my_task", name)


def _name_problems(name: str) -> list[Problem]:
    if re.fullmatch(r"[a-z][a-z0-9_]*", name) and not keyword.iskeyword(name):
        return []
    suggestion = re.sub(r"\W+", "_", name.lower(), flags=re.ASCII).strip("_0123456789")
    usable = suggestion and not keyword.iskeyword(suggestion)
    return [
        Problem(
            "task-name-unusable",
            f"{name!r} cannot be the name of a task",
            hint="use small letters, digits and underscores, and begin with a letter"
            + (f", such as {suggestion}" if usable else ""),
        )
    ]
