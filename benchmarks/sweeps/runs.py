"""The cells of a job as runs: what each kind of intervention is, said once.

- ``interchange``: a component takes at one token what it has in the counterfactual's run.
- ``restoration``: the embeddings of some tokens have noise, and the residual stream gets back, at
  one token behind one block, what it has in the unchanged run.
- ``knockout``: the last token does not see some earlier tokens, in a window of blocks.
- ``direct``: one head's output at all tokens comes from the counterfactual's run; what later
  attention adds is held at what it adds in the unchanged run, and the MLPs follow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cfgen.interventions import Add, Block, Copy, Edit, Run
from cfgen.lm import Layout, Place
from sweeps.jobs import HEAD, PATTERN, Cell, Job, window_of

NOISE = 3.0
"""Standard deviation of the noise, in those of the token embeddings."""


@dataclass(frozen=True, slots=True)
class Material:
    """What the runs of one pair are made of.

    Attributes:
        original: The original's unchanged run.
        source: The counterfactual's.
        corrupted: The original's with noise; the unchanged one in jobs without.
        held: Per block an edit that holds what attention adds; empty for jobs that hold nothing.
    """

    original: Run
    source: Run
    corrupted: Run
    held: tuple[Edit, ...]


def runs_of(layout: Layout, job: Job, pair: int) -> list[Run]:
    """The runs of one pair, in the order of the cells."""
    material = _material(layout, job, pair)
    make = _MAKERS[job.kind]
    return [make(material, cell, pair, layout.layers) for cell in job.cells]


def _material(layout: Layout, job: Job, pair: int) -> Material:
    original, source = Run(job.originals[pair]), Run(job.counterfactuals[pair])
    corrupted, held = original, ()
    if job.kind == "restoration":
        noise = Add(make_noise(layout.model, len(job.noisy[pair]), pair), name=f"noise {pair}")
        corrupted = original.with_(Edit(Place("embed"), job.noisy[pair], noise))
    if job.kind == "direct":
        every, copy = tuple(range(len(original.prompt))), Copy(original)
        held = tuple(Edit(Place("attn_out", layer), every, copy) for layer in range(layout.layers))
    return Material(original, source, corrupted, held)


def make_noise(model: Any, tokens: int, pair: int) -> Tensor:
    """Noise for the embeddings of some tokens (tokens, width), the same for every tool."""
    weight = model.get_input_embeddings().weight  # (vocabulary, width)
    made = torch.randn(tokens, weight.shape[1], generator=torch.Generator().manual_seed(pair))
    return (made * NOISE * float(weight.float().std())).to(weight)


def _interchange(material: Material, cell: Cell, pair: int, _layers: int) -> Run:
    place = Place(cell.component, cell.layer, cell.head)
    copy = Copy(material.source, (cell.of[pair],))
    return material.original.with_(Edit(place, (cell.to[pair],), copy))


def _restoration(material: Material, cell: Cell, pair: int, _layers: int) -> Run:
    copy = Copy(material.original, (cell.of[pair],))
    restored = Edit(Place(cell.component, cell.layer), (cell.to[pair],), copy)
    return material.corrupted.with_(restored)


def _knockout(material: Material, cell: Cell, pair: int, layers: int) -> Run:
    block = Block(cell.keys[pair])
    window = window_of(cell, layers)
    edits = (Edit(Place(PATTERN, layer), (cell.to[pair],), block) for layer in window)
    return material.original.with_(*edits)


def _direct(material: Material, cell: Cell, pair: int, _layers: int) -> Run:
    every = tuple(range(len(material.original.prompt)))
    moved = Edit(Place(HEAD, cell.layer, cell.head), every, Copy(material.source))
    return material.original.with_(moved, *material.held[cell.layer + 1 :])


_MAKERS: dict[str, Callable[[Material, Cell, int, int], Run]] = {
    "interchange": _interchange,
    "restoration": _restoration,
    "knockout": _knockout,
    "direct": _direct,
}
