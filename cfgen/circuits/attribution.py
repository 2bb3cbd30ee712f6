"""What edges are estimated to do, from gradients: edge attribution patching.

``EAP(u -> v) = sum (a_u(corrupted) - a_u(clean)) * dL / d(input of v)``, over tokens and
dimensions, L being minus the measure, with gradients of the clean run (Syed et al. 2023, arXiv
2310.10348). With *integrated gradients* these are averages over runs whose embeddings lie between
the corrupted and the clean ones, ``e(corrupted) + (k/m) (e(clean) - e(corrupted))`` for k = 1 ... m
(Hanna et al. 2024, arXiv 2403.17806, section 3), which are not all as flat as the clean one may be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cfgen.circuits.graph import node_of
from cfgen.circuits.halves import CircuitPair
from cfgen.circuits.wiring import PairBatch, Wiring, receiving
from cfgen.interventions import Firing, logits_after
from cfgen.lm import Place, Projection, hook, pull_back, watch_projections


def edge_scores(wiring: Wiring, pairs: Sequence[CircuitPair], steps: int) -> NDArray[np.float32]:
    """Estimate what corrupting each edge does to minus the measure, pair by pair.

    Args:
        wiring: The LM.
        pairs: The pairs.
        steps: Between the corrupted and the clean embeddings; 1 for gradients of the clean run.

    Returns:
        (pairs, edges): the higher, the more of the measure would be lost.
    """
    parts = [_portion_scores(PairBatch(wiring, some), steps) for some in wiring.portions(pairs)]
    return torch.cat(parts).cpu().numpy()


def _portion_scores(batch: PairBatch, steps: int) -> Tensor:
    graph = batch.wiring.graph
    corrupted = batch.sent(batch.corrupted)
    change = batch.sent(batch.clean)  # (senders, pairs, columns, width)
    ends = corrupted[0].clone(), change[0].clone()
    change = corrupted.sub_(change)
    # nothing is meant where there is no token
    change *= batch.clean.attention_mask[:, :, None].to(change)
    found = torch.zeros(len(batch.pairs), len(graph), device=change.device)
    for step in range(1, steps + 1):
        embedded = ends[0] + (step / steps) * (ends[1] - ends[0])
        for first, gradient in gradients(batch, embedded):
            count, before = gradient.shape[2], graph.before[first]
            given = gradient.transpose(1, 2).flatten(2).to(change)  # (pairs, receivers, numbers)
            sent = change[:before].flatten(2)  # (senders, pairs, numbers)
            start = graph.starts[first]
            part = torch.bmm(given, sent.permute(1, 2, 0)).flatten(1).float()
            found[:, start : start + count * before] -= part / steps
    return found


def gradients(batch: PairBatch, embedded: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Gradients of the measure at what receivers are given, before the norm.

    Those of a head are the gradients at its own queries, keys and values, through the projection
    and the norm, so that all heads are run on one input.

    Args:
        batch: The pairs; the originals are run.
        embedded: What the first block is given instead of its own (pairs, columns, width).

    Yields:
        Number of a receiver, and gradients at it and those after it (pairs, columns, receivers,
        width).
    """
    wiring = batch.wiring
    layout, receivers = wiring.layout, wiring.graph.receivers
    leaves: dict[int, Tensor] = {}
    projections: list[Projection] = []
    streams: dict[int, Tensor] = {}
    begin = embedded.clone().requires_grad_()
    firing = Firing()

    whole = np.array([node_of(name) == name for name in receivers])  # MLPs and the logits

    def add_leaf(numbers: Sequence[int], given: Tensor) -> None:
        leaves[numbers[0]] = torch.zeros_like(given).requires_grad_()
        given += leaves[numbers[0]]

    with ExitStack() as hooks:

        def put(view: Tensor) -> None:
            view.copy_(begin)

        put_once = firing.once(("writing", "resid_pre", 0), put)
        hooks.callback(hook(layout, Place("resid_pre", 0), put_once, write=True).remove)
        for layer in range(layout.layers):

            def keep(view: Tensor, layer: int = layer) -> None:
                streams[layer] = view.detach()

            keep_once = firing.once(("reading", "resid_pre", layer), keep)
            hooks.callback(hook(layout, Place("resid_pre", layer), keep_once, write=False).remove)
            hooks.callback(watch_projections(layout, layer, projections.append).remove)
        hooks.enter_context(receiving(wiring, add_leaf, whole))
        logits = logits_after(wiring.lm, batch.clean, batch.head, gradients=True)
    firing.check()
    total = batch.measured(logits).sum()
    wanted = [one.tensor for one in projections] + list(leaves.values())
    found = torch.autograd.grad(total, wanted)
    yield from zip(leaves, found[len(projections) :], strict=True)
    for one, gradient in zip(projections, found, strict=False):
        for part in one.parts:
            heads = one.of_heads(part, gradient)
            first = receivers.index(f"a{one.layer}.h0.{part}")
            yield first, pull_back(layout, one.layer, part, streams[one.layer], heads)
