"""Design search: which compositions of edits make pairs on which hypotheses predict differently."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from cfgen.counterfactuals.atoms import Atoms
from cfgen.counterfactuals.cover import smallest_cover
from cfgen.counterfactuals.designs import Design
from cfgen.counterfactuals.evaluate import Question
from cfgen.counterfactuals.factors import Factor, combined, factors_of
from cfgen.counterfactuals.goals import Goal, Two, make_goal
from cfgen.counterfactuals.grid import EXACT, Grid, Table, make_grid
from cfgen.counterfactuals.judging import Judged, judge
from cfgen.counterfactuals.operation import Palette
from cfgen.counterfactuals.options import (
    PALETTES,
    Option,
    TooManyOptions,
    blocks_of,
    copy_links,
    left_out,
    options_of,
)
from cfgen.counterfactuals.scores import best_of, score_all, total_cost
from cfgen.counterfactuals.symmetry import Cases, Settled, settle

MOST_SHARES = 60_000_000
"""Compositions times couples of hypotheses that are computed at most."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What designs are asked for.

    Attributes:
        targets: Hypotheses of interest; none for every declared one.
        against: Their rivals; none for every declared one.
        max_edits: Inputs that the counterfactual may differ in at most.
        share: Share of pairs from which on a design is said to separate two hypotheses.
        decisive: Whether every pair has to be decisive.
        separates: Couples of hypotheses that a design has to separate.
        top: How many designs to return.
    """

    targets: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    max_edits: int = 5
    share: float = 0.5
    decisive: bool = False
    separates: tuple[Two, ...] = ()
    top: int = 5

    @property
    def named(self) -> tuple[str, ...]:
        """Names of hypotheses in requirements."""
        return tuple(name for couple in self.separates for name in couple)


@dataclass(frozen=True, slots=True)
class Found:
    """A design, and what it does.

    Attributes:
        judged: The design with its cases.
        decisive: Share of its pairs that are decisive.
        separates: Couples on which it separates, with the share of pairs that do.
        changed: Inputs in which the counterfactual differs from the original.
        alike: How many other compositions do the same.
    """

    judged: Judged
    decisive: Fraction
    separates: Mapping[Two, Fraction]
    changed: tuple[str, ...]
    alike: int = 0


@dataclass(frozen=True, slots=True)
class Search:
    """Result of a search.

    Attributes:
        goal: What was to be told apart.
        found: The best designs, best first.
        cover: The smallest set of designs that separates whatever a design found separates.
        apart: Couples that no composition separates, and that are not of one class.
        settled: All pairs of inputs, with predictions.
        compositions: How many compositions were looked at.
        left_out: Kinds of edits that were not tried, in words.
    """

    goal: Goal
    found: tuple[Found, ...]
    cover: tuple[Found, ...]
    apart: tuple[Two, ...]
    settled: Settled
    compositions: int
    left_out: str


def search(question: Question, wanted: Wanted) -> Search:
    """Look at every composition of edits, all at once.

    Args:
        question: The hypotheses, and the domains of inputs.
        wanted: What is asked for.

    Raises:
        CfgenError: If there is no such hypothesis, or a mechanism fails.
        TooManyCases: If there are too many pairs of inputs to look at all of them.
    """
    names = question.names
    factors: list[Factor] = []

    def ordered(atoms: Atoms) -> tuple[Factor, ...]:
        made = factors_of(atoms, names)
        links = copy_links({name: atoms.domains[name] for name in names}, PALETTES[0])
        return tuple(factor for block in blocks_of(made, links) for factor in block)

    def cases_of(atoms: Atoms) -> Cases:
        factors[:] = ordered(atoms)
        return combined(factors, names)

    settled = settle(question, names, cases_of)
    goal = make_goal(question.labels, settled.columns, wanted.targets, wanted.against, wanted.named)
    grid, palette = _grid(settled, factors, wanted, len(goal.couples))
    missing = left_out({name: settled.atoms.domains[name] for name in names}, palette)
    tables = _tables(question, settled, goal)
    allowed = (grid.costs(lambda option: option.cost[0]) <= wanted.max_edits) & (grid.weights > 0)
    scores = score_all(grid, tables, goal, wanted.share)
    scores.rank[~allowed] = -1
    keep = allowed & bool(goal.required)
    if wanted.decisive:
        keep &= scores.decisive >= 1 - EXACT
    for one, other in wanted.separates:
        couple = goal.couple(one, other)
        keep &= grid.shares(tables[couple]) >= wanted.share - EXACT if couple else False
    cost = total_cost(grid)
    best = best_of(scores, cost, keep, wanted.top)
    found = [
        describe(question, goal, _design(grid, index, k), wanted.share, alike)
        for k, (index, alike) in enumerate(best, start=1)
    ]
    chosen, apart = smallest_cover(grid, scores, cost, allowed, tables, goal, wanted.share)
    cover = [
        describe(question, goal, _design(grid, index, k, "part"), wanted.share)
        for k, index in enumerate(chosen, start=1)
    ]
    return Search(goal, tuple(found), tuple(cover), apart, settled, int(allowed.sum()), missing)


def describe(question: Question, goal: Goal, design: Design, share: float, alike: int = 0) -> Found:
    """Judge a design exactly."""
    judged = judge(question, design, trials=0)
    shares = {couple: judged.differ(*couple) for couple in goal.couples}
    separates = {couple: found for couple, found in shares.items() if found >= share}
    changed = dict.fromkeys(edit.input for edit in design.counterfactual if edit.changes)
    decisive = judged.decisive(goal.required) if goal.required else Fraction(0)
    return Found(judged, decisive, separates, tuple(changed), alike)


def _grid(
    settled: Settled, factors: Sequence[Factor], wanted: Wanted, couples: int
) -> tuple[Grid, Palette]:
    """The richest grid that is not too large."""
    atoms = settled.atoms
    domains = {name: atoms.domains[name] for name in settled.names}
    for palette in PALETTES:
        links = copy_links(domains, palette)
        options: list[list[Option]] = []
        size = 1
        try:
            for block in blocks_of(factors, links):
                options.append(options_of(atoms, block, links, palette, wanted.max_edits))
                size *= len(options[-1])
        except TooManyOptions:
            continue
        if size * max(couples, 1) <= MOST_SHARES:
            return make_grid(options, settled.columns.shown), palette
    raise TooManyOptions


def _tables(question: Question, settled: Settled, goal: Goal) -> dict[Two, Table]:
    outputs, labels = settled.columns.outputs, question.labels
    return {
        (one, other): outputs[:, labels.index(one)] != outputs[:, labels.index(other)]
        for one, other in goal.couples
    }


def _design(grid: Grid, index: int, number: int, name: str = "found") -> Design:
    original, counterfactual = grid.edits(index)
    return Design(f"{name}_{number}", counterfactual, original)
