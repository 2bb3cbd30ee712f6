"""The graph of an LM: who adds to the residual stream, and who reads what was added.

A *sender* is the input, a head, or an MLP: what it gives is added to the residual stream. A
*receiver* is the queries, keys or values of a head, an MLP, or the logits: it is given the sum of
all that was added before. An *edge* is that a receiver is given what a sender gives. Query heads
that share keys and values count by themselves: each could be given other ones. Nothing here needs
torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cfgen.errors import CfgenError, Problem
from cfgen.lm import Place

INPUT, LOGITS = "input", "logits"
PARTS = ("q", "k", "v")
"""What a head is given, each from the residual stream by itself."""
EdgeMask = NDArray[np.bool_]
"""Of every edge of a graph, in its order, whether it is meant (edges,)."""
EdgeScores = NDArray[np.float64]
"""A number for every edge of a graph, in its order (edges,)."""
_NAME = re.compile(r"a(\d+)\.h(\d+)(?:\.([qkv]))?|m(\d+)")


class Edge(NamedTuple):
    """That a receiver is given what a sender gives.

    Attributes:
        sender: ``input``, ``a9.h6`` (head 6 of layer 9), or ``m9`` (the MLP of layer 9).
        receiver: ``a9.h6.q`` (also ``k``, ``v``), ``m9``, or ``logits``.
    """

    sender: str
    receiver: str

    @property
    def node(self) -> str:
        """The node that the receiver is part of."""
        return node_of(self.receiver)

    def __str__(self) -> str:
        return f"{self.sender}->{self.receiver}"


@dataclass(frozen=True, slots=True)
class CircuitGraph:
    """Every edge of an LM, in a fixed order: by receiver, and of each by sender.

    Attributes:
        layers: How many blocks the LM has.
        heads: Query heads of each.
        parallel: Whether the MLP of a block is not given what the block's own attention adds.
        factor: What the outputs of heads and MLPs are multiplied by before they are added.
        senders: In the order in which they add; those before a receiver are the first so many.
        receivers: In the order in which they read.
        before: For each receiver, how many senders come before it.
        starts: For each receiver, the number of its first edge; the number of edges at the end.
    """

    layers: int
    heads: int
    parallel: bool = False
    factor: float = 1.0
    senders: tuple[str, ...] = field(init=False, repr=False, compare=False)
    receivers: tuple[str, ...] = field(init=False, repr=False, compare=False)
    before: tuple[int, ...] = field(init=False, repr=False, compare=False)
    starts: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        senders, receivers, before = [INPUT], [], []
        heads = range(self.heads)
        for layer in range(self.layers):
            given = [f"a{layer}.h{head}.{part}" for part in PARTS for head in heads]
            receivers += given
            before += [len(senders)] * len(given)
            own = [f"a{layer}.h{head}" for head in heads]
            receivers.append(f"m{layer}")
            before.append(len(senders) + (0 if self.parallel else len(own)))
            senders += [*own, f"m{layer}"]
        receivers.append(LOGITS)
        before.append(len(senders))
        for name, value in (
            ("senders", tuple(senders)),
            ("receivers", tuple(receivers)),
            ("before", tuple(before)),
            ("starts", tuple(accumulate(before, initial=0))),
        ):
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        """How many edges there are."""
        return self.starts[-1]

    @property
    def nodes(self) -> tuple[str, ...]:
        """The input, all heads and MLPs, the logits."""
        return (*self.senders, LOGITS)

    def edges(self) -> Iterator[Edge]:
        """Every edge, in order."""
        for receiver, count in zip(self.receivers, self.before, strict=True):
            yield from (Edge(sender, receiver) for sender in self.senders[:count])

    def edge(self, number: int) -> Edge:
        """The edge of a number."""
        (found,) = self.chosen([number])
        return found

    def chosen(self, numbers: NDArray[np.int64] | list[int]) -> list[Edge]:
        """The edges of some numbers."""
        of = np.searchsorted(self.starts, numbers, side="right") - 1
        return [
            Edge(self.senders[number - self.starts[receiver]], self.receivers[receiver])
            for number, receiver in zip(np.asarray(numbers), of, strict=True)
        ]

    def number(self, edge: Edge) -> int:
        """The number of an edge.

        Raises:
            CfgenError: The LM has no such edge (``no-such-edge``).
        """
        if edge.sender in self.senders and edge.receiver in self.receivers:
            receiver, sender = self.receivers.index(edge.receiver), self.senders.index(edge.sender)
            if sender < self.before[receiver]:
                return self.starts[receiver] + sender
        message = f"there is no edge {edge} in an LM of {self.layers} layers and {self.heads} heads"
        hint = "an edge leads from `input`, `a0.h1` or `m0` to a later `a1.h0.q`, `m1` or `logits`"
        raise CfgenError(Problem("no-such-edge", message, hint=hint))

    def mask(self, edges: list[Edge] | tuple[Edge, ...]) -> EdgeMask:
        """Some edges as a mask over all.

        Raises:
            CfgenError: The LM has no such edge (``no-such-edge``).
        """
        found = np.zeros(len(self), dtype=bool)
        found[[self.number(edge) for edge in edges]] = True
        return found

    def matrix(self, numbers: NDArray[np.float64], fill: float = 0.0) -> NDArray[np.float64]:
        """Numbers of edges as (receivers, senders), with something where there is no edge."""
        found = np.full((len(self.receivers), len(self.senders)), fill)
        for row, count in enumerate(self.before):
            found[row, :count] = numbers[self.starts[row] : self.starts[row + 1]]
        return found


def node_of(name: str) -> str:
    """The node that a sender or a receiver is part of."""
    return name[:-2] if name[-2:] in (".q", ".k", ".v") else name


def layer_of(node: str, layers: int) -> float:
    """Where a node comes by, in layers; -1 for the input, attention before the MLP."""
    if node in (INPUT, LOGITS):
        return -1.0 if node == INPUT else float(layers)
    found = _NAME.fullmatch(node)
    assert found is not None
    return float(found[1]) if found[1] is not None else float(found[4]) + 0.5


def place_of_sender(name: str) -> Place:
    """What a sender gives, as a component of the LM."""
    if name == INPUT:
        return Place("resid_pre", 0)
    found = _NAME.fullmatch(name)
    assert found is not None
    if found[4] is not None:
        return Place("mlp_out", int(found[4]))
    return Place("head_result", int(found[1]), int(found[2]))


def place_of_receiver(name: str, layers: int) -> Place:
    """What a receiver is given, as a component of the LM: before the norm."""
    if name == LOGITS:
        return Place("resid_post", layers - 1)
    found = _NAME.fullmatch(name)
    assert found is not None
    if found[4] is not None:
        return Place("mlp_in", int(found[4]))
    return Place(f"{found[3]}_in", int(found[1]), int(found[2]))
