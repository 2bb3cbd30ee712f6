"""Experiments: run one on an LM, count what came out, and say how sure that is.

What other packages may use. Importing it imports torch.
"""

from __future__ import annotations

from cfgen.experiments.behaviour import NO_ANSWER, Behaviour, grade, wrong_sides
from cfgen.experiments.experiment import EngineSettings, Experiment, run_experiment
from cfgen.experiments.iia import Cell, Output, VacuousCell
from cfgen.experiments.measures import MEASURES, Judgement, Measure, judge, question_of
from cfgen.experiments.results import OUTPUTS, RESULTS, SCHEMA, Results, Share, write_results

__all__ = [
    "MEASURES",
    "NO_ANSWER",
    "OUTPUTS",
    "RESULTS",
    "SCHEMA",
    "Behaviour",
    "Cell",
    "EngineSettings",
    "Experiment",
    "Judgement",
    "Measure",
    "Output",
    "Results",
    "Share",
    "VacuousCell",
    "grade",
    "judge",
    "question_of",
    "run_experiment",
    "write_results",
    "wrong_sides",
]
