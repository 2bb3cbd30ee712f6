"""pyvene with a caller who collects what values come from once and hands it in.

Its tutorials don't, but ``CollectIntervention`` and ``source_representations`` allow it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from cfgen.lm import LM
from sweeps.batches import Inputs, batches
from sweeps.jobs import HEAD, Collector, Job, Outcome
from sweeps.tools.pyvene import CANNOT, COMPONENTS, PACKAGES, Columns, Part, parts_of

__all__ = ["CANNOT", "PACKAGES", "run"]


def run(lm: LM, job: Job) -> Outcome:
    """One forward per cell and batch, and one more for each run that values come from."""
    found = Collector(job)
    models: dict[Any, Any] = {}
    with torch.inference_mode():
        for batch in batches(lm, job):
            cells = [parts_of(lm, job, batch, cell) for cell in job.cells]
            held = _collect(lm, [part for parts in cells for part in parts])
            for index, parts in enumerate(cells):
                key = tuple((part.kind, isinstance(part.taken, Tensor)) for part in parts)
                if key not in models:
                    models[key] = _intervenable(lm, parts)
                model = models[key]
                values = [_value(held, part) for part in parts]
                _, output = model(
                    base=batch.original,
                    source_representations=dict(zip(model.sorted_keys, values, strict=True)),
                    unit_locations={"sources->base": (None, [part.at(part.to) for part in parts])},
                )
                found.put(batch.pairs, index, output.logits[:, -1])
    return found.done()


def _intervenable(lm: LM, parts: Sequence[Part]) -> Any:
    import pyvene

    made = [
        {
            **_place(part.component, part.layer, len(part.to)),
            "intervention_type": pyvene.AdditionIntervention
            if isinstance(part.taken, Tensor)
            else pyvene.VanillaIntervention,
        }
        for part in parts
    ]
    return pyvene.IntervenableModel(pyvene.IntervenableConfig(made), lm.model)


def _place(component: str, layer: int, units: int) -> dict[str, Any]:
    kind, unit = COMPONENTS[component]
    return {"layer": layer, "component": kind, "unit": unit, "max_number_of_units": units}


_Held = dict[tuple[int, str, int], tuple[Tensor, dict[Columns, int]]]
"""Run, component and layer -> values, (rows, tokens, width) or (rows, heads, tokens, width), and
which of the tokens each column is."""


def _collect(lm: LM, parts: Iterable[Part]) -> _Held:
    """Values at all tokens that any of the interventions reads, in one forward for each run."""
    import pyvene

    runs: dict[int, Inputs] = {}
    wanted: dict[tuple[int, str, int], dict[Columns, int]] = {}
    for part in parts:
        if not isinstance(part.taken, Tensor):
            runs[id(part.taken)] = part.taken
            of = wanted.setdefault((id(part.taken), part.component, part.layer), {})
            for columns in part.of:
                of.setdefault(columns, len(of))
    heads = lm.model.config.num_attention_heads
    held: _Held = {}
    for number, inputs in runs.items():
        places = [key for key in wanted if key[0] == number]
        made, units = [], []
        for _, component, layer in places:
            of = wanted[number, component, layer]
            rows = [list(row) for row in zip(*of, strict=True)]
            by_head = component == HEAD
            units.append([[list(range(heads))] * len(rows), rows] if by_head else rows)
            place = _place(component, layer, heads if by_head else len(of))
            made.append({**place, "intervention_type": pyvene.CollectIntervention})
        model = pyvene.IntervenableModel(pyvene.IntervenableConfig(made), lm.model)
        (_, values), _ = model(base=inputs, unit_locations={"sources->base": (None, units)})
        held |= {key: (value, wanted[key]) for key, value in zip(places, values, strict=True)}
    return held


def _value(held: _Held, part: Part) -> Tensor:
    """(rows, tokens, width), or (rows, 1, tokens, width) for a head."""
    if isinstance(part.taken, Tensor):
        return part.taken
    values, number = held[id(part.taken), part.component, part.layer]
    tokens = [number[columns] for columns in part.of]
    if part.head is None:
        return values[:, tokens]
    return values[:, part.head : part.head + 1, tokens]
