"""Starting Python, from no folder but the right ones; and which signals are to end it.

A process that we start imports nothing from the folder that one stands in.
``python -c`` and ``python -m`` put the current folder first on ``sys.path``, before Python's own
modules: a ``random.py`` that happens to lie there would be run in place of Python's. Whatever
starts Python, in whichever way, does so through this module.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""Signals that ask a program to end: sent by hand, by a terminal that closes, by its keyboard."""

_SAFE = "PYTHONSAFEPATH"
_NAMED = "PYTHONPATH"


def leave_current_folder() -> None:
    """Take the current folder off ``sys.path``, unless the user put it there by name.

    It is named if it stands in ``PYTHONPATH`` as such; an empty part there, as a stray colon makes
    it, names nothing.
    """
    try:
        here = os.getcwd()
    except OSError:  # removed meanwhile: nothing can be imported from it
        here = ""
    named = [os.path.realpath(part) for part in _parts(os.environ.get(_NAMED, ""))]
    if os.path.realpath(here) not in named:
        sys.path[:] = _with_ours(path for path in sys.path if path and not _same(path, here))


def clean_path() -> list[str]:
    """``sys.path`` without the entry that stands for the current folder, whichever it is.

    Whatever else is there stays, such as the folder of a user's own script: its code runs anyway.
    cfgen itself can be imported from it, also where it was found in the current folder only.
    """
    return _with_ours(path for path in sys.path if path)


def python_command(*arguments: str) -> list[str]:
    """How to start Python with these arguments."""
    return [sys.executable, "-P", *arguments]


def python_code(code: str) -> list[str]:
    """How to let Python run some lines, which can import what this process can.

    Args:
        code: The lines.
    """
    return python_command("-c", f"import sys; sys.path[:] = {clean_path()!r}\n{code}")


def python_environment(**changes: str) -> dict[str, str]:
    """Environment of a process that runs Python, or of one that starts it in its turn.

    Args:
        **changes: Variables to set besides.
    """
    environment = {**os.environ, **changes, _SAFE: "1"}
    parts = _parts(environment.pop(_NAMED, ""))
    return {**environment, _NAMED: os.pathsep.join(parts)} if parts else environment


@contextmanager
def safe_start() -> Iterator[None]:
    """While this lasts, processes that ``multiprocessing`` starts are as the others.

    It knows no other way to tell them than this process's own environment and path. (A Python that
    is told to ignore its environment, by ``-E``, starts such processes as it likes.)
    """
    before = {name: os.environ.get(name) for name in (_SAFE, _NAMED)}
    path, safe = list(sys.path), python_environment()
    _set_environment({name: safe.get(name) for name in before})
    sys.path[:] = clean_path()
    try:
        yield
    finally:
        sys.path[:] = path
        _set_environment(before)


def _set_environment(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _parts(paths: str) -> list[str]:
    return [part for part in paths.split(os.pathsep) if part]


def _with_ours(paths: Iterable[str]) -> list[str]:
    """These paths, the last of them the folder of this package if it is not among them."""
    kept, ours = list(paths), str(Path(__file__).resolve().parents[1])
    return kept if any(_same(path, ours) for path in kept) else [*kept, ours]


def _same(one: str, other: str) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)
