"""Packing: which runs go through the LM together, and where their tokens lie.

A row of a forward stands for one base and carries the tokens of several runs that are computed upon
it. A token enters at the block from which on it is computed, so the tokens of a row lie in the
order in which they enter: up to a block, those that have entered are the first columns of the row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

ROW_TOKENS = 128
"""Tokens in a row, if the prompt is not longer: every token of a row is compared with every other
in attention, though it only sees those of its own run."""

EMPTY = 0.05
"""How much of a forward's work may be lost on columns that are empty or have not entered yet."""


@dataclass(frozen=True, slots=True)
class Branch:
    """A run that is computed upon a base, as far as packing goes.

    Attributes:
        number: Number of its step.
        base: Number of its base's step.
        length: Tokens of the prompt.
        enters: Position and the block at which it enters, for every token that is computed, in the
            order in which they enter.
    """

    number: int
    base: int
    length: int
    enters: tuple[tuple[int, int], ...]

    @property
    def level(self) -> int:
        """The block at which the first of its tokens enters."""
        return self.enters[0][1]


@dataclass(frozen=True, slots=True)
class Row:
    """Branches of one base that lie in one row.

    Attributes:
        base: Number of the base's step.
        branches: The branches.
    """

    base: int
    branches: tuple[Branch, ...]

    @property
    def tokens(self) -> list[tuple[int, int, int]]:
        """Block of entry, branch (counted in the row) and position, for each column."""
        found = (
            (level, index, position)
            for index, branch in enumerate(self.branches)
            for position, level in branch.enters
        )
        return sorted(found)

    @property
    def width(self) -> int:
        """Number of columns."""
        return sum(len(branch.enters) for branch in self.branches)

    @property
    def first(self) -> int:
        """The block at which the first of its tokens enters."""
        return min(branch.level for branch in self.branches)


def pack(branches: Sequence[Branch], layers: int, budget: int) -> Iterator[tuple[Row, ...]]:
    """Distribute branches over forwards.

    Rows of a forward have as many columns before a block as that of them of which most has entered
    there. So rows are filled with branches that enter at about the same block, and a forward that
    is not small any more ends before a row that would leave too much of it empty.

    Args:
        branches: What is to be run.
        layers: Number of blocks of the LM.
        budget: Tokens per forward, padding included; one that no row fits into is exceeded by a
            row with a single branch.

    Yields:
        The rows of each forward. Forwards come in the order of the blocks that they begin at.
    """
    rows = sorted(_rows(branches, budget), key=lambda row: (row.first, row.width))
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
        for _, level in branch.enters:
            entered[level] += 1
    return list(accumulate(entered))


def _rows(branches: Sequence[Branch], budget: int) -> Iterator[Row]:
    by_base: dict[int, dict[int, list[Branch]]] = {}
    for branch in branches:
        by_base.setdefault(branch.base, {}).setdefault(branch.level, []).append(branch)
    for base, levels in by_base.items():
        # Long prompts get longer rows: their branches are long too, and all of a row share one
        # copy of the prompt's keys and values, which is then the larger part.
        length = next(iter(levels.values()))[0].length
        room = min(budget, max(ROW_TOKENS, length))
        together: list[Branch] = []
        used = 0
        for level in sorted(levels):
            more = sum(len(branch.enters) for branch in levels[level])
            # Half full is enough to go on with the next blocks in another row: branches that enter
            # late would leave columns empty in all blocks before.
            if used >= room / 2 or (used and used + more > room):
                yield from _fill(base, together, room)
                together, used = [], 0
            together += levels[level]
            used += more
        yield from _fill(base, together, room)


def _fill(base: int, branches: Sequence[Branch], room: int) -> Iterator[Row]:
    """Fill rows about equally, the longest branches first."""
    total = sum(len(branch.enters) for branch in branches)
    count = -(-total // room)
    rows: list[list[Branch]] = [[] for _ in range(count)]
    used = [0] * count
    for branch in sorted(branches, key=lambda branch: -len(branch.enters)):
        least = used.index(min(used))
        if used[least] and used[least] + len(branch.enters) > room:
            rows.append([])
            used.append(0)
            least = len(used) - 1
        rows[least].append(branch)
        used[least] += len(branch.enters)
    for row in rows:
        if row:
            yield Row(base, tuple(sorted(row, key=lambda branch: branch.level)))


@dataclass(frozen=True, slots=True)
class Placement:
    """Where everything lies in a forward of rows. Branches are counted through the forward.

    Attributes:
        rows: The rows.
        branches: All branches, row by row.
        row_of: The row of each branch.
        columns: Per branch, position -> column.
        width: Columns of the widest row.
        present: Per block, and behind the last, how many columns have entered; at least 1.
    """

    rows: tuple[Row, ...]
    branches: tuple[Branch, ...]
    row_of: tuple[int, ...]
    columns: tuple[dict[int, int], ...]
    width: int
    present: tuple[int, ...]


def lay_out(rows: tuple[Row, ...], layers: int) -> Placement:
    """Work out where the branches of a forward lie.

    Args:
        rows: The rows of the forward.
        layers: Number of blocks of the LM.

    Returns:
        The columns.
    """
    columns: list[dict[int, int]] = []
    for row in rows:
        own: list[dict[int, int]] = [{} for _ in row.branches]
        for column, (_, index, position) in enumerate(row.tokens):
            own[index][position] = column
        columns += own
    entered = zip(*(_entered(row, layers) for row in rows), strict=True)
    present = tuple(max(1, *counts) for counts in entered)
    return Placement(
        rows=rows,
        branches=tuple(branch for row in rows for branch in row.branches),
        row_of=tuple(index for index, row in enumerate(rows) for _ in row.branches),
        columns=tuple(columns),
        width=present[-1],
        present=present,
    )
