"""Edges said in the language of interventions, one by one: slow, plain, what all else must equal.

The input of a receiver is what it is given in this run, minus what a sender adds here, plus what it
adds in the corrupted run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cfgen.circuits.graph import (
    INPUT,
    CircuitGraph,
    Edge,
    EdgeMask,
    place_of_receiver,
    place_of_sender,
)
from cfgen.circuits.halves import CircuitPair
from cfgen.interventions import HERE, NOTHING, Edit, Engine, Mix, Read, Run


def corrupting_edits(
    graph: CircuitGraph, edges: Iterable[Edge], corrupted: Run, positions: Sequence[int]
) -> tuple[Edit, ...]:
    """Edits of a clean run that corrupt some edges.

    Args:
        graph: All edges of the LM.
        edges: Those to corrupt.
        corrupted: The corrupted run.
        positions: The tokens at which they are, the same in both runs.

    Returns:
        One edit for each receiver of the edges, in the order in which they read.
    """
    into: dict[str, list[str]] = {}
    for edge in edges:
        into.setdefault(edge.receiver, []).append(edge.sender)
    edits = []
    for receiver in (name for name in graph.receivers if name in into):
        terms = [(1.0, HERE)]
        for sender in into[receiver]:
            place = place_of_sender(sender)
            times = 1.0 if sender == INPUT else graph.factor
            terms += [(-times, Read(place=place)), (times, Read(run=corrupted, place=place))]
        place = place_of_receiver(receiver, graph.layers)
        edits.append(Edit(place, tuple(positions), Mix(tuple(terms))))
    return tuple(edits)


def corrupted_run(graph: CircuitGraph, pair: CircuitPair, edges: Iterable[Edge]) -> Run:
    """The original of a pair with some edges corrupted."""
    positions = range(len(pair.clean))
    return Run(pair.clean, corrupting_edits(graph, edges, Run(pair.corrupted), positions))


def exact_effects(
    engine: Engine, graph: CircuitGraph, pairs: Sequence[CircuitPair], edges: Sequence[Edge]
) -> NDArray[np.float64]:
    """What corrupting each edge by itself does to minus the measure: activation patching of edges.

    Args:
        engine: How runs are executed; the reference engine does it whatever this one is.
        graph: All edges of the LM.
        pairs: The pairs.
        edges: The edges.

    Returns:
        (pairs, edges): the higher, the more of the measure is lost.
    """
    runs, owners = [], []
    for pair in pairs:
        runs += [Run(pair.clean), *(corrupted_run(graph, pair, [edge]) for edge in edges)]
        owners += [pair] * (1 + len(edges))
    found = measured_runs(engine, runs, owners).reshape(len(pairs), 1 + len(edges))
    effects: NDArray[np.float64] = found[:, :1] - found[:, 1:]
    return effects


def measured_runs(
    engine: Engine, runs: Sequence[Run], owners: Sequence[CircuitPair]
) -> NDArray[np.float64]:
    """The measure of runs on the reference engine (runs,).

    Args:
        engine: How runs are executed.
        runs: The runs.
        owners: For each, the pair that it is of.
    """
    plain = replace(engine, name="reference")
    tracked = [(*pair.right, *pair.wrong) for pair in owners]
    logits = plain.outcomes(runs, tracked, NOTHING).logits.double().numpy()
    found = [
        np.logaddexp.reduce(row[: len(pair.right)])
        - np.logaddexp.reduce(row[len(pair.right) : len(pair.right) + len(pair.wrong)])
        for row, pair in zip(logits, owners, strict=True)
    ]
    return np.array(found)


def outside_run(graph: CircuitGraph, pair: CircuitPair, mask: EdgeMask) -> Run:
    """The original of a pair with every edge outside a circuit corrupted."""
    return corrupted_run(graph, pair, graph.chosen(np.flatnonzero(~mask)))
