"""What a search for circuits comes to: ``results.json`` of such a run; nothing here needs torch."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from cfgen.circuits.circuit import Circuit, read_circuit
from cfgen.circuits.curve import BootstrapInterval
from cfgen.errors import CfgenError, Problem
from cfgen.experiments import Experiment, Share, method_of, read_as, read_finished
from cfgen.paths import display

EDGES_FILE, CURVE_FILE = "edges.parquet", "curve.parquet"


class PairEstimate(BaseModel):
    """A number of several pairs, with its 95 % interval over pairs drawn again.

    Attributes:
        value: The number; None if there is none.
        low: Lower end.
        high: Upper end.
        n: Of how many pairs.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    value: float | None
    low: float | None
    high: float | None
    n: int

    @classmethod
    def of(cls, found: BootstrapInterval, n: int) -> PairEstimate:
        """An interval in a form that JSON has."""
        parts = (found.value, found.low, found.high)
        value, low, high = (part if math.isfinite(part) else None for part in parts)
        return cls(value=value, low=low, high=high, n=n)


class CurvePoint(BaseModel):
    """A circuit of one size.

    Attributes:
        ranking: By what its edges were chosen: the ``signed`` score, its ``absolute`` size, or at
            ``random``, as the control.
        percent: How many percent of all edges were chosen.
        edges: How many these are.
        connected: How many of them are on a way from the input to the logits.
        nodes: How many nodes these connect.
        measure: Its measure, on average.
        faithfulness: From 0, as with every edge corrupted, to 1, as with none, or beyond.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    ranking: Literal["signed", "absolute", "random"]
    percent: float
    edges: int
    connected: int
    nodes: int
    measure: float
    faithfulness: PairEstimate


class ExactSample(BaseModel):
    """Edges that were run as well as estimated.

    Attributes:
        among: What they were drawn from: ``all`` edges, or those of the ``circuit``.
        edges: How many.
        pairs: Of how many pairs both numbers are averages.
        correlation: Spearman's rank correlation of the two, over edges; None if one of them never
            differs.
        low: Lower end of its 95 % interval; None if there is none.
        high: Upper end.
        furthest: The largest difference between the two.
        largest: The largest exact effect, whatever its sign.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    among: Literal["all", "circuit"]
    edges: int
    pairs: int
    correlation: float | None
    low: float | None
    high: float | None
    furthest: float
    largest: float


class NodeLoss(BaseModel):
    """What a circuit loses without one of its nodes.

    Attributes:
        node: The node.
        loss: How much of its faithfulness; one that costs nothing need not be in the circuit.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    node: str
    loss: PairEstimate


class SubsetGap(BaseModel):
    """What a circuit does without some of its nodes, and what the LM does without them.

    Attributes:
        how: Whether the nodes were drawn at ``random``, or looked for (``greedy``) on the pairs
            that choose edges; ``none`` are left out for comparison.
        nodes: The nodes.
        circuit: Faithfulness of the circuit without them.
        model: Faithfulness of all else, with nothing but these nodes corrupted.
        gap: How much the second is larger; 0 in a complete circuit.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    how: Literal["none", "random", "greedy"]
    nodes: tuple[str, ...]
    circuit: PairEstimate
    model: PairEstimate
    gap: PairEstimate


class EdgeCheck(BaseModel):
    """A check that ran and passed: its name, how many cases it looked at, what a case is."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    cases: int
    note: str


class CircuitResults(BaseModel):
    """The content of ``results.json`` where edges were looked for.

    Attributes:
        n: Pairs that were run; ``kept`` of them were answered correctly.
        dropped: Reason -> pairs dropped by the filter.
        unusable: Reason -> kept pairs on which edges can't be corrupted or measured.
        chosen_on: Ids of the pairs by which edges were chosen.
        judged_on: Ids of those on which circuits were measured.
        edges: How many edges the LM has.
        nodes: How many nodes.
        every: The measure with all edges as they are.
        none: With every edge corrupted.
        curve: Circuits of growing size.
        cpr: Area below the curve of signed scores.
        cmd: Area between the curve of scores by size and 1.
        random_cmd: The same of edges in random order, as the control.
        without: Faithfulness where the circuit that is written down is corrupted and all other
            edges are not.
        losses: What is lost without single nodes of the circuit, the strongest first.
        gaps: What circuit and LM do without sets of nodes: completeness.
        exact: How far estimates are right.
        stability: How much circuits of that size share, whose edges are chosen by pairs drawn
            again, with the one that is written down (Jaccard).
        circuit: How many edges that has.
        experiment: What was asked.
        source: What the pairs came from.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    model: str
    task: str
    design: str
    n: int
    kept: int
    keep: Share
    clean: Share | None
    dropped: dict[str, int]
    unusable: dict[str, int]
    chosen_on: tuple[str, ...]
    judged_on: tuple[str, ...]
    edges: int
    nodes: int
    every: PairEstimate
    none: PairEstimate
    curve: tuple[CurvePoint, ...]
    cpr: PairEstimate
    cmd: PairEstimate
    random_cmd: PairEstimate
    without: PairEstimate
    losses: tuple[NodeLoss, ...]
    gaps: tuple[SubsetGap, ...]
    exact: tuple[ExactSample, ...]
    stability: PairEstimate
    circuit: int
    checks: tuple[EdgeCheck, ...]
    confidence: float
    revision: str
    device: str
    dtype: str
    attention: str
    versions: dict[str, str]
    experiment: Experiment
    source: dict[str, str]


def is_circuit(content: dict[str, Any]) -> bool:
    """Whether what ``results.json`` says is of a run that looked for edges."""
    return method_of(content) == "circuit"


def read_circuit_results(folder: Path) -> CircuitResults:
    """What came out of a run that looked for edges.

    Raises:
        CfgenError: There is no such run (``no-circuit``), or it was changed.
    """
    content = read_finished(folder)
    if content is None or not is_circuit(content):
        message = f"{display(folder)} holds no finished search for circuits"
        hint = "`cfgen runs` lists what there is"
        raise CfgenError(Problem("no-circuit", message, hint=hint))
    return read_as(CircuitResults, content)


def circuit_in(folder: Path) -> Circuit:
    """The circuit that a run wrote down.

    Raises:
        CfgenError: There is none (``no-circuit``).
    """
    read_circuit_results(folder)
    return read_circuit(folder)
