"""Prompts as token ids, and where in them a position expression lands.

A prompt is tokenised jointly with what may follow it, and every token keeps the characters that it
stands for. Nothing here needs torch: lint reads it, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cfgen.counterfactuals import Pair, Side, Site
from cfgen.errors import CfgenError, Problem
from cfgen.lm.components import COMPONENTS
from cfgen.prompts import (
    EVERY,
    LAST,
    WHOLE_PROMPT,
    Encoding,
    Position,
    Prompt,
    Span,
    find_spans,
    parse_position,
    part_of,
    tokens_over,
)

SHOWN = 8
"""How many problems of one kind an error lists before it only counts the rest."""
_CHUNK = 512


@dataclass(frozen=True, slots=True)
class PromptTokens:
    """A prompt as the LM sees it.

    Attributes:
        prompt: The text and its spans.
        ids: Token ids, special tokens that the tokenizer puts in front included.
        offsets: Per token the characters that it stands for, end exclusive; ``(0, 0)`` for a
            special token.
    """

    prompt: Prompt
    ids: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class PairTokens:
    """A pair as token ids.

    Attributes:
        pair: The pair.
        original: The original's prompt.
        counterfactual: The counterfactual's prompt.
        original_answer: First token of the original's answer, None where it has none.
        counterfactual_answer: First token of the counterfactual's answer after its own prompt.
        answers: Answer -> its first token after the original's prompt, for every answer that
            either side gives or a hypothesis predicts.
    """

    pair: Pair
    original: PromptTokens
    counterfactual: PromptTokens
    original_answer: int | None
    counterfactual_answer: int | None
    answers: dict[str, int]


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


def encode_pairs(tokenizer: Any, pairs: Sequence[Pair]) -> list[PairTokens]:
    """Tokenise pairs. Every answer is tokenised behind its prompt, never on its own.

    Args:
        tokenizer: A fast tokenizer of transformers (offsets are needed).
        pairs: What to tokenise.

    Returns:
        One record per pair, in order.

    Raises:
        CfgenError: The tokenizer is not a fast one (``slow-tokenizer``), joins the end of a
            prompt with the start of an answer (``answer-joins-prompt``), or makes no token of
            an answer (``answer-without-token``) or a prompt (``prompt-without-token``).
    """
    if not getattr(tokenizer, "is_fast", False):
        message = f"{type(tokenizer).__name__} gives no character offsets, so no token positions"
        raise CfgenError(
            Problem("slow-tokenizer", message, hint="load the LM with its fast tokenizer")
        )
    problems: dict[str, Problem] = {}
    encoded = []
    for start in range(0, len(pairs), _CHUNK):
        chunk = pairs[start : start + _CHUNK]
        encoded += _encode_chunk(tokenizer, chunk, problems)
    if problems:
        raise CfgenError(list(problems.values())[:SHOWN])
    return encoded


def check_first_tokens(tokenizer: Any, encoded: Iterable[PairTokens]) -> int:
    """Check that the first token tells all answers of a run apart.

    What the LM says is read off its first token, so two answers that begin with the same token
    would be counted as one.

    Args:
        tokenizer: To show the token.
        encoded: The pairs of the run.

    Returns:
        How many answers were compared.

    Raises:
        CfgenError: Different answers share their first token (``answers-share-first-token``).
    """
    answers_of: dict[int, set[str]] = {}
    for pair in encoded:
        for answer, token in pair.answers.items():
            answers_of.setdefault(token, set()).add(answer)
        if pair.counterfactual_answer is not None:
            answer = str(pair.pair.counterfactual.answer)
            answers_of.setdefault(pair.counterfactual_answer, set()).add(answer)
    shared = {token: sorted(names) for token, names in answers_of.items() if len(names) > 1}
    if shared:
        raise CfgenError([_shared_problem(tokenizer, *item) for item in sorted(shared.items())])
    return len(set().union(*answers_of.values())) if answers_of else 0


def _shared_problem(tokenizer: Any, token: int, answers: list[str]) -> Problem:
    names = ", ".join(repr(answer) for answer in answers[:SHOWN])
    more = f" and {len(answers) - SHOWN} more" if len(answers) > SHOWN else ""
    return Problem(
        "answers-share-first-token",
        f"the answers {names}{more} all begin with the token {tokenizer.decode([token])!r}",
        hint="keep one of them in the lexicon, or use an LM whose tokenizer tells them apart",
    )


def _answers(pair: Pair) -> list[str]:
    every = [pair.original.answer, pair.counterfactual.answer, *pair.predictions.values()]
    return [answer for answer in dict.fromkeys(every) if answer is not None]


def _texts(side: Side, answers: Iterable[str]) -> list[str]:
    text = side.prompt.text
    return [text, *(text + side.answer_prefix + answer for answer in answers)]


def _encode_chunk(
    tokenizer: Any, pairs: Sequence[Pair], problems: dict[str, Problem]
) -> list[PairTokens]:
    jobs = []
    for pair in pairs:
        own = pair.counterfactual.answer
        jobs.append((pair.original, _answers(pair)))
        jobs.append((pair.counterfactual, [] if own is None else [own]))
    rows = iter(tokenise(tokenizer, [text for job in jobs for text in _texts(*job)]))
    sides = [_encode_side(tokenizer, side, answers, rows, problems) for side, answers in jobs]
    encoded = []
    for index, pair in enumerate(pairs):
        original, answers = sides[2 * index]
        counterfactual, own_answers = sides[2 * index + 1]
        first = answers.get(pair.original.answer) if pair.original.answer is not None else None
        second = next(iter(own_answers.values()), None)
        encoded.append(PairTokens(pair, original, counterfactual, first, second, answers))
    return encoded


def tokenise(tokenizer: Any, texts: list[str]) -> list[Encoding]:
    """Ids and offsets per text, without the special tokens that a tokenizer puts at the end."""
    made = tokenizer(
        texts,
        return_offsets_mapping=True,
        return_special_tokens_mask=True,
        return_attention_mask=False,
        padding=False,
        truncation=False,
    )
    rows = zip(made["input_ids"], made["offset_mapping"], made["special_tokens_mask"], strict=True)
    return [without_end(*row) for row in rows]


def without_end(
    ids: Sequence[int], offsets: Sequence[tuple[int, int]], special: Sequence[int]
) -> Encoding:
    """What a tokenizer made of a text, but for the special tokens at its end."""
    end = len(ids)
    while end and special[end - 1]:
        end -= 1
    return tuple(ids[:end]), tuple((int(a), int(b)) for a, b in offsets[:end])


def _encode_side(
    tokenizer: Any, side: Side, answers: list[str], rows: Any, problems: dict[str, Problem]
) -> tuple[PromptTokens, dict[str, int]]:
    ids, offsets = next(rows)
    first: dict[str, int] = {}
    if not ids:
        message, hint = "the tokenizer makes no token of a prompt", "give a prompt with some text"
        problems.setdefault("prompt", Problem("prompt-without-token", message, hint=hint))
    for answer in answers:
        joined, _ = next(rows)
        end, text = side.prompt.text[-20:], side.answer_prefix + answer
        if joined[: len(ids)] != ids:
            problems.setdefault(
                f"joins {answer}",
                Problem(
                    "answer-joins-prompt",
                    f"the prompt's end {end!r} and the answer {text!r} share a token, so there "
                    "is no position at which the answer begins",
                    hint="end the prompt with punctuation and let the answer begin with a space",
                ),
            )
        elif len(joined) == len(ids):
            problems.setdefault(
                f"empty {answer}",
                Problem(
                    "answer-without-token",
                    f"the tokenizer makes no token of the answer {text!r}",
                    hint="give an answer that is not empty",
                ),
            )
        else:
            first[answer] = joined[len(ids)]
    return PromptTokens(side.prompt, ids, offsets), first


def locate(encoded: PromptTokens, expression: str) -> tuple[TokenSpan, ...]:
    """Find the token positions of a position expression.

    A token that overlaps the span belongs to it, so the leading space that many tokenizers put
    into a word's token makes no difference. Of several tokens of a span the last one is meant, the
    first with ``x.first``, and all with ``x.all``; ``x+k`` is the k-th token after the last one.
    ``last`` is the prompt's last token, and ``every`` stands for all of its tokens.

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
    start, end = encoded.offsets[-1]
    # A byte-level token may be a part of a character: decode all tokens of these characters.
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
    if after >= len(encoded):
        message = f"{expression!r} is {after - len(encoded) + 1} tokens past the end of the prompt"
        raise CfgenError(Problem("position-past-end", message, hint="use a smaller offset"))
    end = encoded.offsets[after][1]
    whole = tokens_over(encoded.offsets, span.start, end)
    return TokenSpan(expression, (after,), whole, text[span.start : end].strip())


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
