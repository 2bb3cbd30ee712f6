"""Audits the plain way: row by row, for comparison with those over columns."""

from __future__ import annotations

import hashlib
import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from cfgen.counterfactuals import Pair
from cfgen.datasets import Leak
from cfgen.datasets.coverage import NAMED, Coverage, CoverageFactor, FactorSpace, Spread
from cfgen.datasets.shortcuts import ANSWER, LEVEL, MARGIN, PENALTY, WORDS, Shortcut
from cfgen.prompts import Prompt, Span
from cfgen.tasks import TEMPLATE_INPUT, Task

Matrix = NDArray[np.float64]
_NUMBER = re.compile(r"_\d+$")


@dataclass(frozen=True, slots=True)
class Mention:
    """A value that a prompt shows.

    Attributes:
        slot: Slot without its number: the same for all elements of one input.
        word: The text.
        start: First character.
    """

    slot: str
    word: str
    start: int


@dataclass(frozen=True, slots=True)
class ShownPrompt:
    """One prompt of an example.

    Attributes:
        prompt: The text.
        answer: Its answer, None where there is none.
        mentions: The values it shows, in the order of the text.
    """

    prompt: str
    answer: str | None
    mentions: tuple[Mention, ...]


@dataclass(frozen=True, slots=True)
class Example:
    """A pair.

    Attributes:
        original: The original.
        counterfactual: The counterfactual.
        template: Template of the original; empty where there is only one.
        predictions: Hypothesis -> the answer it predicts.
    """

    original: ShownPrompt
    counterfactual: ShownPrompt
    template: str
    predictions: Mapping[str, str | None]


def example_of(pair: Pair) -> Example:
    """What audits see of a pair."""
    first, second = (
        ShownPrompt(side.prompt.text, side.answer, _mentions(side.prompt))
        for side in (pair.original, pair.counterfactual)
    )
    template = str(pair.original.inputs.get(TEMPLATE_INPUT, ""))
    return Example(first, second, template, pair.predictions)


def example_of_row(row: Mapping[str, Any]) -> Example:
    """What audits see of a row of a dataset."""
    sides = []
    for name in ("original", "counterfactual"):
        side = row[name]
        spans = tuple(
            Span(span["name"], span["mention"], span["start"], span["end"])
            for span in side["spans"]
        )
        prompt = Prompt(side["prompt"], spans)
        sides.append(ShownPrompt(prompt.text, side["answer"], _mentions(prompt)))
    template = str(row["original"]["variables"].get(TEMPLATE_INPUT, ""))
    return Example(sides[0], sides[1], template, row["predictions"])


def word_slots(task: Task) -> frozenset[str]:
    """Slots (without numbers) whose words come from lexicons, of which splits share none."""
    model = task.causal_model
    return frozenset(
        _kind(slot)
        for name, slots in model.slots.items()
        if model.domains[name].pools
        for slot in slots
    )


def _mentions(prompt: Prompt) -> tuple[Mention, ...]:
    return tuple(
        Mention(_kind(span.name), prompt.text[span.start : span.end], span.start)
        for span in _innermost(prompt.spans)
    )


def _innermost(spans: Iterable[Span]) -> list[Span]:
    """Spans that hold no other one; spans come in text order, the outer before the inner."""
    found: list[Span] = []
    for span in spans:
        if found and span.start >= found[-1].start and span.end <= found[-1].end:
            found.pop()
        found.append(span)
    return found


def _kind(slot: str) -> str:
    return _NUMBER.sub("", slot)


# Shortcuts.


@dataclass(frozen=True, slots=True)
class Case:
    """One row as rules see it.

    Attributes:
        example: The row.
        label: What has to be said.
        named: Words of the kind that the label is of, each once, in order of first mention.
        own: Those of the original, in order of all mentions; the others are the counterfactual's.
        code: The label as the number of its word among ``named`` (``#1``), or else its text.
        fold: 0 or 1: rules that learn do so from the rows of the other fold.
    """

    example: Example
    label: str | None
    named: tuple[str, ...]
    own: tuple[str, ...]
    code: str
    fold: int


Guesses = list[str | None]
Rule = Callable[[Sequence[Case]], Guesses]


def plain_shortcuts(
    rows: Mapping[str, Sequence[Example]], labels: Sequence[str] = ()
) -> tuple[Shortcut, ...]:
    """See :func:`cfgen.datasets.shortcuts.audit_shortcuts`."""
    tried = []
    for label in (ANSWER, *labels):
        for split, examples in rows.items():
            cases = _cases(examples, label)
            for name, rule, chance in _rules(cases, label) if cases else ():
                guesses = rule(cases)
                hits = sum(g == case.label for g, case in zip(guesses, cases, strict=True))
                tried.append((label, name, split, hits, len(cases), chance))
    return tuple(_judge(*trial, len(tried)) for trial in tried)


def _judge(
    label: str, rule: str, split: str, hits: int, n: int, chance: float, trials: int
) -> Shortcut:
    test = binomtest(hits, n, min(chance, 1.0), alternative="greater")
    interval = binomtest(hits, n).proportion_ci(confidence_level=0.95, method="wilson")
    return Shortcut(
        label=label,
        rule=rule,
        split=split,
        hits=hits,
        n=n,
        accuracy=hits / n,
        low=float(interval.low),
        high=float(interval.high),
        chance=chance,
        flagged=bool(test.pvalue <= LEVEL / trials and hits / n >= chance + MARGIN),
    )


def _cases(examples: Iterable[Example], label: str) -> list[Case]:
    """Rows with their labels and the words that could be the label; rows without label are out."""
    labelled = []
    for example in examples:
        said = example.original.answer if label == ANSWER else example.predictions.get(label)
        shown = [example.original, *([] if label == ANSWER else [example.counterfactual])]
        if said is not None:
            labelled.append((example, said, [m for side in shown for m in side.mentions]))
    kinds = {m.slot for _, said, mentions in labelled for m in mentions if m.word == said}
    return [_case(example, said, mentions, kinds) for example, said, mentions in labelled]


def _case(example: Example, said: str, mentions: Sequence[Mention], kinds: set[str]) -> Case:
    words = [m.word for m in mentions if m.slot in kinds]
    named = tuple(dict.fromkeys(words))
    code = f"#{named.index(said) + 1}" if said in named else said
    own = tuple(m.word for m in example.original.mentions if m.slot in kinds)
    digest = hashlib.blake2b(example.original.prompt.encode(), digest_size=1).digest()
    return Case(example, said, named, own, code, digest[0] & 1)


def _rules(cases: Sequence[Case], label: str) -> list[tuple[str, Rule, float]]:
    answers, codes = {case.label for case in cases}, {case.code for case in cases}
    any_answer, any_code = 1 / max(2, len(answers)), 1 / max(2, len(codes))
    rules: list[tuple[str, Rule, float]] = [("majority", _majority, any_answer)]
    if any(case.named for case in cases):
        pick = _picked((case.label, case.named) for case in cases)
        pick_own = _picked((case.label, case.own) for case in cases)
        rules += [
            ("position", _commonest(lambda case: ""), any_code),
            ("first mentioned", _mentioned(0), pick_own),
            ("last mentioned", _mentioned(-1), pick_own),
            ("frequency", _most_frequent, pick),
        ]
    if label == ANSWER:
        copied: Rule = lambda rows: [c.example.counterfactual.answer for c in rows]  # noqa: E731
        rules.append(("copy", copied, any_answer))
    if len({case.example.template for case in cases}) > 1:
        rules.append(("template", _commonest(lambda case: case.example.template), any_code))
    rules.append(("linear", _linear, any_code))
    return rules


def _picked(cases: Iterable[tuple[str | None, Sequence[str]]]) -> float:
    """How often a word picked at random is right."""
    chances = [(said in words) / max(1, len(set(words))) for said, words in cases]
    return sum(chances) / len(chances)


def _mentioned(index: int) -> Rule:
    return lambda cases: [case.own[index] if case.own else None for case in cases]


def _majority(cases: Sequence[Case]) -> Guesses:
    best = [_top(Counter(c.label for c in cases if c.fold != fold)) for fold in (0, 1)]
    return [best[case.fold] for case in cases]


def _commonest(key: Callable[[Case], str]) -> Rule:
    """The rule that says the commonest code among the other fold's rows with the same key."""

    def rule(cases: Sequence[Case]) -> Guesses:
        counts: dict[tuple[int, str], Counter[str]] = {}
        for case in cases:
            counts.setdefault((1 - case.fold, key(case)), Counter())[case.code] += 1
        best = {where: _top(counter) for where, counter in counts.items()}
        return [_decode(best.get((case.fold, key(case))), case) for case in cases]

    return rule


def _most_frequent(cases: Sequence[Case]) -> Guesses:
    counts = [Counter(c.label for c in cases if c.fold != fold) for fold in (0, 1)]
    return [
        max(case.named, key=lambda word: counts[case.fold][word], default=None) for case in cases
    ]


def _linear(cases: Sequence[Case]) -> Guesses:
    shown: list[tuple[ShownPrompt, tuple[str, ...]]] = [
        (c.example.original, c.named) for c in cases
    ]
    codes = linear_guesses(
        shown, [c.example.template for c in cases], [c.code for c in cases], [c.fold for c in cases]
    )
    return [_decode(code, case) for code, case in zip(codes, cases, strict=True)]


def _decode(code: str | None, case: Case) -> str | None:
    if code is None or not code.startswith("#"):
        return code
    number = int(code[1:]) - 1
    return case.named[number] if number < len(case.named) else None


def _top(counts: Counter[str | None] | Counter[str]) -> str | None:
    """The commonest; among equals the first in the alphabet, so that nothing hangs on order."""
    return min(counts, key=lambda name: (-counts[name], str(name)), default=None)


def linear_guesses(
    prompts: Sequence[tuple[ShownPrompt, tuple[str, ...]]],
    templates: Sequence[str],
    codes: Sequence[str],
    folds: Sequence[int],
) -> list[str | None]:
    """Guess a code for every row with a linear model that was fitted to the other fold."""
    features = _features(prompts, templates)  # (rows, features)
    names = sorted(set(codes))
    wanted = np.array([[code == name for name in names] for code in codes], float)  # (rows, codes)
    fold = np.array(folds)
    guesses: list[str | None] = [None] * len(codes)
    for held in (0, 1):
        rest, here = fold != held, np.flatnonzero(fold == held)
        if rest.any() and here.size:
            scores = _fitted(features[rest], wanted[rest], features[here])
            for row, best in zip(here, scores.argmax(axis=1), strict=True):
                guesses[row] = names[best]
    return guesses


def _fitted(known: Matrix, wanted: Matrix, new: Matrix) -> Matrix:
    """Scores of new rows: (rows, codes)."""
    centre, scale = known.mean(axis=0), known.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    x, y = (known - centre) / scale, wanted - wanted.mean(axis=0)
    weights = np.linalg.solve(x.T @ x + PENALTY * np.eye(x.shape[1]), x.T @ y)
    return np.asarray((new - centre) / scale @ weights + wanted.mean(axis=0))


def _features(
    prompts: Sequence[tuple[ShownPrompt, tuple[str, ...]]], templates: Sequence[str]
) -> Matrix:
    known = sorted(set(templates))
    rows = []
    for (shown, named), template in zip(prompts, templates, strict=True):
        first: dict[str, int] = {}
        for mention in shown.mentions:
            first.setdefault(mention.word, mention.start)
        order = {word: rank for rank, word in enumerate(sorted(named))}
        row = [float(template == name) for name in known]
        row.append(float(len(shown.prompt)))
        for word in named[:WORDS]:
            row += [len(word), order[word], first.get(word, -1)]
        row += [0.0] * (3 * (WORDS - len(named)))
        rows.append(row)
    return np.array(rows, float)


# Coverage.


Row = tuple[Mapping[str, Any], str | None]
Combination = tuple[tuple[int, str], ...]


def plain_value(factor: CoverageFactor, row: Row) -> str:
    """The value of a factor in a row."""
    inputs, answer = row
    return factor.of(inputs) if factor.input else str(answer)


def plain_coverage(space: FactorSpace, rows: Iterable[Row], strength: int = 2) -> Coverage:
    """See :class:`cfgen.datasets.coverage.CoverageAudit`."""
    factors, listed = space.factors, list(rows)
    strength = min(strength, len(factors))
    subsets = list(_subsets(space, strength))
    columns = [[plain_value(factor, row) for row in listed] for factor in factors]
    seen = {
        tuple(zip(subset, values, strict=True))
        for subset in subsets
        for values in zip(*(columns[index] for index in subset), strict=True)
    }
    possible = _possible(space, subsets) | seen
    spread = {}
    for index, factor in enumerate(factors):
        used = Counter(columns[index])
        known = {value for some in possible for at, value in some if at == index} | used.keys()
        spread[factor.name] = Spread(
            values=len(known),
            used=len(used),
            least=min((used[value] for value in known), default=0),
            most=max(used.values(), default=0),
        )
    return Coverage(
        strength=strength,
        covered=len(seen),
        possible=len(possible),
        share=len(seen) / len(possible) if possible else 1.0,
        missing=tuple(
            ", ".join(f"{factors[index].name}={value}" for index, value in some)
            for some in sorted(possible - seen)[:NAMED]
        ),
        exact=space.exact,
        spread=spread,
    )


def _subsets(space: FactorSpace, strength: int) -> list[tuple[int, ...]]:
    """Factors that are combined; at most one has words, or many numbers, or answers of words."""
    answer = len(space.factors) - 1
    is_open = {k for k, factor in enumerate(space.factors[:answer]) if factor.values is not None}
    if max((len(answers) for _, answers in space.cases), default=0) > 1:
        is_open.add(answer)
    every = itertools.combinations(range(answer + 1), strength)
    return [subset for subset in every if len(is_open.intersection(subset)) <= 1]


def _possible(space: FactorSpace, subsets: Sequence[tuple[int, ...]]) -> set[Combination]:
    """Case by case: what every factor can be in it, and all of that for every subset."""
    found: set[Combination] = set()
    for values, answers in space.cases:
        closed = iter(values)
        can_be: list[list[str]] = []
        for factor in space.factors[:-1]:
            can_be.append([next(closed)] if factor.values is None else list(factor.values))
        can_be.append(list(answers))
        for subset in subsets:
            for chosen in itertools.product(*(can_be[index] for index in subset)):
                found.add(tuple(zip(subset, chosen, strict=True)))
    return found


# Leakage.


def plain_leakage(
    rows: Mapping[str, Sequence[Example]], slots: Collection[str] = ()
) -> tuple[Leak, ...]:
    """See :class:`cfgen.datasets.leakage.LeakageAudit`; ``slots`` have words from lexicons."""
    words: dict[str, set[str]] = {}
    templates: dict[str, set[str]] = {}
    prompts: dict[str, list[str]] = {}
    for split, examples in rows.items():
        sides = [side for row in examples for side in (row.original, row.counterfactual)]
        prompts[split] = [side.prompt for side in sides]
        templates[split] = {row.template for row in examples if row.template}
        words[split] = {
            f"{m.slot}: {m.word}" for side in sides for m in side.mentions if m.slot in slots
        }
    close = {split: [plain_text(prompt) for prompt in texts] for split, texts in prompts.items()}
    found = []
    for what, items in (("words", words), ("templates", templates)):
        for one, other in itertools.combinations(rows, 2):
            both, every = sorted(items[one] & items[other]), items[one] | items[other]
            if every:
                flagged = bool(both) and what == "words"
                found.append(_leak(what, one, other, len(both), len(every), both[:5], flagged))
    for what, texts in (("prompts", prompts), ("near_duplicates", close)):
        for split, listed in texts.items():
            again, of = len(listed) - len(set(listed)), len(set(listed))
            found.append(_leak(what, split, split, again, of, (), again > 0))
        for one, other in itertools.combinations(rows, 2):
            both_texts = {*texts[one]} & {*texts[other]}
            of = len({*texts[one]} | {*texts[other]})
            found.append(_leak(what, one, other, len(both_texts), of, (), bool(both_texts)))
    return tuple(found)


def plain_text(prompt: str) -> str:
    """A prompt without case, spaces and punctuation, and with one form of every character."""
    # folding is not always to small letters: Cherokee is folded to its capitals
    folded = unicodedata.normalize("NFKC", prompt).casefold()
    kinds = {"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Sm", "Sc", "So"}
    kept = "".join(
        mark
        for mark in unicodedata.normalize("NFKC", folded)
        if unicodedata.category(mark) in kinds or mark in "+-*/%^|~<>=&@#\\_$"
    )
    return unicodedata.normalize("NFC", kept)


def _leak(
    what: str, one: str, other: str, shared: int, of: int, examples: Sequence[str], flagged: bool
) -> Leak:
    return Leak(
        what=what,
        one=one,
        other=other,
        shared=shared,
        of=of,
        examples=tuple(examples),
        flagged=flagged,
    )
