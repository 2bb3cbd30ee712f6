"""What an edit is: the one thing that all that use edits know about them.

Every operation is a class of its own, in :mod:`cfgen.counterfactuals.edits`. It says how it is
applied to inputs that were drawn, what it can make of inputs that a search keeps all values of,
when it cannot be applied, how it is written, what it needs, and where a search tries it. Nobody
else asks which operation an edit is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from random import Random
from typing import Any, ClassVar, Protocol

from cfgen.causal import Domain
from cfgen.errors import Problem, did_you_mean, shown_value

Values = Mapping[str, Any]
Domains = Mapping[str, Domain]
Names = Sequence[str]
Elements = tuple[Any, ...]
"""A value as a search sees it: its elements; one, if the value is a scalar."""
Outcomes = Iterator[tuple[Elements, Fraction]]
"""Every value that can come out, with its probability."""
Steps = tuple["InputEdit", ...]
"""Edits that are applied one after the other."""
EditSteps = Iterator[Steps]
"""What a search tries with an operation, the simplest first."""
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
            _shown(value) if not name else name if value is True else f"{name}={value}"
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
    def tried(cls, name: str, domain: Domain, sources: Names, palette: Palette) -> EditSteps:
        """What a search tries on an input, alone or together with other edits of it.

        Args:
            name: The input.
            domain: Its domain.
            sources: Inputs with the same values that it may be copied from.
            palette: How much is tried.
        """
        yield from ()


def _shown(value: Any) -> str:
    """A value in full; something that cannot be printed by what it is."""
    try:
        return repr(value)
    except Exception:
        return shown_value(value)


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
