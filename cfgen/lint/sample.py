"""The pairs that lint looks at: some of every design, the same ones every time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cfgen.counterfactuals import Pair
from cfgen.datasets import Candidates, candidate_pairs
from cfgen.errors import CfgenError
from cfgen.lint.finding import Finding, from_error
from cfgen.tasks import Task

PAIRS = 200
"""Pairs of every design."""


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
        candidates = Candidates(task, design, task.causal_model.domains, split="lint")
        try:
            pairs[name] = tuple(candidate_pairs(candidates, n))
        except CfgenError as error:
            pairs[name] = ()
            findings += from_error(error, design.where)
    return Sample(pairs, tuple(findings))


def own_design(task: Task, hypothesis: str) -> str:
    """Name of the design that a hypothesis is tested with."""
    return task.hypotheses[hypothesis].design or task.default_design
