"""Progress: how far something is, how fast it goes, how long it takes still; what is kept of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

Progress: TypeAlias = Callable[[str, int, int | None], None]
"""Called as ``progress(step, done, total)``; ``total`` is None where it is not known.

Steps come one after the other. Units are bytes for the steps named in :data:`BYTE_STEPS`.
"""

BYTE_STEPS = frozenset({"download", "extract", "hash"})
"""The steps that move bytes. Units of all others are things: pairs, runs, tensors."""

GRAIN = 0.25
"""Reports within so many seconds count as one."""
WINDOW = 30.0
"""So many seconds back, the rate is judged by: steps are uneven, and late parts tell more."""
SETTLED = 2.0
"""Nothing is said of the rate before so many seconds."""


def no_progress(step: str, done: int, total: int | None) -> None:
    """Show no progress."""


class Pace:
    """How fast a step goes, judged by its last part."""

    def __init__(self) -> None:
        self._marks: list[tuple[float, int]] = []

    def note(self, done: int, now: float) -> None:
        """Note how much is done; less than before begins anew.

        Args:
            done: Units done.
            now: Seconds, of any clock that does not go back.
        """
        marks = self._marks
        if marks and done < marks[-1][1]:
            marks.clear()
        if marks and done == marks[-1][1]:
            return
        if len(marks) > 1 and now - marks[-2][0] < GRAIN:
            marks.pop()
        marks.append((now, done))
        while len(marks) > 4 and marks[1][0] < now - WINDOW:
            del marks[0]

    def rate(self, now: float) -> float | None:
        """Units per second; None before there is something to judge by.

        A wait that is longer than those before counts as time that the next units take.

        Args:
            now: Seconds, of the same clock.
        """
        if len(self._marks) < 3:
            return None
        (first, start), (last, done) = self._marks[0], self._marks[-1]
        usual = (last - first) / (len(self._marks) - 1)
        took = max(last - first, now - first - usual)
        return (done - start) / took if took >= SETTLED else None

    def left(self, total: int | None, now: float) -> float | None:
        """Seconds that the rest takes; None if that cannot be said.

        Args:
            total: Units of the whole step.
            now: Seconds, of the same clock.
        """
        rate = self.rate(now)
        if rate is None or total is None:
            return None
        last, done = self._marks[-1]
        return max((total - done) / rate - (now - last), 0.0)


def amount_text(step: str, done: int, total: int | None) -> str:
    """How much of a step is done, such as ``3 of 5`` or ``1.2 of 9.7 MB``."""
    if step in BYTE_STEPS:
        parts = [f"{units / 1e6:,.1f}" for units in (done, total) if units is not None]
        return f"{' of '.join(parts)} MB"
    return " of ".join(f"{units:,}" for units in (done, total) if units is not None)


def rate_text(step: str, rate: float) -> str:
    """A rate, such as ``12.3/s`` or ``80.1 MB/s``; of slow steps what one unit takes."""
    if step in BYTE_STEPS:
        return f"{rate / 1e6:,.1f} MB/s"
    if rate < 0.5:
        return f"{duration_text(1 / rate)} each"
    return f"{rate:,.0f}/s" if rate >= 100 else f"{rate:,.1f}/s"


def duration_text(seconds: float) -> str:
    """A time in the two largest units that it has, such as ``4.2 s``, ``3 min 10 s``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"


@contextmanager
def kept_if_interrupted(say: Callable[[], str]) -> Iterator[None]:
    """Say what is kept, and how to go on, where Ctrl-C ends what runs inside.

    The command line shows it. Where several are around each other, all are shown, inner ones first.

    Args:
        say: A sentence or two, asked for when it happens.
    """
    try:
        yield
    except KeyboardInterrupt as interrupt:
        interrupt.add_note(say())
        raise
