"""Pairs on an LM whose edges are known: what senders give, what receivers are given.

    a pair of prompts of one length
      clean run       what every sender gives          (senders, tokens, width)
      corrupted run   likewise, and the difference
      mixed run       every receiver is given the sum of what senders give *here*, and for edges
                      outside a circuit what they give in the corrupted run instead

All edges of a receiver are mixed at once, by a product of a matrix of edges and what senders give,
so a circuit of any size takes one forward. That the same said edge by edge in the language of
interventions (:mod:`cfgen.circuits.edits`) comes to the same is tested.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cfgen.circuits.graph import (
    LOGITS,
    CircuitGraph,
    EdgeMask,
    node_of,
    place_of_receiver,
    place_of_sender,
)
from cfgen.circuits.halves import CircuitPair
from cfgen.circuits.selection import connected, nodes_of
from cfgen.interventions import Batch, Engine, Firing, Head, logits_after, make_batch
from cfgen.lm import LM, Layout, Place, check_places, hook

HELD_BYTES = 2**29
"""What senders give in runs that go through the LM together takes about as much at most."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """An LM whose edges are known.

    Attributes:
        lm: The LM.
        layout: Where everything is in it.
        graph: Its edges.
        batch_size: Prompts that go through it at once.
        tokens: Tokens that do, padding included.
    """

    lm: LM
    layout: Layout
    graph: CircuitGraph
    batch_size: int
    tokens: int

    def portions(self, pairs: Sequence[CircuitPair]) -> Iterator[Sequence[CircuitPair]]:
        """Pairs that go through the LM together, in order: which hangs on their lengths alone."""
        held = HELD_BYTES // (len(self.graph.senders) * self.layout.width * 4)
        most, start = min(self.tokens, held), 0
        for end in range(1, len(pairs) + 1):
            some = pairs[start : end + 1]  # with the next one
            tokens = len(some) * max(len(pair.clean) for pair in some)
            if end == len(pairs) or end - start == self.batch_size or tokens > most:
                yield pairs[start:end]
                start = end


def wire(engine: Engine) -> Wiring:
    """Find the edges of an LM.

    Raises:
        CfgenError: What its heads give does not add up, or they can't be given inputs of their own
            (``no-such-component``).
    """
    layout = engine.layout
    needed = [Place("head_result", 0), Place("q_in", 0), Place("k_in", 0), Place("v_in", 0)]
    check_places(layout, needed, write=False)
    graph = CircuitGraph(
        layers=layout.layers,
        heads=layout.heads,
        parallel=layout.parallel,
        factor=layout.factor,
    )
    return Wiring(engine.lm, layout, graph, engine.batch_size, engine.budget.tokens)


@dataclass(frozen=True, slots=True, eq=False)
class PairBatch:
    """Pairs that go through an LM together.

    Attributes:
        wiring: The LM.
        pairs: The pairs.
        head: What of the vocabulary is projected: the tokens of their answers.
        clean: The originals' prompts.
        corrupted: The counterfactuals'; as long, so that tokens stand in the same columns.
    """

    wiring: Wiring
    pairs: Sequence[CircuitPair]
    head: Head = field(init=False)
    clean: Batch = field(init=False)
    corrupted: Batch = field(init=False)

    def __post_init__(self) -> None:
        tokens = {token for pair in self.pairs for token in (*pair.right, *pair.wrong)}
        lm = self.wiring.lm
        object.__setattr__(self, "head", Head(tuple(sorted(tokens))))
        object.__setattr__(self, "clean", make_batch(lm, [pair.clean for pair in self.pairs]))
        other = make_batch(lm, [pair.corrupted for pair in self.pairs])
        object.__setattr__(self, "corrupted", other)

    def measured(self, logits: Tensor) -> Tensor:
        """How much likelier the original's answer is than the counterfactual's, in nats.

        Args:
            logits: After each original, float32 (pairs, projected tokens).

        Returns:
            ``log p(original's) - log p(counterfactual's)`` (pairs,).
        """
        rows = zip(logits, self.pairs, strict=True)
        return torch.stack([self.head.log_odds(row, pair.right, pair.wrong) for row, pair in rows])

    def sent(self, batch: Batch) -> Tensor:
        """What senders give in the runs of its prompts (senders, pairs, columns, width)."""
        found = self._empty(batch)

        def keep(first: int, given: Tensor) -> None:
            found[first : first + len(given)] = given.to(found)

        with torch.no_grad(), sending(self.wiring, keep):
            logits_after(self.wiring.lm, batch, self.head)
        return found

    def mixed(
        self, mask: EdgeMask, corrupted: Tensor, *, everywhere: bool = False
    ) -> NDArray[np.float64]:
        """The measure of every pair, with only a circuit as it is and all other edges corrupted.

        What a node is given that is on no way through the circuit makes no difference: all that
        leads from it is replaced by what it gives in the corrupted run.

        Args:
            mask: The edges of the circuit.
            corrupted: What senders give in the corrupted runs (senders, pairs, columns, width).
            everywhere: Whether nodes that make no difference are given their mixture all the same.

        Returns:
            (pairs,).
        """
        graph = self.wiring.graph
        kept = mask if everywhere else connected(graph, mask)
        nodes = {LOGITS, *nodes_of(graph.chosen(np.flatnonzero(kept)))}
        nodes = {*graph.nodes} if everywhere else nodes
        needed = np.array([node_of(name) in nodes for name in graph.receivers])
        outside = torch.from_numpy(graph.matrix((~kept).astype(float))).to(corrupted)
        change = torch.zeros_like(corrupted)  # corrupted - here, of the senders that came by
        totals: dict[int, Tensor] = {}  # receiver -> what is added to what it is given, if anything

        def note(first: int, given: Tensor) -> None:
            among = slice(first, first + len(given))
            torch.sub(corrupted[among], given.to(corrupted), out=change[among])

        def mix(numbers: Sequence[int], given: Tensor) -> None:
            before = graph.before[numbers[0]]
            if not bool(outside[numbers[0] : numbers[-1] + 1, :before].any()):
                return
            if numbers[0] not in totals:
                same = [n for n in np.flatnonzero(needed).tolist() if graph.before[n] == before]
                of = outside[torch.tensor(same), :before]  # (receivers, senders)
                total = of @ change[:before].flatten(1)  # (receivers, pairs * columns * width)
                totals.update(zip(same, total.view(-1, *change.shape[1:]), strict=True))
            for at, number in enumerate(numbers):
                given[:, :, at] += totals.pop(number).to(given)

        with torch.no_grad(), sending(self.wiring, note), receiving(self.wiring, mix, needed):
            logits = logits_after(self.wiring.lm, self.clean, self.head)
        found: NDArray[np.float64] = self.measured(logits).double().cpu().numpy()
        return found

    def plain(self, batch: Batch) -> NDArray[np.float64]:
        """The measure of every pair, after prompts as they are (pairs,)."""
        logits = logits_after(self.wiring.lm, batch, self.head)
        found: NDArray[np.float64] = self.measured(logits).double().cpu().numpy()
        return found

    def _empty(self, batch: Batch) -> Tensor:
        wiring, rows = self.wiring, len(self.pairs)
        shape = len(wiring.graph.senders), rows, batch.width, wiring.layout.width
        # in float32 at least: differences of what is large add up over many senders
        dtype = torch.promote_types(wiring.lm.dtype, torch.float32)
        return torch.zeros(shape, dtype=dtype, device=wiring.lm.device)


@contextmanager
def sending(wiring: Wiring, use: Callable[[int, Tensor], None]) -> Iterator[None]:
    """Let a function see what senders give, in the one forward that is run inside.

    Args:
        wiring: The LM.
        use: Called with the number of a sender and what it and those after it give (senders, pairs,
            columns, width).

    Raises:
        CfgenError: A sender did not come by exactly once (``edit-did-not-fire``).
    """
    layout, factor, heads = wiring.layout, wiring.graph.factor, wiring.graph.heads
    firing = Firing()
    with ExitStack() as hooks:

        def see(place: Place, take: Callable[[Tensor], None]) -> None:
            counted = firing.once(("reading", place.component, place.layer), take)
            hooks.callback(hook(layout, place, counted, write=False).remove)

        see(Place("resid_pre", 0), lambda view: use(0, view[None]))
        for layer in range(layout.layers):
            first = wiring.graph.senders.index(f"a{layer}.h0")
            assert place_of_sender(wiring.graph.senders[first + heads]) == Place("mlp_out", layer)
            see(
                Place("head_result", layer),
                lambda view, first=first: use(first, factor * view.permute(2, 0, 1, 3)),  # type: ignore[misc]
            )
            see(
                Place("mlp_out", layer),
                lambda view, at=first + heads: use(at, factor * view[None]),  # type: ignore[misc]
            )
        yield
    firing.check()


@contextmanager
def receiving(
    wiring: Wiring, use: Callable[[Sequence[int], Tensor], None], chosen: NDArray[np.bool_]
) -> Iterator[None]:
    """Let a function change what receivers are given, in the one forward that is run inside.

    Args:
        wiring: The LM.
        use: Called with numbers of receivers and what they are given (pairs, columns, receivers,
            width), to be changed in place.
        chosen: For each receiver, whether it is one of them (receivers,).

    Raises:
        CfgenError: A receiver did not come by exactly once (``edit-did-not-fire``).
    """
    layout, receivers = wiring.layout, wiring.graph.receivers
    firing = Firing()
    heads: dict[tuple[int, str], list[int]] = {}
    with ExitStack() as hooks:

        def see(place: Place, take: Callable[[Tensor], None]) -> None:
            counted = firing.once(("writing", str(place), place.layer), take)
            hooks.callback(hook(layout, place, counted, write=True).remove)

        for number in np.flatnonzero(chosen).tolist():
            place = place_of_receiver(receivers[number], layout.layers)
            if place.head is not None:
                heads.setdefault((place.layer, place.component), []).append(number)
            else:
                see(place, lambda view, n=number: use([n], view[:, :, None]))  # type: ignore[misc]
        for (layer, component), numbers in heads.items():
            if len(numbers) == layout.heads:
                whole = Place(component, layer)
                see(whole, lambda view, numbers=numbers: use(numbers, view))  # type: ignore[misc]
                continue
            for number in numbers:
                place = place_of_receiver(receivers[number], layout.layers)
                see(place, lambda view, n=number: use([n], view[:, :, None]))  # type: ignore[misc]
        yield
    firing.check()
