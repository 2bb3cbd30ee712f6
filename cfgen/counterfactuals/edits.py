"""Edits: the small, named steps that designs are composed of.

An edit changes one input. The edits of a design are applied one after the other; each sees the
inputs as the ones before it left them.

Users write ``edits.flip("asked")`` and the like. Behind each of these functions is one class, and
all that the rest of the package does with an operation is said there: how it is applied to inputs
that were drawn, what it can make of inputs that a search keeps all values of, when it cannot be
applied, how it is written, what it needs, and where a search tries it. Nobody else asks which
operation an edit is. A new one is a class here, a function for users, and its place in
:data:`OPERATIONS`.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from random import Random
from typing import Any, ClassVar, Protocol, cast

from cfgen.causal import Choice, Distinct, Domain, as_tuples
from cfgen.errors import Problem, caller_place, did_you_mean

Values = Mapping[str, Any]
Domains = Mapping[str, Domain]
Names = Sequence[str]
Elements = tuple[Any, ...]
"""A value as a search sees it: its elements; one, if the value is a scalar."""
Outcomes = Iterator[tuple[Elements, Fraction]]
"""Every value that can come out, with its probability."""
Steps = tuple["InputEdit", ...]
"""Edits that are applied one after the other."""
Tried = Iterator[Steps]
MOST_SET = 8
"""Values of an input up to which a search tries each as a fixed value."""
CERTAIN = Fraction(1)


class AbstractInputs(Protocol):
    """Inputs of a search: words that are interchangeable are not told apart.

    Attributes:
        domains: Input -> its domain.
    """

    @property
    def domains(self) -> Domains:
        """Input -> its domain."""

    def now(self, name: str) -> Elements:
        """The value that an input has by then."""

    def given(self, name: str, value: Any) -> Elements:
        """A value of an input that is known, as it stands in a task file."""

    def drawn(self, name: str, size: int, avoid: Elements) -> Outcomes:
        """Different elements of an input, drawn one after the other, none of them in ``avoid``."""


@dataclass(frozen=True, slots=True)
class Palette:
    """Which edits a search tries, besides those that it always tries.

    Attributes:
        copies: Up to how many inputs with the same values these are copied from each other.
        mixtures: Whether inputs are drawn anew without having to be different.
        elements: Whether single elements of tuples are drawn anew.
    """

    copies: int
    mixtures: bool
    elements: bool


@dataclass(frozen=True, slots=True)
class InputEdit(ABC):
    """One step; each operation is a class of its own.

    Attributes:
        verb: Name of the function that users write.
        replaces: Whether the value that was drawn for the input does not matter any more. Of an
            original that is drawn uniformly, these are the only edits that make another one.
        input: The input it changes.
        where: ``file:line`` of its declaration.
    """

    verb: ClassVar[str]
    replaces: ClassVar[bool] = False

    input: str
    where: str = field(default="", compare=False, kw_only=True)

    def __str__(self) -> str:
        said = [
            repr(value) if not name else name if value is True else f"{name}={value}"
            for name, value in self.arguments()
        ]
        return f"{self.verb}({', '.join([self.input, *said])})"

    @property
    def code(self) -> str:
        """The edit as it stands in a task file."""
        said = [f"{name}={value!r}" if name else repr(value) for name, value in self.arguments()]
        return f"edits.{self.verb}({', '.join([repr(self.input), *said])})".replace("'", '"')

    def arguments(self) -> list[tuple[str, Any]]:
        """What is written after the input: keyword (empty if there is none) and value."""
        return []

    @property
    def reads(self) -> tuple[str, ...]:
        """Other inputs that the new value is taken from."""
        return ()

    @property
    def changes(self) -> bool:
        """Whether it does anything at all."""
        return True

    @property
    def effort(self) -> tuple[int, int]:
        """How much harder it is to say than others, and whether it may change nothing by chance.

        Of two designs that make the same pairs a search takes the one with less of both.
        """
        return (0, 0)

    def constants(self, domain: Domain) -> frozenset[str]:
        """Texts that it names, as elements of its input; these are not interchangeable."""
        return frozenset()

    def redrawn(self, domain: Domain) -> frozenset[int]:
        """Places of elements that are drawn unlike the old ones; there must be words for both."""
        return frozenset()

    def problem(self, domains: Domains) -> str:
        """Why it cannot be applied; empty if it can. The inputs it names are there."""
        return ""

    @abstractmethod
    def apply(self, inputs: Values, domains: Domains, rng: Random) -> Any:
        """The new value of its input.

        Whatever is random comes from :meth:`Domain.sample`: with domains that give every value in
        turn, certificates are checked by this very function.

        Args:
            inputs: The inputs by then.
            domains: Input -> domain to draw from.
            rng: Source of randomness.

        Raises:
            CfgenError: If a domain has too few values.
        """

    @abstractmethod
    def outcomes(self, inputs: AbstractInputs) -> Outcomes:
        """The same for a search: every new value of its input, with its probability."""

    @classmethod
    def tried(cls, name: str, domain: Domain, sources: Names, palette: Palette) -> Tried:
        """What a search tries on an input, alone or together with other edits of it.

        Args:
            name: The input.
            domain: Its domain.
            sources: Inputs with the same values that it may be copied from.
            palette: How much is tried.
        """
        yield from ()


class Keep(InputEdit):
    """Leave the input as it is."""

    verb = "keep"

    @property
    def changes(self) -> bool:
        return False

    def apply(self, inputs: Values, domains: Domains, rng: Random) -> Any:
        return inputs[self.input]

    def outcomes(self, inputs: AbstractInputs) -> Outcomes:
        yield inputs.now(self.input), CERTAIN


class Reverse(InputEdit):
    """Reverse the order of the elements."""

    verb = "reverse"

    def problem(self, domains: Domains) -> str:
        if isinstance(domains[self.input], Distinct):
            return ""
        return "its values are not tuples, so there is nothing to reverse"

    def apply(self, inputs: Values, domains: Domains, rng: Random) -> Any:
        return inputs[self.input][::-1]

    def outcomes(self, inputs: AbstractInputs) -> Outcomes:
        yield inputs.now(self.input)[::-1], CERTAIN

    @classmethod
    def tried(cls, name: str, domain: Domain, sources: Names, palette: Palette) -> Tried:
        if isinstance(domain, Distinct) and domain.size > 1:
            yield (cls(name),)


@dataclass(frozen=True, slots=True)
class Permute(InputEdit):
    """Put the elements in another order.

    Attributes:
        order: Index of the element that comes first, then of the second, and so on.
    """

    verb = "permute"

    order: tuple[int, ...]

    def arguments(self) -> list[tuple[str, Any]]:
        return [("", self.order)]

    @property
    def effort(self) -> tuple[int, int]:
        return (1, 0)

    def problem(self, domains: Domains) -> str:
        indices = [repr(index) for index in range(domains[self.input].arity or 0)]
        if isinstance(self.order, tuple) and sorted(map(repr, self.order)) == indices:
            return ""
        return f"{self.order!r} does not name the index of each of its elements once"

    def apply(self, inputs: Values, domains: Domains, rng: Random) -> Any:
        old = inputs[self.input]
        return tuple([old[index] for index in self.order])

    def outcomes(self, inputs: AbstractInputs) -> Outcomes:
        old = inputs.now(self.input)
        yield tuple([old[index] for index in self.order]), CERTAIN

    @classmethod
    def tried(cls, name: str, domain: Domain, sources: Names, palette: Palette) -> Tried:
        """All other orders of up to three elements; of more, the rotations (and the reverse)."""
        if not isinstance(domain, Distinct):
            return
        size = domain.size
        orders = list(itertools.permutations(range(size)))[1:] if size <= 3 else []
        if size > 3:
            orders = [tuple((k + by) % size for k in range(size)) for by in range(1, size)]
        backwards = tuple(reversed(range(size)))  # which Reverse says more simply
        yield from ((cls(name, order),) for order in orders if order != backwards)


class Flip(InputEdit):
    """Take the other one of the two values that the input can have."""

    verb = "flip"

    def problem(self, domains: Domains) -> str:
        if _has_two_values(domains[self.input]):
            return ""
        return "it does not have exactly two values to flip between"

    def apply(self, inputs: Values, domains: Domains, rng: Random) -> Any:
        first, second = domains[self.input]
        return second if inputs[self.input] == first else first

    def outcomes(self, inputs: AbstractInputs) -> Outcomes:
        name = self.input
        first, second = (inputs.given(name, value) for value in inputs.domains[name])
        yield (second if inputs.now(name) == first else first), CERTAIN

    @classmethod
    def tried(cls, name: str, domain: Domain, sources: Names, palette: Palette) -> Tried:
        if _has_two_values(domain):
            yield (cls(name),)


@dataclass(frozen=True, slots=True)
class Resample(InputEdit):
    """Draw the input anew.

    Attributes:
        disjoint: Whether the new value shares nothing with the old one.
        index: The one element that is drawn anew; None for all of them.
    """

    verb = "resample"

    disjoint: bool = False
    index: int | None = None

    def arguments(self) -> list[tuple[str, Any]]:
        index = [] if self.index is None else [("index", self.index)]
        return [*index, *([("disjoint", True)] if self.disjoint else [])]

    @property
    def effort(self) -> tuple[int, int]:
        return (1, 0 if self.disjoint else 1)

    def redrawn(self, domain: Domain) -> frozenset[int]:
        if not self.disjoint:
            return frozenset()
        return frozenset(range(domain.arity or 1) if self.index is None else (self.index,))

    def problem(self, domains: Domains) -> str:
        if self.index is None or self.index in range(domains[self.input].arity or 0):
            return ""
        return f"its values have no element with the index {self.index!r}"

    def apply(self, inputs: Values, domains: Domains, rng: Random) -> Any:
        old, domain = inputs[self.input], domains[self.input]
        if self.index is None:
            if not self.disjoint:
                return domain.sample(rng)
            return domain.sample(rng, (old,) if domain.arity is None else old)
        before, after = old[: self.index], old[self.index + 1 :]
        of = cast(Distinct, domain).of  # as every domain whose values have elements
        return (*before, of.sample(rng, old if self.disjoint else before + after), *after)

    def outcomes(self, inputs: AbstractInputs) -> Outcomes:
        old = inputs.now(self.input)
        if self.index is None:
            yield from inputs.drawn(self.input, len(old), old if self.disjoint else ())
            return
        before, after = old[: self.index], old[self.index + 1 :]
        avoid = old if self.disjoint else before + after
        for new, chance in inputs.drawn(self.input, 1, avoid):
            yield (*before, *new, *after), chance

    @classmethod
    def tried(cls, name: str, domain: Domain, sources: Names, palette: Palette) -> Tried:
        several = isinstance(domain, Distinct)
        if several or (domain.count() > 1 and not _has_two_values(domain)):  # or else it is a flip
            yield (cls(name, disjoint=True),)
        if isinstance(domain, Distinct) and palette.elements and domain.size > 1:
            for index in range(domain.size):
                yield (cls(name, disjoint=True, index=index),)
        if palette.mixtures and domain.count() > 1:
            yield (cls(name),)


@dataclass(frozen=True, slots=True)
class SetValue(InputEdit):
    """Give the input a fixed value.

    Attributes:
        value: The value.
    """

    verb = "set"
    replaces = True

    value: Any

    def arguments(self) -> list[tuple[str, Any]]:
        return [("", self.value)]

    @property
    def effort(self) -> tuple[int, int]:
        return (1, 0)

    def constants(self, domain: Domain) -> frozenset[str]:
        elements = (self.value,) if domain.arity is None else self.value
        return frozenset(element for element in elements if type(element) is str)

    def problem(self, domains: Domains) -> str:
        reason = domains[self.input].problem_with(self.value)
        return f"the value {reason}" if reason else ""

    def apply(self, inputs: Values, domains: Domains, rng: Random) -> Any:
        return self.value

    def outcomes(self, inputs: AbstractInputs) -> Outcomes:
        yield inputs.given(self.input, self.value), CERTAIN

    @classmethod
    def tried(cls, name: str, domain: Domain, sources: Names, palette: Palette) -> Tried:
        if isinstance(domain, Choice) and 1 < domain.count() <= MOST_SET:
            yield from ((cls(name, value),) for value in domain)


@dataclass(frozen=True, slots=True)
class CopyValue(InputEdit):
    """Give the input the value that another one has by then.

    Attributes:
        source: The other input.
    """

    verb = "copy"
    replaces = True

    source: str

    def arguments(self) -> list[tuple[str, Any]]:
        return [("of", self.source)]

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.source,)

    def problem(self, domains: Domains) -> str:
        if same_values(domains[self.input], domains[self.source]):
            return ""
        return f"its values are not those of {self.source!r}"

    def apply(self, inputs: Values, domains: Domains, rng: Random) -> Any:
        return inputs[self.source]

    def outcomes(self, inputs: AbstractInputs) -> Outcomes:
        yield inputs.now(self.source), CERTAIN

    @classmethod
    def tried(cls, name: str, domain: Domain, sources: Names, palette: Palette) -> Tried:
        for source in sources:
            copied = cls(name, source)
            yield (copied,)
            if _has_two_values(domain):
                yield (copied, Flip(name))


OPERATIONS: tuple[type[InputEdit], ...] = (
    Keep,
    Reverse,
    Permute,
    Flip,
    Resample,
    SetValue,
    CopyValue,
)
"""All operations, in the order in which a search tries them."""


# What users write.


def keep(name: str) -> InputEdit:
    """Leave the input as it is (what happens to every input that no edit names)."""
    return Keep(name, where=caller_place(1))


def reverse(name: str) -> InputEdit:
    """Reverse the order of the elements."""
    return Reverse(name, where=caller_place(1))


def permute(name: str, order: Sequence[int]) -> InputEdit:
    """Put the elements in another order: first the one with the index ``order[0]``, and so on."""
    return Permute(name, as_tuples(order), where=caller_place(1))


def resample(name: str, *, disjoint: bool = False, index: int | None = None) -> InputEdit:
    """Draw the input anew.

    Args:
        name: The input.
        disjoint: Draw only values that share no element with the present ones.
        index: Draw only this element (from 0), one that is different from the others.
    """
    return Resample(name, disjoint, index, where=caller_place(1))


def flip(name: str) -> InputEdit:
    """Take the other one of the two values that the input can have."""
    return Flip(name, where=caller_place(1))


def set(name: str, value: Any) -> InputEdit:
    """Give the input a fixed value; a list stands for a tuple."""
    return SetValue(name, as_tuples(value), where=caller_place(1))


def copy(name: str, *, of: str) -> InputEdit:
    """Give the input the value that the input ``of`` has by then."""
    return CopyValue(name, of, where=caller_place(1))


# What is done with edits, whichever they are.


def apply_edits(
    edits: Iterable[InputEdit],
    inputs: Values,
    domains: Domains,
    rng: Random,
) -> dict[str, Any]:
    """Apply edits in order.

    Args:
        edits: Checked edits (see :func:`problems_with`).
        inputs: The inputs to start from; they are not changed.
        domains: Input -> domain that is drawn from.
        rng: Source of randomness.

    Returns:
        The edited inputs.

    Raises:
        CfgenError: If a domain has too few values for a disjoint ``resample``.
    """
    edited = dict(inputs)
    for edit in edits:
        edited[edit.input] = edit.apply(edited, domains, rng)
    return edited


def problems_with(edit: InputEdit, domains: Domains) -> list[Problem]:
    """Say what is wrong with an edit, given the inputs that there are."""
    unknown = [
        Problem(
            "unknown-input",
            f"{edit} names an input {name!r} that the causal model does not have",
            where=edit.where,
            hint=did_you_mean(name, domains),
        )
        for name in (edit.input, *edit.reads)
        if name not in domains
    ]
    wrong = "" if unknown else edit.problem(domains)
    if not wrong:
        return unknown
    return [
        Problem(
            "impossible-edit",
            f"{edit} cannot be applied: {wrong}",
            where=edit.where,
            hint="use another edit for this input",
        )
    ]


def tried_on_original(name: str, domain: Domain, sources: Names) -> list[Steps]:
    """What a search tries on an input of the original, first of all nothing."""
    palette = Palette(copies=0, mixtures=False, elements=False)
    return [(), *_tried((op for op in OPERATIONS if op.replaces), name, domain, sources, palette)]


def tried_on_counterfactual(
    name: str, domain: Domain, sources: Names, palette: Palette
) -> list[Steps]:
    """What a search tries on an input of the counterfactual, first of all nothing."""
    return [(), *_tried(OPERATIONS, name, domain, sources, palette)]


def _tried(
    operations: Iterable[type[InputEdit]],
    name: str,
    domain: Domain,
    sources: Names,
    palette: Palette,
) -> Iterator[Steps]:
    for operation in operations:
        yield from operation.tried(name, domain, sources, palette)


def same_values(one: Domain, other: Domain) -> bool:
    """Whether two domains have the same values, of the same types."""
    if isinstance(one, Distinct) and isinstance(other, Distinct):
        return one.size == other.size and same_values(one.of, other.of)
    if isinstance(one, Distinct) or isinstance(other, Distinct) or one.count() != other.count():
        return False
    return one == other or {(type(v), v) for v in one} == {(type(v), v) for v in other}


def _has_two_values(domain: Domain) -> bool:
    return isinstance(domain, Choice) and domain.count() == 2
