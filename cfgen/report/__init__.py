"""Reports: documents that say what there is and what came out, and the same facts for JSON.

Each name below is loaded when it is first used: a command that shows a list of tasks need not load
what a dataset is written with. Nothing here imports torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cfgen.faces import lazy_face

if TYPE_CHECKING:
    from cfgen.report.behaviour import behaviour_introduction as behaviour_introduction
    from cfgen.report.behaviour import behaviour_view as behaviour_view
    from cfgen.report.cells import best_cell as best_cell
    from cfgen.report.cells import sweep_tables as sweep_tables
    from cfgen.report.cells import value_text as value_text
    from cfgen.report.circuit_figures import circuit_figure as circuit_figure
    from cfgen.report.circuit_figures import curve_figure as curve_figure
    from cfgen.report.circuits import circuit_introduction as circuit_introduction
    from cfgen.report.circuits import circuit_plan_view as circuit_plan_view
    from cfgen.report.circuits import circuit_sentences as circuit_sentences
    from cfgen.report.circuits import circuit_view as circuit_view
    from cfgen.report.comparison import comparison_record as comparison_record
    from cfgen.report.comparison import comparison_view as comparison_view
    from cfgen.report.comparison import runs_table as runs_table
    from cfgen.report.demo import closing as closing
    from cfgen.report.demo import introduction as introduction
    from cfgen.report.demo import load_story as load_story
    from cfgen.report.drawing import figure_bytes as figure_bytes
    from cfgen.report.drawing import save_figure as save_figure
    from cfgen.report.figures import figure_of as figure_of
    from cfgen.report.findings import problem_text as problem_text
    from cfgen.report.findings import report_records as report_records
    from cfgen.report.findings import reports_view as reports_view
    from cfgen.report.graph import graph_figure as graph_figure
    from cfgen.report.mediators import mediators_figure as mediators_figure
    from cfgen.report.methods import method_view as method_view
    from cfgen.report.methods import methods_view as methods_view
    from cfgen.report.models import model_list as model_list
    from cfgen.report.pairs import pair_record as pair_record
    from cfgen.report.pairs import pair_view as pair_view
    from cfgen.report.plan import plan_record as plan_record
    from cfgen.report.plan import plan_view as plan_view
    from cfgen.report.run import run_introduction as run_introduction
    from cfgen.report.run import run_view as run_view
    from cfgen.report.run import sentences as sentences
    from cfgen.report.runs import run_list as run_list
    from cfgen.report.runs import run_record as run_record
    from cfgen.report.search import design_record as design_record
    from cfgen.report.search import design_view as design_view
    from cfgen.report.search import proof_view as proof_view
    from cfgen.report.search import sampled_record as sampled_record
    from cfgen.report.search import sampled_view as sampled_view
    from cfgen.report.task import domain_text as domain_text
    from cfgen.report.task import task_list as task_list
    from cfgen.report.task import task_record as task_record
    from cfgen.report.task import task_view as task_view

_HOME = {
    "circuit_view": "circuits",
    "circuit_sentences": "circuits",
    "circuit_introduction": "circuits",
    "circuit_plan_view": "circuits",
    "curve_figure": "circuit_figures",
    "circuit_figure": "circuit_figures",
    "behaviour_introduction": "behaviour",
    "behaviour_view": "behaviour",
    "best_cell": "cells",
    "closing": "demo",
    "comparison_record": "comparison",
    "comparison_view": "comparison",
    "design_record": "search",
    "design_view": "search",
    "domain_text": "task",
    "figure_bytes": "drawing",
    "figure_of": "figures",
    "graph_figure": "graph",
    "introduction": "demo",
    "load_story": "demo",
    "model_list": "models",
    "pair_record": "pairs",
    "pair_view": "pairs",
    "plan_record": "plan",
    "plan_view": "plan",
    "problem_text": "findings",
    "proof_view": "search",
    "report_records": "findings",
    "reports_view": "findings",
    "run_introduction": "run",
    "run_list": "runs",
    "run_record": "runs",
    "method_view": "methods",
    "methods_view": "methods",
    "run_view": "run",
    "sampled_record": "search",
    "sampled_view": "search",
    "runs_table": "comparison",
    "save_figure": "drawing",
    "sentences": "run",
    "sweep_tables": "cells",
    "value_text": "cells",
    "task_list": "task",
    "task_record": "task",
    "task_view": "task",
    "mediators_figure": "mediators",
}

__all__ = list(_HOME)
__getattr__, __dir__ = lazy_face(__name__, _HOME)
