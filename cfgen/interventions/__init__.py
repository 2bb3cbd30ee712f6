"""Interventions on an LM: runs, edits and values as data, and the engine that executes them.

What other packages may use. Each name is loaded when it is first used: what is asked of a run can
be said without torch, all else imports it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cfgen.faces import lazy_face

if TYPE_CHECKING:
    from cfgen.interventions.answers import Reply as Reply
    from cfgen.interventions.answers import read_answers as read_answers
    from cfgen.interventions.batches import LEAST as LEAST
    from cfgen.interventions.batches import TOKEN_BUDGETS as TOKEN_BUDGETS
    from cfgen.interventions.batches import Batch as Batch
    from cfgen.interventions.batches import Budget as Budget
    from cfgen.interventions.batches import make_batch as make_batch
    from cfgen.interventions.batches import within_memory as within_memory
    from cfgen.interventions.checks import Check as Check
    from cfgen.interventions.checks import check_padding as check_padding
    from cfgen.interventions.checks import check_self_swap as check_self_swap
    from cfgen.interventions.checks import check_tokens as check_tokens
    from cfgen.interventions.checks import check_words as check_words
    from cfgen.interventions.checks import swaps_to_try as swaps_to_try
    from cfgen.interventions.choice import choose_engine as choose_engine
    from cfgen.interventions.engine import BATCH_SIZE as BATCH_SIZE
    from cfgen.interventions.engine import Engine as Engine
    from cfgen.interventions.forward import Firing as Firing
    from cfgen.interventions.generation import continue_runs as continue_runs
    from cfgen.interventions.language import HERE as HERE
    from cfgen.interventions.language import Edit as Edit
    from cfgen.interventions.language import Read as Read
    from cfgen.interventions.language import Run as Run
    from cfgen.interventions.language import Value as Value
    from cfgen.interventions.neurons import NeuronSwap as NeuronSwap
    from cfgen.interventions.neurons import neurons_obstacle as neurons_obstacle
    from cfgen.interventions.neurons import swap_neurons as swap_neurons
    from cfgen.interventions.outcomes import TOLERANCE as TOLERANCE
    from cfgen.interventions.outcomes import Cost as Cost
    from cfgen.interventions.outcomes import Outcomes as Outcomes
    from cfgen.interventions.outcomes import Work as Work
    from cfgen.interventions.outcomes import agree as agree
    from cfgen.interventions.outcomes import most_likely as most_likely
    from cfgen.interventions.packing import Branch as Branch
    from cfgen.interventions.packing import Row as Row
    from cfgen.interventions.packing import lay_out as lay_out
    from cfgen.interventions.packing import pack as pack
    from cfgen.interventions.question import NOTHING as NOTHING
    from cfgen.interventions.question import Question as Question
    from cfgen.interventions.reach import OUT_OF_REACH as OUT_OF_REACH
    from cfgen.interventions.reach import SAME_VALUES as SAME_VALUES
    from cfgen.interventions.reach import Reach as Reach
    from cfgen.interventions.readout import Head as Head
    from cfgen.interventions.schedule import Schedule as Schedule
    from cfgen.interventions.schedule import Step as Step
    from cfgen.interventions.schedule import make_schedule as make_schedule
    from cfgen.interventions.slopes import Departure as Departure
    from cfgen.interventions.slopes import Score as Score
    from cfgen.interventions.slopes import Slope as Slope
    from cfgen.interventions.slopes import find_slopes as find_slopes
    from cfgen.interventions.swaps import SiteSwaps as SiteSwaps
    from cfgen.interventions.swaps import Swap as Swap
    from cfgen.interventions.swaps import align as align
    from cfgen.interventions.swaps import align_by as align_by
    from cfgen.interventions.swaps import align_each as align_each
    from cfgen.interventions.swaps import align_each_by as align_each_by
    from cfgen.interventions.swaps import align_own as align_own
    from cfgen.interventions.swaps import layers_of as layers_of
    from cfgen.interventions.swaps import place_of as place_of
    from cfgen.interventions.swaps import run_of as run_of
    from cfgen.interventions.validity import check_runs as check_runs
    from cfgen.interventions.validity import in_order as in_order
    from cfgen.interventions.values import Add as Add
    from cfgen.interventions.values import Affine as Affine
    from cfgen.interventions.values import Block as Block
    from cfgen.interventions.values import Constant as Constant
    from cfgen.interventions.values import Copy as Copy
    from cfgen.interventions.values import Mix as Mix
    from cfgen.interventions.values import Rotate as Rotate
    from cfgen.interventions.whole import logits_after as logits_after

_HOME = {
    "continue_runs": "generation",
    "Firing": "forward",
    "Head": "readout",
    "logits_after": "whole",
    "make_batch": "batches",
    "Add": "values",
    "Affine": "values",
    "BATCH_SIZE": "engine",
    "Batch": "batches",
    "Block": "values",
    "Branch": "packing",
    "Budget": "batches",
    "Check": "checks",
    "Constant": "values",
    "Copy": "values",
    "Cost": "outcomes",
    "Departure": "slopes",
    "Edit": "language",
    "Engine": "engine",
    "HERE": "language",
    "LEAST": "batches",
    "Mix": "values",
    "NOTHING": "question",
    "NeuronSwap": "neurons",
    "OUT_OF_REACH": "reach",
    "Outcomes": "outcomes",
    "Question": "question",
    "Reach": "reach",
    "Read": "language",
    "Reply": "answers",
    "Rotate": "values",
    "Row": "packing",
    "Run": "language",
    "SAME_VALUES": "reach",
    "Schedule": "schedule",
    "Score": "slopes",
    "SiteSwaps": "swaps",
    "Slope": "slopes",
    "Swap": "swaps",
    "Step": "schedule",
    "TOKEN_BUDGETS": "batches",
    "TOLERANCE": "outcomes",
    "Value": "language",
    "Work": "outcomes",
    "agree": "outcomes",
    "align": "swaps",
    "align_by": "swaps",
    "align_each": "swaps",
    "align_each_by": "swaps",
    "align_own": "swaps",
    "check_padding": "checks",
    "check_runs": "validity",
    "check_self_swap": "checks",
    "check_tokens": "checks",
    "check_words": "checks",
    "choose_engine": "choice",
    "in_order": "validity",
    "lay_out": "packing",
    "layers_of": "swaps",
    "make_schedule": "schedule",
    "most_likely": "outcomes",
    "neurons_obstacle": "neurons",
    "pack": "packing",
    "place_of": "swaps",
    "read_answers": "answers",
    "run_of": "swaps",
    "swap_neurons": "neurons",
    "find_slopes": "slopes",
    "swaps_to_try": "checks",
    "within_memory": "batches",
}

__all__ = list(_HOME)
__getattr__, __dir__ = lazy_face(__name__, _HOME)
