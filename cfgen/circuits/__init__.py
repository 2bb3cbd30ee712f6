"""Circuits: which edges between heads and MLPs carry an answer, and how faithful they are by themselves.

What other packages may use. Each name is loaded when it is first used: only what runs an LM imports
torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cfgen.faces import lazy_face

if TYPE_CHECKING:
    from cfgen.circuits.attribution import edge_scores as edge_scores
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
    from cfgen.circuits.graph import INPUT as INPUT
    from cfgen.circuits.graph import LOGITS as LOGITS
    from cfgen.circuits.graph import CircuitGraph as CircuitGraph
    from cfgen.circuits.graph import Edge as Edge
    from cfgen.circuits.selection import connected as connected
    from cfgen.circuits.selection import count_of as count_of
    from cfgen.circuits.selection import jaccard as jaccard
    from cfgen.circuits.selection import nodes_of as nodes_of
    from cfgen.circuits.selection import select as select
    from cfgen.circuits.wiring import CircuitPair as CircuitPair
    from cfgen.circuits.wiring import PairBatch as PairBatch
    from cfgen.circuits.wiring import Wiring as Wiring
    from cfgen.circuits.wiring import wire as wire

_HOME = {
    "BootstrapInterval": "curve",
    "CircuitGraph": "graph",
    "CircuitPair": "wiring",
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
