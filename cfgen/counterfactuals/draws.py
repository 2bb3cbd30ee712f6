"""Abstract pairs: what a design can draw, up to the names of interchangeable words, and how likely.

The probabilities are those of :func:`cfgen.counterfactuals.designs.draw_inputs`, as fractions: an
abstract pair stands for all pairs of inputs that differ from it by a renaming of words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from cfgen.causal import Domain
from cfgen.counterfactuals.atoms import Atom, Atoms, State, Value, canonical
from cfgen.counterfactuals.designs import Design
from cfgen.counterfactuals.operation import InputEdit
from cfgen.errors import CfgenError, Problem

AbstractPair = tuple[State, State]
"""Inputs of the original and of the counterfactual."""
Distribution = dict[tuple[State, ...], Fraction]
MOST_CASES = 300_000
"""Abstract pairs that are enumerated one by one at most."""


class TooManyCases(Exception):
    """There are more abstract pairs than are enumerated."""


def draw_value(
    atoms: Atoms, name: str, used: frozenset[Atom], avoid: Iterable[Atom], size: int
) -> Iterator[tuple[Value, Fraction]]:
    """Draw different values one after the other, none of them in ``avoid``.

    Args:
        atoms: The inputs.
        name: The input whose values are drawn.
        used: Atoms that there are already; a new one stands for all other values of its kind.
        avoid: Atoms that are not drawn.
        size: How many.

    Yields:
        The atoms drawn, with their probability; nothing if there are too few values.
    """
    if size == 0:
        yield (), Fraction(1)
        return
    pool = atoms.pool_of[name]
    inside = atoms.kinds_in[pool]
    excluded = frozenset(avoid)
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
            for rest, more in draw_value(atoms, name, used | {atom}, excluded | {atom}, size - 1):
                yield (atom, *rest), chance * more


@dataclass(frozen=True, slots=True)
class PairInputs:
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
        return draw_value(self.atoms, name, used, avoid, size)

    def edited(self, edit: InputEdit) -> Iterator[tuple[State, Fraction]]:
        """The state in every way that an edit can come out, with its probability."""
        place = self.names.index(edit.input)
        before, after = self.state[:place], self.state[place + 1 :]
        for new, chance in edit.outcomes(self):
            yield (*before, new, *after), chance


def originals(atoms: Atoms, names: Sequence[str], edits: Iterable[InputEdit]) -> Distribution:
    """Every original that can be drawn, canonical, with its probability."""
    found: Distribution = {((),): Fraction(1)}
    for name in names:
        size = atoms.domains[name].arity or 1
        after: Distribution = {}
        for (state,), chance in found.items():
            used = frozenset(atom for value in state for atom in value)
            for value, more in draw_value(atoms, name, used, (), size):
                _add(atoms, after, ((*state, value),), chance * more)
        found = after
    for edit in edits:
        after = {}
        for (state,), chance in found.items():
            for new, more in PairInputs(atoms, names, state).edited(edit):
                _add(atoms, after, (new,), chance * more)
        found = after
    return found


def counterfactuals(
    atoms: Atoms, names: Sequence[str], pairs: Distribution, edits: Iterable[InputEdit]
) -> Distribution:
    """Every pair that edits of the counterfactual make of pairs, canonical, with probability."""
    for edit in edits:
        after: Distribution = {}
        for (original, state), chance in pairs.items():
            for new, more in PairInputs(atoms, names, state, original).edited(edit):
                _add(atoms, after, (original, new), chance * more)
        pairs = after
    return pairs


def _add(atoms: Atoms, found: Distribution, states: tuple[State, ...], chance: Fraction) -> None:
    key = canonical(atoms, states)
    found[key] = found.get(key, Fraction(0)) + chance
    if len(found) > MOST_CASES:
        raise TooManyCases


def abstract_pairs(atoms: Atoms, names: Sequence[str], design: Design) -> Distribution:
    """Every pair that a design can draw, up to renaming, with its probability.

    Args:
        atoms: The inputs.
        names: Names of the inputs that matter; other inputs that the design edits are left out.
        design: The design.

    Raises:
        CfgenError: If the design resamples more words than there are.
        TooManyCases: If there are more than :data:`MOST_CASES`.
    """
    before, after = (
        [edit for edit in edits if edit.input in names]
        for edits in (design.original, design.counterfactual)
    )
    made: Distribution = {
        (state, state): chance for (state,), chance in originals(atoms, names, before).items()
    }
    made = counterfactuals(atoms, names, made, after)
    if sum(made.values()) != 1:
        message = f"design {design.name!r} needs more words than the lexicons have"
        raise CfgenError(
            Problem("too-few-values", message, design.where, "use a design that resamples less")
        )
    return made
