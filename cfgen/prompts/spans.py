"""What rendering returns: the text, and where every value and phrase landed in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


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


@dataclass(frozen=True, slots=True)
class Prompt:
    """A rendered template.

    Attributes:
        text: What the language model reads. Neither starts nor ends in whitespace.
        spans: Every span, sorted by ``(start, -end)``: in text order, the outer before the inner.
    """

    text: str
    spans: tuple[Span, ...]
