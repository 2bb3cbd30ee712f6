"""Workers: processes that make the candidates of a dataset, each loading the task for itself."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import (
    get_all_start_methods,
    get_context,
    parent_process,
    resource_tracker,
)
from multiprocessing.context import BaseContext
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa

from cfgen.datasets.recipe import Candidates
from cfgen.datasets.repetition import MOST, CandidateChunk, DistinctPrompts
from cfgen.errors import CfgenError, Problem
from cfgen.overtime import bounded_code
from cfgen.processes import safe_start
from cfgen.tasks import Task, load_task

MakeChunk = Callable[[int, int], CandidateChunk[pa.Table]]
"""From the number of the first candidate, and of the one after the last, to these."""
Prepare = Callable[[Candidates], MakeChunk]
"""A function of some module that prepares the making of candidates."""


@dataclass(frozen=True, slots=True)
class WorkOrder:
    """What a worker is told once.

    Attributes:
        folder: Where to work; tasks, templates and lexicons are looked for there as well.
        path: The task file.
        content_hash: Hash that the task must have.
        prepare: How candidates are made.
    """

    folder: Path
    path: Path
    content_hash: str
    prepare: Prepare


class Workers:
    """Processes that make the candidates of one dataset. Use it in a ``with`` statement."""

    def __init__(self, task: Task, count: int, prepare: Prepare) -> None:
        """Start no process yet; that happens when there is something to do."""
        order = WorkOrder(Path.cwd(), task.path, task.content_hash, prepare)
        self._count = count
        with safe_start():  # a process of Python's own, which changes the mask below
            resource_tracker.ensure_running()
        self._pool = ProcessPoolExecutor(
            count, mp_context=_context(prepare.__module__), initializer=_begin, initargs=(order,)
        )

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def chunks(
        self, candidates: Candidates, distinct: DistinctPrompts
    ) -> Iterator[CandidateChunk[pa.Table]]:
        """Candidates in order; some are made ahead, but few that are not needed.

        Args:
            candidates: What to make.
            distinct: Chooses from them, and says how many are missing.

        Raises:
            CfgenError: If a worker does, or dies (``worker-lost``).
        """
        nothing: Any = None  # a task holds functions, which cannot be sent
        told = replace(candidates, task=nothing)
        waiting: deque[Future[CandidateChunk[pa.Table]]] = deque()
        start = 0
        while distinct.missing:
            needed = max(1, -(-distinct.missing // MOST))
            try:
                while len(waiting) < min(2 * self._count, needed):
                    stop = start + distinct.next_size
                    with safe_start(), _uninterrupted():
                        waiting.append(self._pool.submit(_make, told, start, stop))
                    start = stop
                chunk = waiting.popleft().result()
            except BrokenProcessPool as error:
                raise CfgenError(_lost()) from error
            yield chunk


def _context(module: str) -> BaseContext:
    """How processes are started: from one that has imported everything, where there is such."""
    if "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload([module])
    return context


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back; processes started meanwhile never see it, and say nothing about it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _lost() -> Problem:
    return Problem(
        "worker-lost",
        "a worker process ended before its work was done",
        hint="see whether memory ran out, or use --workers 1; in a script of your own, make "
        'datasets below `if __name__ == "__main__":`',
    )


_order: WorkOrder | None = None
_task: Task | None = None
_makers: dict[str, MakeChunk] = {}


def _begin(order: WorkOrder) -> None:
    """First thing in a new process. Ctrl-C is for the one that started it."""
    global _order
    _order = order
    sys.stdout = sys.stderr  # what a mechanism prints is no result
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.chdir(order.folder)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _end_with_parent() -> None:
    """However the process ends that asked for the work, what it started ends with it."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _make(told: Candidates, start: int, stop: int) -> CandidateChunk[pa.Table]:
    """Make candidates, in a worker; of several splits, of one dataset."""
    assert _order is not None
    name = told.split.name
    with bounded_code():
        if name not in _makers:
            _makers[name] = _order.prepare(replace(told, task=_loaded(_order)))
        return _makers[name](start, stop)


def _loaded(order: WorkOrder) -> Task:
    """The task, loaded at first use. Which words are drawn is said by the candidates."""
    global _task
    if _task is None:
        task = load_task(order.path)
        if task.content_hash != order.content_hash:
            raise CfgenError(
                Problem(
                    "task-changed",
                    f"a worker process found another version of task {task.name!r}",
                    where=str(order.path),
                    hint="let its files alone meanwhile; if it takes templates or lexicons from a "
                    "folder given by hand, use --workers 1",
                )
            )
        _task = task
    return _task
