"""Ablation: what is written over what an LM has at a place, or added to it, and where from.

What is taken from other pairs is taken from all that are kept, so that it hangs on no block. An
average is computed before (:mod:`cfgen.experiments.averages`); its name is part of what units hang
on.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cfgen.counterfactuals import Site
from cfgen.errors import CfgenError, Problem
from cfgen.experiments.ablation_kinds import ABLATIONS
from cfgen.experiments.averages import Average, mean_difference, mean_of_tokens
from cfgen.experiments.changes import PlaceRequest, Source, Target, TrialCase, tokens_of
from cfgen.experiments.halves import split_pairs
from cfgen.experiments.parts import parse_parts
from cfgen.experiments.sweeps import Sweep, sweeps_at
from cfgen.interventions import (
    HERE,
    Add,
    Constant,
    Copy,
    Edit,
    Mix,
    Run,
    SiteSwaps,
    Swap,
    Value,
    align_by,
    align_own,
    place_of,
)
from cfgen.lm import COMPONENTS, PairTokens, Place, check_places, locate, own_part
from cfgen.prompts import EVERY

FEWEST = 2
"""Pairs that a mean is taken of at least, or another is found among."""


@dataclass(frozen=True, slots=True)
class Supply:
    """What is taken from other pairs at some tokens, whatever head or neuron of them it is.

    Attributes:
        sources: Index of a pair -> what is written in it.
        dropped: Index of a pair -> why nothing can be.
    """

    sources: Mapping[int, Average | Source]
    dropped: Mapping[int, str]


def ablated_places(asked: PlaceRequest) -> list[Target]:
    """Where originals have a place, with what is written there.

    Raises:
        CfgenError: There is no such place; there is no other pair that something could be taken
            from (``no-other-pair``), or the values or the vector don't fit (``ablation-value``,
            ``bad-vector``).
    """
    experiment = asked.experiment
    kind = ABLATIONS[experiment.ablation]
    steers = kind.added
    learned = kind.learned or (steers and asked.vector is None)
    known: dict[tuple[str, ...], Supply] = {}
    targets = []
    for sweep, places in _swept(asked):
        _check_numbers(asked, sweep, places)
        supply = Supply({}, {})
        if learned:
            positions = sweep.site.positions
            if positions not in known:
                known[positions] = (_halves if steers else _others)(asked, sweep)
            supply = known[positions]
            sweep = _narrowed(sweep, supply)
        if not steers:
            targets.append(Target(sweep, places=places, sources=supply.sources))
            continue
        for strength in experiment.strength:
            one = replace(sweep, about=f"{sweep.about}, strength={strength:g}")
            targets.append(Target(one, places=places, sources=supply.sources, strength=strength))
    return targets


def ablated_run(case: TrialCase) -> Run:
    """The original with something else at a place, or at all places of a set."""
    tokens = tokens_of(case.swap)
    edits = (Edit(place, tokens, _value(case, place, len(tokens))) for place in _places(case))
    return Run(case.swap.original.ids, tuple(edits))


def averages_wanted(targets: Sequence[Target], layers: int) -> Iterator[tuple[Average, set[int]]]:
    """The averages that are written anywhere, with the layers where they are.

    Args:
        targets: Where the LM is changed.
        layers: How many it has.
    """
    for target in targets:
        site = target.sweep.site
        needed = {place.layer for place in target.places} or {
            swept for layer in target.sweep.layers for swept in site.swept(layer, layers)
        }
        found = (source for source in target.sources.values() if isinstance(source, Average))
        for source in {one.name: one for one in found}.values():
            yield source, needed


def _swept(asked: PlaceRequest) -> Iterator[tuple[Sweep, tuple[Place, ...]]]:
    """The sites, and of a set the places that are changed at once."""
    experiment, layout = asked.experiment, asked.layout
    sweep = experiment.sweep
    if sweep.positions == EVERY:  # all of them at once: by itself, no token is ablated
        sweep = sweep.model_copy(update={"positions": (EVERY,)})

    def swaps_at(site: Site) -> SiteSwaps:
        if ABLATIONS[experiment.ablation].added and asked.vector is None:
            return align_by(asked.encoded, site, lambda pair: _own(pair, site))
        return align_own(asked.encoded, site)

    made = sweeps_at(asked.site, sweep, layout, swaps_at)
    if not experiment.together:
        yield from ((one, ()) for one in made)
    for text in experiment.together:
        places = parse_parts(text, asked.site.component)
        check_places(layout, places)
        for one in made:
            layers = (max(place.layer for place in places),)
            yield replace(one, layers=layers, about=f", {text} together"), places


def _own(pair: PairTokens, site: Site) -> Swap:
    """The place in the original, of pairs whose counterfactual has it as well."""
    for name in site.positions:
        locate(pair.counterfactual, name)
    to = tuple(found for name in site.positions for found in locate(pair.original, name))
    return Swap(pair.original, pair.original, to, to)


# What is written


def _value(case: TrialCase, place: Place, count: int) -> Value:
    """What is written at so many tokens of a place."""
    experiment = case.experiment
    source = case.target.sources.get(case.pair)
    if experiment.ablation == "zero":
        return Mix(((0.0, HERE),))
    if isinstance(source, Source):
        return Copy(Run(source.ids), source.tokens)
    if experiment.ablation == "clamp":
        name = f"clamp {experiment.value!r}"
        return Constant(_spread(torch.tensor(experiment.value), case.shape_of(place), count), name)
    if isinstance(source, Average):
        numbers = own_part(place, case.averages[source.name, place.layer])
        name = f"average {source.name} {place}"
    else:
        assert case.vector is not None
        shape = case.shape_of(place)
        added = case.vector.at(place.layer, case.layers, math.prod(shape))
        numbers = torch.from_numpy(added.copy()).view(1, *shape)
        name = f"vector {case.vector.digest} {place}"
    numbers = numbers.expand(count, *numbers.shape[1:])
    if not ABLATIONS[experiment.ablation].added:
        return Constant(numbers, name)
    strength = case.target.strength
    return Add(strength * numbers, f"{strength!r} times {name}")


def _places(case: TrialCase) -> Sequence[Place]:
    swept = case.site.swept(case.layer, case.layers)
    return case.target.places or [place_of(case.site, layer) for layer in swept]


def _spread(numbers: Tensor, shape: tuple[int, ...], count: int) -> Tensor:
    """One number for all, or one for each of a token's, at so many tokens."""
    one = numbers.expand(math.prod(shape)) if len(numbers) == 1 else numbers
    return one.reshape(1, *shape).expand(count, *shape)


def _check_numbers(asked: PlaceRequest, sweep: Sweep, places: Sequence[Place]) -> None:
    """Check that given numbers are as many as a token has where they are written."""
    experiment, layout = asked.experiment, asked.layout
    for place in places or (place_of(sweep.site, 0),):
        size = math.prod(layout.shape_of(place, 1))
        if asked.vector is not None:
            asked.vector.at(place.layer, layout.layers, size)
        if len(experiment.value) > 1 and len(experiment.value) != size:
            message = f"{len(experiment.value)} values are given for {place}, which has {size}"
            hint = f"give one value for all, or {size}"
            raise CfgenError(Problem("ablation-value", message, hint=hint))


# Supply from other pairs


def _narrowed(sweep: Sweep, supply: Supply) -> Sweep:
    """A sweep of the pairs that something is taken for."""
    swaps = {n: swap for n, swap in sweep.aligned.swaps.items() if n in supply.sources}
    dropped = sweep.aligned.dropped | {**supply.dropped}
    return replace(sweep, aligned=replace(sweep.aligned, swaps=swaps, dropped=dropped))


def _kept(asked: PlaceRequest, sweep: Sweep) -> dict[int, Swap]:
    """The tokens of the pairs that the LM answers rightly."""
    kept = {*asked.kept}
    return {index: swap for index, swap in sweep.aligned.swaps.items() if index in kept}


def _others(asked: PlaceRequest, sweep: Sweep) -> Supply:
    """Of the kept pairs that have others of their kind, what is taken from these."""
    kind, row = asked.experiment.ablation, COMPONENTS[sweep.site.component]
    swaps = _kept(asked, sweep)
    alike: dict[tuple[int, int], list[int]] = {}
    for index, swap in swaps.items():
        size = len(swap.original) if row.over_keys else 0
        count = 0 if kind == "pooled" else len(swap.moves)
        alike.setdefault((count, size), []).append(index)
    sources: dict[int, Average | Source] = {}
    dropped: dict[int, str] = {}
    for (count, size), members in alike.items():
        if len(members) < FEWEST:
            there = f"{size} tokens in its prompt" if row.over_keys else f"{count} tokens there"
            dropped |= dict.fromkeys(members, f"no other pair has {there}")
        elif kind == "resample":
            found = {n: _another(asked, swaps, n, members) for n in members}
            sources |= {n: source for n, source in found.items() if source is not None}
            why = "no other pair has another original"
            dropped |= {n: why for n, source in found.items() if source is None}
        else:
            prompts = [(n, swaps[n].original.ids, tokens_of(swaps[n])) for n in members]
            average = mean_of_tokens(row.name, prompts, pooled=kind == "pooled")
            sources |= dict.fromkeys(members, average)
    if not sources:
        message = f"at {sweep.label!r} no pair has another that something could be taken from"
        hint = "run more pairs, or use --ablation zero"
        raise CfgenError(Problem("no-other-pair", message, hint=hint))
    return Supply(sources, dropped)


def _another(
    asked: PlaceRequest, swaps: Mapping[int, Swap], index: int, members: Sequence[int]
) -> Source | None:
    """Another original of the same kind, drawn by the seed and the pair; None if there is none."""
    own = swaps[index].original.ids
    others = [n for n in members if swaps[n].original.ids != own]
    if not others:
        return None
    key = f"{asked.experiment.seed} {asked.encoded[index].pair.id}"
    drawn = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
    other = swaps[others[drawn % len(others)]]
    return Source(other.original.ids, tokens_of(other))


def _halves(asked: PlaceRequest, sweep: Sweep) -> Supply:
    """For each pair of one half, the average difference of the other."""
    swaps = _kept(asked, sweep)
    one, other, shared = split_pairs(asked.encoded, swaps)
    if not one or not other:
        message = (
            f"at {sweep.label!r} every pair is steered by the average over the other half of the "
            f"pairs, and of {len(swaps)} no two halves can be made that share no prompt"
        )
        hint = "run more pairs (-n), or name a vector of your own with --vector"
        raise CfgenError(Problem("no-other-pair", message, hint=hint))
    sources: dict[int, Average | Source] = {}
    sources |= dict.fromkeys(one, _difference(asked, sweep, other))
    sources |= dict.fromkeys(other, _difference(asked, sweep, one))
    why = "a prompt of it is in the half by which it would be steered"
    return Supply(sources, dict.fromkeys(shared, why))


def _difference(asked: PlaceRequest, sweep: Sweep, members: Sequence[int]) -> Average:
    """What counterfactuals have at a place minus what originals have, on average over pairs."""
    pairs = []
    for index in members:
        swap, pair = sweep.aligned.swaps[index], asked.encoded[index]
        there = [
            token
            for name in sweep.site.positions
            for span in locate(pair.counterfactual, name)
            for token in span.tokens
        ]
        own = swap.original.ids, tokens_of(swap)
        pairs.append((index, *own, pair.counterfactual.ids, tuple(there)))
    return mean_difference(sweep.site.component, pairs)
