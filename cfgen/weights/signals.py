"""Being stopped by a signal without leaving anything behind."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from cfgen.errors import Ending
from cfgen.processes import ENDING


@contextmanager
def terminable() -> Iterator[None]:
    """Let :data:`ENDING` unwind the stack, as SIGINT does, instead of ending the process at once.

    Does nothing outside the main thread, nor to a signal that the program handles or ignores.
    """

    def leave(number: int, frame: Any) -> NoReturn:
        raise Ending(128 + number)

    ours = [
        number
        for number in ENDING
        if _in_main_thread() and signal.getsignal(number) is signal.SIG_DFL
    ]
    for number in ours:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def held() -> Iterator[list[int]]:
    """Hold SIGINT and :data:`ENDING` back; yields the list that they are noted in.

    For a block that must not be left between two of its steps, such as starting a process and
    knowing it. What was held back is sent again at the end, to whoever handles it then.
    """
    pending: list[int] = []
    before = {}
    if _in_main_thread():
        for number in (signal.SIGINT, *ENDING):
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
