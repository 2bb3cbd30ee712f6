"""What rendering returns: the text, and where every value and phrase landed in it.

A position expression says which spans of a prompt are meant, and which of their tokens:
``[within/]name[[index]][.part]``, or ``[within/]name[[index]]+offset``. ``item_1`` is every
mention, ``item_1[0]`` the first, ``item_1[-1]`` the last, ``story/item_1`` the mentions inside the
phrase ``story``. Of each mention its last token is meant; ``item_1.first`` is the first and
``item_1.all`` means all of them. ``item_1+2`` is the second token after the last one. The name of
an attribute has a dot of its own: ``country.capital``, ``country.capital[0].all``. Two expressions
name no span: ``last``, the last token of the prompt, and ``every``, all of its tokens.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeAlias, cast, get_args

from cfgen.errors import CfgenError, Problem, did_you_mean, shortened

Offsets: TypeAlias = Sequence[tuple[int, int]]
"""Per token, the characters that it stands for (end exclusive); empty for a special token."""
Encoding: TypeAlias = tuple[Sequence[int], Offsets]
"""Token ids of a text, and its offsets."""
Encode: TypeAlias = Callable[[str], Encoding]
"""A tokenizer, as far as those who know no LM need it."""

LAST = "last"
"""The position expression that names the last token of the prompt."""
EVERY = "every"
"""The position expression that names all tokens of the prompt."""
WHOLE_PROMPT = (LAST, EVERY)
"""The position expressions that name no span."""
Part: TypeAlias = Literal["first", "last", "all"]
"""Which tokens of a span are meant."""
PARTS: tuple[Part, ...] = get_args(Part)

_GRAMMAR = re.compile(
    r"(?:(?P<within>[^\W\d]\w*)/)?"
    r"(?P<name>[^\W\d]\w*(?:\.(?!(?:first|last|all)\b)[^\W\d]\w*)?)(?:\[(?P<index>-?\d{1,9})\])?"
    r"(?:\.(?P<part>first|last|all)|\+(?P<offset>\d{1,9}))?"
)


class Span(NamedTuple):
    """A stretch of a prompt that shows one value, or that a template marked as a phrase.

    A named tuple rather than a dataclass because datasets are made of millions of them.

    Attributes:
        name: Slot, phrase or (for other printed expressions) name found from the expression.
        mention: How many spans of this name come before it in the text; counts from 0.
        start: First character, counted from the start of the prompt.
        end: Character after the last one.
    """

    name: str
    mention: int
    start: int
    end: int


@dataclass(frozen=True, slots=True, repr=False)
class Prompt:
    """A rendered template.

    Attributes:
        text: What the language model reads. Neither starts nor ends in whitespace.
        spans: Every span, sorted by ``(start, -end)``: in text order, the outer before the inner.
    """

    text: str
    spans: tuple[Span, ...]

    def __repr__(self) -> str:
        shown = self.text if len(self.text) < 80 else f"{self.text[:76]}..."
        return shortened(f"Prompt({shown!r}, {len(self.spans)} spans)")


@dataclass(frozen=True, slots=True)
class Position:
    """A parsed position expression.

    Attributes:
        within: Phrase the mentions have to lie in, ``None`` for the whole prompt.
        name: Span that is meant.
        index: Which of its mentions, negative counts from the end; ``None`` for all.
        part: Which of the span's tokens.
        offset: How many tokens after the span's last token; 0 for the span itself.
    """

    within: str | None
    name: str
    index: int | None
    part: Part = "last"
    offset: int = 0

    def __str__(self) -> str:
        """The expression, as short as it can be written."""
        within = f"{self.within}/" if self.within else ""
        index = "" if self.index is None else f"[{self.index}]"
        part = "" if self.part == "last" else f".{self.part}"
        offset = f"+{self.offset}" if self.offset else ""
        return f"{within}{self.name}{index}{part}{offset}"


def parse_position(text: str) -> Position:
    """Read a position expression.

    Args:
        text: For example ``item_1``, ``item_1[-1].all``, ``story/item_1[0]`` or ``item_1[0]+1``.

    Returns:
        Its parts.

    Raises:
        CfgenError: It does not follow the grammar.
    """
    match = _GRAMMAR.fullmatch(text)
    if match is None:
        raise CfgenError(
            Problem(
                "position-syntax",
                f"{text!r} is not a position",
                hint="write name, name[index] or phrase/name[index], then perhaps .first, .last, "
                ".all or +tokens, such as item_1[0].all",
            )
        )
    index, offset = match["index"], match["offset"]
    return Position(
        within=match["within"],
        name=match["name"],
        index=None if index is None else int(index),
        part=cast(Part, match["part"] or "last"),
        offset=int(offset or 0),
    )


def whole_spans(text: str) -> str:
    """A position expression that means all tokens of its spans, if it doesn't say which.

    What is held at its own values has to be held whole: a name whose first token is left free
    would carry the change past the others. An expression that cannot be read stays as it is.

    Args:
        text: For example ``item_1``, which becomes ``item_1.all``.
    """
    match = _GRAMMAR.fullmatch(text)
    if match is None or text in WHOLE_PROMPT or match["part"] or match["offset"]:
        return text
    return str(replace(parse_position(text), part="all"))


def find_spans(prompt: Prompt, position: Position | str) -> tuple[Span, ...]:
    """Find the spans a position expression means in a prompt.

    Args:
        prompt: A rendered prompt.
        position: The expression, parsed or not. Part and offset are left to the caller, and
            ``last`` and ``every`` are span names like any other here.

    Returns:
        At least one span, in text order; exactly one if the expression has an index.

    Raises:
        CfgenError: The prompt has no such span, phrase or mention, or the expression is malformed.
    """
    if isinstance(position, str):
        position = parse_position(position)
    spans = _named(prompt, position.name)
    if position.within is not None:
        phrases = _named(prompt, position.within)
        spans = tuple(
            span
            for span in spans
            if any(
                phrase.start <= span.start and span.end <= phrase.end and span is not phrase
                for phrase in phrases
            )
        )
    if position.index is None and spans:
        return spans
    try:
        return (spans[position.index or 0],)
    except IndexError:
        place = f" inside {position.within!r}" if position.within is not None else ""
        raise CfgenError(
            Problem(
                "position-mention",
                f"mention {position.index or 0} of {position.name!r}{place} was asked for, "
                f"but the prompt has {len(spans)}{place}",
                hint="mentions count from 0, and from -1 backwards",
                detail=prompt.text,
            )
        ) from None


def tokens_over(offsets: Offsets, start: int, end: int) -> tuple[int, ...]:
    """Positions of the tokens that overlap the characters ``start`` to ``end`` (exclusive).

    Those between two of them belong to them, too: of a token that is a space alone, many tokenizers
    say that it stands for no character.
    """
    inside = [
        index
        for index, (first, past) in enumerate(offsets)
        if first < past and first < end and start < past
    ]
    return tuple(range(inside[0], inside[-1] + 1)) if inside else ()


def part_of(tokens: tuple[int, ...], part: Part) -> tuple[int, ...]:
    """Those of a span's tokens that are meant.

    Args:
        tokens: All tokens of the span, in order.
        part: Which of them.
    """
    if part == "all":
        return tokens
    return tokens[:1] if part == "first" else tokens[-1:]


def _named(prompt: Prompt, name: str) -> tuple[Span, ...]:
    """All spans of one name; an error if there is none."""
    spans = tuple(span for span in prompt.spans if span.name == name)
    if not spans:
        names = {span.name for span in prompt.spans}
        value, dot, attribute = name.partition(".")
        hint = did_you_mean(name, names)
        if dot and value in names and not any(one.startswith(f"{value}.") for one in names):
            parts = ", ".join(f".{part}" for part in PARTS)
            hint = f"{attribute!r} is no attribute shown; of its tokens there are {parts}"
        raise CfgenError(
            Problem(
                "position-unknown",
                f"the prompt has no span named {name!r}",
                hint=hint,
                detail=prompt.text,
            )
        )
    return spans
