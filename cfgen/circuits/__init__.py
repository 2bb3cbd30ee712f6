"""Circuits: which edges between heads and MLPs carry an answer, and how well by themselves.

What other packages may use. Each name is loaded when it is first used: only what runs an LM imports
torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cfgen.faces import lazy_face

if TYPE_CHECKING:
    from cfgen.circuits.attribution import edge_scores as edge_scores
    from cfgen.circuits.circuit import CIRCUIT_FILE as CIRCUIT_FILE
    from cfgen.circuits.circuit import DOT_FILE as DOT_FILE
    from cfgen.circuits.circuit import Circuit as Circuit
    from cfgen.circuits.circuit import colour_of as colour_of
    from cfgen.circuits.circuit import read_circuit as read_circuit
    from cfgen.circuits.curve import PERCENT as PERCENT
    from cfgen.circuits.curve import BootstrapInterval as BootstrapInterval
    from cfgen.circuits.curve import CurvePoints as CurvePoints
    from cfgen.circuits.curve import cmd as cmd
    from cfgen.circuits.curve import cpr as cpr
    from cfgen.circuits.curve import faithfulness as faithfulness
    from cfgen.circuits.edits import corrupted_run as corrupted_run
    from cfgen.circuits.edits import exact_effects as exact_effects
    from cfgen.circuits.edits import measured_runs as measured_runs
    from cfgen.circuits.edits import outside_run as outside_run
    from cfgen.circuits.finding import CircuitRun as CircuitRun
    from cfgen.circuits.finding import find_circuits as find_circuits
    from cfgen.circuits.graph import INPUT as INPUT
    from cfgen.circuits.graph import LOGITS as LOGITS
    from cfgen.circuits.graph import CircuitGraph as CircuitGraph
    from cfgen.circuits.graph import Edge as Edge
    from cfgen.circuits.graph import layer_of as layer_of
    from cfgen.circuits.graph import node_of as node_of
    from cfgen.circuits.halves import CircuitPair as CircuitPair
    from cfgen.circuits.halves import PairHalves as PairHalves
    from cfgen.circuits.halves import make_halves as make_halves
    from cfgen.circuits.judging import judge_circuit as judge_circuit
    from cfgen.circuits.results import CURVE_FILE as CURVE_FILE
    from cfgen.circuits.results import EDGES_FILE as EDGES_FILE
    from cfgen.circuits.results import CircuitResults as CircuitResults
    from cfgen.circuits.results import CurvePoint as CurvePoint
    from cfgen.circuits.results import ExactSample as ExactSample
    from cfgen.circuits.results import NodeLoss as NodeLoss
    from cfgen.circuits.results import PairEstimate as PairEstimate
    from cfgen.circuits.results import SubsetGap as SubsetGap
    from cfgen.circuits.results import circuit_in as circuit_in
    from cfgen.circuits.results import is_circuit as is_circuit
    from cfgen.circuits.results import read_circuit_results as read_circuit_results
    from cfgen.circuits.searching import RANKINGS as RANKINGS
    from cfgen.circuits.searching import search as search
    from cfgen.circuits.selection import connected as connected
    from cfgen.circuits.selection import count_of as count_of
    from cfgen.circuits.selection import jaccard as jaccard
    from cfgen.circuits.selection import nodes_of as nodes_of
    from cfgen.circuits.selection import select as select
    from cfgen.circuits.selection import without as without
    from cfgen.circuits.wiring import PairBatch as PairBatch
    from cfgen.circuits.wiring import Wiring as Wiring
    from cfgen.circuits.wiring import wire as wire
    from cfgen.circuits.workload import RunCount as RunCount
    from cfgen.circuits.workload import planned_runs as planned_runs

_HOME = {
    "judge_circuit": "judging",
    "NodeLoss": "results",
    "RunCount": "workload",
    "planned_runs": "workload",
    "without": "selection",
    "SubsetGap": "results",
    "colour_of": "circuit",
    "layer_of": "graph",
    "node_of": "graph",
    "search": "searching",
    "RANKINGS": "searching",
    "make_halves": "halves",
    "PairHalves": "halves",
    "read_circuit_results": "results",
    "is_circuit": "results",
    "circuit_in": "results",
    "ExactSample": "results",
    "PairEstimate": "results",
    "CurvePoint": "results",
    "CircuitResults": "results",
    "EDGES_FILE": "results",
    "CURVE_FILE": "results",
    "find_circuits": "finding",
    "CircuitRun": "finding",
    "read_circuit": "circuit",
    "Circuit": "circuit",
    "DOT_FILE": "circuit",
    "CIRCUIT_FILE": "circuit",
    "BootstrapInterval": "curve",
    "CircuitGraph": "graph",
    "CircuitPair": "halves",
    "CurvePoints": "curve",
    "Edge": "graph",
    "INPUT": "graph",
    "LOGITS": "graph",
    "PERCENT": "curve",
    "PairBatch": "wiring",
    "Wiring": "wiring",
    "cmd": "curve",
    "connected": "selection",
    "corrupted_run": "edits",
    "count_of": "selection",
    "cpr": "curve",
    "edge_scores": "attribution",
    "exact_effects": "edits",
    "faithfulness": "curve",
    "jaccard": "selection",
    "measured_runs": "edits",
    "nodes_of": "selection",
    "outside_run": "edits",
    "select": "selection",
    "wire": "wiring",
}

__all__ = list(_HOME)
__getattr__, __dir__ = lazy_face(__name__, _HOME)
