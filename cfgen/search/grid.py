"""The grid of all compositions of edits: shares of pairs for every one of them at once.

Inputs are sorted into blocks; an option is a way to edit those of one block. An option draws the
values of its block independently of the other blocks, so the share of pairs with a property is a
product of sums: the table of all abstract pairs, contracted with the options' probabilities block
by block.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfgen.causal import Domain
from cfgen.counterfactuals.edits import same_values, tried_on_counterfactual, tried_on_original
from cfgen.counterfactuals.operation import Palette, Steps
from cfgen.search.atoms import Atoms, State, TooManyCases
from cfgen.search.cases import (
    Distribution,
    PairFactor,
    canonical,
    counterfactuals,
    originals,
    unedited,
)
from cfgen.search.predictions import CaseTable

Link = tuple[str, str]
"""Two inputs that may be copied from each other."""
Shares = NDArray[np.float64]
Table = NDArray[np.bool_]
"""One truth value for every abstract pair there is."""
EXACT = 1e-9
"""Shares that differ by less are equal; they are sums of few floating point numbers."""
MOST_OPTIONS = 4_000
"""Compositions that are tried on inputs that depend on each other."""
MOST_SHARES = 60_000_000
"""Compositions times couples of hypotheses that are computed at most."""
FULL = Palette(copies=6, mixtures=True, elements=True)
PALETTES = (
    FULL,
    Palette(copies=2, mixtures=True, elements=True),
    Palette(copies=2, mixtures=False, elements=True),
    Palette(copies=2, mixtures=False, elements=False),
    Palette(copies=0, mixtures=False, elements=False),
)
"""What is tried, first of all everything; the next one is taken if that is too much."""


@dataclass(frozen=True, slots=True)
class Option:
    """Edits of the inputs of one block.

    Attributes:
        original: Edits of the original.
        counterfactual: Edits of the counterfactual.
        chances: Probability of every pair of values of the block's factors.
    """

    original: Steps
    counterfactual: Steps
    chances: Shares

    @property
    def cost(self) -> tuple[int, ...]:
        """Fewer inputs changed, then fewer edits, then simpler ones."""
        changed = len({edit.input for edit in self.counterfactual})
        steps = (*self.original, *self.counterfactual)
        harder, mixed = (sum(edit.effort[k] for edit in steps) for k in (0, 1))
        return (changed, len(self.counterfactual), len(self.original), harder, mixed)


@dataclass(frozen=True, slots=True)
class Grid:
    """All compositions of options.

    Attributes:
        blocks: For every block of inputs, its options.
        sizes: For every factor of all pairs, in the order of these, how many pairs it has.
        order: The factors in the order of the blocks.
        shown: Which abstract pairs can be shown by a template.
        weights: Share of each composition's pairs that can be shown.
        left_out: Kinds of edits that were not tried, in words; empty if all were.
    """

    blocks: tuple[tuple[Option, ...], ...]
    sizes: tuple[int, ...]
    order: tuple[int, ...]
    shown: Table
    weights: Shares
    left_out: str

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
        held = _contracted(self.blocks, self.sizes, self.order, table & self.shown)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(held / self.weights)

    def costs(self, cost: Callable[[Option], int]) -> NDArray[np.int64]:
        """For every composition the sum of a cost of its options."""
        each = [np.array([cost(option) for option in options]) for options in self.blocks]
        return np.asarray(
            functools.reduce(np.add.outer, each, np.zeros((), dtype=np.int64))
        ).ravel()

    def edits(self, index: int) -> tuple[Steps, Steps]:
        """The edits of a composition, of the original and of the counterfactual."""
        numbers = np.unravel_index(index, [len(options) for options in self.blocks])
        chosen = [options[int(k)] for options, k in zip(self.blocks, numbers, strict=True)]
        return (
            tuple(itertools.chain(*(option.original for option in chosen))),
            tuple(itertools.chain(*(option.counterfactual for option in chosen))),
        )


def make_grid(table: CaseTable, max_edits: int, couples: int) -> Grid:
    """The richest grid that is not too large.

    Args:
        table: All pairs of inputs.
        max_edits: Inputs that the counterfactual may differ in at most.
        couples: Couples of hypotheses that shares will be computed for.

    Raises:
        TooManyCases: If even the poorest one is too large.
    """
    atoms, factors = table.atoms, table.cases.factors
    domains = {name: atoms.domains[name] for name in table.names}
    sizes = tuple(len(factor.pairs) for factor in factors)
    for palette in PALETTES:
        links = copy_links(domains, palette)
        blocks = _blocks(factors, links)
        tried = [_tried(atoms, factors, block, links, palette) for block in blocks]
        if any(each.count > MOST_OPTIONS for each in tried):
            continue
        options = tuple(tuple(_options(each, max_edits)) for each in tried)
        if math.prod(map(len, options)) * max(couples, 1) <= MOST_SHARES:
            order = tuple(itertools.chain(*blocks))
            shown = table.predictions.shown
            weights = _contracted(options, sizes, order, shown)
            return Grid(options, sizes, order, shown, weights, _left_out(domains, palette))
    raise TooManyCases("there are too many compositions of edits to look at all")


def _contracted(
    blocks: Sequence[Sequence[Option]], sizes: Sequence[int], order: Sequence[int], table: Table
) -> Shares:
    """For every composition the probability of the pairs for which a table holds."""
    chances = [np.stack([option.chances for option in options]) for options in blocks]
    # (pairs of factor 1, ..., pairs of factor m) -> (pairs of block 1, ..., pairs of block n)
    made: NDArray[Any] = table.astype(np.float64).reshape(sizes).transpose(order)
    made = made.reshape([each.shape[1] for each in chances])
    axes = list(range(len(chances)))
    # Blocks with few options first: they make the table smaller for the others.
    for axis in sorted(axes, key=lambda axis: chances[axis].shape[0] / chances[axis].shape[1]):
        made = np.moveaxis(np.tensordot(chances[axis], made, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(made).ravel()


# Blocks: inputs that may be copied from each other, or share words, are edited together.


def copy_links(domains: Mapping[str, Domain], palette: Palette) -> list[Link]:
    """Inputs that may be copied from each other."""
    groups: list[list[str]] = []
    for name, domain in domains.items():
        alike = (group for group in groups if same_values(domains[group[0]], domain))
        group = next(alike, None)
        if group is None:
            groups.append([name])
        else:
            group.append(name)
    return [
        pair
        for group in groups
        if len(group) <= palette.copies
        for pair in itertools.combinations(group, 2)
    ]


def _left_out(domains: Mapping[str, Domain], palette: Palette) -> str:
    """What a palette does not try on these inputs, in words; empty if it tries everything."""
    fewer = len(copy_links(domains, palette)) < len(copy_links(domains, FULL))
    missing = [
        "copying inputs from each other" * fewer,
        "drawing anew what may come out the same" * (not palette.mixtures),
        "drawing single elements anew" * (not palette.elements),
    ]
    return ", ".join(filter(None, missing))


def _blocks(factors: Sequence[PairFactor], links: Iterable[Link]) -> list[tuple[int, ...]]:
    """Indices of factors; those whose inputs may be copied from each other are together."""
    blocks = [[index] for index in range(len(factors))]
    for one, other in links:
        first, second = (
            next(block for block in blocks if any(name in factors[k].names for k in block))
            for name in (one, other)
        )
        if first is not second:
            first += second
            blocks.remove(second)
    return [tuple(block) for block in blocks]


# Options of a block.


@dataclass(frozen=True, slots=True)
class BlockEdits:
    """The edits that are tried on the inputs of one block.

    Attributes:
        atoms: The inputs.
        factors: The block's factors.
        names: Its inputs.
        before: For every input, the edits of the original that are tried.
        after: For every input, the edits of the counterfactual that are tried.
    """

    atoms: Atoms
    factors: tuple[PairFactor, ...]
    names: tuple[str, ...]
    before: tuple[Sequence[Steps], ...]
    after: tuple[Sequence[Steps], ...]

    @property
    def count(self) -> int:
        """Number of compositions."""
        return math.prod(len(steps) for steps in (*self.before, *self.after))


def _tried(
    atoms: Atoms,
    factors: Sequence[PairFactor],
    block: Sequence[int],
    links: Sequence[Link],
    palette: Palette,
) -> BlockEdits:
    chosen = tuple(factors[index] for index in block)
    names = tuple(name for factor in chosen for name in factor.names)
    sources = {
        name: [one for one, other in links if other == name and one in names] for name in names
    }
    domains = atoms.domains
    return BlockEdits(
        atoms,
        chosen,
        names,
        tuple(tried_on_original(n, domains[n], sources[n]) for n in names),
        tuple(tried_on_counterfactual(n, domains[n], sources[n], palette) for n in names),
    )


def _options(block: BlockEdits, max_edits: int) -> list[Option]:
    """Every option for a block; of those that draw the same, the simplest."""
    atoms, names = block.atoms, block.names
    size = math.prod(len(factor.pairs) for factor in block.factors)
    place = _places(block)
    found: dict[bytes, Option] = {}
    starts: dict[frozenset[object], tuple[Steps, Distribution]] = {}
    for chosen in itertools.product(*block.before):
        steps = tuple(itertools.chain(*chosen))
        drawn = originals(atoms, names, steps)
        starts.setdefault(frozenset(drawn.items()), (steps, drawn))
    for steps, drawn in starts.values():
        for edits, made in _walk(block, block.after, unedited(drawn), (), max_edits):
            if sum(made.values()) != 1:
                continue  # there are too few words for it
            chances = np.zeros(size)
            for pair, chance in made.items():
                chances[place(pair)] = float(chance)
            option = Option(steps, edits, chances)
            key = np.round(chances, 12).tobytes()
            if key not in found or option.cost < found[key].cost:
                found[key] = option
    return sorted(found.values(), key=lambda option: option.cost)


def _walk(
    block: BlockEdits,
    choices: Sequence[Sequence[Steps]],
    pairs: Distribution,
    edits: Steps,
    left: int,
) -> Iterator[tuple[Steps, Distribution]]:
    """Every composition of edits that changes at most ``left`` inputs, with what it draws."""
    if not choices:
        yield edits, pairs
        return
    for steps in choices[0]:
        if left or not steps:
            made = counterfactuals(block.atoms, block.names, pairs, steps)
            more = left - bool(steps)
            yield from _walk(block, choices[1:], made, (*edits, *steps), more)


def _places(block: BlockEdits) -> Callable[[tuple[State, ...]], int]:
    """A function from a pair of values of a block to its place in the product of the factors."""
    known = [{pair: index for index, pair in enumerate(f.pairs)} for f in block.factors]
    parts = [[block.names.index(name) for name in factor.names] for factor in block.factors]

    def place(pair: tuple[State, ...]) -> int:
        index = 0
        for part, numbers in zip(parts, known, strict=True):
            one, other = (tuple(state[k] for k in part) for state in pair)
            index = index * len(numbers) + numbers[canonical(block.atoms, (one, other))]
        return index

    return place
