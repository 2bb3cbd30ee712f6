"""Changes: what a method does to the LM, at which tokens of which pairs, and as which run.

A method has two functions here (ablation, paths and tracing have modules of their own): one works
out the places, one makes the run of a pair at a place.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from cfgen.counterfactuals import Site
from cfgen.errors import CfgenError, Problem
from cfgen.experiments.averages import Average, Averages
from cfgen.experiments.definition import Experiment
from cfgen.experiments.noise import Noise
from cfgen.experiments.sweeps import Sweep, make_sweeps, sweeps_at
from cfgen.experiments.vectors import SteeringVector
from cfgen.interventions import (
    Block,
    Edit,
    Run,
    SiteSwaps,
    Swap,
    align_own,
    place_of,
    run_of,
)
from cfgen.lm import Layout, PairTokens, Place, locate


@dataclass(frozen=True, slots=True)
class PlaceRequest:
    """Where an LM is to be changed.

    Attributes:
        encoded: The pairs.
        kept: Indices of those that the LM answers rightly.
        site: What is changed.
        experiment: What is asked.
        layout: Where everything is in the LM.
        vector: What the user gave to be added, if anything.
    """

    encoded: Sequence[PairTokens]
    kept: Collection[int]
    site: Site
    experiment: Experiment
    layout: Layout
    vector: SteeringVector | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Tokens of another prompt, from which something is taken.

    Attributes:
        ids: The prompt's token ids.
        tokens: Token positions in it.
    """

    ids: tuple[int, ...]
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Target:
    """What belongs to a sweep besides its site.

    Attributes:
        sweep: The sweep; that of an ablation or a knockout swaps each original with itself.
        keys: Index of a pair -> tokens that are not looked at, where attention is knocked out.
        receiver: What a path leads to; None for the logits, or where there are no paths.
        places: What is changed at once, where that is a set of parts; none for what the site says.
        sources: Index of a pair -> what is written in it, where it comes from other runs.
        strength: How many times something is added, where it is.
    """

    sweep: Sweep
    keys: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    receiver: Place | None = None
    places: tuple[Place, ...] = ()
    sources: Mapping[int, Average | Source] = field(default_factory=dict)
    strength: float = 1.0

    def described(self, pair: int) -> Any:
        """What its run of a pair hangs on besides the site, in a form that JSON has."""
        found = [self.keys.get(pair), self.receiver and asdict(self.receiver)]
        source = self.sources.get(pair)
        if not self.places and source is None and self.strength == 1:
            return found
        named = source.name if isinstance(source, Average) else source and asdict(source)
        return [*found, [asdict(place) for place in self.places], named, self.strength]


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
        experiment: What is asked.
        layout: Where everything is in the LM.
        averages: Averages over pairs, where any is written.
        vector: What the user gave to be added, if anything.
    """

    target: Target
    layer: int
    pair: int
    runs: Mapping[str, Run]
    experiment: Experiment
    layout: Layout
    averages: Averages = field(default_factory=dict)
    vector: SteeringVector | None = None

    @property
    def layers(self) -> int:
        """How many the LM has."""
        return self.layout.layers

    @property
    def site(self) -> Site:
        """What is changed."""
        return self.target.sweep.site

    @property
    def swap(self) -> Swap:
        """At which tokens."""
        return self.target.sweep.aligned.swaps[self.pair]

    def shape_of(self, place: Place) -> tuple[int, ...]:
        """What one token of the original has at a place."""
        return self.layout.shape_of(place, len(self.swap.original))


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
    swap, block = case.swap, Block(case.target.keys[case.pair])
    swept = case.site.swept(case.layer, case.layers)
    edits = (Edit(place_of(case.site, layer), tokens_of(swap), block) for layer in swept)
    return Run(swap.original.ids, tuple(edits))


def _blocked(pair: PairTokens, swap: Swap, keys: str) -> tuple[int, ...]:
    """The tokens that are not looked at.

    Raises:
        CfgenError: A token that looks has no other left (``knockout-no-key``).
    """
    tokens = {at for span in locate(pair.original, keys) for at in span.tokens}
    for at in tokens_of(swap):
        if {*range(at + 1)} <= tokens:
            message = (
                f"without {keys}, token {at} of the original of pair {pair.pair.id} has nothing to "
                "look at"
            )
            hint = "block fewer tokens, or let a later token be the one that looks"
            raise CfgenError(Problem("knockout-no-key", message, hint=hint))
    return tuple(sorted(tokens))


def tokens_of(swap: Swap) -> tuple[int, ...]:
    """The tokens of the original that are changed."""
    return tuple(position for position, _ in swap.moves)
