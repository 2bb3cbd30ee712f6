"""Words in context: how many tokens a word takes wherever a template can put it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cfgen.causal import Domain
from cfgen.counterfactuals import Pair, Side
from cfgen.prompts import Encode, Prompt, Span, render, tokens_over
from cfgen.tasks import TEMPLATE_INPUT, Task

CONTEXTS = 48
"""Combinations of template and other inputs that words are looked at in, at most."""
Signature = tuple[tuple[int, ...], ...]
"""Per context, the tokens of each mention of a word, and last those of the rest of the prompt."""


@dataclass(frozen=True, slots=True)
class Measured:
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
) -> dict[str, Measured]:
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
    templates = task.templates
    only = next(iter(templates))

    def put(word: str, fill: Sequence[str]) -> Iterator[tuple[tuple[int, ...], str]]:
        for context in contexts:
            for name, index, slot in places:
                inputs = dict(context.side.inputs)
                for other in dict.fromkeys(name for name, _, _ in places):
                    inputs[other] = _filled(inputs[other], word, fill)
                inputs[name] = _with_word(inputs[name], index, word)
                prompt = render(templates[context.template or only], inputs)
                yield _counts(prompt, encode, slot, worded)

    joined = {word: next((j for _, j in put(word, words) if j), "") for word in words}
    # what the words beside it do must not count for a word: fill in those that stand alone
    fill = [word for word in words if not joined[word]] or list(words)
    found = {}
    for word in words:
        signature = tuple(counts for counts, _ in put(word, fill))
        answers = _answers(word, contexts, encode) if is_answer else ()
        found[word] = Measured(signature, joined[word], answers)
    return found


def answer_tokens(prompt: str, completion: str, encode: Encode) -> tuple[int, ...]:
    """Tokens of an answer behind its prompt; empty if the prompt's last token takes part in it."""
    before, _ = encode(prompt)
    after, _ = encode(prompt + completion)
    return tuple(after[len(before) :]) if tuple(after[: len(before)]) == tuple(before) else ()


def span_range(offsets: Sequence[tuple[int, int]], start: int, end: int) -> tuple[int, int]:
    """First and last token that overlap some characters; ``(0, -1)`` if there is none."""
    inside = tokens_over(offsets, start, end)
    return (inside[0], inside[-1]) if inside else (0, -1)


def _answers(word: str, contexts: Iterable[Context], encode: Encode) -> tuple[tuple[int, ...], ...]:
    return tuple(
        answer_tokens(context.side.prompt.text, context.side.answer_prefix + word, encode)
        for context in contexts
    )


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
