"""Counterfactuals: edits, designs, hypotheses, and the pairs they make."""

from cfgen.counterfactuals import edits
from cfgen.counterfactuals.designs import Design, draw_inputs, restrict_domains
from cfgen.counterfactuals.drawing import compile_draw
from cfgen.counterfactuals.edits import InputEdit
from cfgen.counterfactuals.hypotheses import ALL, NONE, Hypothesis, Site
from cfgen.counterfactuals.pairs import Pair, Side
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
    "NONE",
    "ORIGINAL",
    "THIRD",
    "Design",
    "Hypothesis",
    "InputEdit",
    "Pair",
    "Predictor",
    "Side",
    "Site",
    "compile_draw",
    "draw_inputs",
    "edits",
    "is_decisive",
    "kind_of",
    "output_text",
    "restrict_domains",
]
