"""pyvene as in its tutorials: every call is given original and source, and runs both."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from cfgen.lm import LM
from sweeps.batches import Batch, batches
from sweeps.jobs import Cell, Collector, Job, Outcome

PACKAGES = ("pyvene",)
CANNOT = {
    "restoration": "not written here: noise that all cells share takes an intervention of its own",
    "knockout": "none of its components is the attention's scores or weights",
    "direct": "not written here: every block that is held would be an intervention of its own",
}
"""Kinds of cells that its interventions have no plain way for, and why."""
COMPONENTS = {
    "resid_post": ("block_output", "pos"),
    "head_out": ("head_attention_value_output", "h.pos"),
}


def run(lm: LM, job: Job) -> Outcome:
    """Two forwards per cell and batch."""
    found = Collector(job)
    with torch.inference_mode():
        for batch in batches(lm, job):
            for index, cell in enumerate(job.cells):
                of, to = locations(batch, cell)
                _, output = intervenable(lm, cell.component, cell.layer)(
                    base=batch.original,
                    sources=[batch.source],
                    unit_locations={"sources->base": ([of], [to])},
                )
                found.put(batch.pairs, index, output.logits[:, -1])
    return found.done()


@cache
def intervenable(lm: LM, component: str, layer: int) -> Any:
    """What swaps one unit of a component in one layer; made once."""
    import pyvene

    kind, unit = COMPONENTS[component]
    place = pyvene.RepresentationConfig(layer, kind, unit, 1)
    config = pyvene.IntervenableConfig([place], pyvene.VanillaIntervention)
    return pyvene.IntervenableModel(config, lm.model)


def locations(batch: Batch, cell: Cell) -> tuple[list[Any], list[Any]]:
    """Where a cell reads and writes, nested as pyvene wants it: ([head,] position) per row."""
    sides = ([[column] for column in side] for side in (batch.of(cell), batch.to(cell)))
    if cell.head is None:
        of, to = sides
    else:
        heads = [[cell.head]] * len(batch.pairs)
        of, to = ([heads, positions] for positions in sides)
    return of, to
