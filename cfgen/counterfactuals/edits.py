"""Edits: the small, named steps that designs are composed of.

An edit changes one input. The edits of a design are applied one after the other; each sees the
inputs as the ones before it left them.

Users write ``edits.flip("asked")`` and the like; behind each of these functions is one class with
all that there is to know about the operation. A new one is a class here, a function for users, and
its place in :data:`OPERATIONS`; nothing else.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, cast

from cfgen.causal import Choice, Distinct, Domain, as_tuples
from cfgen.counterfactuals.operation import (
    CERTAIN,
    AbstractInputs,
    Domains,
    EditSteps,
    InputEdit,
    Names,
    Outcomes,
    Palette,
    Steps,
    Values,
)
from cfgen.errors import CfgenError, Problem, authored, caller_place, did_you_mean, shown_value

MOST_SET = 8
"""Values of an input up to which a search tries each as a fixed value."""


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
    def tried(cls, name: str, domain: Domain, sources: Names, palette: Palette) -> EditSteps:
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
        return f"{shown_value(self.order)} does not name the index of each of its elements once"

    def apply(self, inputs: Values, domains: Domains, rng: Random) -> Any:
        old = inputs[self.input]
        return tuple([old[index] for index in self.order])

    def outcomes(self, inputs: AbstractInputs) -> Outcomes:
        old = inputs.now(self.input)
        yield tuple([old[index] for index in self.order]), CERTAIN

    @classmethod
    def tried(cls, name: str, domain: Domain, sources: Names, palette: Palette) -> EditSteps:
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
    def tried(cls, name: str, domain: Domain, sources: Names, palette: Palette) -> EditSteps:
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
        return f"its values have no element with the index {shown_value(self.index)}"

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
    def tried(cls, name: str, domain: Domain, sources: Names, palette: Palette) -> EditSteps:
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
    def tried(cls, name: str, domain: Domain, sources: Names, palette: Palette) -> EditSteps:
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
    def tried(cls, name: str, domain: Domain, sources: Names, palette: Palette) -> EditSteps:
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


@authored
def keep(name: str) -> InputEdit:
    """Leave the input as it is (what happens to every input that no edit names)."""
    return Keep(name, where=caller_place(1))


@authored
def reverse(name: str) -> InputEdit:
    """Reverse the order of the elements."""
    return Reverse(name, where=caller_place(1))


@authored
def permute(name: str, order: Sequence[int]) -> InputEdit:
    """Put the elements in another order: first the one with the index ``order[0]``, and so on."""
    return Permute(name, as_tuples(order), where=caller_place(1))


@authored
def resample(name: str, *, disjoint: bool = False, index: int | None = None) -> InputEdit:
    """Draw the input anew.

    Args:
        name: The input.
        disjoint: Draw only values that share no element with the present ones.
        index: Draw only this element (from 0), one that is different from the others.
    """
    return Resample(name, disjoint, index, where=caller_place(1))


@authored
def flip(name: str) -> InputEdit:
    """Take the other one of the two values that the input can have."""
    return Flip(name, where=caller_place(1))


@authored
def set(name: str, value: Any) -> InputEdit:
    """Give the input a fixed value; a list stands for a tuple."""
    return SetValue(name, as_tuples(value), where=caller_place(1))


@authored
def copy(name: str, *, of: str) -> InputEdit:
    """Give the input the value that the input ``of`` has by then."""
    return CopyValue(name, of, where=caller_place(1))


def __getattr__(name: str) -> Any:
    """Say which edits there are, to whoever asks for another one."""
    if name.startswith("_"):
        raise AttributeError(name)
    message, hint = f"there is no edit {name!r}", did_you_mean(name, VERBS)
    raise CfgenError(Problem("unknown-edit", message, caller_place(1), hint))


VERBS = tuple(operation.verb for operation in OPERATIONS)
"""Names of the functions that make edits."""


# What a search tries.


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
