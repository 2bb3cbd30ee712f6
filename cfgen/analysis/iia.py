"""Interchange intervention accuracy: how often the LM says what a hypothesis predicts.

IIA is the share of pairs whose output after the swap equals the output that the causal model
gives after the corresponding interchange (Geiger et al. 2021, section 3). Outputs are compared by
the first token of the answer, after checking that it tells all answers apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cfgen.counterfactuals import COUNTERFACTUAL, ORIGINAL, THIRD
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
        said: The first token that the LM said, as text.
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


def kind_of_token(pair: PairTokens, token: int) -> str:
    """Say which kind of answer a token is.

    Args:
        pair: The pair.
        token: What the LM said.

    Returns:
        The kind; where both sides answer the same, that answer is the original's.
    """
    if token == _token(pair, pair.pair.original.answer):
        return ORIGINAL
    if token == _token(pair, pair.pair.counterfactual.answer):
        return COUNTERFACTUAL
    for name, prediction in pair.pair.predictions.items():
        if pair.pair.kinds.get(name) == THIRD and token == _token(pair, prediction):
            return THIRD
    return OTHER


def score(
    hypothesis: str,
    pairs: Sequence[PairTokens],
    said: Sequence[int],
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
    for pair, token in zip(pairs, said, strict=True):
        predicted = _token(pair, pair.pair.predictions.get(hypothesis))
        if predicted is not None:
            hits.append(token == predicted)
    if not hits:
        return None
    found = rate_of(hits)
    return Cell(hypothesis, *place, found.n, found.value, found.low, found.high)


def _token(pair: PairTokens, answer: str | None) -> int | None:
    return None if answer is None else pair.answers.get(answer)
