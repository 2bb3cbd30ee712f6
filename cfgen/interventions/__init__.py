"""Interventions on an LM: runs, edits and values as data, and the engine that executes them.

What other packages may use. Importing it imports torch.
"""

from __future__ import annotations

from cfgen.interventions.answers import Reply, read_answers
from cfgen.interventions.batches import LEAST, TOKEN_BUDGETS, Batch, Budget, within_memory
from cfgen.interventions.checks import (
    Check,
    check_padding,
    check_self_swap,
    check_tokens,
    check_words,
    swaps_to_try,
)
from cfgen.interventions.choice import choose_engine
from cfgen.interventions.engine import BATCH_SIZE, Engine
from cfgen.interventions.language import HERE, Edit, Read, Run, Value
from cfgen.interventions.outcomes import (
    NOTHING,
    TOLERANCE,
    Cost,
    Outcomes,
    Question,
    Work,
    agree,
    most_likely,
)
from cfgen.interventions.packing import Branch, Row, lay_out, pack
from cfgen.interventions.reach import OUT_OF_REACH, SAME_VALUES, Reach
from cfgen.interventions.schedule import Schedule, Step, make_schedule
from cfgen.interventions.swaps import SiteSwaps, align, layers_of, place_of, run_of
from cfgen.interventions.validity import check_runs, in_order
from cfgen.interventions.values import Add, Affine, Block, Constant, Copy, Mix, Rotate

__all__ = [
    "BATCH_SIZE",
    "HERE",
    "LEAST",
    "NOTHING",
    "OUT_OF_REACH",
    "SAME_VALUES",
    "TOKEN_BUDGETS",
    "TOLERANCE",
    "Add",
    "Affine",
    "Batch",
    "Block",
    "Branch",
    "Budget",
    "Check",
    "Constant",
    "Copy",
    "Cost",
    "Edit",
    "Engine",
    "Mix",
    "Outcomes",
    "Question",
    "Reach",
    "Read",
    "Reply",
    "Rotate",
    "Row",
    "Run",
    "Schedule",
    "SiteSwaps",
    "Step",
    "Value",
    "Work",
    "agree",
    "align",
    "check_padding",
    "check_runs",
    "check_self_swap",
    "check_tokens",
    "check_words",
    "choose_engine",
    "in_order",
    "lay_out",
    "layers_of",
    "make_schedule",
    "most_likely",
    "pack",
    "place_of",
    "read_answers",
    "run_of",
    "swaps_to_try",
    "within_memory",
]
