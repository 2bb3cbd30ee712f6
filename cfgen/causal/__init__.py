"""Causal models: variables, mechanisms, domains, run, intervene, interchange."""

from cfgen.causal.attributes import WordRow, WordTable
from cfgen.causal.domains import (
    Choice,
    Distinct,
    Domain,
    Pools,
    TooFewValues,
    Words,
    as_tuples,
    boolean,
    choice,
    distinct,
    integers,
    table_of,
)
from cfgen.causal.graph import Graph, causal_order
from cfgen.causal.model import CausalModel
from cfgen.causal.program import Columns, Program
from cfgen.causal.setting import Setting

__all__ = [
    "CausalModel",
    "Choice",
    "Columns",
    "Distinct",
    "Domain",
    "Graph",
    "Pools",
    "Program",
    "Setting",
    "TooFewValues",
    "WordRow",
    "WordTable",
    "Words",
    "as_tuples",
    "boolean",
    "causal_order",
    "choice",
    "distinct",
    "integers",
    "table_of",
]
