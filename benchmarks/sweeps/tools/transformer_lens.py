"""TransformerLens: a bridge around the same model, the sources' activations cached once.

As its own patching functions do it: ``run_with_cache`` on the sources, then one ``run_with_hooks``
per cell, here with the positions of every pair of the batch and logits of the last token only.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cfgen.lm import LM
from sweeps.batches import batches
from sweeps.jobs import Cell, Collector, Job, Outcome

PACKAGES = ("transformer-lens",)
NAMES = {"resid_post": "resid_post", "head_out": "z"}

_bridges: dict[int, Any] = {}


def run(lm: LM, job: Job) -> Outcome:
    """One forward per cell and batch, and one more for the counterfactuals."""
    from transformer_lens.utilities import get_act_name

    bridge = _bridge(lm)
    names = [get_act_name(NAMES[cell.component], cell.layer) for cell in job.cells]
    found = Collector(job)
    with torch.inference_mode():
        for batch in batches(lm, job):
            original, source = ({**side} for side in (batch.original, batch.source))
            tokens = original.pop("input_ids")
            wanted = sorted(set(names))
            _, cache = bridge.run_with_cache(
                source.pop("input_ids"), names_filter=wanted, return_cache_object=False, **source
            )
            for index, (cell, name) in enumerate(zip(job.cells, names, strict=True)):
                where = _where(cell, batch.rows, batch.to(cell))
                value = cache[name][_where(cell, batch.rows, batch.of(cell))]
                hook = _writer(where, value)
                logits = bridge.run_with_hooks(tokens, fwd_hooks=[(name, hook)], **original)
                found.put(batch.pairs, index, logits[:, -1])
    return found.done()


def _bridge(lm: LM) -> Any:
    """The bridge; made once for a model."""
    from transformer_lens.model_bridge import TransformerBridge

    if id(lm.model) not in _bridges:
        _bridges[id(lm.model)] = TransformerBridge.boot_transformers(
            lm.name,
            hf_model=lm.model,
            tokenizer=lm.tokenizer,
            device=str(lm.device),
            dtype=lm.dtype,
        )
    return _bridges[id(lm.model)]


def _where(cell: Cell, rows: Tensor, columns: list[int]) -> tuple[Any, ...]:
    """Index of the tokens (rows, columns), and of the head where there is one."""
    return (rows, columns) if cell.head is None else (rows, columns, cell.head)


def _writer(where: tuple[Any, ...], value: Tensor) -> Any:
    def write(activation: Tensor, hook: Any) -> Tensor:
        activation[where] = value
        return activation

    return write
