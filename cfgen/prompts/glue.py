"""Putting texts, holes and numbers together, and finding out whether a value holds any text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from jinja2 import StrictUndefined, Undefined

from cfgen.prompts.opaque import Close, Opaque, Open, Part, Watch, parts_of
from cfgen.prompts.text import MAX_LENGTH, Fault, Kind, Text, join_texts, lost, marked, too_long

MAX_PARTS = 20_000
"""Pieces that a symbolic run may yield; a template with more is rendered the plain way."""


def glue(pieces: Iterable[str | Opaque]) -> str | Opaque:
    """Put pieces of text together, keeping every mark and every hole.

    Raises:
        Fault: The result is too long.
    """
    texts: list[str] = []
    parts: list[Part] = []
    watch: Watch | None = None
    length = 0
    for piece in pieces:
        if isinstance(piece, Opaque):
            if watch is None:
                watch = piece.watch
                parts.extend(parts_of(join_texts(texts)))
            parts.extend(piece.parts)
        elif watch is None:
            texts.append(piece)
            length += len(piece)
        else:
            parts.extend(parts_of(piece))
            length += len(piece)
        if length > MAX_LENGTH or len(parts) > MAX_PARTS:
            raise too_long()
    return join_texts(texts) if watch is None else Opaque(tuple(parts), watch)


def as_text(value: Any) -> str | Opaque:
    """A value as it is printed.

    Raises:
        Fault: It is not a string or a number.
    """
    if isinstance(value, (str, Opaque)):
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
    raise Fault(
        code="value-not-text",
        message=f"{_describe(value)} is printed, which is not text",
        hint="print a string or a number; a sequence needs `| join(', ')` or a loop",
    )


def _describe(value: Any) -> str:
    """A value in words, without its memory address."""
    if value is None:
        return "nothing (None)"
    return f"a {type(value).__name__}"


def enclose(name: str, kind: Kind, text: str | Opaque) -> str | Opaque:
    """Put a span around a text.

    Raises:
        Fault: The text is empty.
    """
    if isinstance(text, Opaque):
        return Opaque((Open(name, kind), *text.parts, Close()), text.watch)
    if not text:
        raise empty(name)
    return marked(name, kind, text)


def empty(name: str) -> Fault:
    """The fault of a value or phrase without text."""
    return Fault(
        code="empty-text",
        message=f"{name!r} renders as empty text, so it has no place in the prompt",
        hint="put {% if %} around what may be empty",
    )


def holds_text(value: Any) -> bool:
    """Whether a value is text with marks or holes, or holds some."""
    return any(True for _ in texts_in(value))


def texts_in(value: Any) -> Iterator[Text | Opaque]:
    """Every text with marks or holes in a value, however deep."""
    if isinstance(value, (Text, Opaque)):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from texts_in(key)
            yield from texts_in(item)
    elif isinstance(value, (tuple, list, set, frozenset)):
        for item in value:
            yield from texts_in(item)


def observe_all(*values: Any) -> None:
    """Note that the outcome depends on every hole among the values, if there is one."""
    holes = [text for value in values for text in texts_in(value) if isinstance(text, Opaque)]
    for hole in holes[1:]:
        hole.watch.inputs.update(_inputs(hole))
    if holes:
        holes[0].observe()


def _inputs(hole: Opaque) -> set[str]:
    """Inputs of a hole."""
    return {part.input for part in hole.parts if not isinstance(part, (str, Open, Close))}


def listed(value: Any) -> Any:
    """A one-time iterator as a list, anything else as it is."""
    return list(value) if isinstance(value, Iterator) else value


def guarded(function: Callable[..., Any], what: str) -> Callable[..., Any]:
    """Let a function refuse to turn text with marks into text without."""

    def call(*args: Any, **kwargs: Any) -> Any:
        args = tuple(listed(arg) for arg in args)
        if not holds_text((args, kwargs)):
            return function(*args, **kwargs)
        observe_all(args, kwargs)
        result = function(*args, **kwargs)
        if isinstance(result, (bool, int, float)):
            return result
        raise lost(what)

    return call
