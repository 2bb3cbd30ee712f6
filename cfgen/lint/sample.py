"""What checks look at: some pairs of every design, inputs of every template, possible answers.

The same ones every time.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cfgen.causal import CausalModel, Choice, table_of
from cfgen.counterfactuals import Pair, answers_of
from cfgen.datasets import Candidates, Split, candidate_pairs, pairs_table
from cfgen.errors import CfgenError
from cfgen.lint.findings import Finding, from_error
from cfgen.prompts import Template
from cfgen.tasks import TEMPLATE_INPUT, Task

PAIRS = 200
"""Pairs of every design."""

INPUTS = 4000
"""Combinations of inputs that a template is rendered for at most."""
FEW = 50
"""Inputs that it is rendered for at least, where only words tell them apart."""
TRIES = 20
"""Draws of words for one combination, until the requirements are met."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Pairs of a task.

    Attributes:
        pairs: Design -> its pairs, any of the templates; none if they cannot be made.
        findings: Why they cannot.
    """

    pairs: Mapping[str, tuple[Pair, ...]]
    findings: tuple[Finding, ...]


def draw_sample(task: Task, n: int = PAIRS) -> Sample:
    """Draw pairs of every design from all words and all templates.

    Args:
        task: The task.
        n: Pairs of each design.
    """
    pairs: dict[str, tuple[Pair, ...]] = {}
    findings: list[Finding] = []
    for name, design in task.designs.items():
        candidates = Candidates(task, design, task.causal_model.domains, split=Split("lint"))
        try:
            made = tuple(candidate_pairs(candidates, n))
            pairs_table(task, made)  # whatever takes pairs keeps them so
            pairs[name] = made
        except CfgenError as error:
            pairs[name] = ()
            findings += from_error(error, design.where)
    return Sample(pairs, tuple(findings))


def own_design(task: Task, hypothesis: str) -> str:
    """Name of the design that a hypothesis is tested with."""
    return task.hypotheses[hypothesis].design or task.default_design


def possible_answers(task: Task, sample: Sample) -> list[str]:
    """Every answer that pairs were found to have or to predict.

    Where one of them is a word of a lexicon, or an attribute of one, all words of that lexicon, or
    all that stands in the column of its table, may be.
    """
    pairs = itertools.chain.from_iterable(sample.pairs.values())
    found = dict.fromkeys(answers_of(pairs))
    for domain in task.causal_model.domains.values():
        columns = [*domain.pools.values(), *zip(*table_of(domain).rows, strict=True)]
        for words in columns:
            if not found.keys().isdisjoint(words):
                found.update(dict.fromkeys(words))
    return sorted(found)


def inputs_for(model: CausalModel, template: Template) -> Iterator[dict[str, Any]]:
    """Inputs for one template: every combination of what is not a word, and words at random.

    Combinations beyond :data:`INPUTS` are drawn at random, always the same ones; few of them are
    tried again, with other words. Words are drawn again where a requirement is not met.
    """
    rng = random.Random(0)
    domains = dict(model.domains)
    if TEMPLATE_INPUT in domains:
        domains[TEMPLATE_INPUT] = Choice((template.id,))
    for name, values in template.supports.items():
        possible = tuple(v for v in values if domains[name].problem_with(v) is None)
        if possible:
            domains[name] = Choice(possible)
    listed = {name: domain for name, domain in domains.items() if not domain.pools}
    total = 1
    for domain in listed.values():
        total *= domain.count()
    rounds = range(-(-FEW // total) if total else 0)
    combinations = (each for _ in rounds for each in itertools.product(*listed.values()))
    if total > INPUTS:
        combinations = (tuple(d.sample(rng) for d in listed.values()) for _ in range(INPUTS))
    for combination in combinations:
        for _ in range(TRIES):
            words = {name: domain.sample(rng) for name, domain in domains.items() if domain.pools}
            inputs = {**words, **dict(zip(listed, combination, strict=True))}
            if not model.program.broken(inputs):
                yield inputs
                break
