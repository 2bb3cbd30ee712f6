"""``cfgen lint``: everything that can be checked about a task without a language model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cfgen.cli.options import Json
from cfgen.cli.output import FINDINGS, present, progress_shown, write_json
from cfgen.errors import CfgenError, Problem

if TYPE_CHECKING:
    from cfgen.lint import Report

Tokenizers = Annotated[
    list[str] | None,
    typer.Option(
        "--tokenizer",
        metavar="MODEL",
        help="Also look at tokens as this LM has them (a name as for run --model); repeat it "
        "for several.",
    ),
]


def lint(
    task: Annotated[
        str | None,
        typer.Argument(
            metavar="[TASK|PATH]",
            help="Name of a task, its file, or a project's folder; every task of the folder you "
            "stand in if not given.",
            show_default=False,
        ),
    ] = None,
    tokenizer: Tokenizers = None,
    json: Json = False,
) -> None:
    """Check everything that can be checked about a task, and say what to do about it.

    Exit code 1 if anything is found. What is meant to be so is allowed in the task's file:
    TaskDefinition(..., allow={"code": "reason"}), or "code:name" for one variable, design, ...
    """
    from cfgen.lint import lint_task
    from cfgen.report import report_records, reports_view

    with progress_shown(quiet=json) as report:
        from cfgen.lm import load_tokenizers

        named = load_tokenizers(tokenizer or (), report)
        names = tasks_named(task)
        reports: list[Report] = []
        for name in names:
            report("lint", len(reports), len(names))
            reports.append(lint_task(name, named))
    if json:
        write_json(report_records(reports))
    else:
        present(reports_view(reports), wrap=False)
    if any(each.findings for each in reports):
        raise typer.Exit(FINDINGS)


def tasks_named(task: str | None) -> list[str]:
    """The tasks that are meant: one, those of a project's folder, or the built-in ones."""
    from cfgen.tasks import list_tasks

    known = list_tasks()
    if task and (task in known or not Path(task).is_dir()):
        return [task]
    files = sorted((Path(task or ".") / "causal_models").glob("*.py"))
    own = [str(path) for path in files if not path.name.startswith("_")]
    if task and not own:
        message = f"there is no task in {task}"
        hint = "name a project's folder, which has its tasks in causal_models/"
        raise CfgenError(Problem("no-such-task", message, hint=hint))
    return own or list(known)
