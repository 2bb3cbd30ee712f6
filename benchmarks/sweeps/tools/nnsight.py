"""nnsight: one trace for the sources, then one trace per cell."""

from __future__ import annotations

from typing import Any

import torch

from cfgen.lm import LM
from sweeps.batches import batches
from sweeps.jobs import HEAD, Collector, Job, Outcome

PACKAGES = ("nnsight",)


def run(lm: LM, job: Job) -> Outcome:
    """One forward per cell and batch, and one more for the counterfactuals."""
    import nnsight

    model: Any = nnsight.NNsight(lm.model)
    heads = lm.model.config.num_attention_heads
    # A trace meets modules in the order in which they run.
    order = sorted({(cell.layer, cell.component != HEAD) for cell in job.cells})
    found = Collector(job)
    with torch.inference_mode():
        for batch in batches(lm, job):
            rows = batch.rows
            with model.trace(**batch.source):
                held = nnsight.save({})
                for layer, residual in order:
                    block = model.model.layers[layer]
                    if residual:
                        held[layer, residual] = block.output.clone()
                    else:
                        held[layer, residual] = block.self_attn.o_proj.input.clone()
            for index, cell in enumerate(job.cells):
                to, head = batch.to(cell), cell.head
                value = held[cell.layer, head is None][rows, batch.of(cell)]
                with model.trace(**batch.original):
                    block = model.model.layers[cell.layer]
                    if head is None:
                        block.output[rows, to] = value
                    else:
                        parts = block.self_attn.o_proj.input.unflatten(-1, (heads, -1))
                        parts[rows, to, head] = value.unflatten(-1, (heads, -1))[:, head]
                    logits = model.output.logits[:, -1].save()
                found.put(batch.pairs, index, logits)
    return found.done()
