"""Options of a search: the edits that are tried on some inputs, and what each draws."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cfgen.causal import Domain
from cfgen.counterfactuals.atoms import Atoms, State, canonical
from cfgen.counterfactuals.draws import Distribution, counterfactuals, originals
from cfgen.counterfactuals.edits import same_values, tried_on_counterfactual, tried_on_original
from cfgen.counterfactuals.factors import Factor
from cfgen.counterfactuals.operation import Palette, Steps

Chances = NDArray[np.float64]
MOST_OPTIONS = 4_000
"""Compositions that are tried on inputs that depend on each other."""


FULL = Palette(copies=6, mixtures=True, elements=True)
PALETTES = (
    FULL,
    Palette(copies=2, mixtures=True, elements=True),
    Palette(copies=2, mixtures=False, elements=True),
    Palette(copies=2, mixtures=False, elements=False),
    Palette(copies=0, mixtures=False, elements=False),
)
"""What is tried, first of all everything; the next one is taken if that is too much."""


class TooManyOptions(Exception):
    """There are more compositions than are tried."""


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
    chances: Chances

    @property
    def cost(self) -> tuple[int, ...]:
        """Fewer inputs changed, then fewer edits, then simpler ones."""
        changed = len({edit.input for edit in self.counterfactual})
        steps = (*self.original, *self.counterfactual)
        harder, mixed = (sum(edit.effort[k] for edit in steps) for k in (0, 1))
        return (changed, len(self.counterfactual), len(self.original), harder, mixed)


def copy_links(domains: Mapping[str, Domain], palette: Palette) -> list[tuple[str, str]]:
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


def left_out(domains: Mapping[str, Domain], palette: Palette) -> str:
    """What a palette does not try on these inputs, in words; empty if it tries everything."""
    fewer = len(copy_links(domains, palette)) < len(copy_links(domains, FULL))
    missing = [
        "copying inputs from each other" * fewer,
        "drawing anew what may come out the same" * (not palette.mixtures),
        "drawing single elements anew" * (not palette.elements),
    ]
    return ", ".join(filter(None, missing))


def blocks_of(
    factors: Sequence[Factor], links: Iterable[tuple[str, str]]
) -> list[tuple[Factor, ...]]:
    """Factors whose inputs may be copied from each other are edited together."""
    blocks = [[factor] for factor in factors]
    for one, other in links:
        first, second = (
            next(block for block in blocks if any(name in factor.names for factor in block))
            for name in (one, other)
        )
        if first is not second:
            first += second
            blocks.remove(second)
    return [tuple(block) for block in blocks]


def options_of(
    atoms: Atoms,
    block: Sequence[Factor],
    links: Sequence[tuple[str, str]],
    palette: Palette,
    max_edits: int,
) -> list[Option]:
    """Every option for a block; of those that draw the same, the simplest.

    Raises:
        TooManyOptions: If there are more than :data:`MOST_OPTIONS` compositions.
    """
    names = tuple(name for factor in block for name in factor.names)
    domains = {name: atoms.domains[name] for name in names}
    sources = {
        name: [one for one, other in links if other == name and one in names] for name in names
    }
    before = [tried_on_original(name, domains[name], sources[name]) for name in names]
    after = [tried_on_counterfactual(name, domains[name], sources[name], palette) for name in names]
    if np.prod([len(steps) for steps in (*before, *after)], dtype=float) > MOST_OPTIONS:
        raise TooManyOptions
    places = _places(atoms, block, names)
    size = int(np.prod([len(factor.pairs) for factor in block]))
    found: dict[bytes, Option] = {}
    starts: dict[frozenset[object], tuple[Steps, Distribution]] = {}
    for chosen in itertools.product(*before):
        steps = tuple(itertools.chain(*chosen))
        drawn = originals(atoms, names, steps)
        starts.setdefault(frozenset(drawn.items()), (steps, drawn))
    for steps, drawn in starts.values():
        pairs: Distribution = {(state, state): chance for (state,), chance in drawn.items()}
        for edits, made in _walk(atoms, names, after, pairs, (), max_edits):
            if sum(made.values()) != 1:
                continue  # there are too few words for it
            chances = np.zeros(size)
            for pair, chance in made.items():
                chances[places(pair)] = float(chance)
            option = Option(steps, edits, chances)
            key = np.round(chances, 12).tobytes()
            if key not in found or option.cost < found[key].cost:
                found[key] = option
    return sorted(found.values(), key=lambda option: option.cost)


def _walk(
    atoms: Atoms,
    names: tuple[str, ...],
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
            made = counterfactuals(atoms, names, pairs, steps)
            more = left - bool(steps)
            yield from _walk(atoms, names, choices[1:], made, (*edits, *steps), more)


def _places(atoms: Atoms, block: Sequence[Factor], names: Sequence[str]):  # type: ignore[no-untyped-def]
    """A function from a pair of values of a block to its place in the product of the factors."""
    known = [{pair: index for index, pair in enumerate(factor.pairs)} for factor in block]
    parts = [[names.index(name) for name in factor.names] for factor in block]

    def place(pair: tuple[State, State]) -> int:
        index = 0
        for part, numbers in zip(parts, known, strict=True):
            one, other = (tuple(state[k] for k in part) for state in pair)
            index = index * len(numbers) + numbers[canonical(atoms, (one, other))]
        return index

    return place
