"""pyvene as in its tutorials: every call is given original and sources, and runs all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cfgen.lm import LM
from sweeps.batches import Batch, Inputs, batches
from sweeps.jobs import HEAD, Cell, Collector, Job, Outcome

PACKAGES = ("pyvene",)
CANNOT = {"knockout": "none of its components is the attention's scores or weights"}
"""Kinds of cells that its interventions have no way for, and why."""
COMPONENTS = {
    "resid_post": ("block_output", "pos"),
    HEAD: ("head_attention_value_output", "h.pos"),
    "attn_out": ("attention_output", "pos"),
    "block_in": ("block_input", "pos"),
}

Columns = tuple[int, ...]
"""A column of each row."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One intervention of a cell, at some tokens.

    Attributes:
        component: One of ``COMPONENTS``.
        layer: Block.
        head: Query head of ``head_out``, else None.
        of: Columns of the run that the value comes from, token by token.
        to: Columns that are overwritten.
        taken: The prompts of that run; or what is added (rows, tokens, width).
    """

    component: str
    layer: int
    head: int | None
    of: tuple[Columns, ...]
    to: tuple[Columns, ...]
    taken: Inputs | Tensor

    @property
    def kind(self) -> tuple[str, int, int]:
        """What a model that intervenes has to know of it."""
        return self.component, self.layer, len(self.to)

    def at(self, columns: tuple[Columns, ...]) -> list[Any]:
        """Where it reads or writes, nested as pyvene wants it: ([head,] positions) per row."""
        rows = [list(row) for row in zip(*columns, strict=True)]
        return rows if self.head is None else [[[self.head]] * len(rows), rows]


def run(lm: LM, job: Job) -> Outcome:
    """One forward per cell and batch, and one more for each run that a value comes from."""
    found = Collector(job)
    with torch.inference_mode():
        for batch in batches(lm, job):
            models: dict[Any, Any] = {}
            for index, cell in enumerate(job.cells):
                parts = parts_of(lm, job, batch, cell)
                sources = {id(part.taken): part.taken for part in parts}
                groups = [[*sources].index(id(part.taken)) for part in parts]
                key = tuple((part.kind, group) for part, group in zip(parts, groups, strict=True))
                if key not in models:
                    models[key] = _intervenable(lm, parts, groups)
                _, output = models[key](
                    base=batch.original,
                    sources=[None if isinstance(one, Tensor) else one for one in sources.values()],
                    unit_locations={
                        "sources->base": (
                            [part.at(part.of) for part in parts],
                            [part.at(part.to) for part in parts],
                        )
                    },
                )
                found.put(batch.pairs, index, output.logits[:, -1])
    return found.done()


def _intervenable(lm: LM, parts: Sequence[Part], groups: Sequence[int]) -> Any:
    """What makes these interventions; those of a group share the run that they take values from."""
    import pyvene

    width = lm.model.config.hidden_size
    made = []
    for part, group in zip(parts, groups, strict=True):
        component, unit = COMPONENTS[part.component]
        place = {"layer": part.layer, "component": component, "unit": unit, "group_key": group}
        if isinstance(part.taken, Tensor):
            added = pyvene.AdditionIntervention(embed_dim=width, source_representation=part.taken)
            place["intervention"] = added
        else:
            place["intervention_type"] = pyvene.VanillaIntervention
        made.append({**place, "max_number_of_units": len(part.to)})
    return pyvene.IntervenableModel(pyvene.IntervenableConfig(made), lm.model)


# What cells are made of


def parts_of(lm: LM, job: Job, batch: Batch, cell: Cell) -> list[Part]:
    """The interventions of a cell, in the order in which they come by."""
    return _MAKERS[job.kind](lm, job, batch, cell)


def _interchange(lm: LM, job: Job, batch: Batch, cell: Cell) -> list[Part]:
    of, to = (tuple(batch.of(cell)),), (tuple(batch.to(cell)),)
    return [Part(cell.component, cell.layer, cell.head, of, to, batch.source)]


def _restoration(lm: LM, job: Job, batch: Batch, cell: Cell) -> list[Part]:
    """Noise is added to what enters the first block, as in pyvene's tutorial of causal tracing."""
    every = _every(batch)
    of, to = (tuple(batch.of(cell)),), (tuple(batch.to(cell)),)
    noise = batch.everywhere(lm, job)
    return [
        Part("block_in", 0, None, every, every, noise),
        Part(cell.component, cell.layer, None, of, to, batch.original),
    ]


def _direct(lm: LM, job: Job, batch: Batch, cell: Cell) -> list[Part]:
    every, later = _every(batch), range(cell.layer + 1, lm.model.config.num_hidden_layers)
    held = (Part("attn_out", layer, None, every, every, batch.original) for layer in later)
    return [Part(HEAD, cell.layer, cell.head, every, every, batch.source), *held]


_MAKERS: dict[str, Callable[[LM, Job, Batch, Cell], list[Part]]] = {
    "interchange": _interchange,
    "restoration": _restoration,
    "direct": _direct,
}


def _every(batch: Batch) -> tuple[Columns, ...]:
    return tuple((column,) * len(batch.pairs) for column in range(batch.width))
