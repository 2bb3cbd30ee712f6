"""Showing progress: bars on a terminal, lines elsewhere, both with rate and time left."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Column
from rich.text import Text

from cfgen.documents import visible
from cfgen.progress import Pace, Progress, amount_text, duration_text, rate_text

SHORT = 1.0
"""Steps that take less than so many seconds are not worth a line."""
EVERY = 10.0
"""Seconds between two lines about one step."""
LOOK = 0.5
"""Seconds between two looks whether a line is due, however rarely a step reports."""

Clock = Callable[[], float]


class PaceColumn(ProgressColumn):
    """Rate and time left of a step."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        super().__init__(table_column=Column(no_wrap=True))

    def render(self, task: Task) -> Text:
        """What is known of the pace, which may be nothing yet.

        Args:
            task: A bar of :func:`bars_shown`.
        """
        if task.finished or "pace" not in task.fields:
            return Text("")
        parts = _pace_parts(task.fields["step"], task.fields["pace"], task.total, self._clock())
        return Text(", ".join(parts))


@contextmanager
def bars_shown(console: Console, clock: Clock = time.monotonic) -> Iterator[Progress]:
    """Show a bar for each step.

    Args:
        console: The terminal.
        clock: Seconds.

    Yields:
        The function to call with progress.
    """
    title = TextColumn("{task.description}", table_column=Column(no_wrap=True), markup=False)
    percent = TextColumn("{task.percentage:>3.0f}%")
    columns = (title, BarColumn(24), percent, TimeElapsedColumn(), PaceColumn(clock))
    bars = Bars(*columns, console=console, get_time=clock)
    begun: dict[str, TaskID] = {}
    paces: dict[str, Pace] = {}
    current = ""

    def end() -> None:
        """Fill the bar of a step that never said how much there is of it."""
        for task in bars.tasks:
            if task.total is None:
                bars.update(task.id, total=1, completed=1)

    def report(step: str, done: int, total: int | None) -> None:
        nonlocal current
        if step != current:
            end()
            current, paces[step] = step, Pace()
            if step not in begun:
                begun[step] = bars.add_task(visible(step), total=total)
            bars.reset(begun[step], total=total, step=step, pace=paces[step])
        paces[step].note(done, clock())
        bars.update(begun[step], completed=done, total=total)

    with bars:
        yield report
        end()


@contextmanager
def lines_shown(clock: Clock = time.monotonic) -> Iterator[Progress]:
    """Show lines on standard error about steps that take longer than :data:`SHORT`.

    One when it is that old, one every :data:`EVERY` seconds, one at its end.

    Args:
        clock: Seconds.

    Yields:
        The function to call with progress.
    """
    lines = StepLines(lambda text: print(text, file=sys.stderr, flush=True), clock)
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOK):
            lines.look()

    looking = threading.Thread(target=look, name="progress", daemon=True)
    looking.start()
    finished = False
    try:
        yield lines.report
        finished = True
    finally:
        over.set()
        looking.join()
        lines.end(finished=finished)


@dataclass
class RunningStep:
    """A step that is under way, and what was said of it; times in seconds."""

    step: str
    began: float
    done: int = 0
    total: int | None = None
    said: float | None = None
    pace: Pace = field(default_factory=Pace)


class StepLines:
    """Lines about steps, one after the other.

    Args:
        write: Called with each line.
        clock: Seconds.
    """

    def __init__(self, write: Callable[[str], None], clock: Clock) -> None:
        self._write, self._clock = write, clock
        self._running: RunningStep | None = None
        self._lock = threading.RLock()

    def report(self, step: str, done: int, total: int | None) -> None:
        """Take a report; as :data:`~cfgen.progress.Progress`.

        Args:
            step: Name of the step; another name than before ends the one before.
            done: Units done.
            total: Units of the whole step, if known.
        """
        with self._lock:
            now = self._clock()
            if self._running is None or self._running.step != step:
                self.end(finished=True)
                self._running = RunningStep(step, now)
            running = self._running
            running.done, running.total = done, total
            running.pace.note(done, now)
            self.look()

    def look(self) -> None:
        """Write a line about the step that is under way, if one is due."""
        with self._lock:
            running, now = self._running, self._clock()
            if running is None:
                return
            title = visible(running.step)
            if running.said is None:
                if now - running.began >= SHORT:
                    running.said = running.began
                    self._write(f"{title} ...")
            elif now - running.said >= EVERY:
                running.said = now
                parts = [duration_text(now - running.began)]
                if running.done or running.total:
                    parts = [amount_text(running.step, running.done, running.total)]
                parts += _pace_parts(running.step, running.pace, running.total, now)
                self._write(f"{title}: {', '.join(parts)}")

    def end(self, *, finished: bool) -> None:
        """End the step that is under way; says so if it was said that it began.

        Args:
            finished: Whether it came to its end.
        """
        with self._lock:
            running, self._running = self._running, None
            if running is None:
                return
            took = self._clock() - running.began
            if running.said is None and took < SHORT:
                return
            how = "done in" if finished else "stopped after"
            self._write(f"{visible(running.step)}: {how} {duration_text(took)}")


def _pace_parts(step: str, pace: Pace, total: float | None, now: float) -> list[str]:
    """Rate and time left, as far as they are known."""
    rate = pace.rate(now)
    if rate is None:
        return []
    left = pace.left(None if total is None else int(total), now)
    return [rate_text(step, rate), *([] if left is None else [f"{duration_text(left)} left"])]
