"""Declaring domains: whole numbers, choices, and tuples of different values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cfgen.causal.domains import Choice, Distinct, Words
from cfgen.errors import CfgenError, Problem, caller_place


def as_tuples(value: Any) -> Any:
    """The same value with lists, however deep, made tuples: what JSON writes as a list."""
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return tuple(as_tuples(element) for element in value)
    return value


def integers(low: int, high: int) -> Choice:
    """The whole numbers from ``low`` to ``high``, both included.

    Raises:
        CfgenError: If there is none.
    """
    if low > high:
        message, hint = f"integers({low}, {high}) is empty", "swap the two bounds"
        raise CfgenError(Problem("empty-domain", message, caller_place(1), hint))
    return Choice(range(low, high + 1))


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
        different = len(set(listed))
    except TypeError as error:
        message = f"choice({list(values)!r}) has a value that can be changed: {error}"
        hint = "use text, numbers, None, or tuples of these"
        raise CfgenError(Problem("changeable-value", message, caller_place(1), hint)) from error
    if different < len(listed):
        message = f"choice({list(values)!r}) names a value twice"
        raise CfgenError(Problem("repeated-value", message, caller_place(1), "drop one"))
    return Choice(listed)


def boolean() -> Choice:
    """False or True."""
    return Choice((False, True))


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
