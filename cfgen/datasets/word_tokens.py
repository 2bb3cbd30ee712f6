"""Words as tokens: put into real prompts, wherever a template can put them, and measured there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cfgen.causal import Domain, table_of
from cfgen.counterfactuals import Pair, Side
from cfgen.datasets.alignment import answer_tokens, span_range
from cfgen.prompts import Encode, Prompt, Span
from cfgen.tasks import Task

CONTEXTS = 48
"""Combinations of template and other inputs that words are looked at in, at most."""
Signature = tuple[tuple[int, ...], ...]
"""Per context, the tokens of each mention of a word, and last those of the rest of the prompt."""


@dataclass(frozen=True, slots=True)
class WordTokens:
    """What one tokenizer makes of one word.

    Attributes:
        signature: How many tokens it takes, by context; equal for words that can replace each
            other without moving anything.
        joined: A stretch of a prompt where a token of the word belongs to its surroundings, too;
            empty if there is none.
        answer: Its tokens as an answer behind a prompt, by context; empty if it is never one. Where
            attributes of words are answers, theirs follow.
        texts: What is the answer: the word, or its attributes; none if it is the word alone.
        variables: Where variables show it or an attribute of it, and in how many tokens.
        misread: Why the tokenizer can't read it, such as a word that it does not know; empty if it
            can, or can't say.
        shown: Its tokens where prompts show it, by mention.
    """

    signature: Signature
    joined: str
    answer: tuple[tuple[int, ...], ...]
    texts: tuple[str, ...] = ()
    variables: frozenset[tuple[str, int]] = frozenset()
    misread: str = ""
    shown: tuple[tuple[int, ...], ...] = ()

    def said(self, word: str) -> list[tuple[int, str, tuple[int, ...]]]:
        """What decides which answer is read off: its first token behind each prompt.

        Args:
            word: The word that this is about.

        Returns:
            For the word and those of its attributes that are answers: which of these it is, the
            text, and the tokens.
        """
        texts = self.texts or (word,)
        size = len(self.answer) // len(texts)
        first = [tokens[0] if tokens else -1 for tokens in self.answer]
        return [(n, text, tuple(first[n * size : (n + 1) * size])) for n, text in enumerate(texts)]


def contexts_of(pairs: Iterable[Pair], domains: Mapping[str, Domain]) -> list[Side]:
    """Prompts to put words into: they differ in more than words, such as in their template."""
    closed = [name for name, domain in domains.items() if not domain.pools and domain.count() <= 32]
    found: dict[tuple[Any, ...], Side] = {}
    for side in (side for pair in pairs for side in (pair.original, pair.counterfactual)):
        key = tuple(side.inputs[name] for name in closed)
        if len(found) < CONTEXTS:
            found.setdefault(key, side)
    return list(found.values())


def measure(
    task: Task,
    pool: str,
    words: Sequence[str],
    contexts: Sequence[Side],
    encode: Encode,
    answers: Sequence[str],
) -> dict[str, WordTokens]:
    """Put every word of a lexicon into every slot that it can have, and count tokens.

    Args:
        task: The task.
        pool: Name of the lexicon.
        words: Its words.
        contexts: Prompts to put them into.
        encode: The tokenizer.
        answers: Which columns of the lexicon have answers; the words themselves are the column "".

    Returns:
        Word -> what the tokenizer makes of it.
    """
    model = task.causal_model
    worded = {
        slot for name, slots in model.slots.items() if model.domains[name].pools for slot in slots
    }
    columns = next(columns_of_words(d, words) for d in model.domains.values() if pool in d.pools)
    places = [
        (name, index, slot)
        for name, slots in model.slots.items()
        if pool in model.domains[name].pools
        for index, slot in enumerate(slots)
    ]

    def put(word: str, fill: Sequence[str]) -> Iterator[_Counts]:
        texts = {texts[word]: column for column, texts in reversed(columns.items())}
        for context in contexts:
            for name, index, slot in places:
                inputs, others = dict(context.inputs), (w for w in fill if w != word)
                for other in dict.fromkeys(name for name, _, _ in places):
                    inputs[other] = _filled(inputs[other], others)
                inputs[name] = _with_word(inputs[name], index, word)
                if model.program.broken(inputs):
                    continue
                prompt = task.prompt(inputs)
                variables = task.template_of(inputs).variables
                yield _counts(prompt, encode, slot, worded, variables, texts)

    joined = {word: next((c.joined for c in put(word, words) if c.joined), "") for word in words}
    # what the words beside it do must not count for a word: fill in those that stand alone
    fill = [word for word in words if not joined[word]] or list(words)
    found = {}
    for word in words:
        counts = list(put(word, fill))
        said = tuple(columns[column][word] for column in answers)
        tokens = (
            answer_tokens(context.prompt.text, context.answer_prefix + text, encode)
            for text in said
            for context in contexts
        )
        found[word] = WordTokens(
            signature=tuple(each.signature for each in counts),
            joined=joined[word],
            answer=tuple(tokens),
            texts=said,
            variables=frozenset().union(*(each.variables for each in counts)),
            misread=next((each.misread for each in counts if each.misread), ""),
            shown=tuple(ids for each in counts for ids in each.shown),
        )
    return found


def columns_of_words(domain: Domain, words: Sequence[str]) -> dict[str, dict[str, str]]:
    """Column of a lexicon -> word -> what stands there; the words themselves are the first, ""."""
    table = table_of(domain)
    rows = {row[0]: row for row in table.rows} if table.columns else {}
    return {"": {word: word for word in words}} | {
        column: {word: rows[word][number] for word in words}
        for number, column in enumerate(table.columns, start=1)
    }


def _filled(value: Any, others: Iterator[str]) -> Any:
    """A value of other words, the next ones there are: no two inputs have the same."""
    if not isinstance(value, tuple):
        return next(others, value)
    return tuple(next(others, element) for element in value)


def _with_word(value: Any, index: int, word: str) -> Any:
    """A value with a word in one place."""
    if not isinstance(value, tuple):
        return word
    return (*value[:index], word, *value[index + 1 :])


@dataclass(frozen=True, slots=True)
class _Counts:
    """What one prompt says of one word in one slot; see :class:`WordTokens`.

    Attributes:
        signature: Tokens of each mention of the word and of its attributes, and of all that is no
            word.
        joined: Where a token of it belongs to its surroundings, too.
        variables: Where variables show it.
        misread: Why the tokenizer can't read it.
        shown: Its tokens, by mention.
    """

    signature: tuple[int, ...]
    joined: str
    variables: frozenset[tuple[str, int]]
    misread: str
    shown: tuple[tuple[int, ...], ...]


def _counts(
    prompt: Prompt,
    encode: Encode,
    slot: str,
    worded: Collection[str],
    variables: Collection[str],
    texts: Mapping[str, str],
) -> _Counts:
    """Count the tokens of a prompt; ``texts`` are those that stand in the row of the word."""
    ids, offsets = encode(prompt.text)
    reader = getattr(encode, "reader", None)  # a function alone can't tell what its tokens read
    counts: list[int] = []
    shown: list[tuple[int, ...]] = []
    wrong = ""
    found: set[tuple[str, int]] = set()
    inside, joined = 0, ""
    for span in prompt.spans:
        name, variable = span.name.partition(".")[0], _is_of(span.name, variables)
        if name not in worded and not variable:
            continue
        first, last = span_range(offsets, span.start, span.end)
        inside += last - first + 1
        mine = name == slot
        if variable:
            column = texts.get(prompt.text[span.start : span.end])
            mine = column is not None
            if mine:
                found.add((f"{span.name}[{span.mention}] {column}", last - first + 1))
        elif mine:
            counts.append(last - first + 1)
            shown.append(tuple(ids[first : last + 1]))
        if mine and reader is not None:
            text = prompt.text[span.start : span.end]
            wrong = wrong or reader.misread(text, ids[first : last + 1])
        if mine and not _clean(prompt.text, offsets, span, first, last):
            joined = joined or prompt.text[max(0, span.start - 8) : span.end + 8]
    signature = (*counts, len(offsets) - inside)
    return _Counts(signature, joined, frozenset(found), "" if joined else wrong, tuple(shown))


def _is_of(name: str, variables: Collection[str]) -> bool:
    """Whether a span is that of a variable, or of an element of one that is a tuple."""
    whole, _, number = name.rpartition("_")
    return name in variables or (whole in variables and number.isdigit())


def _clean(
    text: str, offsets: Sequence[tuple[int, int]], span: Span, first: int, last: int
) -> bool:
    """Whether the tokens of a span cover nothing else but spaces in front."""
    if last < first:
        return False
    before = text[offsets[first][0] : span.start] if offsets[first][0] < span.start else ""
    return not before.strip() and offsets[last][1] <= span.end
