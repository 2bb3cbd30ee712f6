"""A circuit that was found before, judged on other pairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cfgen.circuits.circuit import Circuit
from cfgen.circuits.curve import CurvePoints, interval
from cfgen.circuits.halves import CircuitPair
from cfgen.circuits.results import PairEstimate
from cfgen.circuits.wiring import PairBatch, wire
from cfgen.errors import CfgenError, Problem
from cfgen.interventions import Engine


def judge_circuit(
    engine: Engine, circuit: Circuit, pairs: Sequence[CircuitPair], *, seed: int = 0
) -> PairEstimate:
    """How faithful a circuit is on pairs that did not choose it.

    Args:
        engine: How runs are executed, with the LM.
        circuit: The circuit, of this LM or of another of the same shape.
        pairs: The pairs, such as the halves of :func:`make_halves`.
        seed: Of the pairs that are drawn again for the interval.

    Returns:
        Faithfulness: 0 as with every edge corrupted, 1 as with none.

    Raises:
        CfgenError: One of the pairs chose its edges (``circuit-saw-pair``), or the LM has other
            edges (``circuit-of-another``).
    """
    circuit.check_unseen(pair.name for pair in pairs)
    wiring = wire(engine)
    if wiring.graph != circuit.graph:
        message = f"the circuit is one of {circuit.graph}, and {engine.lm.name} is {wiring.graph}"
        hint = f"load the LM that it was found in: {circuit.model}"
        raise CfgenError(Problem("circuit-of-another", message, hint=hint))
    mask, parts = circuit.mask(), []
    for some in wiring.portions(pairs):
        batch = PairBatch(wiring, some)
        corrupted = batch.sent(batch.corrupted)
        sides = (batch.plain(batch.corrupted), batch.plain(batch.clean))
        parts.append([batch.mixed(mask, corrupted), *sides])
    found, none, every = np.concatenate(parts, axis=1)
    points = CurvePoints((circuit.percent,), found[None], none, every)
    return PairEstimate.of(interval(points.values()[0], points.resampled(seed)[:, 0]), len(none))
