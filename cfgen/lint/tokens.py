"""Checks of prompts and answers as a tokenizer has them, and of whether pairs align."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cfgen.counterfactuals import Pair, Site
from cfgen.datasets import answer_tokens
from cfgen.errors import CfgenError
from cfgen.lint.findings import Finding
from cfgen.lint.sample import Sample, inputs_for, own_design, possible_answers
from cfgen.lm.answers import build_tree
from cfgen.lm.reading import TokenReader
from cfgen.lm.token_checks import text_problems
from cfgen.lm.tokens import Misalignment, PromptTokens, aligned_spans
from cfgen.paths import display
from cfgen.prompts import Encode, Encoding, Prompt, Template, tokens_over
from cfgen.tasks import Task, accepted_texts

PAIRS = 60
"""Pairs of every design that are tokenised."""

SHOWN = 6
"""Words that a finding lists before it only counts the rest."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """A tokenizer under its name, and what is known already."""

    name: str
    encode: Encode
    known: dict[str, Encoding]

    @property
    def reading(self) -> TokenReader | None:
        """What its tokens read; None if it is a function that tells of no text but the ids."""
        return getattr(self.encode, "reader", None)

    def __call__(self, text: str) -> Encoding:
        """Ids and offsets of a text, found out once."""
        if text not in self.known:
            self.known[text] = self.encode(text)
        return self.known[text]

    def of(self, prompt: Prompt) -> PromptTokens:
        """The tokens of a prompt."""
        ids, offsets = self(prompt.text)
        return PromptTokens(prompt, tuple(ids), tuple(offsets))


def check_answer_tokens(task: Task, sample: Sample, tokens: Tokens) -> Iterable[Finding]:
    """Answers without tokens of their own behind a prompt, and answers with the same ones."""
    side = next((p.original for pairs in sample.pairs.values() for p in pairs), None)
    if side is None:
        return
    model = task.causal_model
    where = model.places[model.output]
    answers = task.candidates or possible_answers(task, sample)
    try:
        texts = accepted_texts(task.accept, answers, task.where)
    except CfgenError:  # which is found without a tokenizer, too
        return
    paths = {
        text: answer_tokens(side.prompt.text, side.answer_prefix + text, tokens)
        for text in dict.fromkeys(text for own in texts.values() for text in own)
    }
    joined = [text for text, path in paths.items() if not path]
    if joined:
        yield Finding(
            "answer-tokens",
            f"{tokens.name}: behind the prompt, {listed(joined)} share a token with its end, or "
            "have none",
            where,
            "let the template's `answer_prefix` put a space or a line break between the two",
            tokens.name,
        )
        return
    try:
        build_tree({answer: [paths[text] for text in own] for answer, own in texts.items()})
    except CfgenError as error:
        for problem in error.problems:
            yield Finding(
                "answer-collision",
                f"{tokens.name}: {problem.message}",
                where,
                problem.hint,
                tokens.name,
            )


def check_prompt_tokens(task: Task, sample: Sample, tokens: Tokens) -> Iterable[Finding]:
    """Prompts whose tokens are not their text, or are those of another one: a run refuses them."""
    sides = (
        side.prompt
        for pairs in sample.pairs.values()
        for pair in pairs[:PAIRS]
        for side in (pair.original, pair.counterfactual)
    )
    words = (prompt for *_, prompt in _prompts_of_words(task))
    prompts = {prompt.text: prompt for prompt in (*sides, *words)}
    sources = {
        display(template.paths[name]): source
        for template in task.templates.values()
        for name, source in template.sources.items()
    }
    problems = text_problems(tokens.reading, map(tokens.of, prompts.values()), sources)
    for problem in problems[:SHOWN]:
        yield Finding(
            "prompt-tokens",
            f"{tokens.name}: {problem.message}",
            problem.where or task.where,
            problem.hint,
            tokens.name,
        )


def check_word_tokens(task: Task, sample: Sample, tokens: Tokens) -> Iterable[Finding]:
    """Words of lexicons that are not one token where a prompt shows them or their attributes."""
    several: dict[tuple[str, str, str], dict[str, str]] = {}
    for template, name, pool, slot, word, prompt in _prompts_of_words(task):
        found = _slot_tokens(tokens, prompt, slot)
        for shown in (shown for shown, count in found if count != 1):
            several.setdefault((template.id, name, pool), {}).setdefault(word, shown)
    for (template_id, name, pool), words in several.items():
        slots = ", ".join(sorted({*words.values()}))
        yield Finding(
            "word-tokens",
            f"{tokens.name}: in template {template_id!r} these words of lexicon {pool!r} are not "
            f"one token each as {slots}: {listed(list(words))}",
            task.causal_model.places[name],
            "replace them, or generate with --tokenizer, which leaves them out",
            pool,
        )


def _prompts_of_words(task: Task) -> Iterator[tuple[Template, str, str, str, str, Prompt]]:
    """Every word of every lexicon in every slot that a template shows it in.

    Yields:
        The template, the input, its lexicon, the slot, the word and the prompt.
    """
    model = task.causal_model
    for template in task.templates.values():
        inputs = next(inputs_for(model, template), None)
        if inputs is None:  # hardly any meet the requirements, which drawing pairs says
            continue
        for name, domain in model.domains.items():
            for pool, words in domain.pools.items() if name in template.shows else ():
                for (place, slot), word in itertools.product(enumerate(model.slots[name]), words):
                    placed = {**inputs, name: _placed(inputs[name], place, word)}
                    if not model.program.broken(placed):
                        yield template, name, pool, slot, word, task.prompt(placed, template)


def _placed(value: Any, index: int, word: str) -> Any:
    """A value with a word in one of its places; others make room for it."""
    if isinstance(value, tuple):
        changed = [value[index] if other == word else other for other in value]
        changed[index] = word
        return tuple(changed)
    return word


def _slot_tokens(tokens: Tokens, prompt: Prompt, slot: str) -> list[tuple[str, int]]:
    """How many tokens each mention of a slot, and of an attribute of its word, takes.

    0 where it shares one with its surroundings.
    """
    encoded = tokens.of(prompt)
    counts = []
    for span in prompt.spans:
        if span.name.partition(".")[0] == slot:
            touching = [
                encoded.offsets[n] for n in tokens_over(encoded.offsets, span.start, span.end)
            ]
            inside = all(
                b <= span.end and not prompt.text[a : span.start].strip() for a, b in touching
            )
            counts.append((span.name, len(touching) if inside else 0))
    return counts


def listed(words: Sequence[str]) -> str:
    """Some of the words, and how many more there are."""
    shown = ", ".join(map(repr, words[:SHOWN]))
    return f"{shown} and {len(words) - SHOWN} more" if len(words) > SHOWN else shown


def check_lengths(task: Task, sample: Sample, tokens: Tokens) -> Iterable[Finding]:
    """Designs whose two prompts differ in length."""
    for design in task.designs.values():
        lengths = [
            (len(tokens.of(pair.original.prompt)), len(tokens.of(pair.counterfactual.prompt)))
            for pair in sample.pairs[design.name][:PAIRS]
        ]
        differ = [both for both in lengths if both[0] != both[1]]
        if differ:
            yield Finding(
                "length-differs",
                f"{tokens.name}: {len(differ)} of {len(lengths)} pairs of design {design.name!r} "
                f"have prompts of different lengths, such as {differ[0][0]} and {differ[0][1]} "
                "tokens",
                design.where,
                "keep the template in both prompts, and prefer words of one token",
                design.name,
            )


def check_alignment(task: Task, sample: Sample, tokens: Tokens) -> Iterable[Finding]:
    """Hypotheses at whose site a token of the one prompt has no counterpart in the other."""
    for hypothesis in task.hypotheses.values():
        design = own_design(task, hypothesis.name)
        pairs = sample.pairs[design][:PAIRS]
        found = Counter(
            reason for pair in pairs if (reason := why_not_aligned(tokens, pair, hypothesis.site))
        )
        if found:
            yield Finding(
                "slots-misaligned",
                f"{tokens.name}: {found.total()} of {len(pairs)} pairs of design {design!r} cannot "
                f"be swapped at the site of hypothesis {hypothesis.name!r}: "
                f"{found.most_common(1)[0][0]}",
                hypothesis.where,
                "a run leaves such pairs out: prefer words of one token, or swap one token",
                hypothesis.name,
            )


def why_not_aligned(tokens: Tokens, pair: Pair, site: Site) -> str:
    """Why a pair has no swap at a site; empty if it has one."""
    original, counterfactual = pair.original.prompt, pair.counterfactual.prompt
    try:
        aligned_spans(pair, tokens.of(original), tokens.of(counterfactual), site)
    except Misalignment as reason:
        return str(reason)
    except CfgenError as error:
        return error.problems[0].message
    return ""
