"""Prompts as token ids, and where in them a position expression lands.

Every token keeps the characters that it
stands for. What all candidate answers begin with is fed, that is, appended to the prompt, so that
its last token is the one behind which answers are told apart. Nothing here needs torch: lint reads
it, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cfgen.counterfactuals import Pair, Side, Site
from cfgen.errors import CfgenError, Problem
from cfgen.lm.answers import AnswerTree
from cfgen.lm.components import COMPONENTS
from cfgen.prompts import (
    EVERY,
    LAST,
    WHOLE_PROMPT,
    Position,
    Prompt,
    Span,
    find_spans,
    parse_position,
    part_of,
    tokens_over,
)


@dataclass(frozen=True, slots=True)
class PromptTokens:
    """A prompt as the LM sees it.

    Attributes:
        prompt: The text and its spans, as the LM reads them.
        ids: Token ids, special tokens that the tokenizer puts in front included, and those that are
            fed at the end.
        offsets: Per token the characters of the text that it stands for, end exclusive; empty for a
            special token, and for one that is fed.
        fed: How many of the last tokens are fed: what all candidate answers begin with.
    """

    prompt: Prompt
    ids: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]
    fed: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def unfed(self) -> int:
        """How many tokens the prompt has by itself."""
        return len(self.ids) - self.fed


@dataclass(frozen=True, slots=True)
class PairTokens:
    """A pair as token ids.

    Attributes:
        pair: The pair.
        original: The original's prompt.
        counterfactual: The counterfactual's prompt.
        original_tree: How what the LM says after the original is read, edited or not.
        counterfactual_tree: How what it says after the counterfactual is read.
    """

    pair: Pair
    original: PromptTokens
    counterfactual: PromptTokens
    original_tree: AnswerTree
    counterfactual_tree: AnswerTree


@dataclass(frozen=True, slots=True)
class TokenSpan:
    """Where one mention of a position expression landed.

    Attributes:
        expression: The position expression.
        tokens: Token positions that are meant, in order.
        context: Token positions that, decoded, must read as ``text``; the same as ``tokens``
            except that all tokens of a span come along, of which some are meant or counted from.
        text: The characters that ``context`` stands for, without surrounding space.
    """

    expression: str
    tokens: tuple[int, ...]
    context: tuple[int, ...]
    text: str


def locate(encoded: PromptTokens, expression: str) -> tuple[TokenSpan, ...]:
    """Find the token positions of a position expression.

    A token that overlaps the span belongs to it, so the leading space that many tokenizers put
    into a word's token makes no difference. Of several tokens of a span the last one is meant, the
    first with ``x.first``, and all with ``x.all``; ``x+k`` is the k-th token after the last one.
    ``last`` is the last token that is read before answers are told apart, be it the prompt's own
    or fed, and ``every`` stands for all tokens that are read.

    Args:
        encoded: The tokenised prompt.
        expression: For example ``last``, ``item_1[0]``, ``story/item_1.all``, ``item_1[0]+1``.

    Returns:
        One record per mention, in the order of the text.

    Raises:
        CfgenError: As :func:`~cfgen.prompts.find_spans`; a span without a token
            (``span-without-token``); ``+k`` beyond the prompt (``position-past-end``).
    """
    if expression == LAST:
        return (_last(encoded),)
    if expression == EVERY:
        return (_every(encoded),)
    position = parse_position(expression)
    spans = find_spans(encoded.prompt, replace(position, offset=0))
    return tuple(_of_span(encoded, expression, position, span) for span in spans)


def _last(encoded: PromptTokens) -> TokenSpan:
    start, end = encoded.offsets[encoded.unfed - 1]
    # What is fed stands for no text: it is known by what comes before it. A byte-level token may
    # be a part of a character: decode all tokens of these characters.
    context = tokens_over(encoded.offsets, start, end)
    return TokenSpan(LAST, (len(encoded) - 1,), context, encoded.prompt.text[start:end].strip())


def _every(encoded: PromptTokens) -> TokenSpan:
    """All tokens; those that stand for no text are special ones, which are not in the prompt."""
    shown = tuple(index for index, (start, end) in enumerate(encoded.offsets) if start < end)
    return TokenSpan(EVERY, tuple(range(len(encoded))), shown, encoded.prompt.text.strip())


def _of_span(encoded: PromptTokens, expression: str, position: Position, span: Span) -> TokenSpan:
    text = encoded.prompt.text
    tokens = tokens_over(encoded.offsets, span.start, span.end)
    if not tokens:
        message = f"{expression!r} is {text[span.start : span.end]!r}, which has no token"
        hint = "mark a span that shows some text"
        raise CfgenError(Problem("span-without-token", message, hint=hint))
    if not position.offset:
        meant = part_of(tokens, position.part)
        return TokenSpan(expression, meant, tokens, text[span.start : span.end].strip())
    after = tokens[-1] + position.offset
    if after >= encoded.unfed:
        past = after - encoded.unfed + 1
        message = f"{expression!r} is {past} tokens past the end of the prompt"
        raise CfgenError(Problem("position-past-end", message, hint="use a smaller offset"))
    end = encoded.offsets[after][1]
    whole = tokens_over(encoded.offsets, span.start, end)
    return TokenSpan(expression, (after,), whole, text[span.start : end].strip())


def token_names(encoded: PromptTokens) -> tuple[str, ...]:
    """A name for every token of a prompt, by which it is found in other prompts.

    A token is named after the mention of a slot or phrase that it belongs to or comes behind: the
    last token of ``x[0]`` has that name, those before it are ``x[0]-1``, ``x[0]-2``, and what
    follows is ``x[0]+1``, as in a position expression. Of mentions that overlap, the shortest
    counts. Tokens before all of them are ``start``, ``start+1``; the last token that is read is
    ``last``.

    Args:
        encoded: The tokenised prompt.

    Returns:
        One name per token, those that are fed included; no two are the same.
    """
    names: list[str] = []
    held: dict[int, Span] = {}
    for span in sorted(encoded.prompt.spans, key=lambda span: span.end - span.start):
        tokens = tokens_over(encoded.offsets, span.start, span.end)
        if not any(token in held for token in tokens):
            held |= dict.fromkeys(tokens, span)
    anchor, since = "start", -1
    for token in range(len(encoded)):
        mention = held.get(token)
        if mention is None:
            since += 1
            names.append(f"{anchor}+{since}" if since else anchor)
            continue
        anchor, since = f"{mention.name}[{mention.mention}]", 0
        left = sum(held.get(later) is mention for later in range(token + 1, len(encoded)))
        names.append(f"{anchor}-{left}" if left else anchor)
    return (*names[:-1], LAST)


def own_tokens(encoded: PromptTokens) -> dict[str, TokenSpan]:
    """Every token of a prompt by itself: name, see :func:`token_names` -> where it is, in order."""
    named = enumerate(token_names(encoded))
    return {name: _one_token(encoded, token) for token, name in named}


class Misalignment(Exception):
    """Why what is at a site in one prompt of a pair has no counterpart in the other."""


def aligned_spans(
    pair: Pair, original: PromptTokens, counterfactual: PromptTokens, site: Site
) -> tuple[tuple[TokenSpan, ...], tuple[TokenSpan, ...]]:
    """What of the original is overwritten at a site, and what of the counterfactual it is given.

    Args:
        pair: The pair.
        original: The tokens of its original prompt.
        counterfactual: The tokens of its counterfactual prompt.
        site: Where to swap.

    Returns:
        Two sequences of the same length, whose elements have the same numbers of tokens.

    Raises:
        Misalignment: A position has another number of mentions or of tokens on the two sides, the
            word is in no slot, or the component fits only prompts of the same length.
        CfgenError: As :func:`locate`, or a position that is no slot is swapped by word
            (``position-not-a-slot``).
    """
    if not COMPONENTS[site.component].fits(len(original), len(counterfactual)):
        raise Misalignment(f"{site.component}: not the same number of tokens in both prompts")
    to: list[TokenSpan] = []
    of: list[TokenSpan] = []
    for expression in site.positions:
        targets = locate(original, expression)
        other = expression
        if site.align == "word" and expression not in WHOLE_PROMPT:
            other = _same_word(pair, expression)
        sources = locate(counterfactual, other)
        if len(targets) != len(sources):
            raise Misalignment(f"{expression}: not the same number of mentions on both sides")
        for target, source in zip(targets, sources, strict=True):
            if len(target.tokens) != len(source.tokens):
                raise Misalignment(f"{expression}: not the same number of tokens on both sides")
        to += targets
        of += sources
    return tuple(to), tuple(of)


def aligned_tokens(
    pair: Pair, original: PromptTokens, counterfactual: PromptTokens, site: Site
) -> dict[str, tuple[TokenSpan, TokenSpan] | Misalignment]:
    """What every token of the original is given by itself.

    That is the token of the same name in the counterfactual, see :func:`token_names`; swapped by
    word, a token of a slot is given that of the slot which holds the same word. Between two
    mentions, both prompts must have as many tokens.

    Args:
        pair: The pair.
        original: The tokens of its original prompt.
        counterfactual: The tokens of its counterfactual prompt.
        site: How to swap; of its positions only the frozen ones count.

    Returns:
        Name of a token, in the order of the original -> what is overwritten and what it is given,
        or why it has no counterpart.

    Raises:
        CfgenError: As :func:`locate`, of the frozen positions.
    """
    frozen = {
        token for name in site.frozen for span in locate(original, name) for token in span.tokens
    }
    here, there = token_names(original), token_names(counterfactual)
    place = {name: token for token, name in enumerate(there)}
    lengths, others = (_behind(here), _behind(there))
    fits = COMPONENTS[site.component].fits(len(original), len(counterfactual))
    found: dict[str, tuple[TokenSpan, TokenSpan] | Misalignment] = {}
    for token, name in enumerate(here):
        anchor, behind, _ = name.partition("+")
        other = _name_by_word(pair, name) if site.align == "word" and not behind else name
        if not fits:
            found[name] = Misalignment("not the same number of tokens in both prompts")
        elif token in frozen:
            found[name] = Misalignment("it is frozen")
        elif behind and lengths[anchor] != others[anchor]:
            found[name] = Misalignment(f"not the same number of tokens behind {anchor}")
        elif other not in place:
            found[name] = Misalignment("the counterfactual has no such token")
        else:
            found[name] = _one_token(original, token), _one_token(counterfactual, place[other])
    return found


def _behind(names: Sequence[str]) -> Counter[str]:
    """Name of a mention -> how many tokens come behind it, before the next."""
    return Counter(name.partition("+")[0] for name in names if "+" in name)


def _name_by_word(pair: Pair, name: str) -> str:
    """The name of a slot's token in the slot that has this word in the counterfactual."""
    slot, bracket, rest = name.partition("[")
    word = pair.original.slots.get(slot) if bracket else None
    if word is None:
        return name
    holders = _holders(pair.counterfactual, word)
    if len(holders) != 1 and slot not in holders:
        return ""
    return (slot if slot in holders else holders[0]) + bracket + rest


def _one_token(encoded: PromptTokens, token: int) -> TokenSpan:
    """One token by itself; one that stands for no text is known by its place alone."""
    if token == len(encoded) - 1:
        return _last(encoded)
    start, end = encoded.offsets[token] if token < encoded.unfed else (0, 0)
    context = tokens_over(encoded.offsets, start, end)
    return TokenSpan(EVERY, (token,), context, encoded.prompt.text[start:end].strip())


def _same_word(pair: Pair, expression: str) -> str:
    """The expression for the counterfactual's slot that holds the word of the original's."""
    position = parse_position(expression)
    word = pair.original.slots.get(position.name)
    if word is None:
        message = f"{expression!r} can't be swapped by word: {position.name!r} is no slot"
        hint = f"slots are: {', '.join(sorted(pair.original.slots))}"
        raise CfgenError(Problem("position-not-a-slot", message, hint=hint))
    holders = _holders(pair.counterfactual, word)
    if position.name in holders:
        holders = [position.name]
    if len(holders) != 1:
        found = "several slots hold" if holders else "no slot holds"
        raise Misalignment(f"{expression}: in the counterfactual {found} the original's word")
    return str(replace(position, name=holders[0]))


def _holders(side: Side, word: str) -> list[str]:
    shown = {span.name for span in side.prompt.spans}
    return [name for name, held in side.slots.items() if held == word and name in shown]
