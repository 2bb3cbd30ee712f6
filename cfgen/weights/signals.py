"""Being stopped by a signal without leaving anything behind."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM unwind the stack, as SIGINT does, instead of ending the process on the spot.

    Does nothing outside the main thread, or where the program handles SIGTERM itself.
    """

    def leave(number: int, frame: Any) -> NoReturn:
        raise SystemExit(128 + number)

    ours = _in_main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if ours:
        signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def held() -> Iterator[list[int]]:
    """Hold SIGINT and SIGTERM back; yields the list that they are noted in.

    For a block that must not be left between two of its steps, such as starting a process and
    knowing it. What was held back is sent again at the end, to whoever handles it then.
    """
    pending: list[int] = []
    before = {}
    if _in_main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(number)
            # None: set by something that is not Python. Ignored ones, as behind nohup, stay so.
            if handler not in (None, signal.SIG_IGN):
                before[number] = handler
                signal.signal(number, lambda number, frame: pending.append(number))
    try:
        yield pending
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if pending:
            signal.raise_signal(pending[0])


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
