"""``cfgen watch``: lint and preview again whenever a file of the task is saved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cfgen.cli.options import Design, Json, Seed, TaskName, Templates
from cfgen.cli.output import present, remark, write_json

if TYPE_CHECKING:
    from cfgen.lint import Report


def watch(
    task: TaskName,
    n: Annotated[int, typer.Option("-n", help="Number of pairs to preview.", min=1)] = 1,
    design: Design = None,
    seed: Seed = 0,
    template: Templates = None,
    rounds: Annotated[
        int | None,
        typer.Option("--rounds", help="End after so many rounds; Ctrl-C ends it too.", min=1),
    ] = None,
    every: Annotated[
        float, typer.Option("--every", help="Seconds between looks at the files.", min=0.05)
    ] = 0.5,
    json: Json = False,
) -> None:
    """Lint and preview a task now, and again whenever one of its files is saved; until Ctrl-C."""
    from cfgen.authoring import changed_files
    from cfgen.documents import Divider, Document, faint
    from cfgen.lint import lint_task, task_file
    from cfgen.paths import display
    from cfgen.report import report_records, reports_view

    file = task_file(task)
    try:
        for changed in changed_files(file, every=every, rounds=rounds):
            title = ", ".join(map(display, changed)) or display(file)
            present(Document((Divider(title),)), aside=True)
            report = lint_task(task)
            if json:
                write_json(report_records([report])[0])
                continue
            present(reports_view([report]), wrap=False)
            if report.loaded:
                _preview(report, n, design, seed, template)
            remark(faint("Watching; Ctrl-C ends it."))
    except KeyboardInterrupt:
        remark(faint("Ended."))


def _preview(
    report: Report, n: int, design: str | None, seed: int, template: list[str] | None
) -> None:
    """Show the first pairs; what is wrong with that is shown, and does not end the watch."""
    from cfgen.cli.output import show_problems
    from cfgen.datasets import first_pairs, recipe
    from cfgen.errors import CfgenError
    from cfgen.report import pair_view

    path: Path = report.path
    try:
        made = recipe(str(path), n, design=design, seed=seed, templates=template or ())
        for pair in first_pairs(made):
            present(pair_view(pair, changes=True))
    except CfgenError as error:
        show_problems(error)
