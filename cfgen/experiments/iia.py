"""Interchange intervention accuracy: how often the LM says what a hypothesis predicts.

IIA is the share of pairs whose output after the swap equals the output that the causal model
gives after the corresponding interchange (Geiger et al. 2021, section 3). Outputs are read as far
as it takes to tell the answers apart.
"""

from __future__ import annotations

from collections.abc import Mapping

from cfgen.counterfactuals import COUNTERFACTUAL, NONE, ORIGINAL, THIRD
from cfgen.experiments.cells import Cell, VacuousCell
from cfgen.experiments.measures import iia, judge
from cfgen.experiments.sweeps import Sweep, Trial
from cfgen.interventions import Reply
from cfgen.lm import PairTokens
from cfgen.stats import rate_of

OTHER = "other"
"""Kind of an output that no side answers and no hypothesis predicts."""


def kind_of(pair: PairTokens, reply: Reply) -> str:
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
    sweep: Sweep, responses: Mapping[Trial, Reply], pairs: Mapping[int, PairTokens]
) -> tuple[list[Cell], list[VacuousCell]]:
    """Score all hypotheses of a sweep in every layer.

    Args:
        sweep: The sweep.
        responses: What the LM said after its swaps.
        pairs: Index -> pair.

    Returns:
        By hypothesis and layer a cell, if the hypothesis predicts something for any of the pairs;
        and the layers that have no number, as nothing that was written differs from what was there.
    """
    site = sweep.site
    at: dict[int, dict[int, Reply]] = {layer: {} for layer in sweep.layers}
    for trial, reply in responses.items():
        at[trial.layer][trial.pair] = reply
    empty = [layer for layer, here in at.items() if not any(r.changed for r in here.values())]
    vacuous = [VacuousCell(site.component, layer, site.label, len(at[layer])) for layer in empty]
    cells = []
    for name in dict.fromkeys([*sweep.hypotheses, NONE]):  # the control, at every site
        for layer, here in at.items():
            found = [iia(judge(pairs[pair], name, reply)) for pair, reply in here.items()]
            hits = [value == 1 for value in found if value is not None]
            if hits and layer not in empty:
                rate = rate_of(hits)
                numbers = rate.n, rate.value, rate.low, rate.high
                cells.append(Cell(name, site.component, layer, site.label, *numbers))
    return cells, vacuous
