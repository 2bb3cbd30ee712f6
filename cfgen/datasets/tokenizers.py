"""Tokenizers: the words with which pairs align token by token under all tokenizers at once.

Words are put into real prompts, wherever a template can put them, and measured there; the most of
them that can replace each other without moving anything are kept.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cfgen.counterfactuals import Design, Pair, restrict_domains
from cfgen.datasets.alignment import answer_tokens
from cfgen.datasets.recipe import Candidates
from cfgen.datasets.rows import candidate_pairs
from cfgen.datasets.word_tokens import (
    Signature,
    WordTokens,
    columns_of_words,
    contexts_of,
    measure,
)
from cfgen.errors import CfgenError, Problem
from cfgen.progress import Progress, no_progress
from cfgen.prompts import Encode
from cfgen.tasks import Task

PAIRS = 300
"""Pairs that are looked at, to find the contexts of words and which of them are answers."""
DEMANDS = ("readable", "alone", "aligned", "single", "distinct")
"""What is asked of the words under every tokenizer, see :func:`solve_words`."""
Demand = tuple[str, str]
"""A tokenizer, and what is asked of words under it."""


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
    designs: Sequence[Design],
    tokenizers: Mapping[str, Encode],
    *,
    templates: Sequence[str] = (),
    splits: int = 3,
    progress: Progress = no_progress,
) -> Solution:
    """Leave in every lexicon the most words that fit under all tokenizers at once.

    A word of a table stands for its row: where an attribute that is shown, or is an answer, does
    not fit, the whole row is left out.

    Asked of every word, under every tokenizer, wherever the templates can put it: ``readable``,
    its tokens read as the word, and are those of no other; ``alone``, its
    tokens cover nothing else but spaces in front; ``aligned``, it takes as many tokens as the
    others. Asked of answers, behind their prompts: ``single``, one token; ``distinct``, not the
    one of another answer.

    Args:
        task: The task.
        designs: How pairs are made; several, where the same words are to serve them all.
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
    pairs = [
        pair
        for design in designs
        for pair in candidate_pairs(Candidates(task, design, domains), PAIRS)
    ]
    contexts, answers = contexts_of(pairs, domains), _answers(pairs)
    lexicons = {p: words for domain in domains.values() for p, words in domain.pools.items()}
    needed: Counter[str] = Counter()
    for design in designs:
        needed |= Counter(design.words_needed(domains))
    kept: dict[str, tuple[str, ...]] = {}
    dropped: list[WordExclusion] = []
    rows = {
        pool: columns_of_words(domain, words)
        for domain in domains.values()
        for pool, words in domain.pools.items()
    }
    known = {text for columns in rows.values() for row in columns.values() for text in row.values()}
    problems = _constants(pairs, answers - known, tokenizers)
    for number, (pool, words) in enumerate(lexicons.items()):
        progress("fit words", number, len(lexicons))
        said = [name for name, row in rows[pool].items() if answers & {*row.values()}]
        measured = {
            name: measure(task, pool, words, contexts, encode, said)
            for name, encode in tokenizers.items()
        }
        demands = [(name, what) for name in tokenizers for what in DEMANDS[: 5 if said else 3]]
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
    left = list(words)
    for name in asked["readable"]:
        left = _readable(left, measured[name])
    left = [w for w in left if not any(measured[name][w].joined for name in asked["alone"])]
    left = [w for w in left if all(is_single(measured[name][w]) for name in asked["single"])]
    for name in asked["distinct"]:
        first: dict[tuple[int, tuple[int, ...]], str] = {}
        left = [
            word
            for word in left
            if all(
                first.setdefault((column, tokens), text) == text
                for column, text, tokens in measured[name][word].said(word)
            )
        ]
    groups: defaultdict[tuple[Signature, ...], list[str]] = defaultdict(list)
    for word in left:
        groups[tuple(measured[name][word].signature for name in asked["aligned"])].append(word)
    # the largest group; among equals the one whose words take the fewest tokens
    best = max(groups.items(), key=lambda item: (len(item[1]), _shortness(item[0])), default=None)
    return _agreeing(best[1], [measured[name] for name in asked["aligned"]]) if best else ()


def _readable(words: Sequence[str], found: Mapping[str, WordTokens]) -> list[str]:
    """Those whose tokens read as they do, and are not those of one before."""
    first: dict[object, str] = {}
    return [
        word
        for word in words
        if not found[word].misread and first.setdefault(found[word].shown or word, word) == word
    ]


def _agreeing(
    words: Sequence[str], measured: Sequence[Mapping[str, WordTokens]]
) -> tuple[str, ...]:
    """Those that take, where a variable shows them, as many tokens as most of the words there."""
    for found in measured:
        counts: defaultdict[str, Counter[int]] = defaultdict(Counter)
        for place, count in (item for word in words for item in found[word].variables):
            counts[place][count] += 1
        common = {
            place: max(n, key=lambda count: (n[count], -count)) for place, n in counts.items()
        }
        words = [w for w in words if all(common[at] == n for at, n in found[w].variables)]
    return tuple(words)


def is_single(measured: WordTokens) -> bool:
    """Whether a word is a single token as an answer, behind every prompt."""
    return all(len(tokens) == 1 for tokens in measured.answer)


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
    if mine.misread:
        return mine.misread
    if mine.joined:
        return f"shares a token with what stands beside it in {mine.joined!r}"
    if not is_single(mine):
        longest = max((len(tokens) for tokens in mine.answer), default=0)
        size = len(mine.answer) // len(mine.texts or (word,))
        number = next(n for n, tokens in enumerate(mine.answer) if len(tokens) != 1) // size
        text = (mine.texts or (word,))[number]
        whose = "" if text == word else f"has {text!r}, which "
        took = f"takes {longest} tokens" if longest else "joins the prompt"
        return f"{whose}{took} as an answer"
    same = next((other for other in kept if mine.shown and found[other].shown == mine.shown), "")
    if same:
        return f"is the same token{'s' * (len(mine.shown[0]) > 1)} as {same!r}"
    if mine.answer:
        others = {
            (column, tokens): text
            for other in kept
            for column, text, tokens in found[other].said(other)
        }
        for column, text, tokens in mine.said(word):
            same = others.get((column, tokens), text)
            if same != text:
                whose = "" if text == word else f"has {text!r}, which "
                return f"{whose}is the same token as {same!r}"
    if kept and found[kept[0]].signature != mine.signature:
        pairs = zip(mine.signature, found[kept[0]].signature, strict=True)
        one, other = next((a, b) for a, b in pairs if a != b)
        counts = itertools.zip_longest(one, other, fillvalue=0)  # of the word, and of its row
        mine_here, theirs = next((a, b) for a, b in counts if a != b)
        return f"takes {mine_here} tokens where the others take {theirs}"
    if mine.variables:
        return "takes another number of tokens where a variable shows it"
    return ""
