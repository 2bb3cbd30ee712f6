r"""Completeness: whether a circuit without some of its nodes does what the LM does without them.

``F(C \ K)`` is the measure with a circuit's nodes K corrupted besides all that is outside of it,
``F(M \ K)`` that with nothing but K corrupted. In a circuit that has everything that matters the
two are close for every K; where something outside does the work of K when it is gone, the second is
larger (Wang et al. 2023, arXiv 2211.00593, section 4). As there, sets K are drawn at random, and
looked for greedily: the next node is the one with which the two lie furthest apart. That is done on
pairs that choose edges, and what comes of it is measured on the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from cfgen.circuits.selection import without

if TYPE_CHECKING:
    from cfgen.circuits.graph import EdgeMask
    from cfgen.circuits.halves import CircuitPair, PairHalves
    from cfgen.circuits.measuring import Ledger

RANDOM_SETS = 10
"""Sets of nodes that are drawn, each node with probability one half."""
GREEDY_NODES, GREEDY_POOL, GREEDY_PAIRS = 3, 10, 16
"""Nodes of the set that is looked for, the strongest ones that it is looked for among, and the
pairs by which."""


@dataclass(frozen=True, slots=True)
class NodeSubset:
    """Some nodes of a circuit, without which it and the LM are run.

    Attributes:
        how: Whether they were drawn at ``random``, or looked for (``greedy``); ``none`` is none.
        nodes: The nodes.
        circuit: The measure of the circuit without them, in every pair that judges (pairs,).
        model: That of the LM without them (pairs,).
    """

    how: Literal["none", "random", "greedy"]
    nodes: tuple[str, ...]
    circuit: NDArray[np.float64]
    model: NDArray[np.float64]


def node_subsets(
    ledger: Ledger, halves: PairHalves, written: EdgeMask, nodes: list[str], seed: int
) -> tuple[NodeSubset, ...]:
    """Run a circuit, and the LM, without sets of the circuit's nodes.

    Args:
        ledger: Computes what takes long.
        halves: The pairs.
        written: The circuit.
        nodes: Its strongest nodes, of which sets are made; nothing is done without any.
        seed: Of the sets that are drawn.

    Returns:
        No node, sets drawn at random, and the one that was looked for.
    """
    if not nodes:
        return ()
    rng = np.random.default_rng(seed)
    drawn = [tuple(n for n in nodes if rng.random() < 0.5) for _ in range(RANDOM_SETS)]
    drawn = [each for each in dict.fromkeys(drawn) if each]
    found = _greedy(ledger, halves, written, nodes[:GREEDY_POOL])
    sets = [("none", ()), *(("random", each) for each in drawn), ("greedy", found)]
    both = _measures(ledger, halves.judging, written, [each for _, each in sets], "completeness")
    return tuple(
        NodeSubset(how, each, circuit, model)  # type: ignore[arg-type]
        for (how, each), circuit, model in zip(sets, *both, strict=True)
    )


def _greedy(
    ledger: Ledger, halves: PairHalves, written: EdgeMask, nodes: list[str]
) -> tuple[str, ...]:
    """Nodes without which circuit and LM lie far apart, one after the other."""
    chosen: tuple[str, ...] = ()
    pairs = halves.choosing[:GREEDY_PAIRS]
    for number in range(min(GREEDY_NODES, len(nodes))):
        tried = [(*chosen, node) for node in nodes if node not in chosen]
        step = f"completeness, node {number + 1}"
        circuit, model = _measures(ledger, pairs, written, tried, step)
        apart = np.abs(circuit.mean(axis=1) - model.mean(axis=1))
        chosen = tried[int(apart.argmax())]
    return chosen


def _measures(
    ledger: Ledger,
    pairs: Sequence[CircuitPair],
    written: EdgeMask,
    sets: list[tuple[str, ...]],
    step: str,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Measures without sets of nodes, of the circuit and of the LM (sets, pairs)."""
    graph, every = ledger.wiring.graph, np.ones_like(written)
    masks = [without(graph, mask, nodes) for mask in (written, every) for nodes in sets]
    found = ledger.measures(pairs, masks, step)
    return found[: len(sets)], found[len(sets) :]
