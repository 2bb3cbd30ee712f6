"""Workers: processes that make candidates, each loading the task for itself."""

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

from cfgen.causal import Pools
from cfgen.causal.restrict import restrict_model
from cfgen.datasets.chunks import CHUNK, Chunk, ChunkMaker, chunk_maker, chunk_size
from cfgen.datasets.recipes import Recipe
from cfgen.datasets.splits import Split
from cfgen.errors import CfgenError, Problem
from cfgen.processes import safe_start
from cfgen.tasks import load_task


@dataclass(frozen=True, slots=True)
class _Order:
    """What a worker is told once.

    Attributes:
        folder: Where to work; tasks, templates and lexicons are looked for there as well.
        path: The task file.
        content_hash: Hash that the task must have.
        pools: Lexicon -> its words; perhaps fewer than in the task's files.
        recipe: What to make, without the task.
    """

    folder: Path
    path: Path
    content_hash: str
    pools: Pools
    recipe: Recipe


class Workers:
    """Processes that make the candidates of one dataset. Use it in a ``with`` statement."""

    def __init__(self, recipe: Recipe, count: int) -> None:
        nothing: Any = None  # a task holds functions, which cannot be sent
        task = recipe.task
        pools: dict[str, tuple[str, ...]] = {}
        for domain in task.causal_model.domains.values():
            pools.update(domain.pools)
        order = _Order(
            Path.cwd(), task.path, task.content_hash, pools, replace(recipe, task=nothing)
        )
        self._count = count
        with safe_start():  # a process of Python's own, which changes the mask below
            resource_tracker.ensure_running()
        self._pool = ProcessPoolExecutor(
            count, mp_context=_context(), initializer=_begin, initargs=(order,)
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

    def source(self, split: Split) -> Callable[[int], Chunk]:
        """The candidates of a split in order; some are made ahead, but few that are not needed.

        Returns:
            A function from the number of rows that are still missing to the next candidates. It
            raises :class:`CfgenError` if a worker does, or dies (``worker-lost``).
        """
        waiting: deque[Future[Chunk]] = deque()
        start = 0

        def following(missing: int) -> Chunk:
            nonlocal start
            try:
                while len(waiting) < min(2 * self._count, max(1, -(-missing // CHUNK))):
                    begin, start = start, start + chunk_size(missing)
                    with safe_start(), _uninterrupted():
                        waiting.append(self._pool.submit(_make, split, begin, start))
                return waiting.popleft().result()
            except BrokenProcessPool as error:
                raise CfgenError(_lost()) from error

        return following


def _context() -> BaseContext:
    """How processes are started: from one that has imported everything, where there is such."""
    if "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
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


_order: _Order | None = None
_recipe: Recipe | None = None
_makers: dict[str, ChunkMaker] = {}


def _begin(order: _Order) -> None:
    """First thing in a new process. Ctrl-C is for the one that started it."""
    global _order
    _order = order
    os.chdir(order.folder)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _make(split: Split, start: int, stop: int) -> Chunk:
    """Make candidates, in a worker."""
    if split.name not in _makers:
        _makers[split.name] = chunk_maker(_loaded(), split)
    return _makers[split.name](start, stop)


def _loaded() -> Recipe:
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
        task = replace(task, causal_model=restrict_model(task.causal_model, _order.pools))
        _recipe = replace(_order.recipe, task=task)
    return _recipe
