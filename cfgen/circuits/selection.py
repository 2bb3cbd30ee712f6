"""Which edges make a circuit of a given size, by their scores; nothing here runs the LM."""

from __future__ import annotations

import heapq
from collections.abc import Collection
from typing import Any, Literal

import numpy as np

from cfgen.circuits.graph import INPUT, LOGITS, CircuitGraph, Edge, EdgeMask, EdgeScores, node_of

Ranking = Literal["signed", "absolute"]
"""Whether edges are ranked by their score, or by its size whatever the sign."""
Selection = Literal["top", "greedy"]
"""Whether the best edges are taken wherever they are, or from the logits on."""


def count_of(graph: CircuitGraph, percent: float) -> int:
    """How many edges are so many percent of all; one at least."""
    return max(1, round(percent / 100 * len(graph)))


def select(
    graph: CircuitGraph,
    scores: EdgeScores,
    count: int,
    *,
    ranking: Ranking = "absolute",
    how: Selection = "top",
) -> EdgeMask:
    """Choose the best edges.

    Args:
        graph: All edges.
        scores: Of each; the higher, the more of the measure is lost without it.
        count: How many to choose.
        ranking: By what.
        how: ``top``: the best of all. ``greedy``: the best of those that lead to what was chosen
            before, beginning at the logits, so that everything chosen has a way to them (Hanna et
            al. 2024, arXiv 2403.17806, section 3).

    Returns:
        Those chosen, as a mask. Of equal scores, the first edge.
    """
    worth = np.abs(scores) if ranking == "absolute" else scores
    if how == "greedy":
        return _greedy(graph, worth, count)
    mask = np.zeros(len(graph), dtype=bool)
    mask[np.argsort(-worth, kind="stable")[:count]] = True
    return mask


def _greedy(graph: CircuitGraph, worth: EdgeScores, count: int) -> EdgeMask:
    mask = np.zeros(len(graph), dtype=bool)
    into: dict[str, list[int]] = {}
    for row, receiver in enumerate(graph.receivers):
        into.setdefault(node_of(receiver), []).append(row)
    waiting: list[tuple[float, int, int]] = []

    def reach(node: str) -> None:
        for row in into.pop(node, ()):
            for sender in range(graph.before[row]):
                number = graph.starts[row] + sender
                heapq.heappush(waiting, (-float(worth[number]), number, sender))

    reach(LOGITS)
    for _ in range(count):
        if not waiting:
            break
        _, number, sender = heapq.heappop(waiting)
        mask[number] = True
        reach(graph.senders[sender])
    return mask


def connected(graph: CircuitGraph, mask: EdgeMask) -> EdgeMask:
    """The edges of a circuit that lie on a way from the input to the logits.

    The others change nothing: what leads nowhere is not seen, and a node that is given nothing but
    corrupted edges gives just what it gives in the corrupted run.
    """
    import networkx as nx

    numbers = np.flatnonzero(mask)
    edges = graph.chosen(numbers)
    of_nodes: Any = nx.DiGraph((edge.sender, edge.node) for edge in edges)
    if INPUT not in of_nodes or LOGITS not in of_nodes:
        return np.zeros_like(mask)
    there = {INPUT, *nx.descendants(of_nodes, INPUT)} & {LOGITS, *nx.ancestors(of_nodes, LOGITS)}
    found = np.zeros_like(mask)
    kept = [n for n, e in zip(numbers, edges, strict=True) if {e.sender, e.node} <= there]
    found[kept] = True
    return found


def without(graph: CircuitGraph, mask: EdgeMask, nodes: Collection[str]) -> EdgeMask:
    """A circuit without all edges from or to some nodes."""
    left, numbers = mask.copy(), np.flatnonzero(mask)
    edges = graph.chosen(numbers)
    gone = [n for n, e in zip(numbers, edges, strict=True) if {e.sender, e.node} & {*nodes}]
    left[gone] = False
    return left


def strongest_nodes(graph: CircuitGraph, mask: EdgeMask, worth: EdgeScores) -> list[str]:
    """The nodes of a circuit, without its ends, by the sum of the sizes of their edges' scores."""
    weights: dict[str, float] = {}
    numbers = np.flatnonzero(mask)
    for number, edge in zip(numbers, graph.chosen(numbers), strict=True):
        for node in {edge.sender, edge.node} - {INPUT, LOGITS}:
            weights[node] = weights.get(node, 0.0) + abs(float(worth[number]))
    return sorted(weights, key=lambda node: -weights[node])


def nodes_of(edges: list[Edge] | tuple[Edge, ...]) -> tuple[str, ...]:
    """The nodes that edges lead from or to, each once."""
    return tuple(dict.fromkeys(node for edge in edges for node in (edge.sender, edge.node)))


def jaccard(one: EdgeMask, other: EdgeMask) -> float:
    """What two circuits share, of all edges that are in either; 1 for two that are empty."""
    either = int((one | other).sum())
    return int((one & other).sum()) / either if either else 1.0
