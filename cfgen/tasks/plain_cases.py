"""Cases enumerated with plain words: one pair of inputs for all that differ by a renaming only.

Of every such set of pairs it is the one whose words, in order of mention, come first in their
lexicons. Written independently of :mod:`cfgen.counterfactuals.draws`, which it is to check.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar, cast

from cfgen.causal import Distinct, Domain
from cfgen.counterfactuals import Design, InputEdit
from cfgen.counterfactuals.draws import TooManyCases
from cfgen.counterfactuals.evaluate import Question
from cfgen.tasks.proving import settled_cases

T = TypeVar("T")
Side = tuple[Any, ...]
"""Values of the inputs that matter."""
Group = tuple[str, ...]
"""Interchangeable words, in the order of the lexicon."""


@dataclass(frozen=True, slots=True)
class PlainCases:
    """All cases.

    Attributes:
        names: Inputs that matter.
        pairs: Their values, original and counterfactual.
    """

    names: tuple[str, ...]
    pairs: Collection[tuple[Side, Side]]


def cases_in(question: Question, design: Design | None) -> PlainCases:
    """All cases of a design, or of all pairs of inputs.

    Raises:
        TooManyCases: If there are too many.
    """
    settled = settled_cases(question, design)  # for what is interchangeable, and nothing else
    groups = [tuple(kind.values) for kind in settled.atoms.kinds if kind.reduced]
    names = settled.names
    domains = {name: question.domains[name] for name in names}
    firsts = [side for side in _assignments(list(domains.values()), (), groups)]
    if design is None:
        pairs = [
            (first, second)
            for first in firsts
            for second in _assignments(list(domains.values()), first, groups)
        ]
        return PlainCases(names, pairs)
    for edit in _of(design.original, names):
        firsts = _unique(
            (side for old in firsts for side in _outcomes(edit, old, (), domains, groups)), groups
        )
    both = [(first, first) for first in firsts]
    for edit in _of(design.counterfactual, names):
        both = _unique(
            (
                (first, side)
                for first, old in both
                for side in _outcomes(edit, old, first, domains, groups)
            ),
            groups,
        )
    return PlainCases(names, both)


def can_draw(
    design: Design, question: Question, original: Mapping[str, Any], other: Mapping[str, Any]
) -> bool:
    """Whether a design can make a pair of inputs; too many to tell counts as no.

    Of inputs that only change the wording, it is seen to that those not edited stay the same.
    """
    edited = {edit.input for edit in design.counterfactual}
    if any(other[name] != value for name, value in original.items() if name not in edited):
        return False
    try:
        found = cases_in(question, design)
        settled = settled_cases(question, design)
    except TooManyCases:
        return False
    groups = [tuple(kind.values) for kind in settled.atoms.kinds if kind.reduced]
    pair = tuple(tuple(side[name] for name in found.names) for side in (original, other))
    return _least(pair, groups) in set(found.pairs)


def _of(edits: Iterable[InputEdit], names: Collection[str]) -> list[InputEdit]:
    return [edit for edit in edits if edit.input in names]


def _words(value: Any) -> Iterator[Any]:
    """Scalars in a value, in order of mention."""
    if isinstance(value, tuple):
        for item in value:
            yield from _words(item)
    else:
        yield value


def _open(values: Iterable[Any], mentioned: Any, groups: Collection[Group]) -> list[Any]:
    """Of the words that are not mentioned yet, the first of each group; and all other values."""
    known = {word for word in _words(mentioned) if isinstance(word, str)}
    listed = list(values)
    later: set[str] = set()
    for group in groups:
        unknown = [word for word in group if word not in known]
        later |= set(unknown[1:])
    return [value for value in listed if not (isinstance(value, str) and value in later)]


def _values(
    domain: Domain, mentioned: Any, groups: Collection[Group], avoid: Collection[Any] = ()
) -> Iterator[Any]:
    """Every value of a domain, up to renaming words that are not mentioned yet."""
    if not isinstance(domain, Distinct):
        for value in _open(domain, mentioned, groups):
            if value not in avoid:
                yield value
        return

    def extend(chosen: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
        if len(chosen) == domain.size:
            yield chosen
            return
        for value in _open(domain.of, (mentioned, chosen), groups):
            if value not in avoid and value not in chosen:
                yield from extend((*chosen, value))

    yield from extend(())


def _assignments(
    domains: list[Domain], mentioned: Any, groups: Collection[Group]
) -> Iterator[Side]:
    if not domains:
        yield ()
        return
    for value in _values(domains[0], mentioned, groups):
        for rest in _assignments(domains[1:], (mentioned, value), groups):
            yield (value, *rest)


class _NothingLeft(Exception):
    """There is no value that could be drawn."""


class _Turns:
    """Makes what is drawn at random come out in every way, one after the other.

    An edit is applied again and again, by the very code that makes the pairs of a dataset. Its
    first draw gives each value in turn; so does its second, for each value of the first; and so on.
    """

    def __init__(self, mentioned: Any, groups: Collection[Group]) -> None:
        self.mentioned = mentioned
        self.groups = groups
        self.turns: list[int] = []
        self.counts: list[int] = []
        self.drawn: list[Any] = []

    def draw(self, domain: Domain, avoid: Collection[Any]) -> Any:
        """The value whose turn it is."""
        values = list(_values(domain, (self.mentioned, *self.drawn), self.groups, avoid))
        if not values:
            raise _NothingLeft
        number = len(self.drawn)
        if number == len(self.turns):
            self.turns.append(0)
            self.counts.append(len(values))
        self.drawn.append(values[self.turns[number]])
        return self.drawn[-1]

    def every(self, apply: Callable[[], Any]) -> Iterator[Any]:
        """Whatever a function that draws can return."""
        while True:
            self.drawn.clear()
            with suppress(_NothingLeft):
                yield apply()
            while self.turns and self.turns[-1] + 1 == self.counts[-1]:
                self.turns.pop()
                self.counts.pop()
            if not self.turns:
                return
            self.turns[-1] += 1


class _DomainInTurns:
    """A domain from which every value is drawn in turn; otherwise as the domain it stands for."""

    def __init__(self, domain: Domain, turns: _Turns) -> None:
        self._domain = domain
        self._turns = turns

    def sample(self, rng: object, avoid: Collection[Any] = ()) -> Any:
        return self._turns.draw(self._domain, avoid)

    @property
    def of(self) -> _DomainInTurns:
        """The domain of the elements."""
        return _DomainInTurns(cast(Distinct, self._domain).of, self._turns)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._domain)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._domain, name)


def _outcomes(
    edit: InputEdit,
    side: Side,
    other: Side,
    domains: Mapping[str, Domain],
    groups: Collection[Group],
) -> Iterator[Side]:
    """Everything that an edit can make of a side."""
    turns = _Turns((other, side), groups)
    stand_ins: Any = {name: _DomainInTurns(domain, turns) for name, domain in domains.items()}
    inputs = dict(zip(domains, side, strict=True))
    place, unused = list(domains).index(edit.input), Random(0)
    for value in turns.every(lambda: edit.apply(inputs, stand_ins, unused)):
        yield (*side[:place], value, *side[place + 1 :])


def _unique(sides: Iterable[T], groups: Collection[Group]) -> list[T]:
    return list(dict.fromkeys(_least(side, groups) for side in sides))


def _least(mentioned: T, groups: Collection[Group]) -> T:
    """The same with its words renamed, in order of mention, to the first of their groups."""
    group_of = {word: group for group in groups for word in group}
    names: dict[str, str] = {}
    used: dict[Group, int] = {}
    for word in _words(mentioned):
        if isinstance(word, str) and word in group_of and word not in names:
            group = group_of[word]
            names[word] = group[used.get(group, 0)]
            used[group] = used.get(group, 0) + 1

    def rename(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(rename(item) for item in value)
        return names.get(value, value) if isinstance(value, str) else value

    renamed: T = rename(mentioned)
    return renamed
