"""Experiments: what is asked of an LM, how that is computed, and what came out.

What other packages may use. Each name is loaded when it is first used: only what runs an LM imports
torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cfgen.faces import lazy_face

if TYPE_CHECKING:
    from cfgen.experiments.ablation_kinds import ABLATIONS as ABLATIONS
    from cfgen.experiments.answering import PAIRS as PAIRS
    from cfgen.experiments.answering import RUNS as RUNS
    from cfgen.experiments.answering import FinishedRun as FinishedRun
    from cfgen.experiments.answering import PartialRun as PartialRun
    from cfgen.experiments.answering import PlannedRun as PlannedRun
    from cfgen.experiments.answering import answer as answer
    from cfgen.experiments.answering import asked_in as asked_in
    from cfgen.experiments.answering import check_swaps as check_swaps
    from cfgen.experiments.answering import finished_content as finished_content
    from cfgen.experiments.answering import folder_of as folder_of
    from cfgen.experiments.answering import load_for as load_for
    from cfgen.experiments.answering import merge_shards as merge_shards
    from cfgen.experiments.answering import opened_store as opened_store
    from cfgen.experiments.answering import plan_answer as plan_answer
    from cfgen.experiments.answering import read_results as read_results
    from cfgen.experiments.behaviour import NO_ANSWER as NO_ANSWER
    from cfgen.experiments.behaviour import NO_SLOT as NO_SLOT
    from cfgen.experiments.behaviour import NOT_THERE as NOT_THERE
    from cfgen.experiments.behaviour import Behaviour as Behaviour
    from cfgen.experiments.behaviour import GradedPrompt as GradedPrompt
    from cfgen.experiments.behaviour import accuracy_by as accuracy_by
    from cfgen.experiments.behaviour import check_any_kept as check_any_kept
    from cfgen.experiments.behaviour import grade as grade
    from cfgen.experiments.behaviour import graded_prompts as graded_prompts
    from cfgen.experiments.behaviour import misplaced as misplaced
    from cfgen.experiments.behaviour import mistakes as mistakes
    from cfgen.experiments.behaviour import wrong_sides as wrong_sides
    from cfgen.experiments.cells import AverageEffect as AverageEffect
    from cfgen.experiments.cells import Cell as Cell
    from cfgen.experiments.cells import CellPlace as CellPlace
    from cfgen.experiments.cells import Continuation as Continuation
    from cfgen.experiments.cells import ContinuationRate as ContinuationRate
    from cfgen.experiments.cells import Guidance as Guidance
    from cfgen.experiments.cells import GuidedPlace as GuidedPlace
    from cfgen.experiments.cells import MediatorSet as MediatorSet
    from cfgen.experiments.cells import MediatorSets as MediatorSets
    from cfgen.experiments.cells import Output as Output
    from cfgen.experiments.cells import PairEffect as PairEffect
    from cfgen.experiments.cells import VacuousCell as VacuousCell
    from cfgen.experiments.checking import check_sites as check_sites
    from cfgen.experiments.checking import checks_made as checks_made
    from cfgen.experiments.comparing import CellDifference as CellDifference
    from cfgen.experiments.comparing import RunComparison as RunComparison
    from cfgen.experiments.comparing import compare_runs as compare_runs
    from cfgen.experiments.comparing import furthest as furthest
    from cfgen.experiments.continuing import begins_with as begins_with
    from cfgen.experiments.definition import EXACT_GUIDES as EXACT_GUIDES
    from cfgen.experiments.definition import EngineOptions as EngineOptions
    from cfgen.experiments.definition import Experiment as Experiment
    from cfgen.experiments.definition import SiteOptions as SiteOptions
    from cfgen.experiments.definition import SweepOptions as SweepOptions
    from cfgen.experiments.definition import behavioural as behavioural
    from cfgen.experiments.digests import digest_of as digest_of
    from cfgen.experiments.files import experiment_of as experiment_of
    from cfgen.experiments.files import override as override
    from cfgen.experiments.files import read_experiment as read_experiment
    from cfgen.experiments.files import write_experiment as write_experiment
    from cfgen.experiments.filtering import FilterOutcome as FilterOutcome
    from cfgen.experiments.filtering import answered_rightly as answered_rightly
    from cfgen.experiments.filtering import filter_pairs as filter_pairs
    from cfgen.experiments.flags import FLAGS as FLAGS
    from cfgen.experiments.halves import split_pairs as split_pairs
    from cfgen.experiments.inquiry import Inquiry as Inquiry
    from cfgen.experiments.inquiry import Request as Request
    from cfgen.experiments.inquiry import as_request as as_request
    from cfgen.experiments.inquiry import check_guided as check_guided
    from cfgen.experiments.inquiry import check_neurons as check_neurons
    from cfgen.experiments.inquiry import folder_name as folder_name
    from cfgen.experiments.inquiry import look_up as look_up
    from cfgen.experiments.inquiry import make_request as make_request
    from cfgen.experiments.json_schema import descriptions as descriptions
    from cfgen.experiments.json_schema import schema as schema
    from cfgen.experiments.layers import parse_layers as parse_layers
    from cfgen.experiments.measures import MEASURES as MEASURES
    from cfgen.experiments.measures import Judgement as Judgement
    from cfgen.experiments.measures import Measure as Measure
    from cfgen.experiments.measures import judge as judge
    from cfgen.experiments.measures import question_of as question_of
    from cfgen.experiments.methods import FIELDS as FIELDS
    from cfgen.experiments.methods import METHODS as METHODS
    from cfgen.experiments.methods import UNFILTERED as UNFILTERED
    from cfgen.experiments.methods import Effect as Effect
    from cfgen.experiments.methods import Method as Method
    from cfgen.experiments.methods import effects_on as effects_on
    from cfgen.experiments.noise import Noise as Noise
    from cfgen.experiments.noise import parse_noise as parse_noise
    from cfgen.experiments.observing import BehaviourResults as BehaviourResults
    from cfgen.experiments.observing import ObservedRun as ObservedRun
    from cfgen.experiments.observing import WrongAnswer as WrongAnswer
    from cfgen.experiments.observing import observe as observe
    from cfgen.experiments.observing import read_behaviour as read_behaviour
    from cfgen.experiments.parts import parse_parts as parse_parts
    from cfgen.experiments.planning import Plan as Plan
    from cfgen.experiments.planning import plan_experiment as plan_experiment
    from cfgen.experiments.portions import EVERYTHING_NOW as EVERYTHING_NOW
    from cfgen.experiments.portions import Portion as Portion
    from cfgen.experiments.portions import Remainder as Remainder
    from cfgen.experiments.replies import Workbench as Workbench
    from cfgen.experiments.results import CONTINUATIONS as CONTINUATIONS
    from cfgen.experiments.results import CONTINUATIONS_FILE as CONTINUATIONS_FILE
    from cfgen.experiments.results import EFFECTS as EFFECTS
    from cfgen.experiments.results import EFFECTS_FILE as EFFECTS_FILE
    from cfgen.experiments.results import OUTPUTS as OUTPUTS
    from cfgen.experiments.results import RESULTS as RESULTS
    from cfgen.experiments.results import SCHEMA as SCHEMA
    from cfgen.experiments.results import Results as Results
    from cfgen.experiments.results import Share as Share
    from cfgen.experiments.results import as_results as as_results
    from cfgen.experiments.results import effects_table as effects_table
    from cfgen.experiments.results import is_behaviour as is_behaviour
    from cfgen.experiments.results import method_of as method_of
    from cfgen.experiments.results import outputs_table as outputs_table
    from cfgen.experiments.results import read_as as read_as
    from cfgen.experiments.results import share_of as share_of
    from cfgen.experiments.results import versions_used as versions_used
    from cfgen.experiments.stages import EngineSettings as EngineSettings
    from cfgen.experiments.stages import RunRecord as RunRecord
    from cfgen.experiments.stages import run_experiment as run_experiment
    from cfgen.experiments.store import RunStore as RunStore
    from cfgen.experiments.store import StoreListing as StoreListing
    from cfgen.experiments.store import list_stores as list_stores
    from cfgen.experiments.store import merge_units as merge_units
    from cfgen.experiments.store import new_beside as new_beside
    from cfgen.experiments.store import open_store as open_store
    from cfgen.experiments.store import read_finished as read_finished
    from cfgen.experiments.store import read_record as read_record
    from cfgen.experiments.units import MemoryStore as MemoryStore
    from cfgen.experiments.units import Units as Units
    from cfgen.experiments.units import cost_of as cost_of
    from cfgen.experiments.vectors import SteeringVector as SteeringVector
    from cfgen.experiments.vectors import read_vector as read_vector

_HOME = {
    "effects_on": "methods",
    "CONTINUATIONS": "results",
    "CONTINUATIONS_FILE": "results",
    "ABLATIONS": "ablation_kinds",
    "CellPlace": "cells",
    "Continuation": "cells",
    "ContinuationRate": "cells",
    "begins_with": "continuing",
    "parse_parts": "parts",
    "SteeringVector": "vectors",
    "read_vector": "vectors",
    "checks_made": "checking",
    "versions_used": "results",
    "share_of": "results",
    "split_pairs": "halves",
    "read_as": "results",
    "method_of": "results",
    "Workbench": "replies",
    "EVERYTHING_NOW": "portions",
    "digest_of": "digests",
    "check_sites": "checking",
    "opened_store": "answering",
    "load_for": "answering",
    "finished_content": "answering",
    "PAIRS": "answering",
    "Behaviour": "behaviour",
    "BehaviourResults": "observing",
    "AverageEffect": "cells",
    "Cell": "cells",
    "CellDifference": "comparing",
    "EXACT_GUIDES": "definition",
    "EngineOptions": "definition",
    "EngineSettings": "stages",
    "Experiment": "definition",
    "FLAGS": "flags",
    "FilterOutcome": "filtering",
    "FinishedRun": "answering",
    "GradedPrompt": "behaviour",
    "Guidance": "cells",
    "GuidedPlace": "cells",
    "MediatorSet": "cells",
    "MediatorSets": "cells",
    "Inquiry": "inquiry",
    "Judgement": "measures",
    "MEASURES": "measures",
    "FIELDS": "methods",
    "METHODS": "methods",
    "EFFECTS_FILE": "results",
    "UNFILTERED": "methods",
    "Effect": "methods",
    "Method": "methods",
    "EFFECTS": "results",
    "PairEffect": "cells",
    "effects_table": "results",
    "Measure": "measures",
    "MemoryStore": "units",
    "NOT_THERE": "behaviour",
    "Noise": "noise",
    "NO_ANSWER": "behaviour",
    "NO_SLOT": "behaviour",
    "OUTPUTS": "results",
    "ObservedRun": "observing",
    "Output": "cells",
    "PartialRun": "answering",
    "Plan": "planning",
    "PlannedRun": "answering",
    "Portion": "portions",
    "RESULTS": "results",
    "RUNS": "answering",
    "Remainder": "portions",
    "Request": "inquiry",
    "Results": "results",
    "RunComparison": "comparing",
    "RunRecord": "stages",
    "RunStore": "store",
    "SCHEMA": "results",
    "Share": "results",
    "SiteOptions": "definition",
    "StoreListing": "store",
    "SweepOptions": "definition",
    "Units": "units",
    "VacuousCell": "cells",
    "WrongAnswer": "observing",
    "accuracy_by": "behaviour",
    "answer": "answering",
    "answered_rightly": "filtering",
    "as_request": "inquiry",
    "as_results": "results",
    "asked_in": "answering",
    "behavioural": "definition",
    "check_any_kept": "behaviour",
    "check_swaps": "answering",
    "compare_runs": "comparing",
    "cost_of": "units",
    "descriptions": "json_schema",
    "experiment_of": "files",
    "filter_pairs": "filtering",
    "folder_name": "inquiry",
    "folder_of": "answering",
    "furthest": "comparing",
    "grade": "behaviour",
    "graded_prompts": "behaviour",
    "is_behaviour": "results",
    "judge": "measures",
    "list_stores": "store",
    "check_guided": "inquiry",
    "check_neurons": "inquiry",
    "look_up": "inquiry",
    "make_request": "inquiry",
    "merge_shards": "answering",
    "merge_units": "store",
    "misplaced": "behaviour",
    "mistakes": "behaviour",
    "new_beside": "store",
    "observe": "observing",
    "open_store": "store",
    "outputs_table": "results",
    "override": "files",
    "parse_layers": "layers",
    "parse_noise": "noise",
    "plan_answer": "answering",
    "plan_experiment": "planning",
    "question_of": "measures",
    "read_behaviour": "observing",
    "read_experiment": "files",
    "read_finished": "store",
    "read_record": "store",
    "read_results": "answering",
    "run_experiment": "stages",
    "schema": "json_schema",
    "write_experiment": "files",
    "wrong_sides": "behaviour",
}

__all__ = list(_HOME)
__getattr__, __dir__ = lazy_face(__name__, _HOME)
