"""``cfgen watch``: lint and preview again whenever a file of the task is saved."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from cfgen.cli.options import Design, Json, Seed, TaskName, Templates
from cfgen.cli.output import present, remark, write_json
from cfgen.paths import display, find_all, project_of

if TYPE_CHECKING:
    from cfgen.lint import Report

Stamps: TypeAlias = dict[Path, tuple[int, int]]
"""File -> when it was last changed (ns), and its size."""


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
    from cfgen.documents import Divider, Document, faint
    from cfgen.lint import lint_task
    from cfgen.report import report_records, reports_view
    from cfgen.tasks import find_task

    file = find_task(task)
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


def file_stamps(task_file: Path) -> Stamps:
    """When the files of a task were last changed: its own, its templates', all lexicons'.

    Args:
        task_file: The task file.
    """
    project = project_of(task_file)
    folders = [*find_all(f"templates/{task_file.stem}", *project)]
    folders += find_all("data/lexicons", *project)
    files = [task_file, *(path for folder in folders for path in sorted(folder.glob("*.*")))]
    found: Stamps = {}
    for path in files:
        try:
            stat = path.stat()
        except OSError:  # being replaced by an editor; it is there again next time
            continue
        found[path] = (stat.st_mtime_ns, stat.st_size)
    return found


def changed_files(
    task_file: Path,
    *,
    every: float = 0.5,
    rounds: int | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[tuple[Path, ...]]:
    """Yield the files that were changed, made or removed, whenever there are any.

    Args:
        task_file: The task file.
        every: Seconds between looks.
        rounds: How often to yield at most; without end if None.
        sleep: Waits between looks.

    Yields:
        At once nothing, for a first round; then the changed files, once no more of them change.
    """
    before = file_stamps(task_file)
    yield ()
    done = 1
    while rounds is None or done < rounds:
        sleep(every)
        now = file_stamps(task_file)
        if now == before:
            continue
        sleep(every / 5)  # an editor may be writing still
        while (later := file_stamps(task_file)) != now:
            now = later
            sleep(every / 5)
        names = sorted(path for path in {*now, *before} if now.get(path) != before.get(path))
        before = now
        if names:
            yield tuple(names)
            done += 1
