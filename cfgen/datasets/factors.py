"""Factors: what of a pair is counted for coverage, and which values can occur together."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cfgen.causal import Distinct, Domain, Words
from cfgen.counterfactuals import Design, apply_edits, output_text
from cfgen.tasks import Task

LEVELS = 32
"""An input with more values than this is open, as words are."""
CASES = 4096
"""Combinations of closed inputs that are tried, to find out which can occur."""
ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class Factor:
    """An input, or one element of an input, or the answer.

    Attributes:
        name: Its slot, or ``answer``.
        input: The input it belongs to; empty for the answer.
        element: Which element of that, None for all of it.
        values: All its values if it is open: words of a lexicon, or many numbers. None if closed.
    """

    name: str
    input: str
    element: int | None
    values: tuple[str, ...] | None

    def of(self, inputs: Mapping[str, Any], answer: str | None) -> str:
        """The value that a row has, as text."""
        if not self.input:
            return str(answer)
        value = inputs[self.input]
        return str(value if self.element is None else value[self.element])

    def column(
        self, inputs: Mapping[str, Sequence[Any]], answers: Sequence[str | None]
    ) -> list[str]:
        """The values that many rows have."""
        if not self.input:
            return list(map(str, answers))
        values = inputs[self.input]
        if self.element is None:
            return list(map(str, values))
        return [str(value[self.element]) for value in values]


@dataclass(frozen=True, slots=True)
class Space:
    """What can occur in one split.

    Attributes:
        factors: The factors, the answer last.
        cases: Values of the closed factors that occur together, each with the answers that go
            with them: one text, or the words of a lexicon.
        exact: Whether every combination of closed inputs was tried.
    """

    factors: tuple[Factor, ...]
    cases: frozenset[tuple[tuple[str, ...], tuple[str, ...]]]
    exact: bool

    @property
    def closed(self) -> tuple[Factor, ...]:
        """The factors with few values, without the answer."""
        return tuple(factor for factor in self.factors[:-1] if factor.values is None)


def find_space(task: Task, design: Design, domains: Mapping[str, Domain]) -> Space:
    """Find out which values the inputs, the template and the answer can have together.

    Closed inputs are enumerated, if they have no more than :data:`CASES` combinations; the others
    are drawn. The causal model says the answer; if it is a word of a lexicon that the prompt
    draws from, any other word could stand in its place.

    Args:
        task: The task.
        design: How the original is prepared.
        domains: Input -> what it is drawn from in this split.
    """
    factors = _input_factors(task, domains)
    closed = [factor for factor in factors if factor.values is None]
    names = list(dict.fromkeys(factor.input for factor in closed))
    rng = random.Random(0)
    exact = math.prod(domains[name].count() for name in names) <= CASES
    cases = set()
    run, output = task.causal_model.program.run, task.causal_model.output
    for chosen in _chosen(names, domains, rng, exact):
        drawn = {name: d.sample(rng) for name, d in domains.items() if name not in chosen}
        inputs = apply_edits(design.original, {**drawn, **chosen}, domains, rng)
        if not task.supports(inputs):
            continue
        answer = output_text(run(inputs)[output])
        values = tuple(factor.of(inputs, None) for factor in closed)
        cases.add((values, _exchangeable(answer, inputs, domains)))
    return Space((*factors, Factor(ANSWER, "", None, None)), frozenset(cases), exact)


def _input_factors(task: Task, domains: Mapping[str, Domain]) -> list[Factor]:
    factors = []
    for name, slots in task.causal_model.slots.items():
        domain = domains[name]
        single = domain.of if isinstance(domain, Distinct) else domain
        values = None
        if isinstance(single, Words) or single.count() > LEVELS:
            values = tuple(map(str, single)) if single.count() <= CASES else ()
        for index, slot in enumerate(slots):
            element = None if domain.arity is None else index
            factors.append(Factor(slot, name, element, values))
    return factors


def _chosen(
    names: Sequence[str], domains: Mapping[str, Domain], rng: random.Random, exact: bool
) -> Iterator[dict[str, Any]]:
    if not exact:
        for _ in range(CASES):
            yield {name: domains[name].sample(rng) for name in names}
        return
    number = math.prod(domains[name].count() for name in names)
    for values in itertools.product(*(domains[name] for name in names)):
        for _ in range(max(1, min(8, CASES // number))):  # what edits draw comes out several ways
            yield dict(zip(names, values, strict=True))


def _exchangeable(
    answer: str | None, inputs: Mapping[str, Any], domains: Mapping[str, Domain]
) -> tuple[str, ...]:
    """The answers that could stand in the place of this one."""
    for name, domain in domains.items():
        shown = inputs[name] if domain.arity is not None else (inputs[name],)
        if answer in shown:
            for words in domain.pools.values():
                return tuple(words)
    return (str(answer),)
