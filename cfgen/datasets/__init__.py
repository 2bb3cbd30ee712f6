"""Datasets: from a task and a design to a Hugging Face dataset."""

from cfgen.datasets.features import pairs_table, schema_of
from cfgen.datasets.labelling import PairLabeller
from cfgen.datasets.manifest import Manifest
from cfgen.datasets.recipe import Candidates, DatasetRecipe, recipe
from cfgen.datasets.rows import (
    candidate_pairs,
    draw_pairs,
    first_pairs,
    label_pairs,
    row_tables,
)
from cfgen.datasets.shortcuts import Shortcut, audit_shortcuts
from cfgen.datasets.splits import FRACTIONS, Split, make_splits
from cfgen.datasets.writing import generate, write_dataset

__all__ = [
    "FRACTIONS",
    "Candidates",
    "DatasetRecipe",
    "Manifest",
    "PairLabeller",
    "Shortcut",
    "Split",
    "audit_shortcuts",
    "candidate_pairs",
    "draw_pairs",
    "first_pairs",
    "generate",
    "label_pairs",
    "make_splits",
    "pairs_table",
    "recipe",
    "row_tables",
    "schema_of",
    "write_dataset",
]
