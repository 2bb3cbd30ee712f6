"""Progress on standard error: bars on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

from cfgen.cli.console import messages

if TYPE_CHECKING:
    from rich.console import Console

Progress: TypeAlias = Callable[[str, int, int | None], None]
"""Called as ``progress(step, done, total)``; ``total`` is None where it is not known."""


@contextmanager
def progress_shown(*, quiet: bool = False) -> Iterator[Progress]:
    """Show the progress of whatever runs inside.

    Args:
        quiet: Show nothing unless standard error is a terminal, for output that a program reads.

    Yields:
        The function to call, with as many different steps as there are, one after the other.
    """
    console = messages()
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

    title = TextColumn("{task.description}", table_column=Column(no_wrap=True))
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
            begun[step] = bars.add_task(step, total=total)
        bars.update(begun[step], completed=done, total=total)

    with bars:
        yield report
        end()


@contextmanager
def _lines(console: Console) -> Iterator[Progress]:
    """A line when a step begins, completed with how long it took when the next one does."""
    running: list[tuple[str, float]] = []

    def end() -> None:
        while running:
            _, begun = running.pop()
            console.print(f" {time.monotonic() - begun:.1f} s")

    def report(step: str, done: int, total: int | None) -> None:
        if not running or running[0][0] != step:
            end()
            console.print(f"{step} ...", end="", soft_wrap=True, markup=False)
            running.append((step, time.monotonic()))

    try:
        yield report
    finally:
        end()
