"""Counterfactuals: edits, designs, hypotheses, and the pairs they make."""

from cfgen.counterfactuals import edits
from cfgen.counterfactuals.designs import Design, draw_inputs, restrict_domains
from cfgen.counterfactuals.drawing import compile_draw
from cfgen.counterfactuals.edits import InputEdit
from cfgen.counterfactuals.hypotheses import ALL, NONE, Hypothesis, Site
from cfgen.counterfactuals.labelling import compile_pair
from cfgen.counterfactuals.pairs import (
    COUNTERFACTUAL,
    KINDS,
    ORIGINAL,
    THIRD,
    Pair,
    Side,
    kinds_of,
)
from cfgen.counterfactuals.predict import is_decisive, predictor

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
    "Side",
    "Site",
    "compile_draw",
    "compile_pair",
    "draw_inputs",
    "edits",
    "is_decisive",
    "kinds_of",
    "predictor",
    "restrict_domains",
]
