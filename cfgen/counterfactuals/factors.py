"""Factors: inputs that share no interchangeable words; all pairs are a product of theirs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cfgen.counterfactuals.atoms import Atoms, State
from cfgen.counterfactuals.draws import (
    MOST_CASES,
    Distribution,
    TooManyCases,
    counterfactuals,
    originals,
)
from cfgen.counterfactuals.edits import Resample

Indices = NDArray[np.int64]
MOST_PAIRS = 1_500_000
"""Abstract pairs whose predictions are held in memory at most."""


@dataclass(frozen=True, slots=True)
class Factor:
    """Some inputs, and every pair of values they can have, up to renaming.

    Attributes:
        names: The inputs.
        pairs: Every abstract pair, with its probability if both sides are drawn independently.
        befores: The different values of the original.
        afters: The different values of the counterfactual.
        before: For every pair, the index of its original's values.
        after: For every pair, the index of its counterfactual's values.
    """

    names: tuple[str, ...]
    pairs: Distribution
    befores: tuple[State, ...]
    afters: tuple[State, ...]
    before: Indices
    after: Indices


def factors_of(
    atoms: Atoms, names: Sequence[str], links: Iterable[tuple[str, str]] = ()
) -> tuple[Factor, ...]:
    """Split inputs into factors.

    Args:
        atoms: The inputs.
        names: Names of those that matter.
        links: Inputs that have to be in one factor, such as those copied from each other.

    Raises:
        TooManyCases: If the product has more pairs than :data:`MOST_PAIRS`.
    """
    groups = [[name] for name in names]
    joined = [*links, *_sharing(atoms, names)]
    for one, other in joined:
        first = next(group for group in groups if one in group)
        second = next(group for group in groups if other in group)
        if first is not second:
            first += second
            groups.remove(second)
    found = tuple(_factor(atoms, tuple(sorted(group, key=list(names).index))) for group in groups)
    if math.prod(len(factor.pairs) for factor in found) > MOST_PAIRS:
        raise TooManyCases
    return found


def _sharing(atoms: Atoms, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Inputs that can have the same interchangeable word."""
    kinds = {
        name: {k for k in atoms.kinds_in[atoms.pool_of[name]] if atoms.kinds[k].reduced}
        for name in names
    }
    for one, other in itertools.combinations(names, 2):
        if kinds[one] & kinds[other]:
            yield one, other


def _factor(atoms: Atoms, names: tuple[str, ...]) -> Factor:
    kinds = {kind for name in names for kind in atoms.kinds_in[atoms.pool_of[name]]}
    reduced = any(atoms.kinds[kind].reduced for kind in kinds)
    if not reduced and math.prod(atoms.domains[n].count() for n in names) ** 2 > MOST_CASES:
        raise TooManyCases  # all values are told apart, so there are as many
    drawn: Distribution = {
        (state, state): chance for (state,), chance in originals(atoms, names, ()).items()
    }
    pairs = counterfactuals(atoms, names, drawn, [Resample(name) for name in names])
    befores = {state: index for index, state in enumerate(dict.fromkeys(b for b, _ in pairs))}
    afters = {state: index for index, state in enumerate(dict.fromkeys(a for _, a in pairs))}
    return Factor(
        names,
        pairs,
        tuple(befores),
        tuple(afters),
        np.array([befores[before] for before, _ in pairs], dtype=np.int64),
        np.array([afters[after] for _, after in pairs], dtype=np.int64),
    )


def combined(
    factors: Sequence[Factor], names: Sequence[str]
) -> tuple[list[State], list[State], Indices, Indices]:
    """The product of factors.

    Args:
        factors: The factors.
        names: The inputs in the order that states have.

    Returns:
        All originals, all counterfactuals, and for every pair (the last factor's varying fastest)
        the index of its original and of its counterfactual.
    """
    before = np.zeros(1, dtype=np.int64)
    after = np.zeros(1, dtype=np.int64)
    for factor in factors:
        before = (before[:, None] * len(factor.befores) + factor.before[None, :]).ravel()
        after = (after[:, None] * len(factor.afters) + factor.after[None, :]).ravel()
    order = [name for factor in factors for name in factor.names]
    places = [order.index(name) for name in names]

    def states(parts: Iterable[tuple[State, ...]]) -> list[State]:
        made = [tuple(itertools.chain(*chosen)) for chosen in itertools.product(*parts)]
        return [tuple(state[place] for place in places) for state in made]

    return states(f.befores for f in factors), states(f.afters for f in factors), before, after
