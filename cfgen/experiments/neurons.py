"""Effects of single neurons, exactly and all at once, to choose those that all is measured of.

Where single neurons are the places, there are tens of thousands of them, and what is planned run by
run would take as long as running it. So their indirect effects are computed a layer at a time (see
:func:`cfgen.interventions.swap_neurons`), on the logit difference alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from cfgen.experiments.estimates import Aims, Estimates
from cfgen.interventions import Engine, NeuronSwap, swap_neurons

VERIFIED = 4
"""Swaps of a pair that are run again whole."""
Cells = tuple[int, ...]
"""Numbers of cells, layer by layer, neuron by neuron."""


def neuron_swaps(aims: Aims, index: int) -> Iterator[tuple[NeuronSwap, dict[str, Cells]]]:
    """What is swapped in a pair, for all places at the same tokens; nothing without a score.

    Yields:
        The swaps, and the numbers of their cells for each effect.
    """
    places: dict[Any, dict[int, int]] = {}
    for number, sweep in enumerate(aims.sweeps):
        if swap := sweep.aligned.swaps.get(index):
            alike = swap.original.ids, swap.source.ids, swap.moves, sweep.layers
            places.setdefault(alike, {})[sweep.site.neurons[0]] = number
    cells = {(cell.aim, cell.sweep, cell.layer): n for n, cell in enumerate(aims.cells)}
    effects = dict.fromkeys(cell.aim for cell in aims.cells)
    score = aims.score(index, aims.cells[0].aim)
    for (original, source, moves, layers), sweeps in places.items() if score else ():
        assert score is not None
        neurons = tuple(sweeps)
        asked = NeuronSwap(original, source, moves, neurons, layers, score.right, score.wrong)
        order = [(sweeps[n], layer) for layer in layers for n in neurons]
        yield asked, {name: tuple(cells[name, *place] for place in order) for name in effects}


def neuron_effects(engine: Engine, aims: Aims, block: Sequence[int]) -> Estimates:
    """The indirect effects of every neuron, for some pairs: NIE, or TIE as well.

    TIE is what the counterfactual loses where a neuron is as in the original, so that it is told by
    the swaps with the prompts exchanged.

    Args:
        engine: How runs are executed.
        aims: The places, each a single neuron of the MLPs.
        block: Indices of the pairs.

    Returns:
        (pairs, cells), in nats of the logit difference.

    Raises:
        CfgenError: As :func:`cfgen.interventions.swap_neurons`.
    """
    found = np.full((len(block), len(aims.cells)), np.nan)
    for row, index in enumerate(block):
        for asked, cells in neuron_swaps(aims, index):
            for name, numbers in cells.items():
                swaps, sign = (asked, 1) if name == "NIE" else (asked.exchanged(), -1)
                changes = swap_neurons(engine, swaps, verified=VERIFIED)
                found[row, list(numbers)] = sign * changes.flatten()
    return found


def neurons_key(aims: Aims, block: Sequence[int]) -> Any:
    """What effects of neurons hang on, in a form that JSON has."""
    return [
        [asdict(swap), VERIFIED, [*cells]]
        for index in block
        for swap, cells in neuron_swaps(aims, index)
    ]
