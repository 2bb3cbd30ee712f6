"""Sets of mediators: places that are swapped together, chosen on some pairs and judged on others.

What two places mediate together is not the sum of what each does: one may do what the other does
already, or nothing without it. So the strongest places are swapped one more at a time, in two
orders: the strongest first (``top``), or always that one which adds most to those before
(``greedy``). A set is chosen by what it does in one half of the pairs, and would do less in any
other by chance alone; so what counts is its effect in the other half. (Vig et al. 2020, arXiv
2004.12265, section 4.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from cfgen.errors import CfgenError, Problem
from cfgen.experiments.ablation import split_pairs
from cfgen.experiments.behaviour import prompts_of
from cfgen.experiments.cells import CellPlace, MediatorSet, MediatorSets, Selection
from cfgen.experiments.effects import EffectPlan, RunKey
from cfgen.experiments.interchange import in_blocks
from cfgen.experiments.measures import MEASURES, Judgement, Measure
from cfgen.experiments.methods import CLEAN, INDIRECT, scaled
from cfgen.experiments.portions import Portion
from cfgen.experiments.replies import EVERYTHING, Unit, Workbench
from cfgen.experiments.sweeps import Trial
from cfgen.interventions import Reply, Run
from cfgen.stats import mean_of

POOL = 32
"""Of how many places, the strongest, a greedy set is made."""
EFFECT, TOTAL = "NIE", "TE"
PlaceNumber = tuple[int, int]
"""Number of the sweep, and the layer."""
Replies = Mapping[Trial, Mapping[RunKey, Reply]]


@dataclass(frozen=True, slots=True)
class _Search:
    """What sets are made of and measured with.

    Attributes:
        bench: What units are computed with.
        plan: The places.
        replies: What the LM answers with each place swapped by itself.
        measure: What is measured.
        portion: When to stop.
    """

    bench: Workbench
    plan: EffectPlan
    replies: Replies
    measure: Measure
    portion: Portion

    def measured(self, index: int, replies: Mapping[str, Reply]) -> dict[str, float] | None:
        """Run -> the measure of it; None if any has no number."""
        pair = self.plan.encoded[index].pair
        sides = pair.original.answer, pair.counterfactual.answer
        found = {}
        for name, reply in replies.items():
            number = self.measure.of(Judgement(reply, sides[1], *sides))
            if number is None or not np.isfinite(number):
                return None
            found[name] = number
        return found

    def effect(self, name: str, index: int, replies: Mapping[str, Reply]) -> float | None:
        """An effect in a pair; None without a number."""
        y = self.measured(index, replies)
        effect = self.plan.method.effects[name]
        return None if y is None else scaled(effect, y, ratio=self.measure.ratio)

    def alone(self, name: str, place: PlaceNumber, pairs: Iterable[int]) -> list[float | None]:
        """An effect of a place by itself, in each pair."""
        found = []
        for index in pairs:
            replies = {key: reply for (key, _), reply in self.replies[Trial(*place, index)].items()}
            found.append(self.effect(name, index, replies))
        return found

    def together(
        self, sets: Sequence[Sequence[PlaceNumber]], pairs: Sequence[int]
    ) -> list[list[float | None]] | None:
        """NIE of sets of places (sets, pairs); None if it was time to stop."""
        columns = []
        first = {index: next(iter(self._of(index))) for index in pairs}
        for block in in_blocks(pairs):
            unit = self._unit(sets, block)
            if self.portion.due and not self.bench.has(unit):
                return None
            replies = iter(self.bench.replies(unit)[0])
            for index in block:
                clean = self.replies[first[index]][CLEAN, 0]
                each = islice(replies, len(sets))
                columns.append(
                    [self.effect(EFFECT, index, {CLEAN: clean, INDIRECT: one}) for one in each]
                )
        return [list(row) for row in zip(*columns, strict=True)]

    def _of(self, index: int) -> Iterable[Trial]:
        return (trial for trial in self.replies if trial.pair == index)

    def _unit(self, sets: Sequence[Sequence[PlaceNumber]], block: Sequence[int]) -> Unit:
        """All sets in some pairs."""
        plan = self.plan
        order = [index for index in block for _ in sets]

        def runs() -> list[Run]:
            return [self._run(places, index) for index in block for places in sets]

        described = [
            [plan.described(Trial(*place, index)) for place in places]
            for index in block
            for places in sets
        ]
        pairs = [plan.encoded[index] for index in order]
        return Unit(
            described=["mediators", described],
            runs=runs,
            trees=[pair.original_tree for pair in pairs],
            wanted=[plan.answers(index) for index in order],
            question=EVERYTHING,
            verified=plan.experiment.engine.verify,
        )

    def _run(self, places: Sequence[PlaceNumber], index: int) -> Run:
        """The original with some places as they are in the counterfactual."""
        own = self.plan.pair_runs(index)
        made = [
            self.plan.run_at(Trial(*place, index), (INDIRECT, 0), own) for place in sorted(places)
        ]
        edits = dict.fromkeys(edit for run in made for edit in run.edits)
        return Run(made[0].prompt, tuple(edits))


def mediator_sets(
    bench: Workbench, plan: EffectPlan, replies: Replies, kept: Sequence[int], portion: Portion
) -> MediatorSets | None:
    """Choose sets of places on one half of the pairs, and judge them on the other.

    Args:
        bench: What units are computed with.
        plan: The places.
        replies: What the LM answers with each place swapped by itself.
        kept: Indices of the pairs that the LM answers rightly.
        portion: When to stop.

    Returns:
        The sets; None if it was time to stop, and something is missing yet.

    Raises:
        CfgenError: No two halves can be made of the pairs (``no-mediator-pairs``).
    """
    experiment = plan.experiment
    places = [(number, layer) for number, one in enumerate(plan.sweeps) for layer in one.layers]
    everywhere = [i for i in kept if all(Trial(*place, i) in replies for place in places)]
    choosing, judging, _ = split_pairs(plan.encoded, everywhere)
    if not choosing or not judging:
        message = (
            "sets of mediators are chosen on one half of the pairs and judged on the other; of "
            f"{len(kept)} pairs {len(everywhere)} can be swapped at every place, and no two halves "
            "can be made of these that share no prompt"
        )
        hint = "run more pairs (-n), or leave --mediators out"
        raise CfgenError(Problem("no-mediator-pairs", message, hint=hint))
    search = _Search(bench, plan, replies, MEASURES[experiment.measures[0]], portion)
    count = min(experiment.mediators, len(places))
    total = _mean(search.alone(TOTAL, places[0], choosing))
    sign = -1.0 if total is not None and total < 0 else 1.0
    alone = {place: _mean(search.alone(EFFECT, place, choosing)) or 0.0 for place in places}
    strongest = sorted(places, key=lambda place: (-sign * alone[place], place))
    greedy = _greedy(search, strongest[:POOL], choosing, count, sign)
    if greedy is None:
        return None
    drawn = np.random.default_rng(experiment.seed).permutation(len(places))[:count]
    orders: dict[Selection, list[PlaceNumber]] = {
        "top": strongest[:count],
        "greedy": greedy,
        "random": [places[n] for n in drawn],
    }
    named = [(name, order, n) for name, order in orders.items() for n in range(1, len(order) + 1)]
    sets = [order[:size] for _, order, size in named]
    bench.report("sets of mediators judged", 0, len(sets))
    found = search.together(sets, judging)
    if found is None:
        return None
    bench.report("sets of mediators judged", len(sets), len(sets))
    rests = [prompts_of(plan.encoded[index]) for index in judging]
    made = [
        MediatorSet(name, size, _mediator(plan, order[size - 1]), *_interval(values, rests))
        for (name, order, size), values in zip(named, found, strict=True)
    ]
    whole = _interval(search.alone(TOTAL, places[0], judging), rests)
    return MediatorSets(search.measure.name, len(choosing), len(judging), *whole[1:], tuple(made))


def _greedy(
    search: _Search,
    pool: Sequence[PlaceNumber],
    pairs: Sequence[int],
    count: int,
    sign: float,
) -> list[PlaceNumber] | None:
    """Places, each of which adds most to those before it; None if it was time to stop."""
    chosen = list(pool[:1])
    while len(chosen) < min(count, len(pool)):
        search.bench.report("mediators chosen", len(chosen), count)
        left = [place for place in pool if place not in chosen]
        found = search.together([[*chosen, place] for place in left], pairs)
        if found is None:
            return None
        worth = [sign * (_mean(values) or 0.0) for values in found]
        chosen.append(left[worth.index(max(worth))])
    search.bench.report("mediators chosen", len(chosen), len(chosen))
    return chosen


def _mean(values: Sequence[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return sum(numbers) / len(numbers) if numbers else None


def _interval(
    values: Sequence[float | None], rests: Sequence[Sequence[str]]
) -> tuple[int, float | None, float | None, float | None]:
    """n, the average and its interval."""
    known = [(value, on) for value, on in zip(values, rests, strict=True) if value is not None]
    if not known:
        return 0, None, None, None
    mean = mean_of([value for value, _ in known], [on for _, on in known])
    return mean.n, mean.value, mean.low, mean.high


def _mediator(plan: EffectPlan, place: PlaceNumber) -> CellPlace:
    number, layer = place
    return CellPlace(*plan.sweeps[number].spot, layer)
