"""The grid of all compositions of edits: shares of pairs for every one of them at once.

An option draws the values of one block of inputs independently of the other blocks, so the share of
pairs with a property is a product of sums: the table of all abstract pairs, contracted with the
options' probabilities block by block.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfgen.counterfactuals.operation import InputEdit
from cfgen.counterfactuals.options import Option

Shares = NDArray[np.float64]
Table = NDArray[np.bool_]
EXACT = 1e-9
"""Shares that differ by less are equal; they are sums of few floating point numbers."""


@dataclass(frozen=True, slots=True)
class Grid:
    """All compositions of options.

    Attributes:
        blocks: For every block of inputs, its options.
        shown: Which abstract pairs can be shown by a template.
        weights: Share of each composition's pairs that can be shown.
    """

    blocks: tuple[tuple[Option, ...], ...]
    shown: Table
    weights: Shares

    @property
    def size(self) -> int:
        """Number of compositions."""
        return math.prod(map(len, self.blocks))

    def shares(self, table: Table) -> Shares:
        """For every composition the share of its pairs for which a table holds.

        Args:
            table: One truth value for every abstract pair.

        Returns:
            Shares of the pairs that can be shown; nan if none can.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(_contracted(self.blocks, table & self.shown) / self.weights)

    def costs(self, cost: Callable[[Option], int]) -> NDArray[np.int64]:
        """For every composition the sum of a cost of its options."""
        each = [np.array([cost(option) for option in options]) for options in self.blocks]
        return np.asarray(
            functools.reduce(np.add.outer, each, np.zeros((), dtype=np.int64))
        ).ravel()

    def edits(self, index: int) -> tuple[tuple[InputEdit, ...], tuple[InputEdit, ...]]:
        """The edits of a composition, of the original and of the counterfactual."""
        numbers = np.unravel_index(index, [len(options) for options in self.blocks])
        chosen = [options[int(k)] for options, k in zip(self.blocks, numbers, strict=True)]
        return (
            tuple(itertools.chain(*(option.original for option in chosen))),
            tuple(itertools.chain(*(option.counterfactual for option in chosen))),
        )


def make_grid(blocks: Sequence[Sequence[Option]], shown: Table) -> Grid:
    """Prepare a grid.

    Args:
        blocks: For every block of inputs, its options.
        shown: For every abstract pair, in the order of the blocks, whether it can be shown.
    """
    fixed = tuple(map(tuple, blocks))
    return Grid(fixed, shown, _contracted(fixed, shown))


def _contracted(blocks: Sequence[Sequence[Option]], table: Table) -> Shares:
    chances = [np.stack([option.chances for option in options]) for options in blocks]
    # (pairs of block 1, ..., pairs of block n)
    made: NDArray[Any] = table.astype(np.float64).reshape([each.shape[1] for each in chances])
    axes = list(range(len(chances)))
    # Blocks with few options first: they make the table smaller for the others.
    order = sorted(axes, key=lambda axis: chances[axis].shape[0] / chances[axis].shape[1])
    for axis in order:
        made = np.moveaxis(np.tensordot(chances[axis], made, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(made).ravel()
