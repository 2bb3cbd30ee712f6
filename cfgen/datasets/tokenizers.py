"""Tokenizers: the words with which pairs align token by token under all tokenizers at once.

Words are put into real prompts, wherever a template can put them, and measured there; the most of
them that can replace each other without moving anything are kept.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cfgen.causal import Domain
from cfgen.counterfactuals import Design, Pair, Side, restrict_domains
from cfgen.datasets.alignment import answer_tokens, span_range
from cfgen.datasets.recipe import Candidates
from cfgen.datasets.rows import candidate_pairs
from cfgen.errors import CfgenError, Problem
from cfgen.progress import Progress, no_progress
from cfgen.prompts import Encode, Prompt, Span
from cfgen.tasks import TEMPLATE_INPUT, Task

PAIRS = 300
"""Pairs that are looked at, to find the contexts of words and which of them are answers."""
DEMANDS = ("alone", "aligned", "single", "distinct")
"""What is asked of the words under every tokenizer, see :func:`solve_words`."""
Demand = tuple[str, str]
"""A tokenizer, and what is asked of words under it."""
CONTEXTS = 48
"""Combinations of template and other inputs that words are looked at in, at most."""
Signature = tuple[tuple[int, ...], ...]
"""Per context, the tokens of each mention of a word, and last those of the rest of the prompt."""


# Words in their contexts.


@dataclass(frozen=True, slots=True)
class WordTokens:
    """What one tokenizer makes of one word.

    Attributes:
        signature: How many tokens it takes, by context; equal for words that can replace each
            other without moving anything.
        joined: A stretch of a prompt where a token of the word belongs to its surroundings, too;
            empty if there is none.
        answer: Its tokens as an answer behind a prompt, by context; empty if it is never one.
    """

    signature: Signature
    joined: str
    answer: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Context:
    """A prompt that words are put into: one template with one choice of the other inputs."""

    side: Side
    template: str


def contexts_of(pairs: Iterable[Pair], domains: Mapping[str, Domain]) -> list[Context]:
    """Different contexts among some pairs: prompts that differ in more than words."""
    closed = [name for name, domain in domains.items() if not domain.pools and domain.count() <= 32]
    found: dict[tuple[Any, ...], Context] = {}
    for side in (side for pair in pairs for side in (pair.original, pair.counterfactual)):
        key = tuple(side.inputs[name] for name in closed)
        if len(found) < CONTEXTS:
            template = str(side.inputs.get(TEMPLATE_INPUT, ""))
            found.setdefault(key, Context(side, template))
    return list(found.values())


def measure(
    task: Task,
    pool: str,
    words: Sequence[str],
    contexts: Sequence[Context],
    encode: Encode,
    is_answer: bool,
) -> dict[str, WordTokens]:
    """Put every word of a lexicon into every slot that it can have, and count tokens.

    Args:
        task: The task.
        pool: Name of the lexicon.
        words: Its words.
        contexts: Prompts to put them into.
        encode: The tokenizer.
        is_answer: Whether words of this lexicon are answers.

    Returns:
        Word -> what the tokenizer makes of it.
    """
    model = task.causal_model
    worded = {
        slot for name, slots in model.slots.items() if model.domains[name].pools for slot in slots
    }
    places = [
        (name, index, slot)
        for name, slots in model.slots.items()
        if pool in model.domains[name].pools
        for index, slot in enumerate(slots)
    ]

    def put(word: str, fill: Sequence[str]) -> Iterator[tuple[tuple[int, ...], str]]:
        for context in contexts:
            for name, index, slot in places:
                inputs = dict(context.side.inputs)
                for other in dict.fromkeys(name for name, _, _ in places):
                    inputs[other] = _filled(inputs[other], word, fill)
                inputs[name] = _with_word(inputs[name], index, word)
                prompt = task.prompt(inputs)
                yield _counts(prompt, encode, slot, worded)

    joined = {word: next((j for _, j in put(word, words) if j), "") for word in words}
    # what the words beside it do must not count for a word: fill in those that stand alone
    fill = [word for word in words if not joined[word]] or list(words)
    found = {}
    for word in words:
        signature = tuple(counts for counts, _ in put(word, fill))
        answers = (
            answer_tokens(context.side.prompt.text, context.side.answer_prefix + word, encode)
            for context in contexts
            if is_answer
        )
        found[word] = WordTokens(signature, joined[word], tuple(answers))
    return found


def _filled(value: Any, word: str, fill: Sequence[str]) -> Any:
    """A value of other words, the first ones there are."""
    others = (other for other in fill if other != word)
    if not isinstance(value, tuple):
        return next(others, value)
    return tuple(next(others, element) for element in value)


def _with_word(value: Any, index: int, word: str) -> Any:
    """A value with a word in one place."""
    if not isinstance(value, tuple):
        return word
    return (*value[:index], word, *value[index + 1 :])


def _counts(
    prompt: Prompt, encode: Encode, slot: str, worded: set[str]
) -> tuple[tuple[int, ...], str]:
    """Tokens of each mention of a slot, and of all that is no word; and where tokens join."""
    _, offsets = encode(prompt.text)
    counts, inside, joined = [], 0, ""
    for span in _words(prompt, worded):
        first, last = span_range(offsets, span.start, span.end)
        inside += last - first + 1
        if span.name == slot:
            counts.append(last - first + 1)
            if not _clean(prompt.text, offsets, span, first, last):
                joined = joined or prompt.text[max(0, span.start - 8) : span.end + 8]
    return (*counts, len(offsets) - inside), joined


def _words(prompt: Prompt, worded: set[str]) -> Iterator[Span]:
    return (span for span in prompt.spans if span.name in worded)


def _clean(
    text: str, offsets: Sequence[tuple[int, int]], span: Span, first: int, last: int
) -> bool:
    """Whether the tokens of a span cover nothing else but spaces in front."""
    if last < first:
        return False
    before = text[offsets[first][0] : span.start] if offsets[first][0] < span.start else ""
    return not before.strip() and offsets[last][1] <= span.end


# The most words that fit.


@dataclass(frozen=True, slots=True)
class WordExclusion:
    """A word that is left out.

    Attributes:
        lexicon: Its lexicon.
        word: The word.
        tokenizer: Under which tokenizer it does not fit.
        reason: Why not.
    """

    lexicon: str
    word: str
    tokenizer: str
    reason: str


@dataclass(frozen=True, slots=True)
class Solution:
    """A task with smaller lexicons.

    Attributes:
        task: The task, restricted.
        kept: Lexicon -> how many of its words are left.
        dropped: What was left out and why, per word and tokenizer.
    """

    task: Task
    kept: Mapping[str, int]
    dropped: tuple[WordExclusion, ...]


def solve_words(
    task: Task,
    design: Design,
    tokenizers: Mapping[str, Encode],
    *,
    templates: Sequence[str] = (),
    splits: int = 3,
    progress: Progress = no_progress,
) -> Solution:
    """Leave in every lexicon the most words that fit under all tokenizers at once.

    Asked of every word, under every tokenizer, wherever the templates can put it: ``alone``, its
    tokens cover nothing else but spaces in front; ``aligned``, it takes as many tokens as the
    others. Asked of answers, behind their prompts: ``single``, one token; ``distinct``, not the
    one of another answer.

    Args:
        task: The task.
        design: How pairs are made.
        tokenizers: Name -> tokenizer.
        templates: Template ids, as for :func:`cfgen.datasets.recipe`.
        splits: How many splits share the words.
        progress: Called with ``fit words``.

    Returns:
        The restricted task, and what was dropped.

    Raises:
        CfgenError: Too few words are left, or an answer that is no word of a lexicon does not
            fit (``tokenizer-conflict``); the message names the fewest demands that cannot be met
            together.
    """
    allowed = task.template_domain(templates)
    domains = restrict_domains(task.causal_model.domains, {}, allowed)
    pairs = candidate_pairs(Candidates(task, design, domains), PAIRS)
    contexts, answers = contexts_of(pairs, domains), _answers(pairs)
    lexicons = {p: words for domain in domains.values() for p, words in domain.pools.items()}
    needed = design.words_needed(domains)
    kept: dict[str, tuple[str, ...]] = {}
    dropped: list[WordExclusion] = []
    problems = _constants(pairs, answers - {w for ws in lexicons.values() for w in ws}, tokenizers)
    for number, (pool, words) in enumerate(lexicons.items()):
        progress("fit words", number, len(lexicons))
        is_answer = bool(answers & {*words})
        measured = {
            name: measure(task, pool, words, contexts, encode, is_answer)
            for name, encode in tokenizers.items()
        }
        demands = [
            (name, what) for name in tokenizers for what in (DEMANDS if is_answer else DEMANDS[:2])
        ]
        kept[pool] = fitting(words, measured, demands)
        dropped += _reasons(pool, words, kept[pool], measured)
        if len(kept[pool]) < needed[pool] * splits:
            problems.append(_conflict(pool, words, measured, demands, needed[pool] * splits))
    if problems:
        raise CfgenError(problems)
    smaller = replace(task, causal_model=task.causal_model.restrict(kept))
    return Solution(smaller, {pool: len(words) for pool, words in kept.items()}, tuple(dropped))


def fitting(
    words: Sequence[str],
    measured: Mapping[str, Mapping[str, WordTokens]],
    demands: Sequence[Demand],
) -> tuple[str, ...]:
    """The most words that meet some demands together, in their order.

    Args:
        words: The words.
        measured: Tokenizer -> word -> what it makes of it.
        demands: What is asked, of which tokenizer.
    """
    asked = {what: [name for name, w in demands if w == what] for what in DEMANDS}
    left = [w for w in words if not any(measured[name][w].joined for name in asked["alone"])]
    left = [w for w in left if all(is_single(measured[name][w]) for name in asked["single"])]
    for name in asked["distinct"]:
        first: dict[tuple[int, ...], str] = {}
        left = [w for w in left if first.setdefault(_said(measured[name][w]), w) == w]
    groups: defaultdict[tuple[Signature, ...], list[str]] = defaultdict(list)
    for word in left:
        groups[tuple(measured[name][word].signature for name in asked["aligned"])].append(word)
    # the largest group; among equals the one whose words take the fewest tokens
    best = max(groups.items(), key=lambda item: (len(item[1]), _shortness(item[0])), default=None)
    return tuple(best[1]) if best else ()


def is_single(measured: WordTokens) -> bool:
    """Whether a word is a single token as an answer, behind every prompt."""
    return all(len(tokens) == 1 for tokens in measured.answer)


def _said(measured: WordTokens) -> tuple[int, ...]:
    """What decides which answer is read off: its first token behind each prompt."""
    return tuple(tokens[0] if tokens else -1 for tokens in measured.answer)


def _shortness(signatures: tuple[Signature, ...]) -> int:
    """Minus all tokens."""
    return -sum(tokens for signature in signatures for counts in signature for tokens in counts)


def _answers(pairs: Sequence[Pair]) -> set[str]:
    """Everything that a side answers or a hypothesis predicts."""
    found = (
        text
        for pair in pairs
        for text in (pair.original.answer, pair.counterfactual.answer, *pair.predictions.values())
    )
    return {text for text in found if text is not None}


def _constants(
    pairs: Sequence[Pair], constants: set[str], tokenizers: Mapping[str, Encode]
) -> list[Problem]:
    """Answers that belong to no lexicon cannot be left out: they have to fit."""
    problems = []
    side = pairs[0].original
    for name, encode in tokenizers.items():
        for text in sorted(constants):
            tokens = answer_tokens(side.prompt.text, side.answer_prefix + text, encode)
            if len(tokens) != 1:
                took = f"{len(tokens)} tokens" if tokens else "a token together with the prompt"
                message = f"the answer {text!r} belongs to no lexicon and takes {took} under {name}"
                hint = "change the causal model's answer, or name another tokenizer"
                problems.append(Problem("tokenizer-conflict", message, hint=hint))
    return problems


def _conflict(
    pool: str,
    words: Sequence[str],
    measured: Mapping[str, Mapping[str, WordTokens]],
    demands: Sequence[Demand],
    needed: int,
) -> Problem:
    """The fewest demands that leave too few words."""
    for size in range(len(demands) + 1):
        for some in itertools.combinations(demands, size):
            left = len(fitting(words, measured, some))
            if left < needed:
                named = " and ".join(f"{what} under {name}" for name, what in some)
                alone = "; ".join(
                    f"{what} under {name} alone leaves {len(fitting(words, measured, [one]))}"
                    for one in some
                    for name, what in [one]
                )
                together = f" together leave {left}" if size > 1 else f" leaves {left}"
                return Problem(
                    "tokenizer-conflict",
                    f"lexicon {pool!r} has {len(words)} words and {needed} are needed, but "
                    + (f"{named}{together}" if some else "that is fewer"),
                    hint="add words to the lexicon, use fewer splits, or name fewer tokenizers",
                    detail=alone if size > 1 else "",
                )
    raise AssertionError("all demands together leave enough words")


def _reasons(
    pool: str,
    words: Sequence[str],
    kept: Sequence[str],
    measured: Mapping[str, Mapping[str, WordTokens]],
) -> list[WordExclusion]:
    dropped = []
    for word in (word for word in words if word not in kept):
        for name, found in measured.items():
            reason = _reason(word, kept, found)
            if reason:
                dropped.append(WordExclusion(pool, word, name, reason))
    return dropped


def _reason(word: str, kept: Sequence[str], found: Mapping[str, WordTokens]) -> str:
    mine = found[word]
    if mine.joined:
        return f"shares a token with what stands beside it in {mine.joined!r}"
    if not is_single(mine):
        longest = max((len(tokens) for tokens in mine.answer), default=0)
        return (
            f"takes {longest} tokens as an answer" if longest else "joins the prompt as an answer"
        )
    same = next((w for w in found if w != word and _said(found[w]) == _said(mine)), None)
    if mine.answer and same is not None and same in kept:
        return f"is the same token as {same!r}"
    if kept and found[kept[0]].signature != mine.signature:
        pairs = zip(mine.signature, found[kept[0]].signature, strict=True)
        one, other = next((a, b) for a, b in pairs if a != b)
        return f"takes {one[0]} tokens where the others take {other[0]}"
    return ""
