"""Reading and writing in one forward of the LM, as planned, with everything counted.

Wrong edits give plausible numbers. So every hook counts that it ran once, every edit is counted
where it is written, and tokens about to be overwritten are compared with those that were meant.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from cfgen.errors import CfgenError, Problem
from cfgen.interventions.store import Store
from cfgen.interventions.traffic import Reading, Traffic, Write
from cfgen.interventions.validity import Where
from cfgen.lm import Layout, Place, hook


@dataclass(slots=True)
class Passage:
    """What has happened in a forward.

    Attributes:
        captured: Tensor -> what was read there (tokens, *shape).
        edits: How many positions have been written.
    """

    captured: dict[Where, Tensor] = field(default_factory=dict)
    edits: int = 0
    _differ: list[tuple[Sequence[int], Tensor]] = field(default_factory=list)

    def make(self, write: Write, view: Tensor, store: Store) -> None:
        """Write into a tensor (rows, columns, *shape), and note what that changed."""
        differ = write.make(view, lambda operand: operand.fetch(self.captured, store))
        self._differ.append((write.runs, differ))
        self.edits += len(write.runs)

    @property
    def changed(self) -> set[int]:
        """Numbers of the steps of which an edit wrote something else than was there."""
        return {
            number
            for runs, differ in self._differ
            for number, differs in zip(runs, differ.tolist(), strict=True)
            if differs
        }


@contextmanager
def passing(layout: Layout, traffic: Traffic, store: Store, passage: Passage) -> Iterator[None]:
    """Read and write in the one forward that is run inside.

    Args:
        layout: Where everything is in the LM.
        traffic: What is read and written.
        store: What was read of other runs; what is read here is added to it.
        passage: Takes what happens.

    Raises:
        CfgenError: A place did not come by exactly once, or another number of edits was made than
            planned (``edit-did-not-fire``).
    """
    firing = Firing()
    with ExitStack() as hooks:
        for where, writes in traffic.writes.items():

            def write(view: Tensor, writes: tuple[Write, ...] = writes) -> None:
                for one in writes:
                    passage.make(one, view, store)

            use = firing.once(("writing", *where), write)
            hooks.callback(hook(layout, Place(*where), use, write=True).remove)
        for where, reading in traffic.readings.items():

            def read(view: Tensor, where: Where = where, reading: Reading = reading) -> None:
                passage.captured[where] = reading.take(view)

            use = firing.once(("reading", *where), read)
            hooks.callback(hook(layout, Place(*where), use, write=False).remove)
        yield
    firing.check()
    if passage.edits != traffic.edits:
        raise CfgenError(_miscounted(traffic.edits, passage.edits))
    for where, reading in traffic.readings.items():
        store.add(where, reading.holders, passage.captured[where])


def check_expected(input_ids: Tensor, traffic: Traffic) -> None:
    """Check that the columns about to be overwritten hold the tokens that were meant.

    Args:
        input_ids: What goes through the LM (rows, columns).
        traffic: What is written.

    Raises:
        CfgenError: A column holds another token (``edit-off-target``).
    """
    if not traffic.expected:
        return
    rows, columns, meant = (torch.tensor(part) for part in zip(*traffic.expected, strict=True))
    there = input_ids.cpu()[rows, columns]
    if not torch.equal(there, meant):
        wrong = int((there != meant).nonzero()[0])
        message = (
            f"an edit meant for token id {int(meant[wrong])} was about to be written over token id "
            f"{int(there[wrong])} (row {int(rows[wrong])}, column {int(columns[wrong])})"
        )
        hint = "this is a fault in how the prompts were batched: please report it"
        raise CfgenError(Problem("edit-off-target", message, hint=hint))


class Firing:
    """Counts the runs of the hooks of one forward: each is planned to run once."""

    def __init__(self) -> None:
        self._times: Counter[tuple[Hashable, ...]] = Counter()

    def once(
        self, name: tuple[Hashable, ...], use: Callable[[Tensor], None]
    ) -> Callable[[Tensor], None]:
        """Wrap what a hook does."""
        self._times[name] = 0

        def counted(view: Tensor) -> None:
            self._times[name] += 1
            use(view)

        return counted

    def check(self) -> None:
        """Check that every hook ran exactly once.

        Raises:
            CfgenError: One did not (``edit-did-not-fire``).
        """
        wrong = {name: times for name, times in self._times.items() if times != 1}
        if wrong:
            places = ", ".join(
                f"{what} {name} of layer {layer}: {times} times"
                for (what, name, layer), times in wrong.items()
            )
            message = f"reads and edits happen once per forward, but here otherwise ({places})"
            hint = "this LM skips or repeats blocks, so nothing in it can be trusted: use another"
            raise CfgenError(Problem("edit-did-not-fire", message, hint=hint))


def _miscounted(planned: int, made: int) -> Problem:
    message = f"{planned} positions were to be written in a forward, but {made} were"
    hint = "this is a fault in how edits were planned: please report it"
    return Problem("edit-did-not-fire", message, hint=hint)
