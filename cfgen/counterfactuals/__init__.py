"""Counterfactuals: edits, designs, hypotheses, and the pairs they make."""

from cfgen.counterfactuals import edits
from cfgen.counterfactuals.designs import Design, draw_inputs, restrict_domains
from cfgen.counterfactuals.edits import Edit
from cfgen.counterfactuals.hypotheses import ALL, NONE, Hypothesis, Site
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
    "Edit",
    "Hypothesis",
    "Pair",
    "Side",
    "Site",
    "draw_inputs",
    "edits",
    "is_decisive",
    "kinds_of",
    "predictor",
    "restrict_domains",
]
