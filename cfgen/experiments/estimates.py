"""Estimates: what gradients say of every place, method by method, before any of them is run.

What is done at a place is a run with further edits than another, whatever the method; so one way of
estimating it serves all (:func:`cfgen.interventions.find_slopes`). Here stands what is estimated:
of an effect, the run that its row in :mod:`cfgen.experiments.methods` names; of a hypothesis, how
far a swap raises the log odds of what it predicts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cfgen.experiments.definition import Experiment
from cfgen.experiments.effects import EffectPlan
from cfgen.experiments.interchange import RunBlock, described_trial
from cfgen.experiments.measures import MEASURES, Measure, rival_of
from cfgen.experiments.methods import CLEAN, scaled
from cfgen.experiments.sweeps import Sweep, Trial
from cfgen.interventions import Departure, Engine, Run, Score, find_slopes, run_of
from cfgen.lm import PairTokens

Estimates = NDArray[np.float64]
"""(pairs, cells); no number where a pair cannot be changed, or its answers have no gradient."""


def _log_odds(right: Tensor, wrong: Tensor) -> Tensor:
    return right - torch.log(-torch.expm1(right))


def _difference(right: Tensor, wrong: Tensor) -> Tensor:
    return right - wrong


def _ratio(right: Tensor, wrong: Tensor) -> Tensor:
    return (right - wrong).exp()


def _probability(right: Tensor, wrong: Tensor) -> Tensor:
    return right.exp()


def _logarithm(right: Tensor, wrong: Tensor) -> Tensor:
    return right


USUAL = "logit_difference"
"""What is estimated where nothing is measured that has a gradient."""
GRADED: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    USUAL: _difference,
    "odds": _ratio,
    "probability": _probability,
    "log_probability": _logarithm,
    "log_odds": _log_odds,
}
"""Measure -> the same of log-probabilities of the predicted answer and its rival, as tensors."""
_WITH_RIVAL = (USUAL, "odds")


@dataclass(frozen=True, slots=True)
class AimedCell:
    """A place, of which something is estimated.

    Attributes:
        aim: A hypothesis, or an effect.
        sweep: Number of the sweep.
        layer: The layer.
    """

    aim: str
    sweep: int
    layer: int


@dataclass(frozen=True, slots=True)
class Aims:
    """What is estimated, where.

    Attributes:
        sweeps: The sweeps.
        encoded: The pairs.
        experiment: What was asked.
        cells: The places, each once for every hypothesis or effect.
        measure: What is followed.
        rising: Whether what is large is promising; else what is large in size.
        predicted: Gives the answer that is followed, from the number of a pair and an aim.
        runs: Gives the runs of some pairs: for each the number of its cell, and its pair's.
        of: Gives an estimate from the measure where gradients are taken, and that of the run to
            first order.
        described: What the runs of some pairs hang on, in a form that JSON has.
    """

    sweeps: tuple[Sweep, ...]
    encoded: Sequence[PairTokens]
    experiment: Experiment
    cells: tuple[AimedCell, ...]
    measure: Measure
    rising: bool
    predicted: Callable[[int, str], str | None]
    runs: Callable[[Sequence[int]], Iterator[tuple[int, int, Departure]]]
    of: Callable[[float, float], float]
    described: Callable[[Sequence[int]], Any]

    def score(self, index: int, aim: str) -> Score | None:
        """What is followed in a pair; None if its answers have no gradient.

        They have one where each is told by a single token, and not by the same.
        """
        pair, predicted = self.encoded[index], self.predicted(index, aim)
        sides = (pair.pair.original.answer, pair.pair.counterfactual.answer)
        right, wrong = (
            pair.original_tree.single_tokens(answer) if answer else ()
            for answer in (predicted, rival_of(predicted, *sides))
        )
        if not right or ((right == wrong or not wrong) and self.measure.name in _WITH_RIVAL):
            return None
        return Score(right, wrong, GRADED[self.measure.name])

    def any_score(self, index: int) -> bool:
        """Whether anything has a gradient in a pair."""
        return any(self.score(index, aim) for aim in dict.fromkeys(one.aim for one in self.cells))

    def key(self, block: Sequence[int]) -> Any:
        """What the estimates of some pairs hang on, in a form that JSON has."""
        cells = [[one.aim, one.sweep, one.layer] for one in self.cells]
        scores = [
            score and [score.right, score.wrong]
            for index in block
            for aim in dict.fromkeys(one.aim for one in self.cells)
            for score in [self.score(index, aim)]
        ]
        return [self.measure.name, cells, scores, self.described(block)]


def block_estimates(engine: Engine, aims: Aims, block: Sequence[int]) -> Estimates:
    """Estimate what is aimed at in every cell, for some pairs.

    Args:
        engine: How runs are executed.
        aims: What is estimated.
        block: Indices of the pairs: all that are computed together.

    Returns:
        (pairs, cells), averages over draws where something is drawn.
    """
    cases = [
        (cell, index, departure, score)
        for cell, index, departure in aims.runs(block)
        for score in [aims.score(index, aims.cells[cell].aim)]
        if score is not None
    ]
    found = find_slopes(engine, [case[2] for case in cases], [(case[3],) for case in cases])
    row = {index: number for number, index in enumerate(block)}
    sums = np.zeros((len(block), len(aims.cells)))
    counts = np.zeros_like(sums)
    for (cell, index, _, _), (slope,) in zip(cases, found, strict=True):
        sums[row[index], cell] += aims.of(slope.at, slope.at + slope.change)
        counts[row[index], cell] += 1
    return np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)


def swap_aims(
    sweeps: Sequence[Sweep], encoded: Sequence[PairTokens], experiment: Experiment, layers: int
) -> Aims:
    """Aim at what hypotheses predict: how far swaps raise its log odds against its rival's.

    Args:
        sweeps: Where is swapped.
        encoded: The pairs.
        experiment: What was asked.
        layers: How many the LM has.
    """
    cells = tuple(
        AimedCell(name, number, layer)
        for number, sweep in enumerate(sweeps)
        for name in sweep.hypotheses
        for layer in sweep.layers
    )

    def runs(block: Sequence[int]) -> Iterator[tuple[int, int, Departure]]:
        for number, cell in enumerate(cells):
            sweep = sweeps[cell.sweep]
            for index in block:
                if swap := sweep.aligned.swaps.get(index):
                    run = run_of(swap, sweep.site, cell.layer, layers)
                    yield number, index, Departure(Run(swap.original.ids), run)

    def described(block: Sequence[int]) -> Any:
        return [
            described_trial(sweep, Trial(number, layer, index))
            for number, sweep in enumerate(sweeps)
            for layer in sweep.layers
            for index in block
            if index in sweep.aligned.swaps
        ]

    return Aims(
        tuple(sweeps),
        encoded,
        experiment,
        cells,
        MEASURES[USUAL],
        rising=True,
        predicted=lambda index, aim: encoded[index].pair.predictions.get(aim),
        runs=runs,
        of=lambda at, to: to - at,
        described=described,
    )


def effect_aims(plan: EffectPlan) -> Aims:
    """Aim at the effect that the row of a method names, of its first measure with a gradient.

    Args:
        plan: The places.
    """
    experiment, estimate = plan.experiment, plan.method.estimate
    assert estimate is not None
    effect, sweeps = plan.method.effects[estimate.effect], plan.sweeps
    cells = tuple(
        AimedCell(estimate.effect, number, layer)
        for number, sweep in enumerate(sweeps)
        for layer in sweep.layers
    )
    # an effect on odds is a share of the unchanged run's, which is not where gradients are taken
    unmeasured = () if estimate.start == CLEAN else ("odds",)
    named = [name for name in experiment.measures if name in {*GRADED} - {*unmeasured}]
    measure = MEASURES[named[0] if named else USUAL]

    def predicted(index: int, aim: str) -> str | None:
        one = plan.encoded[index].pair
        side = one.original if plan.method.predicted == CLEAN else one.counterfactual
        return side.answer

    def runs(block: Sequence[int]) -> Iterator[tuple[int, int, Departure]]:
        own = {index: plan.pair_runs(index) for index in block}
        for number, cell in enumerate(cells):
            for index in block:
                if index not in sweeps[cell.sweep].aligned.swaps:
                    continue
                trial = Trial(cell.sweep, cell.layer, index)
                for name, draw in plan.at_place:
                    if name == estimate.run:
                        yield number, index, plan.departure(trial, draw, own[index])

    def of(at: float, to: float) -> float:
        return scaled(
            effect, {CLEAN: at, estimate.start: at, estimate.run: to}, ratio=measure.ratio
        )

    def described(block: Sequence[int]) -> Any:
        trials = [
            Trial(number, layer, index)
            for number, sweep in enumerate(sweeps)
            for layer in sweep.layers
            for index in block
            if index in sweep.aligned.swaps
        ]
        return plan.unit(RunBlock(trials=tuple(trials)), 0).described

    return Aims(
        sweeps, plan.encoded, experiment, cells, measure, False, predicted, runs, of, described
    )
