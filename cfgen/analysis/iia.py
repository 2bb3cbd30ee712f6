"""Interchange intervention accuracy: how often the LM says what a hypothesis predicts.

IIA is the share of pairs whose output after the swap equals the output that the causal model
gives after the corresponding interchange (Geiger et al. 2021, section 3). Outputs are read as far
as it takes to tell the answers apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cfgen.counterfactuals import COUNTERFACTUAL, ORIGINAL, THIRD
from cfgen.lm import NOT_AN_ANSWER, PairTokens, TokenPath
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


def kind_of_output(pair: PairTokens, said: TokenPath) -> str:
    """Say which kind of answer an output is.

    Args:
        pair: The pair.
        said: What the LM said after the original.

    Returns:
        The kind; what is right for both sides is the original's.
    """
    right = _right(pair, said)
    if pair.pair.original.answer in right:
        return ORIGINAL
    if pair.pair.counterfactual.answer in right:
        return COUNTERFACTUAL
    for name, prediction in pair.pair.predictions.items():
        if pair.pair.kinds.get(name) == THIRD and prediction in right:
            return THIRD
    return OTHER


def score(
    hypothesis: str,
    pairs: Sequence[PairTokens],
    said: Sequence[TokenPath],
    place: tuple[str, int, str],
) -> Cell | None:
    """Score one hypothesis in one cell.

    Args:
        hypothesis: Whose predictions to compare with.
        pairs: The pairs that were swapped.
        said: What the LM said for each.
        place: Component, layer and label of the site.

    Returns:
        The cell, or None if the hypothesis predicts nothing for any of these pairs.
    """
    hits = []
    for pair, tokens in zip(pairs, said, strict=True):
        predicted = pair.pair.predictions.get(hypothesis)
        if predicted is not None:
            hits.append(predicted in _right(pair, tokens))
    if not hits:
        return None
    found = rate_of(hits)
    return Cell(hypothesis, *place, found.n, found.value, found.low, found.high)


def _right(pair: PairTokens, said: TokenPath) -> frozenset[str]:
    """The answers that the LM gave."""
    return pair.original_tree.label(said) or NOT_AN_ANSWER
