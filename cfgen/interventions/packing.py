"""Packing: which interventions go through the LM together, and where their tokens lie.

A row of a forward stands for one prompt and carries the tokens of several branches of it, one
branch after the other. A branch's tokens enter at the block where it first differs from the
original, so the branches of a row lie in the order in which they enter: up to a block, those that
have entered are the first columns of the row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from cfgen.interventions.reach import Reach

ROW_TOKENS = 128
"""Branches' tokens in a row, if the prompt is not longer: every token of a row is compared with
every other in attention, though it only sees those of its own branch."""


EMPTY = 0.05
"""How much of a forward's work may be lost on columns that are empty or have not entered yet."""


@dataclass(frozen=True, slots=True)
class Row:
    """Branches of one prompt that lie in one row.

    Attributes:
        prompt: The prompt.
        branches: Its branches, in the order in which they enter.
    """

    prompt: int
    branches: tuple[Reach, ...]

    @property
    def width(self) -> int:
        """Number of columns."""
        return sum(len(branch.tokens) for branch in self.branches)

    @property
    def first(self) -> int:
        """The block at which the first of its branches enters."""
        return self.branches[0].level


def pack(
    reaches: Sequence[Reach], lengths: Mapping[int, int], layers: int, budget: int
) -> Iterator[tuple[Row, ...]]:
    """Distribute branches over forwards.

    Rows of a forward have as many columns before a block as that of them of which most has entered
    there. So rows are filled with branches that enter at about the same block, and a forward that
    is not small any more ends before a row that would leave too much of it empty.

    Args:
        reaches: What is to be run.
        lengths: Prompt -> its tokens.
        layers: Number of blocks of the LM.
        budget: Tokens per forward, padding included; one that no row fits into is exceeded by a
            row with a single branch.

    Yields:
        The rows of each forward. Forwards come in the order of the blocks that they begin at.
    """
    rows = sorted(_rows(reaches, lengths, budget), key=lambda row: (row.first, row.width))
    forward: list[Row] = []
    present: list[int] = []
    used = 0
    # All rows of a forward have as many columns at a block as the one with most. What that adds to
    # the others is work for nothing, so rows are added as long as little is lost: a few per cent,
    # or anything while the forward is small, as many small forwards cost more than a loose one.
    for row in rows:
        own = _entered(row, layers)
        together = [max(pair) for pair in zip(present or own, own, strict=True)]
        passes, needed = (len(forward) + 1) * sum(together), used + sum(own)
        full = (len(forward) + 1) * together[-1] > budget
        empty = passes > (1 + EMPTY) * needed and len(forward) * present[-1] >= budget / 4
        if forward and (full or empty):
            yield tuple(forward)
            forward, together, needed = [], own, sum(own)
        forward.append(row)
        present, used = together, needed
    if forward:
        yield tuple(forward)


def _entered(row: Row, layers: int) -> list[int]:
    """How many columns of a row have entered, per block and behind the last."""
    entered = [0] * (layers + 1)
    for branch in row.branches:
        entered[branch.level] += len(branch.tokens)
    return list(accumulate(entered))


def _rows(reaches: Sequence[Reach], lengths: Mapping[int, int], budget: int) -> Iterator[Row]:
    by_prompt: dict[int, dict[int, list[Reach]]] = {}
    for branch in reaches:
        by_prompt.setdefault(branch.prompt, {}).setdefault(branch.level, []).append(branch)
    for prompt, levels in by_prompt.items():
        # Long prompts get longer rows: their branches are long too, and all of a row share one
        # copy of the prompt's keys and values, which is then the larger part.
        room = min(budget, max(ROW_TOKENS, lengths[prompt]))
        together: list[Reach] = []
        used = 0
        for level in sorted(levels):
            more = sum(len(branch.tokens) for branch in levels[level])
            # Half full is enough to go on with the next blocks in another row: branches that enter
            # late would leave columns empty in all blocks before.
            if used >= room / 2 or (used and used + more > room):
                yield from _fill(prompt, together, room)
                together, used = [], 0
            together += levels[level]
            used += more
        yield from _fill(prompt, together, room)


def _fill(prompt: int, branches: Sequence[Reach], room: int) -> Iterator[Row]:
    """Fill rows about equally, the longest branches first."""
    total = sum(len(branch.tokens) for branch in branches)
    count = -(-total // room)
    rows: list[list[Reach]] = [[] for _ in range(count)]
    used = [0] * count
    for branch in sorted(branches, key=lambda branch: -len(branch.tokens)):
        least = used.index(min(used))
        if used[least] and used[least] + len(branch.tokens) > room:
            rows.append([])
            used.append(0)
            least = len(used) - 1
        rows[least].append(branch)
        used[least] += len(branch.tokens)
    for row in rows:
        if row:
            yield Row(prompt, tuple(sorted(row, key=lambda branch: branch.level)))


@dataclass(frozen=True, slots=True)
class Placement:
    """Where everything lies in a forward of rows.

    Attributes:
        rows: The rows.
        width: Columns of the widest of them.
        present: Per block, and after the last, how many columns have entered; at least 1.
        starts: Per row the column that each of its branches begins at.
    """

    rows: tuple[Row, ...]
    width: int
    present: tuple[int, ...]
    starts: tuple[tuple[int, ...], ...]


def lay_out(rows: tuple[Row, ...], layers: int) -> Placement:
    """Work out where the branches of a forward lie.

    Args:
        rows: The rows of the forward.
        layers: Number of blocks of the LM.

    Returns:
        The columns.
    """
    starts = [
        tuple(accumulate((len(b.tokens) for b in row.branches[:-1]), initial=0)) for row in rows
    ]
    entered = zip(*(_entered(row, layers) for row in rows), strict=True)
    present = tuple(max(1, *counts) for counts in entered)
    return Placement(rows, present[-1], present, tuple(starts))
