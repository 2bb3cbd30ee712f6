"""How much one run of a template may do: what it makes is weighed, what might explode is foreseen.

A template is a program: loops inside loops, macros that call themselves, texts and numbers that
double. Jinja's sandbox bounds ``range`` alone. Here every step counts, and counts for more if it
makes more; a step that would take long in one go, such as ``2 ** (2 ** 33)`` or
``center(10 ** 9)``, is refused before it is done.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AnySet
from typing import Any

from cfgen.prompts.text import MAX_LENGTH, Fault, Text, too_long
from cfgen.words import MAX_BITS

MAX_STEPS = 1_000_000
"""Steps of one run; a prompt that people write takes some hundreds."""
MAX_FORESEEN = 100 * MAX_LENGTH
"""Characters that an operation may make on its way, by a bound that is far from tight."""

_PADDING = frozenset({"batch", "center", "ljust", "rjust", "round", "slice", "truncate", "zfill"})
"""Operations whose result has at most as many parts as their numbers say, and those they get."""
_SPREADING = frozenset({"expandtabs", "indent"})
"""Those that put in so many at many places."""
_REPLACING = frozenset({"replace", "wordwrap"})
"""Those that put in a text at many places."""
_FORMATTING = frozenset({"format", "format_map"})
_NUMBER = re.compile(r"\d+")
_NUMBER_FROM_VALUES = re.compile(r"\*|\{[^{}]*\{")
_PIECE = 64
"""Characters that take as long as one step does."""


class Count:
    """How many steps a run has taken.

    Attributes:
        steps: So many.
    """

    __slots__ = ("steps",)

    def __init__(self) -> None:
        self.steps = 0

    def add(self, steps: int) -> None:
        """Count steps.

        Raises:
            Fault: They are too many (``template-too-large``).
        """
        self.steps += steps
        if self.steps > MAX_STEPS:
            raise too_large(f"the template takes more than {MAX_STEPS:,} steps")

    def weigh(self, value: Any) -> Any:
        """Count a value as as many steps as it has parts, and return it.

        Raises:
            Fault: They are too many, or a number is too large (``template-too-large``).
        """
        self.add(1)
        if value is None or value is True or value is False:
            return value
        waiting = [value]
        while waiting:
            part = waiting.pop()
            kind = type(part)  # not its __class__: letters are not looked at
            if kind is int and part.bit_length() > MAX_BITS:
                raise too_large("a number has more than 4,000 digits")
            if kind is str:
                self.add(len(part) // _PIECE)
            elif kind is Text:
                self.add(len(part.letters) // _PIECE)
            elif (parts := _parts(part)) is not None:
                self.add(len(parts))
                waiting.extend(parts)
        return value


def _parts(value: Any) -> Sequence[Any] | None:
    if isinstance(value, Mapping):
        return [*value.keys(), *value.values()]
    if isinstance(value, tuple | list | AnySet):
        return list(value)
    return None


def check_power(base: Any, exponent: Any) -> None:
    """Check that a power can be computed.

    Raises:
        Fault: It is a whole number that is too large (``template-too-large``).
    """
    if isinstance(base, int) and isinstance(exponent, int) and abs(base) > 1:
        _check_bits(base.bit_length() * max(exponent, 0))


def check_product(one: Any, other: Any) -> None:
    """Check that a product of whole numbers can be computed.

    Raises:
        Fault: It is too large (``template-too-large``).
    """
    if isinstance(one, int) and isinstance(other, int):
        _check_bits(one.bit_length() + other.bit_length())


def _check_bits(bits: int) -> None:
    if bits > MAX_BITS:
        raise too_large("a number has more than 4,000 digits")


def check_outcome(name: str, value: Any, given: Sequence[Any], named: Mapping[str, Any]) -> None:
    """Check that what an operation makes of a value is not much more than a prompt can hold.

    Args:
        name: Name of the filter or method.
        value: What it is done to.
        given: Its further arguments.
        named: Those that have names.

    Raises:
        Fault: It may be (``prompt-too-long``).
    """
    others = [*given, *named.values()]
    if name in _PADDING:
        bound = _numbers(others)
    elif name in _SPREADING:
        bound = _letters(value) * (_numbers(others) + _letters(others))
    elif name in _REPLACING:
        bound = _letters(value)
        for other in others:
            bound *= 1 + _letters(other)
    elif name in _FORMATTING:
        bound = formatted_length(value, others)
    else:
        return
    if bound > (MAX_LENGTH if name in _PADDING else MAX_FORESEEN):
        raise too_long()


def formatted_length(form: Any, values: Sequence[Any]) -> int:
    """Characters at most of a text in which values are put by ``%`` or ``format``."""
    letters = form.letters if type(form) is Text else str(form)
    widths = sum(int(digits[:9]) for digits in _NUMBER.findall(letters))
    if _NUMBER_FROM_VALUES.search(letters):
        widths += _numbers(values)
    fields = letters.count("%") + letters.count("{")
    return len(letters) + widths + fields * (_letters(values) + len(letters))


def _numbers(values: Iterable[Any]) -> int:
    """Sum of all whole numbers in values, without their signs."""
    found, waiting = 0, list(values)
    while waiting:
        value = waiting.pop()
        if isinstance(value, int):
            found += abs(value)
        waiting.extend(_parts(value) or ())
    return found


def _letters(value: Any) -> int:
    """Characters of a value as it is shown, at most; of a number only in general."""
    found, waiting = 0, [value]
    while waiting:
        part = waiting.pop()
        kind = type(part)
        if kind is str or kind is Text:
            found += len(part if kind is str else part.letters)
        elif kind is int:
            found += part.bit_length() // 3
        elif kind is float:
            found += 320
        found += 2
        waiting.extend(_parts(part) or ())
    return found


def too_large(message: str) -> Fault:
    """The fault of a template that does more than anybody means."""
    return Fault(
        code="template-too-large",
        message=message,
        hint="look for a loop, a macro that calls itself, or a value that grows at every turn",
    )
