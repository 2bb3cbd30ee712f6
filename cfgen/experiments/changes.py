"""Changes: what a method does to the LM, at which tokens of which pairs, and as which run.

A method has two functions here (paths and tracing have modules of their own): one works out the
places, one makes the run of a pair at a place.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from cfgen.counterfactuals import Site
from cfgen.errors import CfgenError, Problem
from cfgen.experiments.definition import Experiment
from cfgen.experiments.interchange import swap_blocks
from cfgen.experiments.noise import Noise
from cfgen.experiments.sweeps import Sweep, make_sweeps, sweeps_at
from cfgen.interventions import (
    HERE,
    Block,
    Copy,
    Edit,
    Mix,
    Read,
    Run,
    SiteSwaps,
    Swap,
    Value,
    align_own,
    place_of,
    run_of,
)
from cfgen.lm import COMPONENTS, Layout, PairTokens, Place, locate

FEWEST = 2
"""Pairs that a mean is taken of at least, or another is found among."""


@dataclass(frozen=True, slots=True)
class PlaceRequest:
    """Where an LM is to be changed.

    Attributes:
        encoded: The pairs.
        kept: Indices of those that the LM answers rightly.
        site: What is changed.
        experiment: What is asked.
        layout: Where everything is in the LM.
    """

    encoded: Sequence[PairTokens]
    kept: Collection[int]
    site: Site
    experiment: Experiment
    layout: Layout


@dataclass(frozen=True, slots=True)
class Target:
    """What belongs to a sweep besides its site.

    Attributes:
        sweep: The sweep; that of an ablation or a knockout swaps each original with itself.
        keys: Index of a pair -> tokens that are not looked at, where attention is knocked out.
        receiver: What a path leads to; None for the logits, or where there are no paths.
    """

    sweep: Sweep
    keys: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    receiver: Place | None = None


@dataclass(frozen=True, slots=True)
class PairCase:
    """A pair by itself, without a place.

    Attributes:
        tokens: The pair.
        draw: Number of the draw, where something is drawn at random.
        experiment: What is asked.
        noise: What corrupts prompts, where anything does.
        width: How many numbers a token has where noise is added.
    """

    tokens: PairTokens
    draw: int
    experiment: Experiment
    noise: Noise | None
    width: int


def original_run(case: PairCase) -> Run:
    """The original as it is."""
    return Run(case.tokens.original.ids)


def counterfactual_run(case: PairCase) -> Run:
    """The counterfactual as it is."""
    return Run(case.tokens.counterfactual.ids)


@dataclass(frozen=True, slots=True)
class TrialCase:
    """A pair at a place in one layer.

    Attributes:
        target: The place.
        layer: The layer.
        pair: Index of the pair.
        runs: The runs of the pair by itself, in the same draw.
        together: Indices of all pairs that are computed with it.
        experiment: What is asked.
        layers: How many the LM has.
    """

    target: Target
    layer: int
    pair: int
    runs: Mapping[str, Run]
    together: Sequence[int]
    experiment: Experiment
    layers: int

    @property
    def site(self) -> Site:
        """What is changed."""
        return self.target.sweep.site

    @property
    def swap(self) -> Swap:
        """At which tokens."""
        return self.target.sweep.aligned.swaps[self.pair]


# Mediation


def swapped_places(asked: PlaceRequest) -> list[Target]:
    """Where both prompts of a pair have something that can be swapped."""
    named = {str(asked.experiment.method): asked.site}
    made = make_sweeps(asked.encoded, named, asked.experiment.sweep, asked.layout)
    return [Target(replace(sweep, hypotheses=())) for sweep in made]  # effects are of none


def indirect_run(case: TrialCase) -> Run:
    """The original with a place as it is in the counterfactual."""
    return run_of(case.swap, case.site, case.layer, case.layers)


def direct_run(case: TrialCase) -> Run:
    """The counterfactual with a place as it is in the original."""
    swap = case.swap
    turned = Swap(swap.source, swap.original, swap.of, swap.to)
    return run_of(turned, case.site, case.layer, case.layers)


# Ablation


def ablated_places(asked: PlaceRequest) -> list[Target]:
    """Where originals have a place, and if need be other pairs of which something is taken."""
    sweeps = sweeps_at(
        asked.site,
        asked.experiment.sweep,
        asked.layout,
        lambda site: align_own(asked.encoded, site),
    )
    if asked.experiment.ablation != "zero":
        sweeps = [_with_others(sweep, asked.kept) for sweep in sweeps]
    return [Target(sweep) for sweep in sweeps]


def ablated_run(case: TrialCase) -> Run:
    """The original with zeros, an average, or what another original has, at a place."""
    kind, swaps = case.experiment.ablation, case.target.sweep.aligned.swaps
    if kind == "zero":
        return _written(case, Mix(((0.0, HERE),)))
    alike = _alike(swaps, case.site, case.pair, case.together)
    if kind == "mean":
        reads = [Read(Run(swaps[n].original.ids), _tokens(swaps[n])) for n in alike]
        return _written(case, Mix(tuple((1 / len(reads), read) for read in reads)))
    other = swaps[alike[(alike.index(case.pair) + 1) % len(alike)]]
    return _written(case, Copy(Run(other.original.ids), _tokens(other)))


def _with_others(sweep: Sweep, kept: Collection[int]) -> Sweep:
    """A sweep of the kept pairs that have another of their kind among those computed with them."""
    aligned = sweep.aligned
    swaps = {index: swap for index, swap in aligned.swaps.items() if index in kept}
    dropped = dict(aligned.dropped)
    for block in swap_blocks([sweep], swaps):
        for index in block.swapped:
            if len(_alike(swaps, sweep.site, index, block.swapped)) < FEWEST:
                swap, where = swaps[index], "there"
                size = len(swap.moves)
                if COMPONENTS[sweep.site.component].over_keys:
                    size, where = len(swap.original), "in its prompt"
                dropped[index] = f"no other pair computed with it has {size} tokens {where}"
    left = {index: swap for index, swap in swaps.items() if index not in dropped}
    if not left:
        message = f"at {sweep.label!r} no pair has another that something could be taken from"
        hint = "run more pairs, or use --ablation zero"
        raise CfgenError(Problem("no-other-pair", message, hint=hint))
    return replace(sweep, aligned=replace(aligned, swaps=left, dropped=dropped))


def _alike(swaps: Mapping[int, Swap], site: Site, pair: int, together: Sequence[int]) -> list[int]:
    """The pairs, of those computed together, whose numbers at a site fit this one's."""
    own, fits = swaps[pair], COMPONENTS[site.component].fits
    return [
        index
        for index in together
        if index in swaps
        and len(swaps[index].moves) == len(own.moves)
        and fits(len(swaps[index].original), len(own.original))
    ]


# Knockout


def blocked_places(asked: PlaceRequest) -> list[Target]:
    """Where originals have both the tokens that look and those that are not to be looked at."""
    targets = []
    for keys in asked.experiment.keys:

        def looking(site: Site, keys: str = keys) -> SiteSwaps:
            return align_own(asked.encoded, site, also=(keys,))

        about = f" not to {keys}"
        for sweep in sweeps_at(
            asked.site, asked.experiment.sweep, asked.layout, looking, about=about
        ):
            blocked = {
                index: _blocked(asked.encoded[index], swap, keys)
                for index, swap in sweep.aligned.swaps.items()
            }
            targets.append(Target(sweep, blocked))
    return targets


def blocked_run(case: TrialCase) -> Run:
    """The original without attention to some tokens."""
    return _written(case, Block(case.target.keys[case.pair]))


def _blocked(pair: PairTokens, swap: Swap, keys: str) -> tuple[int, ...]:
    """The tokens that are not looked at.

    Raises:
        CfgenError: A token that looks has no other left (``knockout-no-key``).
    """
    tokens = {at for span in locate(pair.original, keys) for at in span.tokens}
    for at in _tokens(swap):
        if {*range(at + 1)} <= tokens:
            message = (
                f"without {keys}, token {at} of the original of pair {pair.pair.id} has nothing to "
                "look at"
            )
            hint = "block fewer tokens, or let a later token be the one that looks"
            raise CfgenError(Problem("knockout-no-key", message, hint=hint))
    return tuple(sorted(tokens))


# Both


def _written(case: TrialCase, value: Value) -> Run:
    """The original with a value at a place, in all layers that belong to this one."""
    swap, swept = case.swap, case.site.swept(case.layer, case.layers)
    edits = (Edit(place_of(case.site, layer), _tokens(swap), value) for layer in swept)
    return Run(swap.original.ids, tuple(edits))


def _tokens(swap: Swap) -> tuple[int, ...]:
    """The tokens of the original that are changed."""
    return tuple(position for position, _ in swap.moves)
