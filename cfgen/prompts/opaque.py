"""Values a template may show but not look at: how a template is run once for many values.

A template run with :class:`Opaque` values yields literal pieces and holes. Whatever would make the
outcome depend on a value (comparing it, branching on it, taking its first letter) is noticed, even
if something in between swallows the exception.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NoReturn

from cfgen.prompts.text import Kind, Text, plain

Change = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Slot:
    """A hole for one value.

    Attributes:
        input: Input the value comes from.
        index: Which element of it, ``None`` if the input is the value itself.
        name: Name of its span.
        changes: What is done to the value before it is shown, in order.
    """

    kind: ClassVar[Kind] = "value"
    input: str
    index: int | None
    name: str
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class Open:
    """Start of a span that holds other parts.

    Attributes:
        name: Name of the span.
        kind: See :class:`~cfgen.prompts.text.Mark`.
    """

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Close:
    """End of the span that was opened last."""


Part = str | Slot | Open | Close


@dataclass(slots=True)
class Watch:
    """What one symbolic run noticed.

    Attributes:
        inputs: Inputs whose values were looked at.
    """

    inputs: set[str] = field(default_factory=set)


class Observed(Exception):
    """A template looked at a value that it should only show."""


class Opaque:
    """A text made of literal pieces and holes. Not a string, so nothing takes it for one.

    Attributes:
        parts: Literal pieces, holes, and starts and ends of spans.
        watch: Where it is noted if somebody looks.
    """

    __slots__ = ("parts", "watch")

    def __init__(self, parts: tuple[Part, ...], watch: Watch) -> None:
        self.parts = parts
        self.watch = watch

    def observe(self, *_: Any) -> NoReturn:
        """Note that the outcome depends on these values.

        Raises:
            Observed: Always.
        """
        self.watch.inputs.update(part.input for part in self.parts if isinstance(part, Slot))
        raise Observed

    def changed(self, change: Change) -> Opaque:
        """The same hole with one more thing to do to the value; looks if it is not one hole."""
        if len(self.parts) == 1 and isinstance(slot := self.parts[0], Slot):
            return Opaque((replace(slot, changes=(*slot.changes, change)),), self.watch)
        self.observe()

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = observe
    __hash__ = __bool__ = __len__ = __iter__ = __getitem__ = __contains__ = observe
    __str__ = __repr__ = __format__ = __int__ = __float__ = __index__ = observe
    __add__ = __radd__ = __mul__ = __rmul__ = __mod__ = __rmod__ = __call__ = observe


def parts_of(text: str | Opaque) -> tuple[Part, ...]:
    """Any text as parts: the marks of a :class:`Text` become starts and ends of spans."""
    if isinstance(text, Opaque):
        return text.parts
    if not isinstance(text, Text):
        return (text,) if text else ()
    parts: list[Part] = []
    ends: list[int] = []
    at, letters = 0, plain(text)
    for mark in text.marks:
        while ends and ends[-1] <= mark.start:
            at = _upto(parts, letters, at, ends.pop())
            parts.append(Close())
        at = _upto(parts, letters, at, mark.start)
        parts.append(Open(mark.name, mark.kind))
        ends.append(mark.end)
    while ends:
        at = _upto(parts, letters, at, ends.pop())
        parts.append(Close())
    _upto(parts, letters, at, len(letters))
    return tuple(parts)


def _upto(parts: list[Part], letters: str, at: int, stop: int) -> int:
    """Append the literal piece from ``at`` to ``stop``, if any; return ``stop``."""
    if at < stop:
        parts.append(letters[at:stop])
    return stop
