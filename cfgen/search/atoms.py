"""Kinds of values, and atoms: the values of one kind are interchangeable, and an atom is one.

An atom is a value of which only two things are known: its kind, and which other atoms it equals.
Inputs made of atoms stand for all inputs that have the same equalities among their words.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cfgen.causal import Choice, Distinct, Domain, Words
from cfgen.errors import CfgenError, Problem
from cfgen.search.opaque import Look

Atom = tuple[int, int]
"""Index of a kind, and which of its values: 0 for the first one mentioned, and so on."""
Value = tuple[Atom, ...]
"""Value of an input: one atom for each element, or one if it is a scalar."""
State = tuple[Value, ...]
"""Values of some inputs, in a fixed order."""
Key = tuple[type, Any]
MOST_VALUES = 2_000
"""Values of an input that are told apart at most; beyond that it cannot be enumerated."""


class TooManyCases(CfgenError):
    """There are too many cases, or too many designs, to look at all of them."""

    def __init__(self, what: str = "there are too many pairs of inputs to look at all") -> None:
        super().__init__(Problem("not-enumerable", what, hint="give the inputs smaller domains"))


@dataclass(frozen=True, slots=True)
class Kind:
    """Values that are in the same inputs' domains and are not told apart otherwise.

    Attributes:
        values: The values.
        pools: Indices of the sets of values that all of these belong to.
        interchangeable: Whether there may be several; if not, the value stands for itself.
    """

    values: tuple[Any, ...]
    pools: frozenset[int]
    interchangeable: bool


@dataclass(frozen=True, slots=True)
class Atoms:
    """Inputs whose elements are atoms.

    Attributes:
        domains: Input -> its domain.
        kinds: All kinds.
        pool_of: Input -> index of the set that its elements are drawn from.
        kinds_in: For every such set, its kinds.
        sizes: Number of values of every such set.
        by_key: Type and value -> kind.
    """

    domains: Mapping[str, Domain]
    kinds: tuple[Kind, ...]
    pool_of: Mapping[str, int]
    kinds_in: tuple[tuple[int, ...], ...]
    sizes: tuple[int, ...]
    by_key: Mapping[Key, int]

    def value(self, name: str, value: Any) -> Value:
        """A given value as atoms; its elements must be of kinds of one."""
        elements = (value,) if self.domains[name].arity is None else value
        return tuple((self.by_key[key_of(element)], 0) for element in elements)

    def concrete(self, atom: Atom) -> Any:
        """A value that the atom may stand for, different atoms for different ones."""
        return self.kinds[atom[0]].values[atom[1]]


def key_of(value: Any) -> Key:
    """What tells 1 from True."""
    return (type(value), value)


def elements_of(domain: Domain) -> tuple[tuple[Any, ...] | range, bool]:
    """Values that the elements of an input are drawn from, and whether these are words.

    Words are what may turn out to be interchangeable: those of a lexicon, and texts of which a
    tuple of different ones is drawn.
    """
    if isinstance(domain, Distinct):
        words = isinstance(domain.of, Words) or domain.of.type is str
        return domain.of.values, words
    assert isinstance(domain, (Choice, Words))
    return domain.values, isinstance(domain, Words)


def pool_of(domain: Domain) -> tuple[Key, ...]:
    """The set of values that the elements of an input are drawn from."""
    return tuple(map(key_of, elements_of(domain)[0]))


def pools_of(domains: Mapping[str, Domain]) -> list[tuple[Key, ...]]:
    """The different sets of values that inputs draw from.

    Raises:
        TooManyCases: If one is too large to be enumerated.
    """
    found: dict[tuple[Key, ...], None] = {}
    for name, domain in domains.items():
        values, _ = elements_of(domain)
        if isinstance(values, range) and values[-1] - values[0] >= MOST_VALUES:
            raise TooManyCases(f"input {name!r} has too many values to be enumerated")
        found.setdefault(pool_of(domain))
    return list(found)


def make_atoms(
    domains: Mapping[str, Domain],
    pinned: Iterable[str] = (),
    whole: Iterable[int] = (),
    looks: Mapping[Hashable, Look] | None = None,
) -> Atoms:
    """Sort the values of inputs into kinds.

    Args:
        domains: Input -> domain.
        pinned: Words that stand for themselves, in a domain or not.
        whole: Indices (in :func:`pools_of`) of sets all of whose values stand for themselves.
        looks: What is found out about words: words are of one kind if all of it is the same.

    Raises:
        TooManyCases: If an input has too many values.
    """
    pools = pools_of(domains)
    words = [True] * len(pools)
    drawn_from: dict[str, int] = {}
    for name, domain in domains.items():
        drawn_from[name] = pools.index(pool_of(domain))
        words[drawn_from[name]] &= elements_of(domain)[1]
    member: dict[Key, set[int]] = {}
    for index, pool in enumerate(pools):
        for key in pool:
            member.setdefault(key, set()).add(index)
    alone = set(pinned)
    told = {index for index in range(len(pools)) if not words[index]} | set(whole)
    groups: dict[Any, list[Key]] = {}
    for key, inside in member.items():
        single = key[0] is not str or key[1] in alone or inside & told
        alike = () if single else tuple(look.result(key[1]) for look in (looks or {}).values())
        groups.setdefault((key if single else None, alike, frozenset(inside)), []).append(key)
    for word in sorted(alone):
        if (str, word) not in member:
            groups[((str, word), (), frozenset())] = [(str, word)]
    kinds = tuple(
        Kind(tuple(value for _, value in keys), inside, single is None)
        for (single, _, inside), keys in groups.items()
    )
    by_key = {key: index for index, keys in enumerate(groups.values()) for key in keys}
    kinds_in = tuple(
        tuple(k for k, kind in enumerate(kinds) if index in kind.pools)
        for index in range(len(pools))
    )
    return Atoms(domains, kinds, drawn_from, kinds_in, tuple(map(len, pools)), by_key)
