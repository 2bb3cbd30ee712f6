"""What a search is for: which hypotheses are to be told apart; and how far a design does that."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from cfgen.counterfactuals import ALL, NONE, Design, Predictor, kind_of, output_text
from cfgen.errors import CfgenError, Problem, did_you_mean
from cfgen.search.comparison import Comparison
from cfgen.search.predictions import TRIALS, CaseTable, Predictions, case_table

Two = tuple[str, str]


@dataclass(frozen=True, slots=True)
class DesignRequest:
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
        """Names of all hypotheses in it."""
        return tuple(dict.fromkeys((*self.targets, *self.against, *sum(self.separates, ()))))


@dataclass(frozen=True, slots=True)
class Goal:
    """What is to be told apart.

    Attributes:
        classes: Hypotheses (``none`` and ``all`` included) that predict the same for every pair of
            inputs there is; the first of each speaks for the class.
        couples: Every two classes, by their first names: what can be told apart at all.
        required: Couples that a decisive pair tells apart.
        coinciding: Couples that were asked for, but are of one class: nothing tells them apart.
        contrast: Hypotheses that were asked for by name.
    """

    classes: tuple[tuple[str, ...], ...]
    couples: tuple[Two, ...]
    required: tuple[Two, ...]
    coinciding: tuple[Two, ...]
    contrast: tuple[str, ...]

    def speaker(self, name: str) -> str:
        """The first hypothesis of the class that a hypothesis is in."""
        return next(group[0] for group in self.classes if name in group)

    def couple(self, one: str, other: str) -> Two | None:
        """The two classes of two hypotheses, in order; None if it is one class."""
        pair = {self.speaker(one), self.speaker(other)}
        return next((couple for couple in self.couples if {*couple} == pair), None)


def goal_of(labels: Sequence[str], predictions: Predictions, request: DesignRequest) -> Goal:
    """Say what is to be told apart.

    With both targets and rivals, all of these and ``none`` are told from each other; with only
    targets, these from each other, from ``none`` and from every other declared hypothesis; with
    only rivals, these from all others; with neither, all from each other.

    Args:
        labels: Names of the columns: ``none``, ``all``, and every declared hypothesis.
        predictions: Those for every pair of inputs there is.
        request: The hypotheses that are asked for.

    Raises:
        CfgenError: If there is no such hypothesis.
    """
    unknown = [name for name in request.named if name not in labels]
    if unknown:
        raise CfgenError(
            Problem(
                "unknown-name",
                f"there is no hypothesis {name!r}",
                hint=did_you_mean(name, labels),
            )
            for name in unknown
        )
    targets, against = request.targets, request.against
    classes = _classes(labels, predictions, (*targets, *against))
    declared = [label for label in labels if label not in (NONE, ALL)]
    first, second = list(targets) or declared, list(against) or declared
    asked = [*itertools.product((NONE,), first), *itertools.combinations(first, 2)]
    asked += itertools.product(first, second)
    if against:
        asked += [*itertools.product((NONE,), second), *itertools.combinations(second, 2)]
    speakers = {name: group[0] for group in classes for name in group}
    couples = tuple(itertools.combinations((group[0] for group in classes), 2))
    required: dict[Two, None] = {}
    coinciding: dict[Two, None] = {}
    for one, other in asked:
        pair = {speakers[one], speakers[other]}
        if len(pair) == 2:
            required[next(couple for couple in couples if {*couple} == pair)] = None
        elif one != other and (other, one) not in coinciding:
            coinciding[one, other] = None
    chosen = dict.fromkeys((*targets, *(against if targets else ())))
    contrast = tuple(name for name in chosen if name != NONE)
    return Goal(classes, couples, tuple(required), tuple(coinciding), contrast)


def _classes(
    labels: Sequence[str], predictions: Predictions, named: Sequence[str]
) -> tuple[tuple[str, ...], ...]:
    """Hypotheses grouped by what they predict for every pair that can be shown.

    First in each group is ``none``, or else one that was asked for by name, or one declared.
    """
    groups: dict[bytes, list[str]] = {}
    for column, label in enumerate(labels):
        outputs = predictions.outputs[predictions.shown, column]
        groups.setdefault(outputs.tobytes(), []).append(label)

    def rank(label: str) -> int:
        return 0 if label == NONE else 1 if label in named else 3 if label == ALL else 2

    return tuple(tuple(sorted(group, key=rank)) for group in groups.values())


@dataclass(frozen=True, slots=True)
class DesignShares:
    """All that a design can draw: exact shares of its pairs.

    Attributes:
        design: The design.
        table: Its cases, with the predictions.
        chances: Probability of every case, as pairs are drawn, among those that can be shown.
    """

    design: Design
    table: CaseTable
    chances: tuple[Fraction, ...]

    @property
    def cases(self) -> int:
        """Number of cases that can be shown."""
        return sum(chance > 0 for chance in self.chances)

    def differ(self, one: str, other: str) -> Fraction:
        """Share of pairs on which two hypotheses predict different outputs."""
        return self.decisive([(one, other)])

    def decisive(self, required: Iterable[Two]) -> Fraction:
        """Share of pairs on which the two of every required couple predict different outputs."""
        holds = np.ones(len(self.chances), dtype=np.bool_)
        for one, other in required:
            holds &= self.table.column(one) != self.table.column(other)
        return sum((self.chances[k] for k in np.flatnonzero(holds).tolist()), Fraction(0))


def design_shares(comparison: Comparison, design: Design, trials: int = TRIALS) -> DesignShares:
    """Enumerate what a design can draw, and predict for it.

    Args:
        comparison: What is compared.
        design: A checked design.
        trials: See :func:`~cfgen.search.predictions.case_table`.

    Raises:
        CfgenError: If it resamples more words than there are.
        TooManyCases: If it can draw too much to be enumerated.
    """
    table = case_table(comparison, design, trials)
    shown = table.predictions.shown.tolist()
    total = sum(itertools.compress(table.cases.chances, shown), Fraction(0))
    chances = tuple(
        chance / total if is_shown and total else Fraction(0)
        for chance, is_shown in zip(table.cases.chances, shown, strict=True)
    )
    return DesignShares(design, table, chances)


@dataclass(frozen=True, slots=True)
class Assessment:
    """A design, and how far it does what is asked for.

    Attributes:
        shares: The design, and exact shares of its pairs.
        decisive: Share of its pairs that are decisive.
        separates: Couples on which it separates, with the share of pairs that do.
        changed: Inputs in which the counterfactual differs from the original.
        alike: How many other compositions do the same.
    """

    shares: DesignShares
    decisive: Fraction
    separates: Mapping[Two, Fraction]
    changed: tuple[str, ...]
    alike: int = 0

    @property
    def design(self) -> Design:
        """The design."""
        return self.shares.design


def assess(comparison: Comparison, goal: Goal, design: Design, share: float) -> Assessment:
    """Judge a design exactly, by what is to be told apart.

    That words are interchangeable was found out on all pairs of inputs; so no words are permuted
    once more for the pairs of one design.

    Args:
        comparison: What is compared.
        goal: What is to be told apart.
        design: A checked design.
        share: Share of pairs from which on a couple is separated.
    """
    shares = design_shares(comparison, design, trials=0)
    differing = {couple: shares.differ(*couple) for couple in goal.couples}
    separates = {couple: found for couple, found in differing.items() if found >= share}
    changed = dict.fromkeys(edit.input for edit in design.counterfactual if edit.changes)
    decisive = shares.decisive(goal.required) if goal.required else Fraction(0)
    return Assessment(shares, decisive, separates, tuple(changed))


def example_of(goal: Goal, found: Assessment) -> dict[str, Any] | None:
    """A pair that a design makes, one that tells apart as much as possible.

    Returns:
        Its inputs (those that matter), and hypothesis -> prediction and kind; None if no pair of
        the design can be shown.
    """
    table = found.shares.table
    apart = np.zeros(len(found.shares.chances), dtype=np.int64)
    for one, other in goal.required:
        apart += table.column(one) != table.column(other)
    drawn = np.array([chance > 0 for chance in found.shares.chances], dtype=np.bool_)
    if not drawn.any():
        return None
    place = int(np.argmax(np.where(drawn, apart, -1)))
    sides = [table.inputs(state) for state in table.cases.pair(place)]
    program = table.comparison.program
    predict = Predictor(program, table.comparison.hypotheses)
    said = predict(*(program.run(side) for side in sides))
    texts = {name: output_text(output) for name, output in said.items()}
    asked = goal.contrast or (name for couple in goal.required for name in couple)
    named = dict.fromkeys((NONE, ALL, *asked))
    return {
        "original": {name: sides[0][name] for name in table.names},
        "counterfactual": {name: sides[1][name] for name in table.names},
        "predictions": {name: texts[name] for name in named},
        "kinds": {name: kind_of(texts[name], texts[NONE], texts[ALL]) for name in named},
    }
