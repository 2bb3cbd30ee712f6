"""Cells: what comes out of an experiment at one site and layer, and what was said there."""

from __future__ import annotations

from dataclasses import dataclass


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
