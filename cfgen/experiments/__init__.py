"""Experiments: what is asked of an LM, how that is computed, and what came out.

What other packages may use. Each name is loaded when it is first used: only what runs an LM imports
torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cfgen.faces import lazy_face

if TYPE_CHECKING:
    from cfgen.experiments.behaviour import NO_ANSWER as NO_ANSWER
    from cfgen.experiments.behaviour import Behaviour as Behaviour
    from cfgen.experiments.behaviour import grade as grade
    from cfgen.experiments.behaviour import wrong_sides as wrong_sides
    from cfgen.experiments.definition import EngineOptions as EngineOptions
    from cfgen.experiments.definition import Experiment as Experiment
    from cfgen.experiments.definition import SiteOptions as SiteOptions
    from cfgen.experiments.definition import SweepOptions as SweepOptions
    from cfgen.experiments.experiment import EngineSettings as EngineSettings
    from cfgen.experiments.experiment import RunRecord as RunRecord
    from cfgen.experiments.experiment import run_experiment as run_experiment
    from cfgen.experiments.files import FLAGS as FLAGS
    from cfgen.experiments.files import experiment_of as experiment_of
    from cfgen.experiments.files import override as override
    from cfgen.experiments.files import read_experiment as read_experiment
    from cfgen.experiments.files import write_experiment as write_experiment
    from cfgen.experiments.iia import Cell as Cell
    from cfgen.experiments.iia import Output as Output
    from cfgen.experiments.iia import VacuousCell as VacuousCell
    from cfgen.experiments.layers import parse_layers as parse_layers
    from cfgen.experiments.measures import MEASURES as MEASURES
    from cfgen.experiments.measures import Judgement as Judgement
    from cfgen.experiments.measures import Measure as Measure
    from cfgen.experiments.measures import judge as judge
    from cfgen.experiments.measures import question_of as question_of
    from cfgen.experiments.results import OUTPUTS as OUTPUTS
    from cfgen.experiments.results import RESULTS as RESULTS
    from cfgen.experiments.results import SCHEMA as SCHEMA
    from cfgen.experiments.results import Results as Results
    from cfgen.experiments.results import Share as Share
    from cfgen.experiments.results import write_results as write_results

_HOME = {
    "Behaviour": "behaviour",
    "Cell": "iia",
    "EngineOptions": "definition",
    "EngineSettings": "experiment",
    "Experiment": "definition",
    "FLAGS": "files",
    "Judgement": "measures",
    "MEASURES": "measures",
    "Measure": "measures",
    "NO_ANSWER": "behaviour",
    "OUTPUTS": "results",
    "Output": "iia",
    "RESULTS": "results",
    "Results": "results",
    "RunRecord": "experiment",
    "SCHEMA": "results",
    "Share": "results",
    "SiteOptions": "definition",
    "SweepOptions": "definition",
    "VacuousCell": "iia",
    "experiment_of": "files",
    "grade": "behaviour",
    "judge": "measures",
    "override": "files",
    "parse_layers": "layers",
    "question_of": "measures",
    "read_experiment": "files",
    "run_experiment": "experiment",
    "write_results": "results",
    "write_experiment": "files",
    "wrong_sides": "behaviour",
}

__all__ = list(_HOME)
__getattr__, __dir__ = lazy_face(__name__, _HOME)
