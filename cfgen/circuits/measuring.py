"""What takes long, in units that are kept: scores of edges, measures of circuits, exact effects.

A unit is a block of pairs and what is asked of them, like those of other methods: one that is there
is not computed again, so that a search that was killed goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cfgen.circuits.attribution import edge_scores
from cfgen.circuits.edits import exact_effects
from cfgen.circuits.graph import Edge, EdgeMask
from cfgen.circuits.halves import CircuitPair
from cfgen.circuits.wiring import PairBatch, Wiring, wire
from cfgen.errors import CfgenError, Problem
from cfgen.experiments import Portion, Workbench
from cfgen.interventions import TOLERANCE, Budget, within_memory

UNIT_PAIRS = 16
"""Pairs of a unit."""
COMPARED = 2
"""Edges of a unit of exact effects that are corrupted in both ways."""


class TimeUpError(Exception):
    """It is time to stop, and something is missing yet."""


@dataclass(slots=True)
class Ledger:
    """Computes units, or finds those that were computed before.

    Attributes:
        bench: What they are computed with.
        portion: When to stop.
        wiring: The LM.
        there: How many units there are.
    """

    bench: Workbench
    portion: Portion
    wiring: Wiring
    there: int = 0

    def table(self, described: Any, make: Callable[[Wiring], pa.Table]) -> pa.Table:
        """A unit.

        Args:
            described: What its numbers hang on, besides the LM and how it is run.
            make: Computes it; again, with fewer tokens at once, where memory does not suffice.

        Raises:
            TimeUpError: It is not there, and it is too late to compute it.
        """

        def made() -> pa.Table:
            budget = Budget(self.wiring.tokens)  # of its own, whatever became of another unit
            return within_memory(budget, lambda tokens: make(replace(self.wiring, tokens=tokens)))

        found = self.bench.table(["circuit", described], made, due=self.portion.due)
        if found is None:
            raise TimeUpError
        self.there += 1
        return found

    def scores(self, pairs: Sequence[CircuitPair], steps: int) -> NDArray[np.float32]:
        """What corrupting each edge is estimated to take away, pair by pair (pairs, edges)."""
        blocks = list(blocks_of(pairs))
        parts = []
        for number, block in enumerate(blocks):
            self.bench.report("edges scored", number, len(blocks))

            def make(wiring: Wiring, block: Sequence[CircuitPair] = block) -> pa.Table:
                found = edge_scores(wiring, block, steps).astype("<f4")
                return pa.table({"scores": pa.array([row.tobytes() for row in found])})

            rows = self.table(["scores", steps, _described(block)], make)["scores"].to_pylist()
            parts += [np.frombuffer(row, "<f4") for row in rows]
        self.bench.report("edges scored", len(blocks), len(blocks))
        return np.stack(parts)

    def measures(
        self,
        pairs: Sequence[CircuitPair],
        masks: Sequence[EdgeMask],
        step: str,
        *,
        everywhere: bool = False,
    ) -> NDArray[np.float64]:
        """The measure of circuits, each with all edges outside corrupted (circuits, pairs).

        Args:
            pairs: The pairs.
            masks: The circuits.
            step: What the progress is of.
            everywhere: Whether nodes that make no difference are given their mixture as well.
        """
        blocks = list(blocks_of(pairs))
        sets = [_packed(mask) for mask in masks]
        total, done, parts = len(blocks) * len(masks), 0, []

        def make(wiring: Wiring, block: Sequence[CircuitPair]) -> pa.Table:
            found = []
            for part in wiring.portions(block):
                batch = PairBatch(wiring, part)
                corrupted = batch.sent(batch.corrupted)
                rows = []
                for number, mask in enumerate(masks):
                    self.bench.report(step, done + number, total)
                    rows.append(batch.mixed(mask, corrupted, everywhere=everywhere))
                found.append(np.stack(rows))
            each = np.concatenate(found, axis=1)
            return pa.table({"measures": pa.array(each.tolist(), pa.list_(pa.float64()))})

        for block in blocks:
            described = ["circuits", sets, everywhere, _described(block)]
            table = self.table(described, partial(make, block=block))
            parts.append(np.array(table["measures"].to_pylist()))
            done += len(masks)
        self.bench.report(step, total, total)
        return np.concatenate(parts, axis=1)

    def prompts(self, pairs: Sequence[CircuitPair]) -> NDArray[np.float64]:
        """The measure after originals and after counterfactuals as they are (2, pairs)."""
        parts = []
        for block in blocks_of(pairs):

            def make(wiring: Wiring, block: Sequence[CircuitPair] = block) -> pa.Table:
                batches = [PairBatch(wiring, part) for part in wiring.portions(block)]
                sides = {
                    "clean": np.concatenate([batch.plain(batch.clean) for batch in batches]),
                    "corrupted": np.concatenate(
                        [batch.plain(batch.corrupted) for batch in batches]
                    ),
                }
                return pa.table({name: pa.array(each) for name, each in sides.items()})

            table = self.table(["prompts", _described(block)], make)
            parts.append([table["clean"].to_pylist(), table["corrupted"].to_pylist()])
        return np.concatenate(parts, axis=1)

    def exact(self, pairs: Sequence[CircuitPair], edges: Sequence[Edge]) -> NDArray[np.float64]:
        """What corrupting each of some edges takes away, by running it (pairs, edges).

        Some of them are corrupted the fast way as well.

        Raises:
            CfgenError: The two ways come to something else (``circuit-does-not-add-up``).
        """
        parts = []
        for number, pair in enumerate(pairs):
            self.bench.report("edges run", number * len(edges), len(pairs) * len(edges))

            def make(wiring: Wiring, pair: CircuitPair = pair) -> pa.Table:
                found = exact_effects(self.bench.engine, wiring.graph, [pair], edges)
                self._check_both_ways(pair, edges[:COMPARED], found[0])
                return pa.table({"effects": pa.array(found[0])})

            described = ["exact", [[*edge] for edge in edges], _described([pair])]
            parts.append(self.table(described, make)["effects"].to_pylist())
        self.bench.report("edges run", len(pairs) * len(edges), len(pairs) * len(edges))
        return np.array(parts)

    def _check_both_ways(
        self, pair: CircuitPair, edges: Sequence[Edge], effects: NDArray[np.float64]
    ) -> None:
        batch = PairBatch(self.wiring, [pair])
        corrupted = batch.sent(batch.corrupted)
        (clean,) = batch.plain(batch.clean)
        for edge, effect in zip(edges, effects, strict=False):
            (mixed,) = batch.mixed(~self.wiring.graph.mask([edge]), corrupted)
            self.check_close(clean - mixed, effect, f"corrupting {edge}")

    def check_close(self, found: float, expected: float, what: str) -> None:
        """Check that the measure is the same in two ways.

        Raises:
            CfgenError: It is not (``circuit-does-not-add-up``).
        """
        allowed = TOLERANCE[self.wiring.lm.dtype] * max(1.0, abs(expected))
        if not abs(found - expected) <= allowed:
            message = f"{what} comes to {found:.4g}, and otherwise to {expected:.4g}"
            hint = "this LM computes something that its edges do not say: please report it"
            raise CfgenError(Problem("circuit-does-not-add-up", message, hint=hint))


def make_ledger(bench: Workbench, portion: Portion) -> Ledger:
    """What computes units on an LM.

    Raises:
        CfgenError: Its edges can't be told apart (``no-such-component``).
    """
    return Ledger(bench, portion, wire(bench.engine))


def blocks_of(pairs: Sequence[CircuitPair]) -> Iterator[Sequence[CircuitPair]]:
    """Pairs in blocks that are computed, and kept, as one."""
    return (pairs[at : at + UNIT_PAIRS] for at in range(0, len(pairs), UNIT_PAIRS))


def _described(pairs: Sequence[CircuitPair]) -> Any:
    return [{**asdict(pair), "name": ""} for pair in pairs]


def _packed(mask: EdgeMask) -> str:
    return np.packbits(mask).tobytes().hex()
