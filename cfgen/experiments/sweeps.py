"""Sweeps: the swaps of all pairs at a site, and what the LM says after each, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cfgen.counterfactuals import Site
from cfgen.experiments.cells import Spot
from cfgen.experiments.definition import SweepOptions
from cfgen.experiments.layers import parse_layers
from cfgen.interventions import SiteSwaps, align, align_each, layers_of, place_of
from cfgen.lm import COMPONENTS, Layout, PairTokens, check_places
from cfgen.prompts import EVERY

EACH_TOKEN = "each token"
"""What the position of a site is called where every token is swapped by itself."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """A site, the layers it is swept over, and what is tested there.

    Attributes:
        aligned: Which tokens of which pairs are swapped.
        layers: The layers.
        hypotheses: Those that are said to hold at this site.
        token: Which token it is of, where a sweep goes over every token; else None.
        about: What else is said of its site, such as what is not looked at.
    """

    aligned: SiteSwaps
    layers: tuple[int, ...]
    hypotheses: tuple[str, ...]
    token: str | None = None
    about: str = ""

    @property
    def site(self) -> Site:
        """Where it is made."""
        return self.aligned.site

    @property
    def spot(self) -> Spot:
        """Where it is, but for the layer: what cells are told apart by."""
        site = self.site
        positions = site.positions if self.token is None else (EACH_TOKEN,)
        # a neuron alone has a column of its own; of several, the label says which
        alone = len(site.neurons) == 1
        neurons = () if alone else site.neurons
        whole = replace(site, head=None, neurons=neurons, positions=positions)
        neuron = site.neurons[0] if alone else None
        return site.component, whole.label + self.about, site.head, neuron, self.token

    @property
    def label(self) -> str:
        """What tells it from all other sweeps, in words."""
        return self.site.label + self.about


@dataclass(frozen=True, slots=True, order=True)
class Trial:
    """A swap in one cell. They are in the order of sweeps, layers, pairs.

    Attributes:
        sweep: Number of the sweep.
        layer: Layer L that :meth:`cfgen.counterfactuals.Site.swept` speaks of.
        pair: Index of the pair.
    """

    sweep: int
    layer: int
    pair: int


def make_sweeps(
    encoded: Sequence[PairTokens],
    hypotheses: Mapping[str, Site],
    sweep: SweepOptions,
    layout: Layout,
) -> list[Sweep]:
    """Work out what is swapped where; hypotheses at one site share a sweep.

    Args:
        encoded: The pairs.
        hypotheses: Name -> site.
        sweep: Over which layers, heads, neurons and positions sites are varied.
        layout: Where everything is in the LM.

    Raises:
        CfgenError: As :func:`cfgen.lm.check_places`, :func:`cfgen.interventions.layers_of` and
            :func:`cfgen.interventions.align`.
    """
    chosen = _chosen_layers(sweep)
    tested: dict[Site, list[str]] = {}
    for name, given in hypotheses.items():
        for site in _varied(given, sweep, layout):
            tested.setdefault(site, []).append(name)
    check_places(layout, [place_of(site, 0) for site in tested])
    made = []
    known: dict[Site, list[tuple[str | None, SiteSwaps]]] = {}
    for site, names in tested.items():
        layers = layers_of(site, chosen, layout.layers)
        # which tokens these are does not hang on the head or the neuron
        alike = replace(site, head=None, neurons=())
        if alike not in known:
            every = sweep.positions == EVERY
            each = align_each(encoded, site).items() if every else [(None, align(encoded, site))]
            known[alike] = list(each)
        part: dict[str, Any] = {"head": site.head, "neurons": site.neurons}
        made += [
            Sweep(replace(swaps, site=replace(swaps.site, **part)), layers, tuple(names), token)
            for token, swaps in known[alike]
        ]
    return made


def sweeps_at(
    site: Site,
    sweep: SweepOptions,
    layout: Layout,
    swaps_at: Callable[[Site], SiteSwaps],
    about: str = "",
    each_at: Callable[[Site], Mapping[str, SiteSwaps]] | None = None,
) -> list[Sweep]:
    """A site with each head, and at each position, of a sweep, of which no hypothesis is tested.

    Args:
        site: What is changed.
        sweep: Over which layers, heads, neurons and positions it is varied.
        layout: Where everything is in the LM.
        swaps_at: Gives the swaps at a site.
        about: What else is said of all these sites.
        each_at: Gives those of every token by itself: name of a token -> its swaps.

    Raises:
        CfgenError: As :func:`cfgen.lm.check_places` and :func:`cfgen.interventions.layers_of`.
    """
    sites = _varied(site, sweep, layout)
    check_places(layout, [place_of(each, 0) for each in sites])
    chosen = _chosen_layers(sweep)
    made = []
    known: dict[tuple[str, ...], SiteSwaps] = {}
    for one in sites:
        layers = layers_of(one, chosen, layout.layers)
        if sweep.positions == EVERY and each_at:
            each = each_at(one).items()
            made += [Sweep(swaps, layers, (), token, about) for token, swaps in each]
        else:
            # which tokens these are does not hang on the head or the neuron
            if one.positions not in known:
                known[one.positions] = swaps_at(one)
            made.append(Sweep(replace(known[one.positions], site=one), layers, (), about=about))
    return made


def cut(sweeps: Sequence[Sweep], cells: Collection[tuple[int, int]]) -> dict[int, Sweep]:
    """Sweeps with some of their layers alone: number of the sweep, and layer, of each.

    Returns:
        Number -> sweep, for those that have a layer left.
    """
    left = {
        number: tuple(layer for layer in sweep.layers if (number, layer) in cells)
        for number, sweep in enumerate(sweeps)
    }
    return {n: replace(sweeps[n], layers=layers) for n, layers in left.items() if layers}


def _chosen_layers(sweep: SweepOptions) -> tuple[int, ...] | None:
    return None if sweep.over is None else tuple(parse_layers(sweep.over))


def _varied(site: Site, sweep: SweepOptions, layout: Layout) -> list[Site]:
    """A site with each head, neuron and position of a sweep; of tokens, as one site."""
    heads: Sequence[int | None] = (site.head,)
    if sweep.heads is not None:
        kinds = COMPONENTS[site.component].axes[:1]
        count = layout.kv_heads if kinds == ("kv_heads",) else layout.heads
        heads = range(count) if sweep.heads == "all" else sweep.heads
    if sweep.positions == EVERY:
        positions: list[tuple[str, ...]] = [(EACH_TOKEN,)]
    else:
        positions = [(one,) for one in sweep.positions or ()] or [site.positions]
    neurons: Sequence[tuple[int, ...]] = (site.neurons,)
    if sweep.neurons is not None:
        size = layout.size(COMPONENTS[site.component].axes[0])
        neurons = [(n,) for n in (range(size) if sweep.neurons == "all" else sweep.neurons)]
    return [
        replace(site, head=head, neurons=numbers, positions=names)
        for names in positions
        for head in heads
        for numbers in neurons
    ]
