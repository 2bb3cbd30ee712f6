"""The guide: which places are worth running, by estimates of all of them from two passes.

The effect of giving the original at a place z what the counterfactual has there is estimated to
first order by ``(z(u') - z(u)) dy/dz``, at the original (attribution patching: Syed et al. 2023,
arXiv 2310.10348, section 3.1; Kramár et al. 2024, arXiv 2403.00745). One pass over the
counterfactual and one, forwards and backwards, over the original give it for all places at once.
The most promising ones are then run exactly, and as many of the others, drawn at random, on which
it is seen how far the estimates can be believed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from cfgen.errors import CfgenError, Problem
from cfgen.experiments.cells import Cell, Guidance, GuidedPlace
from cfgen.experiments.effects import EffectPlan
from cfgen.experiments.interchange import described_trial, in_blocks
from cfgen.experiments.portions import Portion
from cfgen.experiments.replies import Workbench
from cfgen.experiments.sweeps import Trial
from cfgen.interventions import Batch, Firing, Head, logits_after, make_batch
from cfgen.lm import COMPONENTS, PairTokens, Place, hook
from cfgen.stats import rank_correlation

MEASURE, EFFECT = "logit_difference", "NIE"
"""What is estimated."""
HELD_NUMBERS = 1 << 27
"""Numbers that are held of the pairs that go through the LM together, about."""
Estimates = NDArray[np.float64]
"""(pairs, cells); no number where a pair cannot be changed."""


def estimated(
    bench: Workbench, plan: EffectPlan, kept: Sequence[int], portion: Portion
) -> Estimates | None:
    """Estimate the effect at every place of a plan, for every kept pair.

    Args:
        bench: What units are computed with.
        plan: The places.
        kept: Indices of the pairs that the LM answers rightly.
        portion: When to stop.

    Returns:
        The estimates (pairs, cells), cells in the order of :func:`cells_of`; None if it was time to
        stop, and something is missing yet.

    Raises:
        CfgenError: No pair has answers that one token tells apart (``no-estimate``).
    """
    usable = [index for index in kept if _tokens(plan.encoded[index])]
    if not usable:
        message = "no pair has two answers that a single token tells apart, whose gradient is taken"
        hint = "leave --guide out, and run every place"
        raise CfgenError(Problem("no-estimate", message, hint=hint))
    blocks, parts = in_blocks(usable), []
    for number, block in enumerate(blocks):
        bench.report("places estimated", number, len(blocks))

        def make(block: Sequence[int] = block) -> pa.Table:
            rows = _block_estimates(bench, plan, block).astype("<f8")
            return pa.table({"estimates": [row.tobytes() for row in rows]})

        table = bench.table(["guide", _described(plan, block)], make, due=portion.due)
        if table is None:
            return None
        parts += [np.frombuffer(row, "<f8") for row in table["estimates"].to_pylist()]
    bench.report("places estimated", len(blocks), len(blocks))
    return np.stack(parts)


def cells_of(plan: EffectPlan) -> list[tuple[int, int]]:
    """Number of the sweep, and layer, of every place."""
    return [(number, layer) for number, one in enumerate(plan.sweeps) for layer in one.layers]


def guided(plan: EffectPlan, estimates: Estimates) -> tuple[EffectPlan, list[GuidedPlace]]:
    """Choose which places are run: the most promising, and as many others at random.

    Args:
        plan: All places.
        estimates: What :func:`estimated` gives.

    Returns:
        The plan with these alone, and all places with their estimates.
    """
    cells, experiment = cells_of(plan), plan.experiment
    counts = np.isfinite(estimates).sum(axis=0)
    means = np.nansum(estimates, axis=0) / np.maximum(counts, 1)
    order = sorted(range(len(cells)), key=lambda n: (-abs(means[n]), n))
    top, rest = order[: experiment.guided], order[experiment.guided :]
    rng = np.random.default_rng(experiment.seed)
    few = min(experiment.guided, len(rest))
    drawn = set(rng.choice(rest, few, replace=False).tolist()) if few else set()
    why = dict.fromkeys(top, "promising") | dict.fromkeys(drawn, "random")
    places = [
        GuidedPlace(
            *plan.sweeps[number].place,
            layer,
            float(means[n]),
            why.get(n, ""),
            plan.sweeps[number].neuron,
        )
        for n, (number, layer) in enumerate(cells)
    ]
    targets = []
    for number, target in enumerate(plan.targets):
        layers = tuple(layer for n, (of, layer) in enumerate(cells) if of == number and n in why)
        if layers:
            targets.append(replace(target, sweep=replace(target.sweep, layers=layers)))
    return replace(plan, targets=tuple(targets)), places


def guidance(places: Sequence[GuidedPlace], cells: Sequence[Cell]) -> Guidance:
    """How far estimates can be believed: their rank correlation on the places drawn at random.

    Args:
        places: All places with their estimates.
        cells: What came out where it was run.
    """
    measure = next((cell.measure for cell in cells), MEASURE)
    exact = {
        (*cell.spot, cell.layer): cell.value
        for cell in cells
        if (cell.hypothesis, cell.measure) == (EFFECT, measure) and cell.value is not None
    }
    both = [
        (place.estimate, exact[place.place])
        for place in places
        if place.run == "random" and place.place in exact
    ]
    return Guidance(tuple(places), measure, len(both), rank_correlation(both))


def _block_estimates(bench: Workbench, plan: EffectPlan, block: Sequence[int]) -> Estimates:
    """Estimates of a block of pairs, a few at a time."""
    layout = bench.engine.layout
    places = _places(plan)
    numbers = sum(math.prod(map(layout.size, place.row.axes)) for place in places)
    longest = max(len(plan.encoded[index].original) for index in block)
    most = max(1, min(bench.engine.batch_size, HELD_NUMBERS // (3 * numbers * longest)))
    parts = [block[at : at + most] for at in range(0, len(block), most)]
    return np.concatenate([_batch_estimates(bench, plan, places, part) for part in parts])


def _batch_estimates(
    bench: Workbench, plan: EffectPlan, places: Sequence[Place], indices: Sequence[int]
) -> Estimates:
    """Estimates of pairs that go through the LM together (pairs, cells)."""
    lm, layout = bench.engine.lm, bench.engine.layout
    pairs = [plan.encoded[index] for index in indices]
    answers = [both for both in map(_tokens, pairs) if both]  # all pairs have them
    head = Head(tuple(sorted({token for both in answers for one in both for token in one})))
    clean = make_batch(lm, [pair.original.ids for pair in pairs])
    other = make_batch(lm, [pair.counterfactual.ids for pair in pairs])
    theirs: dict[Place, Tensor] = {}
    ours: dict[Place, Tensor] = {}
    leaves: dict[Place, Tensor] = {}

    def keep(place: Place, view: Tensor) -> None:
        theirs[place] = view.detach().clone()

    def add_leaf(place: Place, view: Tensor) -> None:
        ours[place] = view.detach().clone()
        leaves[place] = torch.zeros_like(ours[place]).requires_grad_()
        view += leaves[place]

    def run(batch: Batch, use: Callable[[Place, Tensor], None], *, gradients: bool) -> Tensor:
        firing = Firing()
        with ExitStack() as hooks:
            for place in places:

                def see(view: Tensor, place: Place = place) -> None:
                    use(place, view)

                counted = firing.once((str(place), gradients, place.layer), see)
                hooks.callback(hook(layout, place, counted, write=gradients).remove)
            logits = logits_after(lm, batch, head, gradients=gradients)
        firing.check()
        return logits

    run(other, keep, gradients=False)
    logits = run(clean, add_leaf, gradients=True)

    measured = [
        head.log_odds(row, wrong, right)
        for row, (right, wrong) in zip(logits, answers, strict=True)
    ]
    slopes = torch.autograd.grad(torch.stack(measured).sum(), list(leaves.values()))
    gradients = dict(zip(leaves, slopes, strict=True))
    found = np.full((len(indices), len(cells_of(plan))), np.nan)
    for column, (number, layer) in enumerate(cells_of(plan)):
        site, swaps = plan.sweeps[number].site, plan.sweeps[number].aligned.swaps
        for row, index in enumerate(indices):
            if index not in swaps:
                continue
            moves = swaps[index].moves
            to = [clean.column(row, at) for at, _ in moves]
            of = [other.column(row, at) for _, at in moves]
            total = 0.0
            for swept in site.swept(layer, plan.layers):
                place = Place(site.component, swept)
                change = theirs[place][row, of] - ours[place][row, to]
                product = change.float() * gradients[place][row, to].float()  # (tokens, *axes)
                product = product if site.head is None else product[:, site.head]
                product = product[..., list(site.neurons)] if site.neurons else product
                total += float(product.sum())
            found[row, column] = total
    return found


def _places(plan: EffectPlan) -> list[Place]:
    """All that is changed anywhere, without heads, in the order of the table and of layers."""
    found = {
        (plan.sweeps[number].site.component, swept)
        for number, layer in cells_of(plan)
        for swept in plan.sweeps[number].site.swept(layer, plan.layers)
    }
    order = list(COMPONENTS)
    return [
        Place(component, layer)
        for component, layer in sorted(found, key=lambda one: (one[1], order.index(one[0])))
    ]


def _tokens(pair: PairTokens) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Tokens any of which is the original's answer, and the counterfactual's.

    None if they are the same, or not told by one token.
    """
    answers = pair.pair.original.answer, pair.pair.counterfactual.answer
    right, wrong = (pair.original_tree.single_tokens(one) if one else () for one in answers)
    return (right, wrong) if right and wrong and right != wrong else None


def _described(plan: EffectPlan, block: Sequence[int]) -> Any:
    """What estimates of a block hang on, in a form that JSON has."""
    return [
        [_tokens(plan.encoded[index]) for index in block],
        list(_trials(plan, block)),
    ]


def _trials(plan: EffectPlan, block: Sequence[int]) -> Iterator[Any]:
    for number, sweep in enumerate(plan.sweeps):
        for index in block:
            pair = plan.encoded[index]
            sides = [pair.original.ids, pair.counterfactual.ids]
            if index in sweep.aligned.swaps:
                trial = described_trial(sweep, Trial(number, 0, index))
                yield [list(sweep.layers), sides, trial]
            else:
                yield [list(sweep.layers), sides]
