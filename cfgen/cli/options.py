"""Arguments and options that several verbs share, and how their texts are read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cfgen.paths import find_all

TaskName = Annotated[
    str,
    typer.Argument(
        metavar="TASK", help="Name of a task (cfgen tasks lists them), or the path of its file."
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print JSON on standard output, everything else on standard error.",
        show_default=False,
    ),
]
Design = Annotated[
    str | None,
    typer.Option("--design", help="How pairs are made; the task's default design if not given."),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="LM: a known name (cfgen models), ./folder, gguf:FILE, or owner/name or "
        "owner/name@revision on the Hub; the task's default one if not given.",
    ),
]
AcceptLicense = Annotated[
    bool,
    typer.Option(
        "--accept-license",
        help="Accept the terms that an LM has (cfgen models licence NAME); asked for once.",
        show_default=False,
    ),
]
DecisiveOnly = Annotated[
    bool,
    typer.Option(
        "--decisive-only",
        help="Take decisive pairs alone: what the design's contrast and 'none' predict is all "
        "different.",
        show_default=False,
    ),
]
Seed = Annotated[
    int, typer.Option("--seed", help="The same seed and options give the same pairs.", min=0)
]
Templates = Annotated[
    list[str] | None,
    typer.Option("--template", help="Wording to use; repeat it for several, 'all' for every one."),
]
ReusePrompts = Annotated[
    bool,
    typer.Option(
        "--reuse-prompts",
        help="Let a prompt be in several pairs of its split, which are all different; for small "
        "lexicons.",
        show_default=False,
    ),
]
Out = Annotated[Path, typer.Option("--out", help="Folder to write to; it appears complete.")]


def example_task() -> str:
    """Name of the task that examples in the help are about: the first one found."""
    for folder in find_all("causal_models"):
        for path in sorted(folder.glob("*.py")):
            if not path.name.startswith("_"):
                return path.stem
    return "my_task"


def example(*commands: str) -> str:
    """The lines at the end of a verb's help; ``{task}`` stands for a task that there is."""
    title = "Example:" if len(commands) == 1 else "Examples:"
    lines = [command.replace("{task}", example_task()) for command in commands]
    return "\n\n".join([title, *lines])
