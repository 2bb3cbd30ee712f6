"""Predictions: what the LM would say under each hypothesis, computed from the causal model."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from cfgen.causal import Program
from cfgen.counterfactuals.hypotheses import ALL, NONE, Hypothesis

Predictor = Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]
"""From all variables of the original and of the counterfactual to hypothesis -> output."""


def predictor(program: Program, hypotheses: Iterable[Hypothesis]) -> Predictor:
    """Prepare the predictions of several hypotheses.

    Under a hypothesis the original is run with the interchanged variables set to the values they
    have in the counterfactual and the held ones set to the original's (an interchange
    intervention; Geiger et al. 2021, section 2). Only what depends on these is computed again.

    Args:
        program: The causal model.
        hypotheses: What to predict for, besides ``none`` and ``all``.

    Returns:
        A function of the two full assignments that gives hypothesis -> output.
    """
    output = program.graph.output
    plans = [
        (h.name, tuple(h.sources.items()), h.hold, program.output_under((*h.sources, *h.hold)))
        for h in hypotheses
    ]

    def predict(original: Mapping[str, Any], counterfactual: Mapping[str, Any]) -> dict[str, Any]:
        predictions = {NONE: original[output], ALL: counterfactual[output]}
        for name, sources, hold, output_under in plans:
            fixed = {variable: counterfactual[source] for variable, source in sources}
            for variable in hold:
                fixed[variable] = original[variable]
            predictions[name] = output_under(original, fixed)
        return predictions

    return predict


def is_decisive(predictions: Mapping[str, Any], contrast: Iterable[str]) -> bool:
    """Whether ``none`` and the hypotheses of the contrast all predict different outputs."""
    outputs = [predictions[NONE], *(predictions[name] for name in contrast)]
    return len(outputs) > 1 and all(a != b for a, b in itertools.combinations(outputs, 2))
