"""Judging a design: exact shares of its pairs on which hypotheses predict different outputs."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from cfgen.counterfactuals.atoms import Atoms, State
from cfgen.counterfactuals.designs import Design
from cfgen.counterfactuals.draws import abstract_pairs
from cfgen.counterfactuals.evaluate import Columns, Question
from cfgen.counterfactuals.symmetry import TRIALS, Cases, Settled, settle

Two = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Judged:
    """A design's abstract pairs and what is predicted for them.

    Attributes:
        design: The design.
        settled: The cases and the predictions.
        labels: Names of the columns of predictions.
        chances: Probability of every case, as ``draw_inputs`` draws it, among those that can be
            shown.
    """

    design: Design
    settled: Settled
    labels: tuple[str, ...]
    chances: tuple[Fraction, ...]

    @property
    def columns(self) -> Columns:
        """The predictions."""
        return self.settled.columns

    @property
    def cases(self) -> int:
        """Number of abstract pairs that can be shown."""
        return sum(chance > 0 for chance in self.chances)

    def differ(self, one: str, other: str) -> Fraction:
        """Share of pairs on which two hypotheses predict different outputs."""
        return self.decisive([(one, other)])

    def decisive(self, required: Iterable[Two]) -> Fraction:
        """Share of pairs on which the two of every required couple predict different outputs."""
        return sum((self.chances[k] for k in self.deciding(required)), Fraction(0))

    def deciding(self, required: Iterable[Two]) -> list[int]:
        """The cases on which the two of every required couple predict different outputs."""
        outputs = self.columns.outputs
        holds = np.ones(len(outputs), dtype=np.bool_)
        for couple in required:
            one, other = (self.labels.index(name) for name in couple)
            holds &= outputs[:, one] != outputs[:, other]
        return [k for k in np.flatnonzero(holds).tolist() if self.chances[k]]


def words_of_edits(question: Question, design: Design) -> frozenset[str]:
    """Texts that a design's edits name; they stand for themselves."""
    edits = (*design.original, *design.counterfactual)
    return frozenset[str]().union(*(e.constants(question.domains[e.input]) for e in edits))


def names_for(question: Question, design: Design) -> tuple[str, ...]:
    """Inputs that matter under a design: also those that a mattering one is copied from."""
    names = set(question.names)
    edits = (*design.original, *design.counterfactual)
    for _ in edits:  # so often, since what is copied may itself be copied from elsewhere
        names |= {name for edit in edits if edit.input in names for name in edit.reads}
    return tuple(name for name in question.domains if name in names)


def judge(question: Question, design: Design, trials: int = TRIALS) -> Judged:
    """Enumerate what a design can draw, and predict for it.

    Args:
        question: What is compared.
        design: A checked design.
        trials: See :func:`~cfgen.counterfactuals.symmetry.settle`.

    Raises:
        CfgenError: If it resamples more words than there are.
        TooManyCases: If it can draw too much to be enumerated.
    """
    names = names_for(question, design)
    drawn: list[Fraction] = []

    def cases_of(atoms: Atoms) -> Cases:
        pairs = abstract_pairs(atoms, names, design)
        drawn[:] = pairs.values()
        return cases_from([(one, other) for one, other in pairs])

    settled = settle(question, names, cases_of, words_of_edits(question, design), trials)
    total = sum(itertools.compress(drawn, settled.columns.shown.tolist()), Fraction(0))
    chances = tuple(
        chance / total if shown and total else Fraction(0)
        for chance, shown in zip(drawn, settled.columns.shown.tolist(), strict=True)
    )
    return Judged(design, settled, question.labels, chances)


def cases_from(pairs: Sequence[tuple[State, State]]) -> Cases:
    """Pairs as originals, counterfactuals, and an index into each for every pair."""
    befores = {state: index for index, state in enumerate(dict.fromkeys(one for one, _ in pairs))}
    afters = {state: index for index, state in enumerate(dict.fromkeys(two for _, two in pairs))}
    return (
        list(befores),
        list(afters),
        np.array([befores[one] for one, _ in pairs], dtype=np.int64),
        np.array([afters[two] for _, two in pairs], dtype=np.int64),
    )
