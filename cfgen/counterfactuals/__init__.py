"""Counterfactuals: edits, designs, hypotheses, and the pairs they make."""

from cfgen.counterfactuals import edits
from cfgen.counterfactuals.designs import Design, draw_inputs, restrict_domains
from cfgen.counterfactuals.hypotheses import (
    ALL,
    LAYER_MODE,
    LAYER_MODES,
    NONE,
    Align,
    Hypothesis,
    Site,
)
from cfgen.counterfactuals.operation import InputEdit, apply_edits, problems_with
from cfgen.counterfactuals.pairs import Pair, Side, answers_of
from cfgen.counterfactuals.predictions import (
    COUNTERFACTUAL,
    KINDS,
    ORIGINAL,
    THIRD,
    Predictor,
    is_decisive,
    kind_of,
    output_text,
)

__all__ = [
    "ALL",
    "COUNTERFACTUAL",
    "KINDS",
    "LAYER_MODE",
    "LAYER_MODES",
    "NONE",
    "ORIGINAL",
    "THIRD",
    "Align",
    "Design",
    "Hypothesis",
    "InputEdit",
    "Pair",
    "Predictor",
    "Side",
    "Site",
    "answers_of",
    "apply_edits",
    "draw_inputs",
    "edits",
    "is_decisive",
    "kind_of",
    "output_text",
    "problems_with",
    "restrict_domains",
]
