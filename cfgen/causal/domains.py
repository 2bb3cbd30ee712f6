"""Domains: the values an input may take; sampled with a given generator, enumerable, countable.

Task files make them with :func:`integers`, :func:`choice`, :func:`boolean` and :func:`distinct`.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import GenericAlias
from typing import Any, Protocol, runtime_checkable

from cfgen.causal.attributes import WordRow, WordTable
from cfgen.errors import CfgenError, Problem, authored, caller_place
from cfgen.words import word_key

Pools = Mapping[str, tuple[str, ...]]
"""Name of a lexicon -> the words that are drawn from it."""


class TooFewValues(CfgenError):
    """Fewer values are left than have to be drawn."""


@runtime_checkable
class Domain(Protocol):
    """What every domain can do. Domains are frozen records; nobody subclasses this."""

    def sample(self, rng: random.Random, avoid: Collection[Any] = ()) -> Any:
        """Draw one value uniformly from those that have (as an element) nothing in ``avoid``.

        Raises:
            TooFewValues: If there is no such value.
        """

    def __iter__(self) -> Iterator[Any]:
        """Yield every value, in a fixed order."""

    def count(self) -> int:
        """Number of values, without making them."""

    def problem_with(self, value: Any) -> str | None:
        """Say why ``value`` is not in the domain; None if it is."""

    @property
    def type(self) -> Any:
        """Python type of the values: ``int``, ``str``, ``tuple[str, ...]``, ..."""

    @property
    def arity(self) -> int | None:
        """Number of elements of a value, None if values are scalars."""

    @property
    def pools(self) -> Pools:
        """The lexicons that words are drawn from."""

    def restrict(self, pools: Pools) -> Domain:
        """The same domain, drawing from smaller lexicons where ``pools`` names them."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some given values, all different; ``range`` where these are many whole numbers."""

    values: tuple[Any, ...] | range

    def sample(self, rng: random.Random, avoid: Collection[Any] = ()) -> Any:
        return _draw(rng, self.values, 1, avoid)[0]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values)

    def count(self) -> int:
        return _size(self.values)

    def problem_with(self, value: Any) -> str | None:
        if isinstance(self.values, range):
            if type(value) is int and value in self.values:
                return None
            return f"must be a whole number from {self.values[0]} to {self.values[-1]}"
        if any(type(value) is type(known) and value == known for known in self.values):
            return None
        if len(self.values) > 12:
            return f"must be one of {len(self.values)} values from {self.values[0]!r} on"
        return f"must be one of {', '.join(map(repr, self.values))}"

    @property
    def type(self) -> Any:
        if isinstance(self.values, range):
            return int
        kinds = {type(value) for value in self.values}
        return kinds.pop() if len(kinds) == 1 else object

    @property
    def arity(self) -> int | None:
        return None

    @property
    def pools(self) -> Pools:
        return {}

    def restrict(self, pools: Pools) -> Choice:
        return self


@dataclass(frozen=True, slots=True)
class Words:
    """One word of a lexicon.

    Samples come from ``values``; any other word may be given by hand, since a causal model does
    not depend on which words a lexicon happens to list. Where the lexicon says more of its words
    than what they are, it has to list them: ``countries[word].capital`` is an attribute of one.

    Attributes:
        pool: Name of the lexicon.
        values: The words to draw from.
        table: What the lexicon says of its words, also of those that are not drawn.
    """

    pool: str
    values: tuple[str, ...]
    table: WordTable = field(default=WordTable(), repr=False)

    def __getitem__(self, word: str) -> WordRow:
        """The attributes of a word, by name.

        Raises:
            CfgenError: It is not a word of the lexicon.
        """
        return self.table.row(word)

    def sample(self, rng: random.Random, avoid: Collection[Any] = ()) -> str:
        return str(_draw(rng, self.values, 1, avoid)[0])

    def __iter__(self) -> Iterator[str]:
        return iter(self.values)

    def count(self) -> int:
        return len(self.values)

    def problem_with(self, value: Any) -> str | None:
        if not isinstance(value, str):
            return f"must be a word (text), not {type(value).__name__}"
        if not value or value != value.strip() or "\n" in value:
            return "must be text without leading or trailing whitespace, and not empty"
        if self.table.columns and value not in self.table:
            return f"must be a word of lexicon {self.pool!r}, which says more of its words"
        return None

    @property
    def type(self) -> Any:
        return str

    @property
    def arity(self) -> int | None:
        return None

    @property
    def pools(self) -> Pools:
        return {self.pool: self.values}

    def restrict(self, pools: Pools) -> Words:
        return replace(self, values=pools.get(self.pool, self.values))


@dataclass(frozen=True, slots=True)
class Distinct:
    """A tuple of ``size`` different values of one domain, in any order."""

    of: Choice | Words
    size: int

    def sample(self, rng: random.Random, avoid: Collection[Any] = ()) -> tuple[Any, ...]:
        return tuple(_draw(rng, self.of.values, self.size, avoid))

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return itertools.permutations(self.of, self.size)

    def count(self) -> int:
        return math.perm(self.of.count(), self.size)

    def problem_with(self, value: Any) -> str | None:
        if not isinstance(value, tuple) or len(value) != self.size:
            return f"must be a list of {self.size} values"
        for element in value:
            problem = self.of.problem_with(element)
            if problem:
                return f"{element!r} {problem}"
        if len(set(value)) < self.size:
            return "must be all different"
        return None

    @property
    def type(self) -> Any:
        return GenericAlias(tuple, (self.of.type, ...))

    @property
    def arity(self) -> int | None:
        return self.size

    @property
    def pools(self) -> Pools:
        return self.of.pools

    def restrict(self, pools: Pools) -> Distinct:
        return replace(self, of=self.of.restrict(pools))


def table_of(domain: Domain) -> WordTable:
    """What a lexicon says of the words that a domain draws; empty if it says no more of them."""
    words = domain.of if isinstance(domain, Distinct) else domain
    return words.table if isinstance(words, Words) else WordTable()


def _size(values: Sequence[Any]) -> int:
    """Number of values, which may be more than ``len`` of a range can say."""
    if isinstance(values, range) and values:
        return int(values[-1] - values[0] + 1)
    return len(values)


def _draw(
    rng: random.Random, values: Sequence[Any], size: int, avoid: Collection[Any]
) -> list[Any]:
    """Draw different values uniformly, in random order, none of them in ``avoid``.

    By rejection on raw bits, so that a generator's state gives the same draw on every Python
    version and platform.
    """
    count = _size(values)
    if count < size + len(avoid):
        left = sum(value not in avoid for value in values)
        if left < size:
            raise TooFewValues(
                Problem(
                    "too-few-values",
                    f"{size} new values are needed, but only {left} of {count} are left "
                    f"besides {', '.join(map(repr, avoid))}",
                    hint="add entries to the lexicon, or use a design that resamples less",
                )
            )
    bits = count.bit_length()
    drawn: list[Any] = []
    while len(drawn) < size:
        index = rng.getrandbits(bits)
        if index < count:
            value = values[index]
            if value not in drawn and value not in avoid:
                drawn.append(value)
    return drawn


def as_tuples(value: Any) -> Any:
    """The same value with lists, however deep, made tuples: what JSON writes as a list."""
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return tuple(as_tuples(element) for element in value)
    return value


@authored
def integers(low: int, high: int) -> Choice:
    """The whole numbers from ``low`` to ``high``, both included.

    Raises:
        CfgenError: If there is none.
    """
    if low > high:
        message, hint = f"integers({low}, {high}) is empty", "swap the two bounds"
        raise CfgenError(Problem("empty-domain", message, caller_place(1), hint))
    return Choice(range(low, high + 1))


@authored
def choice(values: Sequence[Any]) -> Choice:
    """One of ``values``; lists among them become tuples.

    Raises:
        CfgenError: If there is none, one is named twice, or they have no fixed order.
    """
    if isinstance(values, str) or not isinstance(values, Sequence):
        message = f"choice() was given a {type(values).__name__}, which is not a list of values"
        hint = "write the values, in a fixed order, as choice([...])"
        raise CfgenError(Problem("not-a-list", message, caller_place(1), hint))
    if not values:
        message, hint = "choice([]) is empty", "name at least one value"
        raise CfgenError(Problem("empty-domain", message, caller_place(1), hint))
    listed = as_tuples(tuple(values))
    try:
        different = len({word_key(each) if isinstance(each, str) else each for each in listed})
    except TypeError as error:
        message = f"choice({list(values)!r}) has a value that can be changed: {error}"
        hint = "use text, numbers, None, or tuples of these"
        raise CfgenError(Problem("changeable-value", message, caller_place(1), hint)) from error
    if different < len(listed):
        message = f"choice({list(values)!r}) names a value twice"
        raise CfgenError(Problem("repeated-value", message, caller_place(1), "drop one"))
    return Choice(listed)


@authored
def boolean() -> Choice:
    """False or True."""
    return Choice((False, True))


@authored
def distinct(of: Choice | Words, size: int) -> Distinct:
    """``size`` different values of the domain ``of``, as a tuple.

    Raises:
        CfgenError: If ``of`` has fewer than ``size`` values, or is not a domain of single values.
    """
    if not isinstance(of, (Choice, Words)):
        message = f"distinct() was given a {type(of).__name__}, not a domain of single values"
        hint = "use choice([...]), integers(...) or lexicon(...)"
        raise CfgenError(Problem("not-a-domain", message, caller_place(1), hint))
    if size < 1 or of.count() < size:
        message = f"{size} distinct values were asked of a domain that has {of.count()}"
        hint = "ask for fewer, or add values" if size > 0 else "ask for at least one"
        raise CfgenError(Problem("empty-domain", message, caller_place(1), hint))
    return Distinct(of, size)
