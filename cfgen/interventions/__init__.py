"""Interventions on an LM: edits as data, and the engines that run them.

What other packages may use. Importing it imports torch.
"""

from __future__ import annotations

from cfgen.interventions.answers import TOLERANCE, Answers, Cost, agree, most_likely
from cfgen.interventions.batches import LEAST, TOKEN_BUDGETS, Batch, Budget, within_memory
from cfgen.interventions.checks import (
    Check,
    check_padding,
    check_self_swap,
    check_tokens,
    check_words,
    swaps_to_try,
)
from cfgen.interventions.chunks import open_chunk, run_chunk
from cfgen.interventions.clean import CleanRuns
from cfgen.interventions.edits import Branch, Constant, Edit, FromPrompt, check_branches
from cfgen.interventions.engine import (
    BATCH_SIZE,
    Engine,
    EngineTally,
    choose_engine,
    why_not_packed,
)
from cfgen.interventions.jobs import VERIFIED, Reservoir, run_branches, verify
from cfgen.interventions.packing import Row, lay_out, pack
from cfgen.interventions.reach import OUT_OF_REACH, SAME_VALUES, NoReach, Reach, find_reach
from cfgen.interventions.swaps import SiteSwaps, align, branch_of, layers_of, place_of

__all__ = [
    "BATCH_SIZE",
    "LEAST",
    "OUT_OF_REACH",
    "SAME_VALUES",
    "TOKEN_BUDGETS",
    "TOLERANCE",
    "VERIFIED",
    "Answers",
    "Batch",
    "Branch",
    "Budget",
    "Check",
    "CleanRuns",
    "Constant",
    "Cost",
    "Edit",
    "Engine",
    "EngineTally",
    "FromPrompt",
    "NoReach",
    "Reach",
    "Reservoir",
    "Row",
    "SiteSwaps",
    "agree",
    "align",
    "branch_of",
    "check_branches",
    "check_padding",
    "check_self_swap",
    "check_tokens",
    "check_words",
    "choose_engine",
    "find_reach",
    "lay_out",
    "layers_of",
    "most_likely",
    "open_chunk",
    "pack",
    "place_of",
    "run_branches",
    "run_chunk",
    "swaps_to_try",
    "verify",
    "why_not_packed",
    "within_memory",
]
