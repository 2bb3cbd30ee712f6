"""Words that a mechanism may compare and pass on, but not look into.

A causal model run with opaque words computes what it would for any other words of the same kind, or
it is noticed: equality and copying are all there is, comparing with a word that stands in the task
file is noted, and whatever else is done to a word (its length, a letter, its place in the alphabet)
raises :class:`WordInspection`, which is also noted, should a mechanism swallow the exception.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn


@dataclass(slots=True)
class WordWatch:
    """What was noticed while opaque words were used.

    Attributes:
        inspected: Words that were looked into.
        compared: Plain texts that opaque words were compared with.
        hashed: Whether an opaque word was looked up in a dictionary or a set, where it could meet
            plain texts unnoticed.
    """

    inspected: set[str] = field(default_factory=set)
    compared: set[str] = field(default_factory=set)
    hashed: bool = False


class WordInspection(BaseException):
    """A mechanism did to a word what depends on which word it is."""


class OpaqueWord:
    """Stands for a word. Two of them are equal if they are the same object."""

    __slots__ = ("_watch", "_word")

    def __init__(self, word: str, watch: WordWatch) -> None:
        self._word = word
        self._watch = watch

    def look(self, *_: Any, **__: Any) -> NoReturn:
        """Note that somebody wants to know which word it is.

        Raises:
            WordInspection: Always.
        """
        self._watch.inspected.add(self._word)
        raise WordInspection(self._word)

    # isinstance() says of an opaque word what it says of any word.
    __class__ = property(lambda self: str)

    def __eq__(self, other: object) -> bool:
        if type(other) is str:
            self._watch.compared.add(other)
            return self._word == other
        return self is other

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        self._watch.hashed = True
        return hash(self._word)

    def __bool__(self) -> bool:
        return True  # as of every word

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and not hasattr(str, name):
            raise AttributeError(name)  # as a word would; copy and pickle ask for such names
        self.look()

    def __copy__(self) -> OpaqueWord:
        return self

    def __deepcopy__(self, memo: object) -> OpaqueWord:
        return self

    __lt__ = __le__ = __gt__ = __ge__ = __len__ = __iter__ = __getitem__ = __contains__ = look
    __str__ = __repr__ = __format__ = __int__ = __float__ = __index__ = __reversed__ = look
    __add__ = __radd__ = __mul__ = __rmul__ = __mod__ = __rmod__ = __fspath__ = look
    __reduce_ex__ = look


def word_of(value: Any) -> str | None:
    """The word that an opaque word stands for; None of any other value."""
    return value._word if type(value) is OpaqueWord else None


def freeze(value: Any) -> Any:
    """A key for a value: equal exactly where values are equal and of the same types.

    Raises:
        TypeError: If the value is of a kind that has no such key.
    """
    kind = type(value)
    if kind is OpaqueWord:
        return (OpaqueWord, value._word)
    if issubclass(kind, (list, tuple)):
        return (kind, *map(freeze, value))
    if issubclass(kind, dict):
        return (kind, *((freeze(key), freeze(item)) for key, item in value.items()))
    if issubclass(kind, (set, frozenset)):
        return (kind, frozenset(map(freeze, value)))
    hash(value)
    return (kind, value)


def replaced(value: Any, change: Callable[[Any], Any]) -> Any:
    """The same value with every scalar in it (of tuples, lists, dictionaries, sets) changed."""
    if hasattr(value, "_fields"):
        return type(value)(*(replaced(item, change) for item in value))
    if type(value) in (tuple, list, set, frozenset):
        return type(value)(replaced(item, change) for item in value)
    if type(value) is dict:
        return {replaced(key, change): replaced(item, change) for key, item in value.items()}
    return change(value)


def texts_within(mechanisms: Iterable[Callable[..., Any]]) -> set[str]:
    """Every text that functions can reach: constants, defaults, closures, and globals they name."""
    found: set[str] = set()
    seen: set[int] = set()
    todo: list[Any] = list(mechanisms)
    while todo:
        value = todo.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if type(value) is str:
            found.add(value)
        else:
            todo += _parts(value)
    return found


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, (tuple, list, set, frozenset)):
        yield from value
    elif isinstance(value, dict):
        yield from value.keys()
        yield from value.values()
    elif isinstance(value, types.CodeType):
        yield from value.co_consts
    elif inspect.isfunction(value):
        function = inspect.unwrap(value)
        yield function.__code__
        yield from function.__defaults__ or ()
        yield from (cell.cell_contents for cell in function.__closure__ or ())
        names = set(_names(function.__code__))
        yield from (item for name, item in function.__globals__.items() if name in names)
    elif hasattr(value, "__dict__") and not isinstance(value, (type, types.ModuleType)):
        yield from vars(value).values()


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)
