"""The guide: which places are worth running, by a number for each of all of them.

Estimates from gradients take a few passes over every prompt (see
:mod:`cfgen.experiments.estimates`); single neurons can be swapped all at once instead (see
:mod:`cfgen.experiments.neurons`). The most promising places are then run with all that is measured,
and as many of the others, drawn at random, on which it is seen how far the numbers can be believed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from cfgen.errors import CfgenError, Problem
from cfgen.experiments.behaviour import prompts_of
from cfgen.experiments.cells import Cell, Guidance, GuidedPlace
from cfgen.experiments.estimates import USUAL, Aims, Estimates, block_estimates
from cfgen.experiments.interchange import PAIRS, in_blocks
from cfgen.experiments.measures import MEASURES
from cfgen.experiments.neurons import neuron_effects, neurons_key
from cfgen.experiments.portions import Portion
from cfgen.experiments.replies import Workbench
from cfgen.interventions import Engine
from cfgen.stats import mean_of, rank_correlation

Why = Literal["promising", "random", "other", ""]


@dataclass(frozen=True, slots=True)
class Guide:
    """A way to a number for each place.

    Attributes:
        pairs: Drawn pairs that are computed as one.
        numbers: Gives the numbers of some pairs (pairs, cells).
        key: What they hang on, in a form that JSON has.
        effects: Names of the effects that they are, of the logit difference whatever else is
            measured; none, if the method says what is estimated.
    """

    pairs: int
    numbers: Callable[[Engine, Aims, Sequence[int]], Estimates]
    key: Callable[[Aims, Sequence[int]], Any]
    effects: tuple[str, ...] = ()


WAYS: Mapping[str, Guide] = {
    "attribution": Guide(PAIRS, block_estimates, Aims.key),
    "exact": Guide(1, neuron_effects, neurons_key, ("NIE",)),
    "exact-both": Guide(1, neuron_effects, neurons_key, ("NIE", "TIE")),
}
"""Name -> the guide."""


@dataclass(frozen=True, slots=True)
class Shortlist:
    """Which places are run.

    Attributes:
        aims: What was estimated, where.
        run: Number of the sweep, and layer, of those that are run.
        places: Per hypothesis or effect all places with their estimates.
    """

    aims: Aims
    run: Collection[tuple[int, int]]
    places: Mapping[str, Sequence[GuidedPlace]]

    def compared(self, cells: Sequence[Cell]) -> tuple[Guidance, ...]:
        """How far estimates can be believed: their rank correlation on the places drawn at random.

        Args:
            cells: What came out where it was run.
        """
        asked, estimated = self.aims.experiment.measures, self.aims.measure.name
        measure = estimated if estimated in asked else asked[0]
        found = []
        for aim, places in self.places.items():
            exact = {
                cell.place: cell.value
                for cell in cells
                if (cell.hypothesis, cell.measure) == (aim, measure) and cell.value is not None
            }
            both = [
                (place.estimate, exact[place.place])
                for place in places
                if place.run == "random" and place.place in exact
            ]
            known = rank_correlation(both)
            ends = (known.value, known.low, known.high) if known else (None, None, None)
            found.append(Guidance(aim, estimated, tuple(places), measure, len(both), *ends))
        return tuple(found)


def guide(bench: Workbench, aims: Aims, kept: Sequence[int], portion: Portion) -> Shortlist | None:
    """Estimate all places, and choose which are run.

    Args:
        bench: What units are computed with.
        aims: What is estimated, where.
        kept: Indices of the pairs that the LM answers rightly.
        portion: When to stop.

    Returns:
        The choice; None if it was time to stop, and an estimate is missing yet.

    Raises:
        CfgenError: No pair has answers that one token tells apart (``no-estimate``).
    """
    name = str(aims.experiment.guide)
    if effects := WAYS[name].effects:
        cells = tuple(replace(cell, aim=aim) for aim in effects for cell in aims.cells)
        aims = replace(aims, cells=cells, measure=MEASURES[USUAL])
    estimates = _estimated(bench, aims, name, kept, portion)
    return None if estimates is None else _choice(aims, estimates, [*kept])


def _estimated(
    bench: Workbench, aims: Aims, name: str, kept: Sequence[int], portion: Portion
) -> Estimates | None:
    """What is aimed at in every cell, for every kept pair (pairs, cells)."""
    if not any(map(aims.any_score, kept)):
        message = "no pair has two answers that a single token tells apart, whose gradient is taken"
        hint = "leave --guide out, and run every place"
        raise CfgenError(Problem("no-estimate", message, hint=hint))
    way = WAYS[name]
    blocks, parts = in_blocks(kept, way.pairs), []
    for number, block in enumerate(blocks):
        bench.report("places estimated", number, len(blocks))

        def make(block: Sequence[int] = block) -> pa.Table:
            rows = way.numbers(bench.engine, aims, block).astype("<f8")
            return pa.table({"estimates": [row.tobytes() for row in rows]})

        table = bench.table(["guide", name, way.key(aims, block)], make, due=portion.due)
        if table is None:
            return None
        parts += [np.frombuffer(row, "<f8") for row in table["estimates"].to_pylist()]
    bench.report("places estimated", len(blocks), len(blocks))
    return np.stack(parts)


def _choice(aims: Aims, estimates: Estimates, pairs: Sequence[int]) -> Shortlist:
    """Per aim the most promising places, and as many others at random."""
    experiment, cells = aims.experiment, aims.cells
    counts = np.isfinite(estimates).sum(axis=0)
    means = np.nansum(estimates, axis=0) / np.maximum(counts, 1)
    prompts = [prompts_of(aims.encoded[index]) for index in pairs]
    rng = np.random.default_rng(experiment.seed)
    why: dict[int, Why] = {}
    for aim in dict.fromkeys(cell.aim for cell in cells):
        own = [n for n, cell in enumerate(cells) if cell.aim == aim]
        order = sorted(own, key=lambda n: (-(means[n] if aims.rising else abs(means[n])), n))
        top, rest = order[: experiment.guided], order[experiment.guided :]
        few = min(experiment.guided, len(rest))
        drawn = rng.choice(rest, few, replace=False).tolist() if few else []
        why |= dict.fromkeys(top, "promising")
        why |= dict.fromkeys(drawn, "random")
    run = {(cells[n].sweep, cells[n].layer) for n in why}
    places: dict[str, list[GuidedPlace]] = {}
    for n, cell in enumerate(cells):
        also: Why = "other" if (cell.sweep, cell.layer) in run else ""
        place = *aims.sweeps[cell.sweep].spot, cell.layer
        ends = _interval(estimates[:, n], prompts)
        one = GuidedPlace(*place, float(means[n]), why.get(n, also), int(counts[n]), *ends)
        places.setdefault(cell.aim, []).append(one)
    return Shortlist(aims, run, places)


def _interval(
    numbers: Estimates, prompts: Sequence[Sequence[str]]
) -> tuple[float | None, float | None]:
    """Both ends of the interval of an average over pairs; None where there is none."""
    known = np.flatnonzero(np.isfinite(numbers)).tolist()
    if len(known) < 2:
        return None, None
    mean = mean_of(numbers[known].tolist(), [prompts[row] for row in known])
    return mean.low, mean.high
