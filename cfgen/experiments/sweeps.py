"""Sweeps: the swaps of all kept pairs at a site, layer by layer, and what the LM says after."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cfgen.counterfactuals import Site
from cfgen.experiments.measures import MEASURES, question_of
from cfgen.interventions import (
    Engine,
    Reply,
    SiteSwaps,
    Work,
    align,
    layers_of,
    read_answers,
    run_of,
)
from cfgen.lm import PairTokens
from cfgen.progress import Progress

SAID = question_of([MEASURES["iia"]])
"""All that has to be known of a run is what the LM says."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """A site, the layers it is swept over, and what is tested there.

    Attributes:
        aligned: Which tokens of which pairs are swapped.
        layers: The layers.
        hypotheses: Those that are said to hold at this site.
    """

    aligned: SiteSwaps
    layers: tuple[int, ...]
    hypotheses: tuple[str, ...]

    @property
    def site(self) -> Site:
        """Where it is made."""
        return self.aligned.site


@dataclass(frozen=True, slots=True)
class Response:
    """What the LM said after one swap.

    Attributes:
        sweep: Number of the sweep.
        layer: The layer; the last of the layers, for a site that is swapped up to a layer.
        pair: Index of the pair.
        reply: What the LM answered.
    """

    sweep: int
    layer: int
    pair: int
    reply: Reply


def make_sweeps(
    encoded: Sequence[PairTokens],
    hypotheses: Mapping[str, Site],
    layers: Iterable[int] | None,
    count: int,
) -> list[Sweep]:
    """Work out what is swapped where; hypotheses at one site share a sweep.

    Args:
        encoded: The pairs.
        hypotheses: Name -> site.
        layers: Layers counted from 0; None for all.
        count: How many layers the LM has.

    Raises:
        CfgenError: As :func:`cfgen.interventions.layers_of` and :func:`cfgen.interventions.align`.
    """
    chosen = None if layers is None else tuple(layers)
    sweeps = []
    for site in dict.fromkeys(hypotheses.values()):
        here = layers_of(site, chosen, count)
        names = tuple(name for name, where in hypotheses.items() if where == site)
        sweeps.append(Sweep(align(encoded, site), here, names))
    return sweeps


def run_sweeps(
    engine: Engine,
    sweeps: Sequence[Sweep],
    kept: Mapping[int, PairTokens],
    verified: int,
    report: Progress,
) -> tuple[list[Response], Work]:
    """Make all swaps of the kept pairs, unit by unit.

    Args:
        engine: How runs are executed.
        sweeps: Where swaps are made.
        kept: Index -> pair, for those that the LM answers correctly.
        verified: How many swaps, of all units together, to execute again on the reference engine.
        report: Called with the number of swaps done.

    Returns:
        What the LM said, by sweep, layer and pair, and what that took.

    Raises:
        CfgenError: A check of the engine failed, see
            :meth:`cfgen.interventions.Engine.outcomes`.
    """
    cells = [(number, layer) for number, sweep in enumerate(sweeps) for layer in sweep.layers]
    swappable = [[index for index in kept if index in s.aligned.swaps] for s in sweeps]
    total = sum(len(s.layers) * len(here) for s, here in zip(sweeps, swappable, strict=True))
    responses: list[Response] = []
    work = Work()
    indices = list(kept)
    for unit in engine.units([len(kept[index].original) for index in indices]):
        here = {indices[row] for row in unit}
        asked = [(n, layer, i) for n, layer in cells for i in swappable[n] if i in here]
        if not asked:
            continue
        done = len(responses)
        share = verified * (done + len(asked)) // total - verified * done // total
        report("swaps", done, total)
        runs = [
            run_of(sweeps[n].aligned.swaps[i], sweeps[n].site, layer, engine.layout.layers)
            for n, layer, i in asked
        ]
        trees = [kept[i].original_tree for _, _, i in asked]
        replies, done_work = read_answers(
            engine, runs, trees, [()] * len(runs), SAID, verified=share
        )
        responses += [Response(*cell, reply) for cell, reply in zip(asked, replies, strict=True)]
        work += done_work
    report("swaps", total, total)
    return sorted(responses, key=lambda one: (one.sweep, one.layer, one.pair)), work
