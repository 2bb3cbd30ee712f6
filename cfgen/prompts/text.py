"""Text that knows which stretches of it show which value.

A template's string values are :class:`Text`: whatever a template does with them, the result either
still knows where each value is or the template is refused. No span is ever guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, NamedTuple, SupportsIndex

Kind = Literal["value", "shown", "phrase"]

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

    def __init__(self, *, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.hint = code, message, hint


class Mark(NamedTuple):
    """A span under construction: relative to the text it belongs to, and not yet numbered.

    Attributes:
        name: Name of the span.
        start: First character.
        end: Character after the last one.
        kind: ``value`` for a slot, ``phrase`` for a marked one, ``shown`` for another expression.
    """

    name: str
    start: int
    end: int
    kind: Kind


class Text(str):
    """A string with marks, in text order and the outer before the inner.

    Attributes:
        marks: At least one.
    """

    __slots__ = ("marks",)
    marks: tuple[Mark, ...]

    def __new__(cls, text: str, marks: tuple[Mark, ...]) -> Text:  # noqa: D102
        self = super().__new__(cls, text)
        self.marks = marks
        return self

    def __str__(self) -> str:
        return self

    def __getitem__(self, key: SupportsIndex | slice) -> str:
        piece = str.__getitem__(self, key)
        if covers(self):
            return Text(piece, moved_to(piece, self))
        start, stop, step = (
            key.indices(len(self))
            if isinstance(key, slice)
            else (int(key) % len(self), int(key) % len(self) + 1, 1)
        )
        if step != 1:
            raise lost("taking every n-th character")
        return cut(self, start, max(start, stop))

    def __iter__(self) -> Iterator[str]:
        return (self[index] for index in range(len(self)))

    def __add__(self, other: str) -> str:
        return join_texts((self, other)) if isinstance(other, str) else NotImplemented

    def __radd__(self, other: str) -> str:
        return join_texts((other, self)) if isinstance(other, str) else NotImplemented

    def __mul__(self, times: SupportsIndex) -> str:
        return join_texts(self for _ in range(int(times)))

    __rmul__ = __mul__


def plain(text: str) -> str:
    """The same characters without marks."""
    return str.__str__(text)


def value_text(name: str, text: str) -> Text:
    """The text of a slot, as a template sees it."""
    return Text(text, (Mark(name, 0, len(text), "value"),))


def marked(name: str, kind: Kind, text: str) -> Text:
    """The text with one more mark, around all of it."""
    inner = text.marks if isinstance(text, Text) else ()
    return Text(plain(text), (Mark(name, 0, len(text), kind), *inner))


def covers(text: Text) -> bool:
    """Whether every mark covers the whole text, so that it can be changed as one value."""
    return all(mark.start == 0 and mark.end == len(text) for mark in text.marks)


def moved_to(piece: str, text: Text) -> tuple[Mark, ...]:
    """The marks of a text, all around ``piece``."""
    return tuple(Mark(mark.name, 0, len(piece), mark.kind) for mark in text.marks)


def lost(what: str) -> Fault:
    """The fault of an operation after which nobody knows where the values are."""
    return Fault(
        code="span-lost",
        message=f"after {what}, the places of the values in the text are no longer known",
        hint="do it to each value by itself, such as {{ x | replace('a', 'b') }}, "
        "and put values together with ~ or join",
    )


def cut(text: Text, start: int, stop: int) -> str:
    """Characters ``start`` to ``stop``, if that leaves every mark whole or drops it."""
    kept = []
    for mark in text.marks:
        if start <= mark.start and mark.end <= stop:
            kept.append(mark._replace(start=mark.start - start, end=mark.end - start))
        elif mark.start < stop and start < mark.end:
            raise lost(f"cutting through {mark.name!r}")
    piece = plain(text)[start:stop]
    return Text(piece, tuple(kept)) if kept else piece


def apply(text: Text, name: str, function: Callable[[str], Any]) -> Any:
    """Do something to a text and keep its marks.

    Args:
        text: What it is done to.
        name: Name of the filter or method.
        function: Takes the plain text.

    Returns:
        What ``function`` returned, with marks: if one value is the whole text, around all of the
        changed text; otherwise at their places, if the operation is known to keep them.

    Raises:
        Fault: The places are not known afterwards.
    """
    result = function(plain(text))
    if covers(text):
        return _retag(result, text)
    if not isinstance(result, str):
        if isinstance(result, (bool, int, float)):
            return result
    elif name in SAME_PLACE and len(result) == len(text):
        return Text(result, text.marks)
    elif name in STRIPPING and result:
        # The cut-off characters cannot start the result, so its first occurrence is its place.
        start = plain(text).index(result)
        return cut(text, start, start + len(result))
    elif name == "string":
        return text
    raise lost(f"{name!r} of a text that holds several parts")


def _retag(result: Any, text: Text) -> Any:
    """Put the marks of one value around every string of a result."""
    if isinstance(result, str):
        return Text(result, moved_to(result, text))
    if isinstance(result, (list, tuple)):
        return type(result)(_retag(item, text) for item in result)
    return result


def join_texts(parts: Iterable[str]) -> str:
    """Put texts together; the marks move along.

    Raises:
        Fault: The result is too long.
    """
    pieces: list[str] = []
    marks: list[Mark] = []
    length = 0
    for part in parts:
        if isinstance(part, Text):
            for name, start, end, kind in part.marks:
                marks.append(Mark(name, start + length, end + length, kind))
        pieces.append(part)
        length += len(part)
        if length > MAX_LENGTH:
            raise too_long()
    text = "".join(pieces)
    return Text(text, tuple(marks)) if marks else text


def too_long() -> Fault:
    """The fault of a runaway template."""
    return Fault(
        code="prompt-too-long",
        message=f"the text is longer than {MAX_LENGTH:,} characters",
        hint="look for a loop that repeats more than it should",
    )
