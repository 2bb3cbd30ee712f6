"""Scoring: what comes out of the replies of a sweep, measure by measure.

Interchange intervention accuracy is the share of pairs whose output after the swap equals the
output that the causal model gives after the corresponding interchange (Geiger et al. 2021,
section 3). Other measures are averages over pairs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from cfgen.counterfactuals import COUNTERFACTUAL, NONE, ORIGINAL, THIRD
from cfgen.experiments.behaviour import prompts_of
from cfgen.experiments.cells import Cell, VacuousCell
from cfgen.experiments.measures import Judgement, Measure, judge
from cfgen.experiments.sweeps import Sweep, Trial
from cfgen.interventions import Reply
from cfgen.lm import PairTokens
from cfgen.stats import Units, mean_of, rate_of

OTHER = "other"
"""Kind of an output that no side answers and no hypothesis predicts."""


def output_kind(pair: PairTokens, reply: Reply) -> str:
    """Say which kind of answer a reply is.

    Args:
        pair: The pair.
        reply: What the LM answered after a swap in the original.

    Returns:
        The kind; what is right for both sides is the original's.
    """
    if pair.pair.original.answer in reply.right:
        return ORIGINAL
    if pair.pair.counterfactual.answer in reply.right:
        return COUNTERFACTUAL
    for name, prediction in pair.pair.predictions.items():
        if pair.pair.kinds.get(name) == THIRD and prediction in reply.right:
            return THIRD
    return OTHER


def score(
    sweep: Sweep,
    responses: Mapping[Trial, Reply],
    pairs: Mapping[int, PairTokens],
    measures: Sequence[Measure],
) -> tuple[list[Cell], list[VacuousCell]]:
    """Score all hypotheses of a sweep in every layer.

    Args:
        sweep: The sweep.
        responses: What the LM said after its swaps.
        pairs: Index -> pair.
        measures: What is measured.

    Returns:
        By measure, hypothesis and layer a cell, if the hypothesis predicts something for any of the
        pairs; and the layers that have no number, as nothing that was written differs from what was
        there.
    """
    at: dict[int, dict[int, Reply]] = {layer: {} for layer in sweep.layers}
    for trial, reply in responses.items():
        at[trial.layer][trial.pair] = reply
    empty = [layer for layer, here in at.items() if not any(r.changed for r in here.values())]
    cells = []
    for name in dict.fromkeys([*sweep.hypotheses, NONE]):  # the control, at every site
        for layer, here in at.items():
            judged = [
                (judge(pairs[pair], name, reply), pairs[pair]) for pair, reply in here.items()
            ]
            cases = [
                (case, prompts_of(pair)) for case, pair in judged if case.predicted is not None
            ]
            if cases and layer not in empty:
                place = (*sweep.spot, layer)
                cells += [Cell(*place, name, m.name, *_numbers(m, cases)) for m in measures]
    cells.sort(key=lambda cell: [m.name for m in measures].index(cell.measure))
    return cells, [VacuousCell(*sweep.spot, layer, len(at[layer])) for layer in empty]


def _numbers(
    measure: Measure, cases: Iterable[tuple[Judgement, Units]]
) -> tuple[int, float | None, float | None, float | None, int]:
    """Count, average, its interval, and how many have no number, of cases with a prediction.

    Each case comes with the prompts that it rests on: pairs that share one are not independent.
    """
    given = [(measure.of(case), prompts) for case, prompts in cases]
    finite = [(value, p) for value, p in given if value is not None and math.isfinite(value)]
    numbers, rests_on = [value for value, _ in finite], [prompts for _, prompts in finite]
    left_out = len(given) - len(numbers)
    if not numbers:
        return 0, None, None, None, left_out
    if measure.share:
        share = rate_of((value == 1 for value in numbers), rests_on)
        return share.n, share.value, share.low, share.high, left_out
    mean = mean_of(numbers, rests_on)
    return mean.n, mean.value, mean.low, mean.high, left_out
