"""Searching: edges are scored on one half of the pairs, circuits judged on the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cfgen.circuits.completeness import NodeSubset, node_subsets
from cfgen.circuits.curve import PERCENT, CurvePoints, cmd, cpr, interval
from cfgen.circuits.graph import CircuitGraph, EdgeMask, EdgeScores
from cfgen.circuits.halves import PairHalves
from cfgen.circuits.results import CurvePoint, ExactSample, NodeLoss, PairEstimate, SubsetGap
from cfgen.circuits.selection import (
    connected,
    count_of,
    jaccard,
    nodes_of,
    select,
    strongest_nodes,
    without,
)
from cfgen.errors import CfgenError, Problem
from cfgen.experiments import Experiment
from cfgen.stats import mean_of, rank_correlation

if TYPE_CHECKING:
    from cfgen.circuits.measuring import Ledger

RANKINGS = ("signed", "absolute", "random")
"""By what circuits are chosen; the last is the control."""
EXACT_PAIRS = 8
"""Pairs in which edges are run as well as estimated."""
REDRAWN = 50
"""How often the pairs that choose edges are drawn again, to see whether others would be chosen."""


@dataclass(frozen=True, slots=True)
class Search:
    """What a search found.

    Attributes:
        experiment: What was asked.
        graph: All edges of the LM.
        halves: The pairs.
        scores: What corrupting each edge is estimated to take away from the measure, in every pair
            that chose edges (pairs, edges).
        masks: Ranking -> percent -> the edges chosen.
        curves: Ranking -> measures of these circuits.
        rest: The measure with the circuit corrupted and nothing else, in every pair that judges.
        fewer: Node of the circuit -> the measure of the circuit without it, in every such pair.
        subsets: Measures without several of its nodes, of the circuit and of the LM.
        exact: How far estimates are right.
    """

    experiment: Experiment
    graph: CircuitGraph
    halves: PairHalves
    scores: NDArray[np.float32]
    masks: Mapping[str, Mapping[float, EdgeMask]]
    curves: Mapping[str, CurvePoints]
    rest: NDArray[np.float64]
    fewer: Mapping[str, NDArray[np.float64]]
    subsets: tuple[NodeSubset, ...]
    exact: tuple[ExactSample, ...]

    @property
    def chosen(self) -> EdgeMask:
        """The edges of the circuit that is written down."""
        return connected(self.graph, self.masks["absolute"][self.experiment.edges])

    def points(self) -> tuple[CurvePoint, ...]:
        """Circuits of growing size, of each ranking."""
        found = []
        for ranking, curve in self.curves.items():
            again = curve.resampled(self.experiment.seed)
            for at, (percent, value) in enumerate(zip(curve.percent, curve.values(), strict=True)):
                mask = self.masks[ranking][percent]
                kept = connected(self.graph, mask)
                found.append(
                    CurvePoint(
                        ranking=ranking,  # type: ignore[arg-type]
                        percent=percent,
                        edges=int(mask.sum()),
                        connected=int(kept.sum()),
                        nodes=len(nodes_of(self.graph.chosen(np.flatnonzero(kept)))),
                        measure=float(curve.circuits[at].mean()),
                        faithfulness=self._estimate(value, again[:, at]),
                    )
                )
        return tuple(found)

    def areas(self) -> dict[str, PairEstimate]:
        """CPR and CMD, and CMD of edges in random order."""
        found = {}
        for name, ranking, area in (
            ("cpr", "signed", cpr),
            ("cmd", "absolute", cmd),
            ("random_cmd", "random", cmd),
        ):
            curve = self.curves[ranking]
            at = [curve.percent.index(percent) for percent in PERCENT]
            values = np.array(curve.values())[at]
            again = curve.resampled(self.experiment.seed)[:, at]
            areas = np.array([area(PERCENT, row) for row in again])
            found[name] = self._estimate(area(PERCENT, values), areas)
        return found

    def left(self) -> PairEstimate:
        """Faithfulness of all that is not in the circuit: what is left without it."""
        curve = self.curves["absolute"]
        rest = CurvePoints((100.0,), self.rest[None], curve.none, curve.every)
        again = rest.resampled(self.experiment.seed)[:, 0]
        return self._estimate(rest.values()[0], again)

    def losses(self) -> tuple[NodeLoss, ...]:
        """What the circuit loses of its faithfulness without single nodes."""
        curve = self.curves["absolute"]
        whole = curve.circuits[curve.percent.index(self.experiment.edges)]
        found = []
        for node, measure in self.fewer.items():
            # the ends cancel but for their distance, so that this is a difference of two ratios
            both = CurvePoints((0.0, 100.0), np.stack([measure, whole]), curve.none, curve.every)
            (without, with_), again = both.values(), both.resampled(self.experiment.seed)
            loss = self._estimate(with_ - without, again[:, 1] - again[:, 0])
            found.append(NodeLoss(node=node, loss=loss))
        return tuple(found)

    def gaps(self) -> tuple[SubsetGap, ...]:
        """How far the circuit and the LM lie apart without sets of nodes."""
        curve, found = self.curves["absolute"], []
        for one in self.subsets:
            sides = np.stack([one.circuit, one.model])
            both = CurvePoints((0.0, 100.0), sides, curve.none, curve.every)
            (of_circuit, of_model), again = both.values(), both.resampled(self.experiment.seed)
            found.append(
                SubsetGap(
                    how=one.how,
                    nodes=one.nodes,
                    circuit=self._estimate(of_circuit, again[:, 0]),
                    model=self._estimate(of_model, again[:, 1]),
                    gap=self._estimate(of_model - of_circuit, again[:, 1] - again[:, 0]),
                )
            )
        return tuple(found)

    def stability(self) -> PairEstimate:
        """What circuits chosen by pairs drawn again share with this one, on average (Jaccard)."""
        rng, count = np.random.default_rng(self.experiment.seed), len(self.scores)
        shared = []
        whole = self.masks["absolute"][self.experiment.edges]
        for _ in range(REDRAWN):
            weights = np.bincount(rng.integers(0, count, count), minlength=count) / count
            again = _chosen(self.graph, weights @ self.scores, "absolute", self.experiment)
            shared.append(jaccard(whole, again))
        found = interval(float(np.mean(shared)), np.array(shared))
        return PairEstimate.of(found, count)

    def average(self, ranking: str, percent: float) -> float:
        """The measure of a circuit, over the pairs that judge."""
        curve = self.curves[ranking]
        return float(curve.circuits[curve.percent.index(percent)].mean())

    def edges_table(self) -> pa.Table:
        """Every edge: its score with standard error, and whether the circuit has it."""
        edges, count = list(self.graph.edges()), len(self.scores)
        error = self.scores.std(axis=0, ddof=1) / np.sqrt(count) if count > 1 else None
        missing = pa.nulls(len(edges), pa.float64())
        return pa.table(
            {
                "sender": [edge.sender for edge in edges],
                "receiver": [edge.receiver for edge in edges],
                "score": pa.array(mean_scores(self.scores)),
                "error": missing if error is None else pa.array(error.astype(np.float64)),
                "chosen": pa.array(self.chosen),
            }
        )

    def curve_table(self) -> pa.Table:
        """The measure of every circuit in every pair that judges; ``none`` and ``every`` edge."""
        names = [pair.name for pair in self.halves.judging]
        rows = []
        for ranking, curve in self.curves.items():
            for percent, values in zip(curve.percent, curve.circuits, strict=True):
                rows += [(name, ranking, percent, v) for name, v in zip(names, values, strict=True)]
        one = next(iter(self.curves.values()))
        for ranking, percent, values in (("none", 0.0, one.none), ("every", 100.0, one.every)):
            rows += [(name, ranking, percent, v) for name, v in zip(names, values, strict=True)]
        columns = ("pair_id", "ranking", "percent", "measure")
        return pa.table(dict(zip(columns, map(list, zip(*rows, strict=True)), strict=True)))

    def _estimate(self, value: float, again: NDArray[np.float64]) -> PairEstimate:
        return PairEstimate.of(interval(value, again), len(self.halves.judging))


def search(ledger: Ledger, halves: PairHalves, experiment: Experiment) -> Search:
    """Score edges, choose circuits, and measure them.

    Args:
        ledger: Computes what takes long.
        halves: The pairs.
        experiment: What is asked.

    Raises:
        CfgenError: The wiring does not add up to the LM (``circuit-does-not-add-up``), or no edge
            makes a difference (``circuit-no-difference``).
        TimeUpError: It is time to stop.
    """
    graph, judging = ledger.wiring.graph, halves.judging
    none, every = _ends(ledger, halves)
    scores = ledger.scores(halves.choosing, experiment.steps)
    rng = np.random.default_rng(experiment.seed)
    sizes = tuple(sorted({*PERCENT, experiment.edges}))
    mean, masks, curves = mean_scores(scores), {}, {}
    for ranking in RANKINGS:
        worth = rng.random(len(graph)) if ranking == "random" else mean
        masks[ranking] = {
            percent: _chosen(graph, worth, ranking, experiment, percent) for percent in sizes
        }
        smaller = [mask for percent, mask in masks[ranking].items() if percent < 100]
        found = ledger.measures(judging, smaller, f"circuits, {ranking}")
        curves[ranking] = CurvePoints(sizes, np.stack([*found, every]), none, every)
    written = connected(graph, masks["absolute"][experiment.edges])
    (rest,) = ledger.measures(judging, [~written], "without the circuit")
    nodes = strongest_nodes(graph, written, mean)[: experiment.nodes]
    fewer = _fewer(ledger, halves, written, nodes)
    subsets = node_subsets(ledger, halves, written, nodes, experiment.seed)
    exact = _exact(ledger, halves, scores, written, experiment)
    return Search(experiment, graph, halves, scores, masks, curves, rest, fewer, subsets, exact)


def mean_scores(scores: NDArray[np.float32]) -> EdgeScores:
    """Scores of edges over pairs, on average (edges,)."""
    found: EdgeScores = scores.mean(axis=0, dtype=np.float64)
    return found


def mean_estimate(values: NDArray[np.float64]) -> PairEstimate:
    """An average over pairs, with its Student interval."""
    found = mean_of(values.tolist())
    return PairEstimate(value=found.value, low=found.low, high=found.high, n=found.n)


def _chosen(
    graph: CircuitGraph,
    worth: EdgeScores,
    ranking: str,
    experiment: Experiment,
    percent: float | None = None,
) -> EdgeMask:
    """Edges of a circuit, by some numbers."""
    count = count_of(graph, experiment.edges if percent is None else percent)
    how = "top" if ranking == "random" else experiment.selection
    by = "absolute" if ranking == "absolute" else "signed"
    return select(graph, worth, count, ranking=by, how=how)  # type: ignore[arg-type]


def _ends(ledger: Ledger, halves: PairHalves) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The measure with every edge corrupted, and with none, in every pair that judges."""
    size = len(ledger.wiring.graph)
    ends = [np.zeros(size, dtype=bool), np.ones(size, dtype=bool)]
    none, every = ledger.measures(halves.judging, ends, "all edges, and none", everywhere=True)
    clean, corrupted = ledger.prompts(halves.judging)
    for found, expected, what in (
        (every, clean, "the original with no edge corrupted"),
        (none, corrupted, "the original with every edge corrupted"),
    ):
        for one, other in zip(found, expected, strict=True):
            ledger.check_close(float(one), float(other), what)
    if none.mean() == every.mean():
        message = "with every edge corrupted, the measure is what it is with none"
        hint = "use a design whose prompts differ in their answers"
        raise CfgenError(Problem("circuit-no-difference", message, hint=hint))
    return none, every


def _fewer(
    ledger: Ledger, halves: PairHalves, written: EdgeMask, nodes: list[str]
) -> dict[str, NDArray[np.float64]]:
    """The measure of the circuit without single nodes."""
    if not nodes:
        return {}
    masks = [without(ledger.wiring.graph, written, (node,)) for node in nodes]
    found = ledger.measures(halves.judging, masks, "without single nodes")
    return dict(zip(nodes, found, strict=True))


def _exact(
    ledger: Ledger,
    halves: PairHalves,
    scores: NDArray[np.float32],
    written: EdgeMask,
    experiment: Experiment,
) -> tuple[ExactSample, ...]:
    """Run some edges that were estimated: half of them of all, half of those of the circuit."""
    rng, pairs = np.random.default_rng(experiment.seed), halves.choosing[:EXACT_PAIRS]
    of_circuit = np.flatnonzero(written)
    few = min(experiment.exact // 2, len(of_circuit))
    drawn = {
        "all": rng.choice(len(written), min(experiment.exact - few, len(written)), replace=False),
        "circuit": rng.choice(of_circuit, few, replace=False),
    }
    numbers = np.concatenate([drawn["all"], drawn["circuit"]]).astype(np.int64)
    if not len(numbers):
        return ()
    exact = ledger.exact(pairs, ledger.wiring.graph.chosen(numbers)).mean(axis=0)
    estimated = mean_scores(scores[: len(pairs)])[numbers]
    first = len(drawn["all"])
    return tuple(
        _sample(name, len(pairs), estimated[part], exact[part])
        for name, part in (("all", slice(first)), ("circuit", slice(first, None)))
        if len(exact[part])
    )


def _sample(among: str, pairs: int, estimated: EdgeScores, exact: EdgeScores) -> ExactSample:
    known = rank_correlation(list(zip(estimated.tolist(), exact.tolist(), strict=True)))
    return ExactSample(
        among=among,  # type: ignore[arg-type]
        edges=len(exact),
        pairs=pairs,
        correlation=known.value if known else None,
        low=known.low if known else None,
        high=known.high if known else None,
        furthest=float(np.abs(estimated - exact).max()),
        largest=float(np.abs(exact).max()),
    )
