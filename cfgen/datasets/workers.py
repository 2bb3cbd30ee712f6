"""Workers: processes that make the candidates of a dataset, each loading the task for itself."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_all_start_methods, get_context, resource_tracker
from multiprocessing.context import BaseContext
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa

from cfgen.causal import Pools
from cfgen.datasets.recipe import DatasetRecipe, Split
from cfgen.datasets.repetition import MOST, CandidateChunk, DistinctPrompts
from cfgen.errors import CfgenError, Problem
from cfgen.processes import safe_start
from cfgen.tasks import load_task

MakeChunk = Callable[[int, int], CandidateChunk[pa.Table]]
"""From the number of the first candidate, and of the one after the last, to these."""
Prepare = Callable[[DatasetRecipe, Split], MakeChunk]
"""A function of some module that prepares the making of the candidates of a split."""


@dataclass(frozen=True, slots=True)
class WorkOrder:
    """What a worker is told once.

    Attributes:
        folder: Where to work; tasks, templates and lexicons are looked for there as well.
        path: The task file.
        content_hash: Hash that the task must have.
        pools: Lexicon -> its words; perhaps fewer than in the task's files.
        recipe: What to make, without the task.
        prepare: How it is made.
    """

    folder: Path
    path: Path
    content_hash: str
    pools: Pools
    recipe: DatasetRecipe
    prepare: Prepare


class Workers:
    """Processes that make the candidates of one dataset. Use it in a ``with`` statement."""

    def __init__(self, recipe: DatasetRecipe, count: int, prepare: Prepare) -> None:
        """Start no process yet; that happens when there is something to do."""
        nothing: Any = None  # a task holds functions, which cannot be sent
        task = recipe.task
        pools: dict[str, tuple[str, ...]] = {}
        for domain in task.causal_model.domains.values():
            pools.update(domain.pools)
        told = replace(recipe, task=nothing)
        order = WorkOrder(Path.cwd(), task.path, task.content_hash, pools, told, prepare)
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

    def chunks(self, split: Split, distinct: DistinctPrompts) -> Iterator[CandidateChunk[pa.Table]]:
        """The candidates of a split in order; some are made ahead, but few that are not needed.

        Args:
            split: The split.
            distinct: Chooses from them, and says how many are missing.

        Raises:
            CfgenError: If a worker does, or dies (``worker-lost``).
        """
        waiting: deque[Future[CandidateChunk[pa.Table]]] = deque()
        start = 0
        while distinct.missing:
            needed = max(1, -(-distinct.missing // MOST))
            try:
                while len(waiting) < min(2 * self._count, needed):
                    stop = start + distinct.next_size
                    with safe_start(), _uninterrupted():
                        waiting.append(self._pool.submit(_make, split, start, stop))
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
_recipe: DatasetRecipe | None = None
_makers: dict[str, MakeChunk] = {}


def _begin(order: WorkOrder) -> None:
    """First thing in a new process. Ctrl-C is for the one that started it."""
    global _order
    _order = order
    os.chdir(order.folder)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _make(split: Split, start: int, stop: int) -> CandidateChunk[pa.Table]:
    """Make candidates, in a worker."""
    if split.name not in _makers:
        assert _order is not None
        _makers[split.name] = _order.prepare(_loaded(), split)
    return _makers[split.name](start, stop)


def _loaded() -> DatasetRecipe:
    """The recipe with the task, loaded at first use."""
    global _recipe
    assert _order is not None
    if _recipe is None:
        task = load_task(_order.path)
        if task.content_hash != _order.content_hash:
            raise CfgenError(
                Problem(
                    "task-changed",
                    f"a worker process found another version of task {task.name!r}",
                    where=str(_order.path),
                    hint="let its files alone meanwhile; if it takes templates or lexicons from a "
                    "folder given by hand, use --workers 1",
                )
            )
        task = replace(task, causal_model=task.causal_model.restrict(_order.pools))
        _recipe = replace(_order.recipe, task=task)
    return _recipe
