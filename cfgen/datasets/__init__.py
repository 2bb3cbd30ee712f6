"""Datasets: from a task and a design to a Hugging Face dataset."""

from cfgen.datasets.alignment import answer_tokens
from cfgen.datasets.answered import ASKED_AT_MOST, AnsweredRecord, PairFilter
from cfgen.datasets.audit import Audit, AuditPlan, SplitSummary
from cfgen.datasets.card import dataset_card, dataset_summary
from cfgen.datasets.coverage import Coverage
from cfgen.datasets.exports import NEED_TOKENS, TOOLS, check_repo, export, push_to_hub
from cfgen.datasets.features import RowFormat, pairs_table, schema_of
from cfgen.datasets.labelling import PairLabeller
from cfgen.datasets.leakage import Leak
from cfgen.datasets.manifest import Manifest, SuiteManifest
from cfgen.datasets.own_pairs import own_pairs_source
from cfgen.datasets.own_rows import has_splits
from cfgen.datasets.power import PowerPlan, plan_power, power_text
from cfgen.datasets.reading import DatasetFolder, open_dataset, read_dataset
from cfgen.datasets.recipe import (
    FRACTIONS,
    Candidates,
    DatasetRecipe,
    Split,
    make_splits,
    recipe,
    split_shares,
)
from cfgen.datasets.repetition import SeenPrompts
from cfgen.datasets.rows import (
    candidate_pairs,
    draw_pairs,
    first_pairs,
    row_tables,
)
from cfgen.datasets.shortcuts import Shortcut, audit_shortcuts
from cfgen.datasets.sources import PairSource, candidates_in, dataset_source, task_source
from cfgen.datasets.suites import (
    Suite,
    find_suite,
    open_suite,
    suite_recipes,
    suite_summary,
    write_suite,
)
from cfgen.datasets.tables import opened_table, table_batches
from cfgen.datasets.tokenizers import WordExclusion, solve_words
from cfgen.datasets.writing import find_dataset, generate, write_dataset

__all__ = [
    "ASKED_AT_MOST",
    "FRACTIONS",
    "NEED_TOKENS",
    "TOOLS",
    "AnsweredRecord",
    "Audit",
    "AuditPlan",
    "Candidates",
    "Coverage",
    "DatasetFolder",
    "DatasetRecipe",
    "Leak",
    "Manifest",
    "PairFilter",
    "PairLabeller",
    "PairSource",
    "PowerPlan",
    "RowFormat",
    "SeenPrompts",
    "Shortcut",
    "Split",
    "SplitSummary",
    "Suite",
    "SuiteManifest",
    "WordExclusion",
    "answer_tokens",
    "audit_shortcuts",
    "candidate_pairs",
    "candidates_in",
    "check_repo",
    "dataset_card",
    "dataset_source",
    "dataset_summary",
    "draw_pairs",
    "export",
    "find_dataset",
    "find_suite",
    "first_pairs",
    "generate",
    "has_splits",
    "make_splits",
    "open_dataset",
    "open_suite",
    "opened_table",
    "own_pairs_source",
    "pairs_table",
    "plan_power",
    "power_text",
    "push_to_hub",
    "read_dataset",
    "recipe",
    "row_tables",
    "schema_of",
    "solve_words",
    "split_shares",
    "suite_recipes",
    "suite_summary",
    "table_batches",
    "task_source",
    "write_dataset",
    "write_suite",
]
