"""Interchange intervention accuracy: how often the LM says what a hypothesis predicts.

IIA is the share of pairs whose output after the swap equals the output that the causal model
gives after the corresponding interchange (Geiger et al. 2021, section 3). Outputs are read as far
as it takes to tell the answers apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cfgen.counterfactuals import COUNTERFACTUAL, NONE, ORIGINAL, THIRD
from cfgen.experiments.measures import iia, judge
from cfgen.experiments.sweeps import Response, Sweep
from cfgen.interventions import Reply
from cfgen.lm import PairTokens
from cfgen.stats import rate_of

OTHER = "other"
"""Kind of an output that no side answers and no hypothesis predicts."""


@dataclass(frozen=True, slots=True)
class Output:
    """What the LM said for one pair in one cell.

    Attributes:
        pair_id: The pair.
        component: What was swapped.
        layer: After which layer (the last of them, for swaps up to a layer).
        position: Label of the site.
        said: What the LM said, as far as its answer was read, as text.
        kind: ``original``, ``counterfactual``, ``third`` (an answer that only a hypothesis
            predicts) or ``other``.
    """

    pair_id: str
    component: str
    layer: int
    position: str
    said: str
    kind: str


@dataclass(frozen=True, slots=True)
class Cell:
    """IIA of one hypothesis at one site and layer.

    Attributes:
        hypothesis: The hypothesis; ``none`` is the control under which nothing happened.
        component: What was swapped.
        layer: After which layer.
        position: Label of the site.
        n: Pairs counted: kept, swappable here, and with a prediction of this hypothesis.
        iia: Share of them whose output is the predicted one.
        low: Lower end of the 95 % Wilson interval.
        high: Upper end.
    """

    hypothesis: str
    component: str
    layer: int
    position: str
    n: int
    iia: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class VacuousCell:
    """A site and layer that say nothing: what was swapped there is the same in all pairs' prompts.

    Attributes:
        component: What was swapped.
        layer: After which layer.
        position: Label of the site.
        n: Pairs that were swapped.
    """

    component: str
    layer: int
    position: str
    n: int


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
    sweep: Sweep, responses: Sequence[Response], pairs: Mapping[int, PairTokens]
) -> tuple[list[Cell], list[VacuousCell]]:
    """Score all hypotheses of a sweep in every layer.

    Args:
        sweep: The sweep.
        responses: What the LM said in it.
        pairs: Index -> pair.

    Returns:
        By hypothesis and layer a cell, if the hypothesis predicts something for any of the pairs;
        and the layers that have no number, as nothing that was written differs from what was there.
    """
    site = sweep.site
    at: dict[int, list[Response]] = {layer: [] for layer in sweep.layers}
    for response in responses:
        at[response.layer].append(response)
    empty = [layer for layer, here in at.items() if not any(one.reply.changed for one in here)]
    vacuous = [VacuousCell(site.component, layer, site.label, len(at[layer])) for layer in empty]
    cells = []
    for name in dict.fromkeys([*sweep.hypotheses, NONE]):  # the control, at every site
        for layer, here in at.items():
            found = [iia(judge(pairs[one.pair], name, one.reply)) for one in here]
            hits = [value == 1 for value in found if value is not None]
            if hits and layer not in empty:
                rate = rate_of(hits)
                numbers = rate.n, rate.value, rate.low, rate.high
                cells.append(Cell(name, site.component, layer, site.label, *numbers))
    return cells, vacuous
