"""Cases: every pair of inputs that there is, or that a design can draw, up to renaming of words.

A case stands for all pairs of inputs that differ from it by a renaming of interchangeable words.
Its probability is that of :func:`cfgen.counterfactuals.draw_inputs`, as a fraction.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfgen.causal import Domain, TooFewValues
from cfgen.counterfactuals import Design, InputEdit
from cfgen.counterfactuals.edits import Resample
from cfgen.errors import Problem
from cfgen.search.atoms import Atom, Atoms, State, TooManyCases, Value

AbstractPair = tuple[State, State]
"""Inputs of the original and of the counterfactual."""
Distribution = dict[tuple[State, ...], Fraction]
"""One side, or both, up to renaming, with its probability."""
Indices = NDArray[np.int64]
MOST_CASES = 300_000
"""Abstract pairs that are enumerated one by one at most."""
MOST_PAIRS = 1_500_000
"""Abstract pairs whose predictions are held in memory at most."""


@dataclass(frozen=True, slots=True)
class PairFactor:
    """Inputs that share no interchangeable words with others: all pairs are a product of theirs.

    Attributes:
        names: The inputs.
        pairs: Every abstract pair of their values, with its probability if both sides are drawn
            independently.
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


@dataclass(frozen=True, slots=True)
class Cases:
    """Cases, with every side listed once.

    Attributes:
        befores: The different originals.
        afters: The different counterfactuals.
        before: For every case, the index of its original.
        after: For every case, the index of its counterfactual.
        factors: Of all pairs there are: what they are the product of, the last varying fastest.
        chances: Of a design: how likely each is. Of all pairs there are, it is not needed.
    """

    befores: Sequence[State]
    afters: Sequence[State]
    before: Indices
    after: Indices
    factors: tuple[PairFactor, ...] = ()
    chances: tuple[Fraction, ...] = ()

    def pair(self, place: int) -> AbstractPair:
        """Original and counterfactual of a case."""
        return self.befores[self.before[place]], self.afters[self.after[place]]


# The names under which cases are counted.


def canonical(atoms: Atoms, states: tuple[State, ...]) -> tuple[State, ...]:
    """The same states with the atoms of every kind numbered in order of their first mention.

    Two pairs differ by a renaming of interchangeable words exactly if they are equal in this form:
    it is the one name under which all of them are counted.
    """
    names: dict[Atom, Atom] = {}
    used: dict[int, int] = {}
    renamed = []
    for state in states:
        values = []
        for value in state:
            for atom in value:
                if atom not in names:
                    kind = atom[0]
                    number = used.get(kind, 0)
                    used[kind] = number + 1
                    names[atom] = (kind, number)
            values.append(tuple([names[atom] for atom in value]))
        renamed.append(tuple(values))
    return tuple(renamed)


# One edit after the other, in every way that it can come out.


@dataclass(frozen=True, slots=True)
class StateInputs:
    """One side of an abstract pair, as edits see it.

    Attributes:
        atoms: The inputs.
        names: Names of the inputs of a state.
        state: What is edited.
        others: The other side of the pair, whose words may be drawn as well.
    """

    atoms: Atoms
    names: Sequence[str]
    state: State
    others: State = ()

    @property
    def domains(self) -> Mapping[str, Domain]:
        """Input -> its domain."""
        return self.atoms.domains

    def now(self, name: str) -> Value:
        """The value that an input has by then."""
        return self.state[self.names.index(name)]

    def given(self, name: str, value: Any) -> Value:
        """A value that is known."""
        return self.atoms.value(name, value)

    def drawn(self, name: str, size: int, avoid: Value) -> Iterator[tuple[Value, Fraction]]:
        """Different elements of an input, drawn one after the other."""
        used = frozenset(atom for value in (*self.state, *self.others) for atom in value)
        return _draws(self.atoms, name, used, frozenset(avoid), size)

    def edited(self, edit: InputEdit) -> Iterator[tuple[State, Fraction]]:
        """The state in every way that an edit can come out, with its probability."""
        place = self.names.index(edit.input)
        before, after = self.state[:place], self.state[place + 1 :]
        for new, chance in edit.outcomes(self):
            yield (*before, new, *after), chance


def _draws(
    atoms: Atoms, name: str, used: frozenset[Atom], excluded: frozenset[Atom], size: int
) -> Iterator[tuple[Value, Fraction]]:
    """Draw different values one after the other.

    Of the words of a kind, those that were mentioned are drawn one by one; all the others are as
    good as each other, so a single new atom is drawn in their place, as likely as all of them.

    Args:
        atoms: The inputs.
        name: The input whose values are drawn.
        used: Atoms that were mentioned.
        excluded: Atoms that are not drawn.
        size: How many.

    Yields:
        The atoms drawn, with their probability; nothing if there are too few values.
    """
    if size == 0:
        yield (), Fraction(1)
        return
    pool = atoms.pool_of[name]
    inside = atoms.kinds_in[pool]
    left = atoms.sizes[pool] - sum(atom[0] in inside for atom in excluded)
    for kind in inside:
        known = sorted(atom for atom in used if atom[0] == kind)
        options = [(atom, 1) for atom in known if atom not in excluded]
        fresh = len(atoms.kinds[kind].values) - len(known)
        if fresh:
            number = next(n for n in range(len(known) + 1) if (kind, n) not in used)
            options.append(((kind, number), fresh))
        for atom, count in options:
            chance = Fraction(count, left)
            for rest, more in _draws(atoms, name, used | {atom}, excluded | {atom}, size - 1):
                yield (atom, *rest), chance * more


def originals(atoms: Atoms, names: Sequence[str], edits: Iterable[InputEdit]) -> Distribution:
    """Every original that can be drawn and edited, canonical, with its probability."""
    _check_kinds(atoms, names, 1)
    found: Distribution = {((),): Fraction(1)}
    for name in names:
        size = atoms.domains[name].arity or 1
        after: Distribution = {}
        for (state,), chance in found.items():
            used = frozenset(atom for value in state for atom in value)
            for value, more in _draws(atoms, name, used, frozenset(), size):
                _add(atoms, after, ((*state, value),), chance * more)
        found = after
    for edit in edits:
        after = {}
        for (state,), chance in found.items():
            for new, more in StateInputs(atoms, names, state).edited(edit):
                _add(atoms, after, (new,), chance * more)
        found = after
    return found


def _check_kinds(atoms: Atoms, names: Sequence[str], sides: int) -> None:
    """See to it that there are not too many cases only because their words are of other kinds.

    Raises:
        TooManyCases: If there are.
    """
    kinds = [len(atoms.kinds_in[atoms.pool_of[name]]) for name in names]
    sizes = [atoms.domains[name].arity or 1 for name in names]
    if math.prod(map(math.perm, kinds, sizes)) ** sides > MOST_CASES:
        raise TooManyCases


def counterfactuals(
    atoms: Atoms, names: Sequence[str], pairs: Distribution, edits: Iterable[InputEdit]
) -> Distribution:
    """Every pair that edits of the counterfactual make of pairs, canonical, with probability."""
    for edit in edits:
        after: Distribution = {}
        for (original, state), chance in pairs.items():
            for new, more in StateInputs(atoms, names, state, original).edited(edit):
                _add(atoms, after, (original, new), chance * more)
        pairs = after
    return pairs


def _add(atoms: Atoms, found: Distribution, states: tuple[State, ...], chance: Fraction) -> None:
    key = canonical(atoms, states)
    found[key] = found.get(key, Fraction(0)) + chance
    if len(found) > MOST_CASES:
        raise TooManyCases


def unedited(drawn: Distribution) -> Distribution:
    """Pairs whose counterfactual is the original, to start from."""
    return {(state, state): chance for (state,), chance in drawn.items()}


# The cases of a design.


def design_cases(atoms: Atoms, names: Sequence[str], design: Design) -> Cases:
    """Every pair that a design can draw.

    Args:
        atoms: The inputs.
        names: Names of the inputs that matter; other inputs that the design edits are left out.
        design: The design.

    Raises:
        TooFewValues: If the design resamples more words than there are.
        TooManyCases: If there are more than :data:`MOST_CASES`.
    """
    before, after = (
        [edit for edit in edits if edit.input in names]
        for edits in (design.original, design.counterfactual)
    )
    made = counterfactuals(atoms, names, unedited(originals(atoms, names, before)), after)
    if sum(made.values()) != 1:
        message = f"design {design.name!r} needs more words than the lexicons have"
        raise TooFewValues(
            Problem("too-few-values", message, design.where, "use a design that resamples less")
        )
    return Cases(*_sides([(one, other) for one, other in made]), chances=tuple(made.values()))


def _sides(pairs: Iterable[tuple[State, ...]]) -> tuple[list[State], list[State], Indices, Indices]:
    """The different originals and counterfactuals of pairs, and which of them each has."""
    listed = list(pairs)
    befores = {state: index for index, state in enumerate(dict.fromkeys(one for one, _ in listed))}
    afters = {state: index for index, state in enumerate(dict.fromkeys(two for _, two in listed))}
    return (
        list(befores),
        list(afters),
        np.array([befores[one] for one, _ in listed], dtype=np.int64),
        np.array([afters[two] for _, two in listed], dtype=np.int64),
    )


# All pairs of inputs there are.


def all_cases(atoms: Atoms, names: Sequence[str]) -> Cases:
    """Every pair of inputs there is, as a product of factors.

    Args:
        atoms: The inputs.
        names: Names of those that matter.

    Raises:
        TooManyCases: If there are more pairs than :data:`MOST_PAIRS`.
    """
    factors = _factors(atoms, names)
    if math.prod(len(factor.pairs) for factor in factors) > MOST_PAIRS:
        raise TooManyCases
    before = after = np.zeros(1, dtype=np.int64)
    for factor in factors:
        before = (before[:, None] * len(factor.befores) + factor.before[None, :]).ravel()
        after = (after[:, None] * len(factor.afters) + factor.after[None, :]).ravel()
    order = [name for factor in factors for name in factor.names]
    places = [order.index(name) for name in names]

    def states(parts: Iterable[tuple[State, ...]]) -> list[State]:
        made = [tuple(itertools.chain(*chosen)) for chosen in itertools.product(*parts)]
        return [tuple(state[place] for place in places) for state in made]

    befores, afters = states(f.befores for f in factors), states(f.afters for f in factors)
    return Cases(befores, afters, before, after, factors)


def _factors(atoms: Atoms, names: Sequence[str]) -> tuple[PairFactor, ...]:
    """Inputs that can have the same interchangeable word are in one factor; others are not.

    Whether a word is one that was mentioned is all that is random about it, so inputs without a
    word in common are independent of each other, and what can be drawn of all is a product.
    """
    groups = [[name] for name in names]
    for one, other in _sharing(atoms, names):
        first = next(group for group in groups if one in group)
        second = next(group for group in groups if other in group)
        if first is not second:
            first += second
            groups.remove(second)
    return tuple(_factor(atoms, tuple(sorted(group, key=list(names).index))) for group in groups)


def _sharing(atoms: Atoms, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Inputs that can have the same interchangeable word."""
    kinds = {
        name: {k for k in atoms.kinds_in[atoms.pool_of[name]] if atoms.kinds[k].interchangeable}
        for name in names
    }
    for one, other in itertools.combinations(names, 2):
        if kinds[one] & kinds[other]:
            yield one, other


def _factor(atoms: Atoms, names: tuple[str, ...]) -> PairFactor:
    kinds = {kind for name in names for kind in atoms.kinds_in[atoms.pool_of[name]]}
    fewer = any(atoms.kinds[kind].interchangeable for kind in kinds)
    if not fewer and math.prod(atoms.domains[n].count() for n in names) ** 2 > MOST_CASES:
        raise TooManyCases  # all values are told apart, so there are as many
    _check_kinds(atoms, names, 2)
    start = unedited(originals(atoms, names, ()))
    pairs = counterfactuals(atoms, names, start, [Resample(name) for name in names])
    befores, afters, before, after = _sides(pairs)
    return PairFactor(names, pairs, tuple(befores), tuple(afters), before, after)
