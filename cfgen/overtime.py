"""Code that others wrote ends: a call that goes on and on is ended, with an error that names it.

A mechanism that never ends would leave nobody the wiser as to what is waited for.
"""

from __future__ import annotations

import _thread
import signal
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from cfgen.errors import OURS, CfgenError, Problem

LONG = 10.0
"""Seconds that a single call of a function may take: those of mechanisms take microseconds."""
LOADING = 60.0
"""Seconds that a file may take to be loaded: it may import what is slow to load."""
LOOK = 0.5
"""Seconds between two looks."""
LIBRARIES = (
    *(sysconfig.get_paths()[kind] for kind in ("stdlib", "platstdlib", "purelib", "platlib")),
)


@contextmanager
def bounded_code() -> Iterator[None]:
    """End what never ends of the code that the main thread runs for somebody else.

    A thread looks again and again at what that one is at. Loops that Python does not see, such as
    the power of huge numbers, go on until they end.

    Raises:
        CfgenError: A call took too long (``endless-code``).
    """
    watched, over = threading.get_ident(), threading.Event()
    found: list[FrameType] = []

    def look() -> None:
        seen, since = None, 0.0
        while not over.wait(LOOK):
            frame, now = _foreign(sys._current_frames().get(watched)), time.monotonic()
            if frame is not seen:
                seen, since = frame, now
            elif frame is not None and now - since > _limit(frame):
                found.append(frame)
                since = now  # once more later, if what it runs takes no notice
                _thread.interrupt_main()

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    before = signal.getsignal(signal.SIGINT)
    try:
        if before in (signal.SIG_IGN, signal.SIG_DFL):  # where interruptions are nobody's business
            signal.signal(signal.SIGINT, signal.default_int_handler)
        yield
    except KeyboardInterrupt:
        if not found:
            raise
        code = found[-1].f_code
        what = "the file" if code.co_name == "<module>" else f"{code.co_name!r}"
        raise CfgenError(
            Problem(
                "endless-code",
                f"{what} did not end within {_limit(found[-1]):.0f} s of being called",
                where=f"{code.co_filename}:{found[-1].f_lineno}",
                hint="mend the loop that it is in; a mechanism only computes a value from values",
            )
        ) from None
    finally:
        over.set()
        watcher.join()
        if before is not None:
            signal.signal(signal.SIGINT, before)
        found.clear()


def _limit(frame: FrameType) -> float:
    return LOADING if frame.f_code.co_name == "<module>" else LONG


def _foreign(frame: FrameType | None) -> FrameType | None:
    """The call by which code of ours gave way to what is neither ours nor a library's."""
    while frame is not None and frame.f_back is not None:
        if _is_ours(frame.f_back) and not _is_ours(frame) and not _is_library(frame):
            return frame
        frame = frame.f_back
    return None


def _is_ours(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(OURS)


def _is_library(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    return file.startswith(("<", *LIBRARIES)) or "site-packages" in file
