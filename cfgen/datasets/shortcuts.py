"""Shortcuts: how often rules that know nothing of the task are right, beside chance."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from cfgen.datasets.examples import Example, Mention, Shown
from cfgen.datasets.surface import linear_guesses
from cfgen.stats import at_least, rate

ANSWER = "answer"
"""The label that is the original's answer; other labels are named after hypotheses."""
LEVEL = 0.01
"""Chance of flagging anything in an audit of a dataset without shortcuts."""
MARGIN = 0.02
"""A rule that beats chance by less than this is never flagged."""


class Shortcut(BaseModel):
    """How well one rule does in one split.

    Attributes:
        label: What the rule has to say: ``answer``, or what a hypothesis predicts.
        rule: The rule, see :func:`audit_shortcuts`.
        split: The split.
        hits: In how many rows it is right.
        n: Number of rows.
        accuracy: Share of rows in which it is right.
        low: Lower end of the 95 % Wilson interval of that share.
        high: Upper end.
        chance: What guessing reaches.
        flagged: Whether the rule beats chance, beyond doubt and by more than :data:`MARGIN`.
    """

    model_config = ConfigDict(frozen=True)

    label: str
    rule: str
    split: str
    hits: int
    n: int
    accuracy: float
    low: float
    high: float
    chance: float
    flagged: bool


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


def audit_shortcuts(
    rows: Mapping[str, Sequence[Example]], labels: Sequence[str] = ()
) -> tuple[Shortcut, ...]:
    """Try rules that read no story on every split.

    ``majority``: the commonest answer. ``position``: always the same of the words that could be
    the answer (the first one named, the second, ...), the commonest. ``first mentioned`` and
    ``last mentioned``: of those words of the original. ``copy``: the counterfactual's answer.
    ``template``: the commonest position for the template. ``frequency``: of those words the one
    that most often is the answer. ``linear``: the position that a linear model predicts from
    template, lengths, places and alphabetical order. Rules that learn do so from one half of a
    split and are tried on the other, both ways.

    Chance is, for ``first mentioned``, ``last mentioned`` and ``frequency``, picking one of those
    words at random; for the others, picking one of the answers (or positions) that occur. A rule
    is flagged if the exact one-sided binomial test against chance is significant at
    :data:`LEVEL`, corrected (Bonferroni) for the number of rules tried.

    Args:
        rows: Split -> rows; a random part of a split will do.
        labels: Hypotheses whose predictions are to be said, besides the original's answer. Words
            of the counterfactual count as well, then.

    Returns:
        For every label, split and rule that can be applied, how it does.
    """
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
    found = rate(hits, n)
    beats = found.value >= chance + MARGIN and at_least(hits, n, min(chance, 1.0)) <= LEVEL / trials
    return Shortcut(
        label=label,
        rule=rule,
        split=split,
        hits=hits,
        n=n,
        accuracy=found.value,
        low=found.low,
        high=found.high,
        chance=chance,
        flagged=beats,
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
    shown: list[tuple[Shown, tuple[str, ...]]] = [(c.example.original, c.named) for c in cases]
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
