"""Position expressions as token positions, by the characters that each token stands for."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cfgen.errors import CfgenError, Problem
from cfgen.lm.tokens import Encoded
from cfgen.prompts import Span
from cfgen.prompts.positions import Position, find_spans, parse_position

LAST = "last"
"""The position expression that names the last token of the prompt."""


@dataclass(frozen=True, slots=True)
class Located:
    """Where one mention of a position expression landed.

    Attributes:
        expression: The position expression.
        tokens: Token positions that are meant, in order.
        context: Token positions that, decoded, must read as ``text``; the same as ``tokens``
            except for ``+k``, where the slot's tokens come along.
        text: The characters that ``context`` stands for, without surrounding space.
    """

    expression: str
    tokens: tuple[int, ...]
    context: tuple[int, ...]
    text: str


def locate(encoded: Encoded, expression: str) -> tuple[Located, ...]:
    """Find the token positions of a position expression.

    A token that overlaps the span belongs to it, so the leading space that many tokenizers put
    into a word's token makes no difference. ``last`` is the prompt's last token; ``x+k`` is the
    k-th token after the last token of ``x``.

    Args:
        encoded: The tokenised prompt.
        expression: For example ``last``, ``item_1[0]``, ``story/item_1``, ``item_1[0]+1``.

    Returns:
        One record per mention, in the order of the text.

    Raises:
        CfgenError: As :func:`~cfgen.prompts.positions.find_spans`; a span without a token
            (``span-without-token``); ``+k`` beyond the prompt (``position-past-end``).
    """
    if expression == LAST:
        return (_last(encoded),)
    position = parse_position(expression)
    spans = find_spans(encoded.prompt, replace(position, offset=0))
    return tuple(_of_span(encoded, expression, position, span) for span in spans)


def span_tokens(encoded: Encoded, start: int, end: int) -> tuple[int, ...]:
    """Positions of the tokens that overlap the characters ``start`` to ``end`` (exclusive)."""
    return tuple(
        index
        for index, (first, past) in enumerate(encoded.offsets)
        if first < past and first < end and start < past
    )


def _last(encoded: Encoded) -> Located:
    start, end = encoded.offsets[-1]
    # A byte-level token may be a part of a character: decode all tokens of these characters.
    context = span_tokens(encoded, start, end)
    return Located(LAST, (len(encoded) - 1,), context, encoded.prompt.text[start:end].strip())


def _of_span(encoded: Encoded, expression: str, position: Position, span: Span) -> Located:
    text = encoded.prompt.text
    tokens = span_tokens(encoded, span.start, span.end)
    if not tokens:
        message = f"{expression!r} is {text[span.start : span.end]!r}, which has no token"
        hint = "mark a span that shows some text"
        raise CfgenError(Problem("span-without-token", message, hint=hint))
    if not position.offset:
        return Located(expression, tokens, tokens, text[span.start : span.end].strip())
    after = tokens[-1] + position.offset
    if after >= len(encoded):
        message = f"{expression!r} is {after - len(encoded) + 1} tokens past the end of the prompt"
        raise CfgenError(Problem("position-past-end", message, hint="use a smaller offset"))
    end = encoded.offsets[after][1]
    whole = span_tokens(encoded, span.start, end)
    return Located(expression, (after,), whole, text[span.start : end].strip())
