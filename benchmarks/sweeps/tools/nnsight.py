"""nnsight: one trace for each run that values are taken from, then one trace per cell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from cfgen.lm import LM
from sweeps.batches import Batch, batches
from sweeps.jobs import HEAD, Cell, Collector, Job, Outcome, window_of

PACKAGES = ("nnsight",)


def run(lm: LM, job: Job) -> Outcome:
    """One forward per cell and batch, and one more for each run that values are taken from."""
    import nnsight

    model: Any = nnsight.NNsight(lm.model)
    found = Collector(job)
    with torch.inference_mode():
        for batch in batches(lm, job):
            logits_of = _MAKERS[job.kind](model, lm, job, batch)
            for index, cell in enumerate(job.cells):
                found.put(batch.pairs, index, logits_of(cell))
    return found.done()


def _interchange(model: Any, lm: LM, job: Job, batch: Batch) -> Callable[[Cell], Tensor]:
    import nnsight

    heads, rows = lm.model.config.num_attention_heads, batch.rows
    # A trace meets modules in the order in which they run.
    order = sorted({(cell.layer, cell.component != HEAD) for cell in job.cells})
    with model.trace(**batch.source):
        held = nnsight.save({})
        for layer, residual in order:
            block = model.model.layers[layer]
            if residual:
                held[layer, residual] = block.output.clone()
            else:
                held[layer, residual] = block.self_attn.o_proj.input.clone()

    def logits_of(cell: Cell) -> Tensor:
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
        return logits

    return logits_of


def _restoration(model: Any, lm: LM, job: Job, batch: Batch) -> Callable[[Cell], Tensor]:
    import nnsight

    rows, (noisy, columns, noise) = batch.rows, batch.noise(lm, job)
    layers = sorted({cell.layer for cell in job.cells})
    with model.trace(**batch.original):
        held = nnsight.save({})
        for layer in layers:
            held[layer] = model.model.layers[layer].output.clone()

    def logits_of(cell: Cell) -> Tensor:
        to = batch.to(cell)
        with model.trace(**batch.original):
            model.model.embed_tokens.output[noisy, columns] += noise
            model.model.layers[cell.layer].output[rows, to] = held[cell.layer][rows, to]
            logits = model.output.logits[:, -1].save()
        return logits

    return logits_of


def _knockout(model: Any, lm: LM, job: Job, batch: Batch) -> Callable[[Cell], Tensor]:
    layers = lm.model.config.num_hidden_layers

    def logits_of(cell: Cell) -> Tensor:
        seen = ~batch.hidden(cell)[:, None]  # (rows, 1, columns that look, columns)
        real = batch.original["attention_mask"].bool()[:, None, None]  # (rows, 1, 1, columns)
        itself = torch.eye(seen.shape[-1], dtype=torch.bool)
        seen &= (torch.ones_like(seen).tril() & real) | itself
        with model.trace(**batch.original):
            for layer in window_of(cell, layers):
                attention = model.model.layers[layer].self_attn
                given, named = attention.inputs
                attention.inputs = (given, {**named, "attention_mask": seen})
            logits = model.output.logits[:, -1].save()
        return logits

    return logits_of


def _direct(model: Any, lm: LM, job: Job, batch: Batch) -> Callable[[Cell], Tensor]:
    import nnsight

    heads, layers = lm.model.config.num_attention_heads, lm.model.config.num_hidden_layers
    with model.trace(**batch.source):
        theirs = nnsight.save({})
        for layer in range(layers):
            theirs[layer] = model.model.layers[layer].self_attn.o_proj.input.clone()
    with model.trace(**batch.original):
        held = nnsight.save({})
        for layer in range(layers):
            held[layer] = model.model.layers[layer].self_attn.o_proj.output.clone()

    def logits_of(cell: Cell) -> Tensor:
        value = theirs[cell.layer].unflatten(-1, (heads, -1))[:, :, cell.head]
        with model.trace(**batch.original):
            projection = model.model.layers[cell.layer].self_attn.o_proj
            projection.input.unflatten(-1, (heads, -1))[:, :, cell.head] = value
            for layer in range(cell.layer + 1, layers):
                model.model.layers[layer].self_attn.o_proj.output[:] = held[layer]
            logits = model.output.logits[:, -1].save()
        return logits

    return logits_of


_MAKERS: dict[str, Callable[[Any, LM, Job, Batch], Callable[[Cell], Tensor]]] = {
    "interchange": _interchange,
    "restoration": _restoration,
    "knockout": _knockout,
    "direct": _direct,
}
