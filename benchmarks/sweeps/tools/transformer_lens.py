"""TransformerLens: a bridge around the same model, runs' activations cached once, hooks per cell.

As its own patching functions do it: ``run_with_cache`` on what values come from, then one
``run_with_hooks`` per cell, here with the positions of every pair of the batch and logits of the
last token only.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from cfgen.lm import LM
from sweeps.batches import Batch, Inputs, batches
from sweeps.jobs import HEAD, Cell, Collector, Job, Outcome, window_of

PACKAGES = ("transformer-lens",)
NAMES = {"resid_post": "resid_post", HEAD: "z"}
Cache = Mapping[str, Tensor]
Hooks = list[tuple[str, Callable[..., Tensor]]]

_bridges: dict[int, Any] = {}


def run(lm: LM, job: Job) -> Outcome:
    """One forward per cell and batch, and one more for each run that values are taken from."""
    bridge, make = _bridge(lm), _MAKERS[job.kind]
    found = Collector(job)
    with torch.inference_mode():
        for batch in batches(lm, job):
            hooks_of = make(bridge, lm, job, batch)
            original = {**batch.original}
            tokens = original.pop("input_ids")
            for index, cell in enumerate(job.cells):
                logits = bridge.run_with_hooks(tokens, fwd_hooks=hooks_of(cell), **original)
                found.put(batch.pairs, index, logits[:, -1])
    return found.done()


def _bridge(lm: LM) -> Any:
    """The bridge; made once for a model."""
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import AutoTokenizer

    if id(lm.model) not in _bridges:
        with tempfile.TemporaryDirectory() as folder:  # it reads both files once more
            lm.model.config.save_pretrained(folder)
            lm.tokenizer.save_pretrained(folder)
            _bridges[id(lm.model)] = TransformerBridge.boot_transformers(
                folder,
                hf_model=lm.model,
                tokenizer=AutoTokenizer.from_pretrained(folder),
                device=str(lm.device),
                dtype=lm.dtype,
            )
    return _bridges[id(lm.model)]


def _cached(bridge: Any, inputs: Inputs, names: set[str]) -> Cache:
    given = {**inputs}
    _, cache = bridge.run_with_cache(
        given.pop("input_ids"), names_filter=sorted(names), return_cache_object=False, **given
    )
    found: Cache = cache
    return found


def _name(kind: str, layer: int) -> str:
    from transformer_lens.utilities import get_act_name

    name: str = get_act_name(kind, layer)
    return name


def _interchange(bridge: Any, lm: LM, job: Job, batch: Batch) -> Callable[[Cell], Hooks]:
    names = {_name(NAMES[cell.component], cell.layer) for cell in job.cells}
    cache = _cached(bridge, batch.source, names)

    def hooks(cell: Cell) -> Hooks:
        name = _name(NAMES[cell.component], cell.layer)
        value = cache[name][_where(cell, batch.rows, batch.of(cell))]
        return [(name, _writer(_where(cell, batch.rows, batch.to(cell)), value))]

    return hooks


def _restoration(bridge: Any, lm: LM, job: Job, batch: Batch) -> Callable[[Cell], Hooks]:
    cache = _cached(bridge, batch.original, {_name("resid_post", c.layer) for c in job.cells})
    rows, columns, noise = batch.noise(lm, job)

    def corrupt(activation: Tensor, hook: Any) -> Tensor:
        activation[rows, columns] += noise
        return activation

    def hooks(cell: Cell) -> Hooks:
        name, where = _name("resid_post", cell.layer), (batch.rows, batch.to(cell))
        return [("embed.hook_out", corrupt), (name, _writer(where, cache[name][where]))]

    return hooks


def _knockout(bridge: Any, lm: LM, job: Job, batch: Batch) -> Callable[[Cell], Hooks]:
    def hooks(cell: Cell) -> Hooks:
        hidden = batch.hidden(cell)[:, None]  # (rows, 1, columns that look, columns)

        def hide(scores: Tensor, hook: Any) -> Tensor:
            return scores.masked_fill(hidden, torch.finfo(scores.dtype).min)

        return [(_name("attn_scores", layer), hide) for layer in window_of(cell, lm_layers(lm))]

    return hooks


def _direct(bridge: Any, lm: LM, job: Job, batch: Batch) -> Callable[[Cell], Hooks]:
    layers = range(lm_layers(lm))
    held = _cached(bridge, batch.original, {_name("attn_out", layer) for layer in layers})
    theirs = _cached(bridge, batch.source, {_name("z", layer) for layer in layers})

    def hooks(cell: Cell) -> Hooks:
        name, every = _name("z", cell.layer), (slice(None), slice(None), cell.head)
        later = [_name("attn_out", layer) for layer in layers[cell.layer + 1 :]]
        writers: Hooks = [(one, _writer((slice(None),), held[one])) for one in later]
        return [(name, _writer(every, theirs[name][every])), *writers]

    return hooks


_MAKERS: dict[str, Callable[[Any, LM, Job, Batch], Callable[[Cell], Hooks]]] = {
    "interchange": _interchange,
    "restoration": _restoration,
    "knockout": _knockout,
    "direct": _direct,
}


def lm_layers(lm: LM) -> int:
    """How many blocks an LM has."""
    count: int = lm.model.config.num_hidden_layers
    return count


def _where(cell: Cell, rows: Tensor, columns: list[int]) -> tuple[Any, ...]:
    """Index of the tokens (rows, columns), and of the head where there is one."""
    return (rows, columns) if cell.head is None else (rows, columns, cell.head)


def _writer(where: tuple[Any, ...], value: Tensor) -> Any:
    def write(activation: Tensor, hook: Any) -> Tensor:
        activation[where] = value
        return activation

    return write
