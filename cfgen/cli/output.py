"""How commands answer: results, remarks, progress, JSON, problems, exit codes.

Results go to standard output, everything else to standard error. Rich takes time to load, and is
imported when something is printed.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cfgen.progress import Progress

if TYPE_CHECKING:
    from rich.console import Console

    from cfgen.documents import Document, Inline
    from cfgen.errors import CfgenError

OK, FINDINGS, USAGE, BUG, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 3, 130, 141
"""Exit codes: all well, findings, a user's mistake, a bug of ours, Ctrl-C, nobody reads on."""


def present(what: Document | Inline, *, wrap: bool = True, aside: bool = False) -> None:
    """Print what a verb was asked for.

    Args:
        what: A document, or a paragraph.
        wrap: Whether lines are broken at the terminal's width.
        aside: Whether it goes to standard error, since standard output is for JSON.
    """
    from cfgen.documents import Document, Paragraph
    from cfgen.documents.terminal import show

    document = what if isinstance(what, Document) else Document((Paragraph(what),))
    show(document, sys.stderr if aside else sys.stdout, wrap=wrap)


def remark(what: Document | Inline) -> None:
    """Print something on the side, on standard error."""
    present(what, wrap=False, aside=True)


def write_json(value: Any) -> None:
    r"""Print a value as JSON on standard output.

    What JSON has no form for is written as Python shows it; characters that a terminal acts on, or
    that cannot be seen, by their escapes, which JSON reads as the characters (``\u009b``).
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, default=_plain)
    if not text.isprintable():
        text = "".join(
            mark if mark.isprintable() or mark == "\n" else json.dumps(mark)[1:-1] for mark in text
        )
    sys.stdout.write(text + "\n")


def _plain(value: Any) -> Any:
    return sorted(value, key=repr) if isinstance(value, set | frozenset) else repr(value)


def show_problems(error: CfgenError) -> None:
    """Print every problem of an error on standard error: place first, then what to do."""
    from cfgen.report import problem_text

    for problem in error.problems:
        remark(problem_text(problem))


@contextmanager
def progress_shown(*, quiet: bool = False) -> Iterator[Progress]:
    """Show the progress of whatever runs inside.

    Args:
        quiet: Show nothing unless standard error is a terminal, for output that a program reads.

    Yields:
        The function to call, with as many different steps as there are, one after the other.
    """
    from rich.console import Console

    console = Console(file=sys.stderr, highlight=False)
    if console.is_terminal:
        with _bars(console) as report:
            yield report
    elif quiet:
        yield lambda step, done, total: None
    else:
        with _lines(console) as report:
            yield report


@contextmanager
def _bars(console: Console) -> Iterator[Progress]:
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
    from rich.table import Column

    from cfgen.documents import visible

    title = TextColumn("{task.description}", table_column=Column(no_wrap=True), markup=False)
    percent = TextColumn("{task.percentage:>3.0f}%")
    bars = Progress(title, BarColumn(24), percent, TimeElapsedColumn(), console=console)
    begun: dict[str, TaskID] = {}

    def end() -> None:
        """Fill the bar of a step that never said how much there is of it."""
        for task in bars.tasks:
            if task.total is None:
                bars.update(task.id, total=1, completed=1)

    def report(step: str, done: int, total: int | None) -> None:
        if step not in begun:
            end()
            begun[step] = bars.add_task(visible(step), total=total)
        bars.update(begun[step], completed=done, total=total)

    with bars:
        yield report
        end()


@contextmanager
def _lines(console: Console) -> Iterator[Progress]:
    """A line when a step begins, completed with how long it took when the next one does."""
    from cfgen.documents import visible

    running: list[tuple[str, float]] = []

    def end() -> None:
        while running:
            _, begun = running.pop()
            console.print(f" {time.monotonic() - begun:.1f} s")

    def report(step: str, done: int, total: int | None) -> None:
        if not running or running[0][0] != step:
            end()
            console.print(f"{visible(step)} ...", end="", soft_wrap=True, markup=False)
            running.append((step, time.monotonic()))

    try:
        yield report
    finally:
        end()
