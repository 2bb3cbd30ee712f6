"""Rendering many prompts of one template quickly: literal pieces and holes, found out once.

The template is run once with :class:`~cfgen.prompts.opaque.Opaque` values. If all it does with them
is to show them, the outcome is a list of literal pieces and holes that holds for all values, and a
prompt is a join plus additions. Inputs that the template looks at are remembered, and a list is
made for each of their values instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate
from typing import Any

from cfgen.prompts.opaque import Change, Close, Opaque, Part, Slot, Watch, parts_of
from cfgen.prompts.spans import Prompt, Span
from cfgen.prompts.text import MAX_LENGTH, Kind

MAX_KEYS = 4096
"""Lists kept per template; beyond, prompts are rendered the plain way."""

Place = tuple[int, int]
"""Number of a piece, and characters from its start."""

_span = partial(tuple.__new__, Span)


@dataclass(frozen=True, slots=True)
class Segments:
    """What a template yields for given values of the inputs it looks at.

    Attributes:
        pieces: Literal text and, at every second place, nothing where a value goes.
        holes: For every value, its input and its element.
        changes: Numbers of the holes whose values are changed, and how.
        names: Name of every span.
        mentions: Mention of every span.
        starts: Where every span starts.
        ends: Where it ends.
    """

    pieces: tuple[str, ...]
    holes: tuple[tuple[str, int | None], ...]
    changes: tuple[tuple[int, tuple[Change, ...]], ...]
    names: tuple[str, ...]
    mentions: tuple[int, ...]
    starts: tuple[Place, ...]
    ends: tuple[Place, ...]

    def fill(self, inputs: Mapping[str, Any]) -> Prompt | None:
        """Put values in.

        Args:
            inputs: The values.

        Returns:
            The prompt; ``None`` if there is anything to complain about, which the plain way does.
        """
        words = [
            inputs[name] if index is None else inputs[name][index] for name, index in self.holes
        ]
        try:
            for number, changes in self.changes:
                for change in changes:
                    words[number] = change(words[number])
        except Exception:  # whatever it is, the plain way says it better
            return None
        if not all(words):
            return None
        pieces = list(self.pieces)
        pieces[1::2] = words
        text = "".join(pieces)
        if text[0].isspace() or text[-1].isspace() or len(text) > MAX_LENGTH:
            return None
        at = list(accumulate(map(len, pieces), initial=0))
        starts = [at[piece] + offset for piece, offset in self.starts]
        ends = [at[piece] + offset for piece, offset in self.ends]
        spans = zip(self.names, self.mentions, starts, ends, strict=True)
        return Prompt(text, tuple(map(_span, spans)))


@dataclass(slots=True)
class Plan:
    """What is known so far about rendering one template.

    Attributes:
        keyed: Text inputs whose values the template looks at.
        known: For every combination of looked-at values, its segments; ``None`` if there are none.
    """

    keyed: set[str] = field(default_factory=set)
    known: dict[tuple[Any, ...], Segments | None] = field(default_factory=dict)

    def key(self, names: Sequence[str], inputs: Mapping[str, Any]) -> tuple[Any, ...] | None:
        """Everything the outcome depends on but the values of the holes.

        Returns:
            Types of all inputs and values of the looked-at ones, ``None`` if a value is of a type
            that is not compared exactly.
        """
        key: list[Any] = []
        for name in names:
            value = inputs[name]
            kind = value.__class__
            if kind is str:
                key.append(value if name in self.keyed else str)
            elif kind is int or kind is bool or value is None:
                key += (kind, value)
            elif kind is tuple:
                kinds = tuple([item.__class__ for item in value])
                key.append(kinds)
                if name in self.keyed or not _all_text(kinds):
                    if not _EXACT.issuperset(kinds):
                        return None
                    key.append(value)
            else:
                return None
        return tuple(key)

    def is_hole(self, name: str, value: Any) -> bool:
        """Whether a value is left open."""
        if name in self.keyed:
            return False
        return value.__class__ is str or (
            value.__class__ is tuple and _all_text([item.__class__ for item in value])
        )


_EXACT = frozenset({str, int, bool, type(None)})


def _all_text(kinds: Sequence[type]) -> bool:
    return kinds.count(str) == len(kinds)


def find_segments(plan: Plan, run: Callable[[Watch], str | Opaque]) -> Segments | None:
    """Run a template symbolically.

    Args:
        plan: Learns which inputs the template looks at.
        run: Runs the template with opaque values that report to the watch.

    Returns:
        Its segments; ``None`` if there are none, either because inputs were newly found to be
        looked at (then ``plan.keyed`` has grown), or because something is wrong with the template.
    """
    watch = Watch()
    try:
        result = run(watch)
    except Exception:  # whatever it is, the plain way says it better
        result = ""
    if watch.inputs:
        plan.keyed |= watch.inputs
        plan.known.clear()
        return None
    return _segments(parts_of(result))


def _segments(parts: Sequence[Part]) -> Segments | None:
    """Lay out parts; ``None`` if the plain way has something to complain about."""
    pieces = [""]  # literal, hole, literal, ..., hole, literal
    holes: list[Slot] = []
    names: list[str] = []
    mentions: list[int] = []
    starts: list[Place] = []
    ends: list[Place] = []
    unclosed: list[int] = []
    kinds: dict[str, Kind] = {}
    for part in parts:
        here = (len(pieces) - 1, len(pieces[-1]))
        if isinstance(part, str):
            pieces[-1] += part
        elif isinstance(part, Close):
            ends[unclosed.pop()] = here
        else:
            if kinds.setdefault(part.name, part.kind) != part.kind:
                return None
            mentions.append(names.count(part.name))
            names.append(part.name)
            starts.append(here)
            ends.append((len(pieces) + 1, 0))
            if isinstance(part, Slot):
                holes.append(part)
                pieces += ("", "")
            else:
                unclosed.append(len(ends) - 1)
    if pieces == [""] or any(start == end for start, end in zip(starts, ends, strict=True)):
        return None
    return Segments(
        pieces=tuple(pieces),
        holes=tuple((slot.input, slot.index) for slot in holes),
        changes=tuple((n, slot.changes) for n, slot in enumerate(holes) if slot.changes),
        names=tuple(names),
        mentions=tuple(mentions),
        starts=tuple(starts),
        ends=tuple(ends),
    )
