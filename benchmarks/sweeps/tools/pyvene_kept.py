"""pyvene with a caller who collects the sources' values once and hands them in.

Its tutorials don't, but ``CollectIntervention`` and ``source_representations`` allow it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cfgen.lm import LM
from sweeps.batches import Batch, batches
from sweeps.jobs import HEAD, Cell, Collector, Job, Outcome
from sweeps.tools.pyvene import CANNOT, COMPONENTS, PACKAGES, intervenable, locations

__all__ = ["CANNOT", "PACKAGES", "run"]


def run(lm: LM, job: Job) -> Outcome:
    """One forward per cell and batch, and one more for the counterfactuals."""
    found = Collector(job)
    with torch.inference_mode():
        for batch in batches(lm, job):
            held = _collect(lm, job, batch)
            for index, cell in enumerate(job.cells):
                model = intervenable(lm, cell.component, cell.layer)
                _, output = model(
                    base=batch.original,
                    source_representations={model.sorted_keys[0]: _value(held, batch, cell)},
                    unit_locations={"sources->base": (None, [locations(batch, cell)[1]])},
                )
                found.put(batch.pairs, index, output.logits[:, -1])
    return found.done()


_Held = dict[tuple[str, int], tuple[Tensor, list[tuple[int, ...]]]]


def _collect(lm: LM, job: Job, batch: Batch) -> _Held:
    """Values of all cells' components at the positions that any of them reads.

    Returns:
        Per component and layer the values, (rows, positions, width) or (rows, heads, positions,
        width), and which position of each row each of them is (of every cell).
    """
    import pyvene

    places = sorted({(cell.component, cell.layer) for cell in job.cells})
    wanted = sorted({cell.of for cell in job.cells})
    columns = [
        [of[pair] + shift for of in wanted]
        for pair, shift in zip(batch.pairs, batch.shifts[1], strict=True)
    ]  # (rows, positions)
    heads = lm.model.config.num_attention_heads
    every = [list(range(heads))] * len(batch.pairs)  # (rows, heads)
    units = [[every, columns] if component == HEAD else columns for component, _ in places]
    representations = [
        {
            "layer": layer,
            "component": COMPONENTS[component][0],
            "unit": COMPONENTS[component][1],
            "max_number_of_units": heads if component == HEAD else len(wanted),
            "intervention_type": pyvene.CollectIntervention,
        }
        for component, layer in places
    ]
    model = pyvene.IntervenableModel(pyvene.IntervenableConfig(representations), lm.model)
    (_, values), _ = model(base=batch.source, unit_locations={"sources->base": (None, units)})
    return {place: (value, wanted) for place, value in zip(places, values, strict=True)}


def _value(held: _Held, batch: Batch, cell: Cell) -> Any:
    """(rows, 1, width), or (rows, 1, 1, width) for a head."""
    values, wanted = held[cell.component, cell.layer]
    unit = wanted.index(cell.of)
    if cell.head is None:
        return values[:, unit : unit + 1]
    return values[:, cell.head : cell.head + 1, unit : unit + 1]
