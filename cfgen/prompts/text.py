"""Text that knows which stretches of it show which value, and who looks at the letters.

A template sees its string values as :class:`Text`. Whatever it does with them, the result either
still knows where each value is, or the template is refused: no span is ever guessed. And whatever
makes the outcome depend on the letters of a value (comparing them, branching on them, taking the
first) is noted, so that one run of a template tells which other values give the same but for these.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, SupportsIndex

from jinja2 import StrictUndefined, Undefined

Kind = Literal["value", "shown", "phrase"]
Change = Callable[[str], str]

MAX_LENGTH = 100_000
"""Characters a prompt may have; a longer one is a runaway loop."""

SAME_PLACE = frozenset({"upper", "lower", "capitalize", "title", "swapcase", "casefold"})
"""Operations that map every character to at least one: equal length means equal places."""

STRIPPING = frozenset({"trim", "strip", "lstrip", "rstrip"})
"""Operations that only cut characters off the ends."""


class Fault(Exception):
    """Something wrong inside a template, raised where the file and line are not known yet.

    Attributes:
        code: Code of the problem it becomes.
        message: What is wrong.
        hint: What to do about it.
    """

    def __init__(self, *, code: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.code, self.message, self.hint = code, message, hint


@dataclass(frozen=True, slots=True)
class Hole:
    """What stands in a stretch of text; another value of the same input could stand there instead.

    Attributes:
        input: Input that the value comes from.
        index: Which element of it, ``None`` if the input is the value itself.
        looked: Inputs whose letters somebody looked at; one set for a whole run of a template.
        changes: What was done to the value, in order.
    """

    input: str
    index: int | None
    looked: set[str]
    changes: tuple[Change, ...] = ()


class Mark(NamedTuple):
    """A span under construction: relative to the text it belongs to, and not yet numbered.

    Attributes:
        name: Name of the span.
        start: First character.
        end: Character after the last one.
        kind: ``value`` for a slot, ``phrase`` for a marked one, ``shown`` for another expression.
        hole: Which value it shows; ``None`` if its letters were looked at, or it shows no value.
    """

    name: str
    start: int
    end: int
    kind: Kind
    hole: Hole | None = None


class Text:
    """A string with marks.

    Python's own ``isinstance(x, str)`` holds for it, since Jinja asks that of values; but it is
    none, so that no code in C (``str.join``, ``in``, ``%``, ...) reads its letters unnoticed:
    where Jinja would let it, that is a ``TypeError`` instead of a wrong span or prompt.

    Attributes:
        letters: The string.
        marks: At least one, in text order and the outer before the inner.
        attributes: For a word of a lexicon that is a table: column -> from a word to its cell.
    """

    __slots__ = ("attributes", "letters", "marks")

    def __init__(
        self, letters: str, marks: tuple[Mark, ...], attributes: Mapping[str, Change] | None = None
    ) -> None:
        self.letters, self.marks, self.attributes = letters, marks, attributes or {}

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return str

    def look(self) -> str:
        """The letters, for something that depends on them."""
        for mark in self.marks:
            if mark.hole:
                mark.hole.looked.add(mark.hole.input)
        return self.letters

    def whole(self) -> bool:
        """Whether every mark covers the whole text, so that it can be changed as one value."""
        return all(mark.start == 0 and mark.end == len(self.letters) for mark in self.marks)

    def around(self, piece: str) -> Text:
        """A piece made of this text's letters, which were looked at, with all of its marks."""
        marks = (Mark(mark.name, 0, len(piece), mark.kind) for mark in self.marks)
        return Text(piece, tuple(marks))

    def cut(self, start: int, stop: int) -> str | Text:
        """Characters ``start`` to ``stop``, if that leaves every mark whole or drops it."""
        self.look()
        kept = []
        for mark in self.marks:
            if start <= mark.start and mark.end <= stop:
                moved = mark._replace(start=mark.start - start, end=mark.end - start, hole=None)
                kept.append(moved)
            elif mark.start < stop and start < mark.end:
                raise lost(f"cutting through {mark.name!r}")
        piece = self.letters[start:stop]
        return Text(piece, tuple(kept)) if kept else piece

    def __getitem__(self, key: SupportsIndex | slice) -> str | Text:
        letters = self.look()
        piece = letters[key]
        if self.whole():
            return self.around(piece)
        start, stop, step = (
            key.indices(len(letters))
            if isinstance(key, slice)
            else (int(key) % len(letters), int(key) % len(letters) + 1, 1)
        )
        if step != 1:
            raise lost("taking every n-th character")
        return self.cut(start, max(start, stop))

    def __iter__(self) -> Iterator[str | Text]:
        return (self[index] for index in range(len(self)))

    def __len__(self) -> int:
        return len(self.look())

    def __bool__(self) -> bool:
        return bool(self.look())

    def __contains__(self, piece: object) -> bool:
        return operator.contains(self.look(), look_at(piece))

    def __hash__(self) -> int:
        return hash(self.look())

    def __str__(self) -> str:
        return self.look()

    def __repr__(self) -> str:
        return repr(self.look())

    def attribute(self, column: str) -> Text:
        """What the lexicon says of the word that this is; a change of the word like any other.

        Raises:
            Fault: The lexicon does not have the word.
        """
        [mark] = self.marks
        change = self.attributes[column]
        try:
            cell = change(self.letters)
        except KeyError:
            message = f"{self.letters!r} is not in its lexicon, so it has no {column!r}"
            hint = "give the input a word of the lexicon, or add a line for it"
            raise Fault(code="template-undefined", message=message, hint=hint) from None
        changed = _changed(mark, len(cell), change)
        return Text(cell, (changed._replace(name=f"{mark.name}.{column}"),))

    @staticmethod
    def _comparison(compare: Callable[[Any, Any], bool]) -> Callable[[Text, object], bool]:
        return lambda self, other: compare(self.look(), look_at(other))

    __eq__ = _comparison(operator.eq)
    __ne__ = _comparison(operator.ne)
    __lt__ = _comparison(operator.lt)
    __le__ = _comparison(operator.le)
    __gt__ = _comparison(operator.gt)
    __ge__ = _comparison(operator.ge)

    def __getattr__(self, name: str) -> Any:
        """Methods of a string, for Jinja's own filters: ``lower`` before they compare."""
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.look(), name)


class Haystack(str):
    """A plain string that a :class:`Text` can be looked for in."""

    __slots__ = ()

    def __contains__(self, piece: object) -> bool:
        return operator.contains(str(self), look_at(piece))


def look_at(value: Any) -> Any:
    """A value with the letters of every text in it, all of which are looked at."""
    if isinstance(value, Text):
        return value.look()
    if isinstance(value, Mapping):
        return {look_at(key): look_at(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(map(look_at, value))
    if isinstance(value, (list, set, frozenset)):
        return type(value)(map(look_at, value))
    return value


def holds_text(value: Any) -> bool:
    """Whether a value is a text with marks, or holds some, however deep."""
    if isinstance(value, Text):
        return True
    if isinstance(value, Mapping):
        return any(holds_text(key) or holds_text(item) for key, item in value.items())
    return isinstance(value, (tuple, list, set, frozenset)) and any(map(holds_text, value))


def enclose(name: str, kind: Kind, text: str | Text) -> Text:
    """Put a span around a text.

    Raises:
        Fault: The text is empty.
    """
    letters, inner = text_parts(text)
    if not letters:
        raise empty(name)
    return Text(letters, (Mark(name, 0, len(letters), kind), *inner))


def text_parts(text: str | Text) -> tuple[str, tuple[Mark, ...]]:
    """Letters and marks, which a plain string has none of."""
    return (text.letters, text.marks) if isinstance(text, Text) else (text, ())


def glue(pieces: Iterable[str | Text]) -> str | Text:
    """Put pieces of text together; the marks move along.

    Raises:
        Fault: The result is too long.
    """
    letters: list[str] = []
    marks: list[Mark] = []
    length = 0
    for piece in pieces:
        word, inner = text_parts(piece)
        for name, start, end, kind, hole in inner:
            marks.append(Mark(name, start + length, end + length, kind, hole))
        letters.append(word)
        length += len(word)
        if length > MAX_LENGTH:
            raise too_long()
    text = "".join(letters)
    return Text(text, tuple(marks)) if marks else text


def apply(text: Text, name: str, function: Callable[[str], Any], *, changes: bool) -> Any:
    """Do something to a text and keep its marks.

    Args:
        text: What it is done to.
        name: Name of the filter or method.
        function: Takes the letters.
        changes: Whether it makes a string of any string, so that it can be done to another value.

    Returns:
        What ``function`` returned, with marks: if one value is the whole text, around all of the
        changed text; otherwise at their places, if the operation is known to keep them.

    Raises:
        Fault: The places are not known afterwards.
    """
    if text.whole() and changes:
        piece = function(text.letters)
        marks = tuple(_changed(mark, len(piece), function) for mark in text.marks)
        return Text(piece, marks)
    result = function(text.look())
    if text.whole():
        return _retag(result, text)
    if not isinstance(result, str):
        if isinstance(result, (bool, int, float)):
            return result
    elif name in SAME_PLACE and len(result) == len(text):
        marks = tuple(mark._replace(hole=None) for mark in text.marks)
        return Text(result, marks)
    elif name in STRIPPING and result:
        # The cut-off characters cannot start the result, so its first occurrence is its place.
        start = text.letters.index(result)
        return text.cut(start, start + len(result))
    elif name == "string":
        return text
    raise lost(f"{name!r} of a text that holds several parts")


def _changed(mark: Mark, length: int, change: Change) -> Mark:
    hole = mark.hole and replace(mark.hole, changes=(*mark.hole.changes, change))
    return Mark(mark.name, 0, length, mark.kind, hole)


def _retag(result: Any, text: Text) -> Any:
    """Put the marks of one value around every string of a result."""
    if isinstance(result, str):
        return text.around(result)
    if isinstance(result, (list, tuple)):
        return type(result)(_retag(item, text) for item in result)
    return result


def as_text(value: Any) -> str | Text:
    """A value as it is printed.

    Raises:
        Fault: It is not a string or a number.
    """
    if isinstance(value, str):  # or a Text
        return value
    if isinstance(value, (bool, int, float)):
        return str(value)
    if isinstance(value, StrictUndefined):
        str(value)  # raises, and says what does not exist
    if isinstance(value, Undefined):
        raise Fault(
            code="value-not-text",
            message="an inline `if` without `else` has no value where it does not hold",
            hint="use {% if %} around what may be left out",
        )
    # in words, without its memory address
    shown = "nothing (None)" if value is None else f"a {type(value).__name__}"
    raise Fault(
        code="value-not-text",
        message=f"{shown} is printed, which is not text",
        hint="print a string or a number; a sequence needs `| join(', ')` or a loop",
    )


def listed(value: Any) -> Any:
    """A one-time iterator as a list, anything else as it is."""
    return list(value) if isinstance(value, Iterator) else value


def guarded(function: Callable[..., Any], what: str) -> Callable[..., Any]:
    """Let a function refuse to turn text with marks into text without."""

    def call(*args: Any, **kwargs: Any) -> Any:
        args = tuple(listed(arg) for arg in args)
        if not holds_text((args, kwargs)):
            return function(*args, **kwargs)
        result = function(*look_at(args), **look_at(kwargs))
        if isinstance(result, (bool, int, float)):
            return result
        raise lost(what)

    return call


def lost(what: str) -> Fault:
    """The fault of an operation after which nobody knows where the values are."""
    return Fault(
        code="span-lost",
        message=f"after {what}, the places of the values in the text are no longer known",
        hint="do it to each value by itself, such as {{ x | replace('a', 'b') }}, "
        "and put values together with ~ or join",
    )


def empty(name: str) -> Fault:
    """The fault of a value or phrase without text."""
    return Fault(
        code="empty-text",
        message=f"{name!r} renders as empty text, so it has no place in the prompt",
        hint="put {% if %} around what may be empty",
    )


def too_long() -> Fault:
    """The fault of a runaway template."""
    return Fault(
        code="prompt-too-long",
        message=f"the text is longer than {MAX_LENGTH:,} characters",
        hint="look for a loop that repeats more than it should",
    )
