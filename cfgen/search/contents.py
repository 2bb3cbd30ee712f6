"""What values are made of, and which opaque words are in them."""

from __future__ import annotations

import dataclasses
import enum
import functools
import types
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

SCALARS = frozenset({int, float, complex, bool, bytes, type(None), type(...), range, slice})
"""Types that no word equals."""
CONTAINERS = frozenset(
    {tuple, list, dict, set, frozenset, deque, OrderedDict, defaultdict, Counter}
)
_BY_IDENTITY_OR_VALUE = (object.__eq__, int.__eq__, str.__eq__)


class Opaque:
    """What stands for a text that is not known."""

    __slots__ = ()

    @property
    def words(self) -> Sequence[Any]:
        """The words in it."""
        raise NotImplementedError

    @property
    def key(self) -> Any:
        """What tells it from others."""
        raise NotImplementedError


def is_opaque(value: object) -> bool:
    """Whether a value is an opaque word, or a text with opaque words in it."""
    return issubclass(type(value), Opaque)


def is_text(value: object) -> bool:
    """Whether a value is a text, known or not."""
    return type(value) is str or is_opaque(value)


def is_generated(function: Any) -> bool:
    """Whether a function was written by ``dataclass`` or ``namedtuple``, and not by a person."""
    code = getattr(function, "__code__", None)
    if code is not None and code.co_filename == dataclasses.__file__:  # around a generated one
        code = getattr(function, "__wrapped__", function).__code__
    return code is not None and code.co_filename.startswith("<string>")


def members(value: Any) -> list[Any] | None:
    """What a value is made of: nothing of a scalar.

    Returns:
        None where that is not known, or where comparing is another thing than comparing these.
    """
    kind = type(value)
    if kind is str or kind in SCALARS or issubclass(kind, Opaque):
        return []
    if kind in CONTAINERS:
        return [*value.keys(), *value.values()] if isinstance(value, dict) else list(value)
    if issubclass(kind, (enum.Enum, type)):
        return [] if kind.__eq__ in _BY_IDENTITY_OR_VALUE else None
    return _fields(value)


def _fields(value: Any) -> list[Any] | None:
    """The parts of a record whose comparison is that of its parts; None of other values."""
    kind = type(value)
    if issubclass(kind, tuple) and hasattr(kind, "_fields") and kind.__eq__ is tuple.__eq__:
        return list(value)
    if dataclasses.is_dataclass(kind) and is_generated(kind.__eq__):
        return [getattr(value, each.name) for each in dataclasses.fields(value)]
    return None


def leaves(value: Any) -> Iterator[Any]:
    """Whatever a value is made of in the end, so far as one can look into it."""
    parts = members(value)
    if not parts:
        yield value
    for part in parts or ():
        yield from leaves(part)


def words_of(value: Any) -> list[Any]:
    """The opaque words in a value, so far as one can look into it."""
    return [word for leaf in leaves(value) if is_opaque(leaf) for word in leaf.words]


def has_words(value: Any) -> bool | None:
    """Whether there are opaque words in a value; None if that cannot be known."""
    kind = type(value)
    if kind is str or kind in SCALARS:
        return False
    if issubclass(kind, Opaque):
        return True
    if kind is types.FunctionType:
        parts = [cell.cell_contents for cell in value.__closure__ or ()]
    elif kind is functools.partial:
        parts = [value.func, *value.args, *value.keywords.values()]
    elif kind in (types.BuiltinFunctionType, types.MethodWrapperType, types.MethodType):
        parts = [value.__self__]
    elif kind in (types.ModuleType, types.MethodDescriptorType, types.WrapperDescriptorType):
        parts = []
    else:
        found = members(value)
        if found is None:
            return None
        parts = found
    answers = {has_words(part) for part in parts}
    return True if True in answers else (None if None in answers else False)


def is_plain(*values: Any) -> bool:
    """Whether values are compared by what they are made of, and by no code of a person."""
    for value in values:
        parts = members(value)
        if parts is None or not is_plain(*parts):
            return False
    return True


def orders_words(value: Any) -> bool:
    """Whether a value is a set whose order depends on which words are in it."""
    if type(value) not in (set, frozenset) or len(value) < 2:
        return False
    return any(has_words(item) is not False for item in value)


def freeze(value: Any) -> Any:
    """A key for a value: equal exactly where values are equal and of the same types.

    Raises:
        TypeError: If the value is of a kind that has no such key.
    """
    kind = type(value)
    if issubclass(kind, Opaque):
        return (kind, value.key)
    if kind is slice:
        return (slice, value.start, value.stop, value.step)
    if issubclass(kind, (list, tuple)):
        return (kind, *map(freeze, value))
    if issubclass(kind, dict):
        return (kind, *((freeze(key), freeze(item)) for key, item in value.items()))
    if issubclass(kind, (set, frozenset)):
        return (kind, frozenset(map(freeze, value)))
    parts = members(value)
    if parts is None:
        raise TypeError(f"values of {kind.__name__} are not compared by what they are")
    hash(value if not parts else None)
    return (kind, *map(freeze, parts)) if parts else (kind, value)


def replaced(value: Any, change: Callable[[Any], Any]) -> Any:
    """The same value with every scalar in it (of tuples, lists, dictionaries, sets) changed."""
    if hasattr(value, "_fields"):
        return type(value)(*(replaced(item, change) for item in value))
    if type(value) in (tuple, list, set, frozenset):
        return type(value)(replaced(item, change) for item in value)
    if type(value) is dict:
        return {replaced(key, change): replaced(item, change) for key, item in value.items()}
    return change(value)
