"""Forward hooks by hand, nothing else: what the other tools are checked against in the tests."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from cfgen.lm import LM
from sweeps.batches import Batch, Inputs, batches
from sweeps.jobs import HEAD, Cell, Collector, Job, Outcome

PACKAGES = ("torch", "transformers")
CANNOT = dict.fromkeys(
    ("restoration", "knockout", "direct"), "only interchanges are written out by hand"
)


def run(lm: LM, job: Job) -> Outcome:
    """One forward per cell and batch, and one more for the counterfactuals."""
    found = Collector(job)
    with torch.inference_mode():
        for batch in batches(lm, job):
            sources = _read(lm, job, batch.source)
            for index, cell in enumerate(job.cells):
                read = sources[cell.component, cell.layer]
                value = _part(lm, cell, read)[batch.rows, batch.of(cell)]
                found.put(batch.pairs, index, _write(lm, cell, batch, value))
    return found.done()


def _module(lm: LM, component: str, layer: int) -> nn.Module:
    block: Any = lm.model.get_submodule(f"model.layers.{layer}")
    return block.self_attn.o_proj if component == HEAD else block


def _part(lm: LM, cell: Cell, hidden: Tensor) -> Tensor:
    """A view of what the cell is about (rows, columns, width)."""
    if cell.head is None:
        return hidden
    return hidden.unflatten(-1, (lm.model.config.num_attention_heads, -1))[:, :, cell.head]


def _read(lm: LM, job: Job, inputs: Inputs) -> dict[tuple[str, int], Tensor]:
    """Whole components (rows, columns, width) of one unchanged run."""
    held: dict[tuple[str, int], Tensor] = {}
    handles = []
    for component, layer in {(cell.component, cell.layer) for cell in job.cells}:

        def keep(_module: Any, given: Any, output: Any, key: Any = (component, layer)) -> None:
            taken = given[0] if key[0] == HEAD else output
            held[key] = (taken[0] if isinstance(taken, tuple) else taken).clone()

        handles.append(_module(lm, component, layer).register_forward_hook(keep))
    lm.model(**inputs)
    for handle in handles:
        handle.remove()
    return held


def _write(lm: LM, cell: Cell, batch: Batch, value: Tensor) -> Tensor:
    """Logits (rows, vocabulary) of a run with the cell overwritten."""

    def change(hidden: Tensor) -> Tensor:
        hidden = hidden.clone()
        _part(lm, cell, hidden)[batch.rows, batch.to(cell)] = value
        return hidden

    module = _module(lm, cell.component, cell.layer)
    if cell.component == HEAD:
        handle = module.register_forward_pre_hook(lambda _, given: (change(given[0]),))
    else:
        handle = module.register_forward_hook(lambda _, __, output: change(output))
    logits: Tensor = lm.model(**batch.original).logits[:, -1]
    handle.remove()
    return logits
