"""Sweeps: the swaps of all pairs at a site, and what the LM says after each, layer by layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cfgen.counterfactuals import Site
from cfgen.interventions import Reply, SiteSwaps, align, layers_of
from cfgen.lm import PairTokens


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
