"""Sets of mediators: places that are swapped together, chosen on some pairs and judged on others.

What two places mediate together is not the sum of what each does: one may do what the other does
already, or nothing without it. So the strongest places are swapped one more at a time, in two
orders: the strongest first (``top``), or always that one which adds most to those before
(``greedy``). A set is chosen by what it does in one half of the pairs, and would do less in any
other by chance alone; so what counts is its effect in the other half: what goes through the set
(NIE), and what goes past it (NDE), which tells sets that share their work with others from sets
without which nothing is left. Sets are chosen by pairs that the LM answers rightly; since these
have larger effects than others, all pairs of the judging half are counted as well, beside. (Vig et
al. 2020, arXiv 2004.12265, section 4.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

import numpy as np

from cfgen.errors import CfgenError, Problem
from cfgen.experiments.behaviour import prompts_of
from cfgen.experiments.cells import (
    AverageEffect,
    CellPlace,
    MediatorSet,
    MediatorSets,
    Selection,
)
from cfgen.experiments.effect_scores import measured
from cfgen.experiments.effects import EffectPlan, RunKey
from cfgen.experiments.halves import split_pairs
from cfgen.experiments.interchange import in_blocks
from cfgen.experiments.measures import MEASURES, Measure
from cfgen.experiments.methods import CLEAN, DIRECT, INDIRECT, UNFILTERED, scaled
from cfgen.experiments.portions import Portion
from cfgen.experiments.replies import EVERYTHING, Unit, Workbench
from cfgen.experiments.sweeps import Trial
from cfgen.interventions import Reply, Run
from cfgen.stats import mean_of

POOL = 32
"""Of how many places, the strongest, a greedy set is made."""
EFFECT, TOTAL = "NIE", "TE"
JOINT = {EFFECT: INDIRECT, "NDE": DIRECT}
"""Effect of a set -> the run of a pair that it is told from."""
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

    def effect(self, name: str, index: int, replies: Mapping[RunKey, Reply]) -> float | None:
        """An effect in a pair; None without a number."""
        effect, measure = self.plan.method.effects[name], self.measure
        return next(
            (
                scaled(effect, y, ratio=measure.ratio)
                for y in measured(self.plan, measure, index, replies)
            ),
            None,
        )

    def alone(self, name: str, place: PlaceNumber, pairs: Iterable[int]) -> list[float | None]:
        """An effect of a place by itself, in each pair."""
        return [self.effect(name, index, self.replies[Trial(*place, index)]) for index in pairs]

    def together(
        self, sets: Sequence[Sequence[PlaceNumber]], pairs: Sequence[int], effects: Sequence[str]
    ) -> dict[str, list[list[float | None]]] | None:
        """Effects of sets of places (sets, pairs), by their names; None if it was time to stop."""
        anywhere = (0, self.plan.sweeps[0].layers[0])
        found: dict[str, list[list[float | None]]] = {name: [[] for _ in sets] for name in effects}
        for block in in_blocks(pairs):
            unit = self._unit(sets, block, effects)
            if self.portion.due and not self.bench.has(unit):
                return None
            replies = iter(self.bench.replies(unit)[0])
            for index in block:
                clean = {(CLEAN, 0): self.replies[Trial(*anywhere, index)][CLEAN, 0]}
                for number in range(len(sets)):
                    for name in effects:
                        both = {**clean, (JOINT[name], 0): next(replies)}
                        found[name][number].append(self.effect(name, index, both))
        return found

    def _unit(
        self, sets: Sequence[Sequence[PlaceNumber]], block: Sequence[int], effects: Sequence[str]
    ) -> Unit:
        """All sets in some pairs."""
        plan = self.plan
        asked = [(index, places, name) for index in block for places in sets for name in effects]

        def runs() -> list[Run]:
            return [self._run(places, index, JOINT[name]) for index, places, name in asked]

        described = [
            [name, *(plan.described(Trial(*place, index)) for place in places)]
            for index, places, name in asked
        ]
        order = [index for index, _, _ in asked]
        return Unit(
            described=["mediators", described],
            runs=runs,
            trees=[plan.encoded[index].original_tree for index in order],
            wanted=[plan.answers(index) for index in order],
            question=EVERYTHING,
            verified=plan.experiment.engine.verify,
        )

    def _run(self, places: Sequence[PlaceNumber], index: int, name: str) -> Run:
        """The run of a pair that has this name, with some places changed together."""
        own = self.plan.pair_runs(index)
        made = [self.plan.run_at(Trial(*place, index), (name, 0), own) for place in sorted(places)]
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
    pairs = range(len(plan.encoded))
    everywhere = [i for i in pairs if all(Trial(*place, i) in replies for place in places)]
    one, other, _ = split_pairs(plan.encoded, everywhere)
    choosing, judging = ([index for index in half if index in {*kept}] for half in (one, other))
    if not choosing or not judging:
        message = (
            "sets of mediators are chosen on one half of the pairs and judged on the other; of "
            f"{len(plan.encoded)} pairs {len(everywhere)} can be swapped at every place, and these "
            "make no two halves without a common prompt that both have pairs which the LM answers "
            "rightly"
        )
        hint = "run more pairs (-n), or leave --mediators out"
        raise CfgenError(Problem("no-mediator-pairs", message, hint=hint))
    search = _Search(bench, plan, replies, MEASURES[experiment.measures[0]], portion)
    count = min(experiment.mediators, len(places))
    whole = dict(zip(choosing, search.alone(TOTAL, places[0], choosing), strict=True))
    choosing = [index for index, total in whole.items() if total is not None]
    sign = -1.0 if sum(total for total in whole.values() if total is not None) < 0 else 1.0

    def worth(values: Sequence[float | None]) -> float:
        """How much places move the answer; those without a number somewhere are no candidates."""
        known = [value for value in values if value is not None]
        complete = known and len(known) == len(values)
        return sign * sum(known) / len(known) if complete else -math.inf

    alone = {place: worth(search.alone(EFFECT, place, choosing)) for place in places}
    strongest = sorted(places, key=lambda place: (-alone[place], place))
    greedy = _greedy(search, strongest[:POOL], choosing, count, worth)
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
    found = search.together(sets, other, [*JOINT])
    if found is None:
        return None
    bench.report("sets of mediators judged", len(sets), len(sets))

    def judged(name: str, values: Sequence[float | None]) -> list[AverageEffect]:
        """An effect over the pairs that are kept, and over all."""
        return [_average(plan, name + mark, values, other, only) for mark, only in counted.items()]

    counted = {"": {*judging}, UNFILTERED: {*other}}
    made = []
    for number, (selection, order, size) in enumerate(named):
        effects = [one for name in JOINT for one in judged(name, found[name][number])]
        made.append(MediatorSet(selection, size, _mediator(plan, order[size - 1]), tuple(effects)))
    totals = tuple(judged(TOTAL, search.alone(TOTAL, places[0], other)))
    return MediatorSets(search.measure.name, len(choosing), len(judging), totals, tuple(made))


def _greedy(
    search: _Search,
    pool: Sequence[PlaceNumber],
    pairs: Sequence[int],
    count: int,
    worth: Callable[[Sequence[float | None]], float],
) -> list[PlaceNumber] | None:
    """Places, each of which adds most to those before it; None if it was time to stop."""
    chosen = list(pool[:1])
    while len(chosen) < min(count, len(pool)):
        search.bench.report("mediators chosen", len(chosen), count)
        left = [place for place in pool if place not in chosen]
        found = search.together([[*chosen, place] for place in left], pairs, [EFFECT])
        if found is None:
            return None
        values = map(worth, found[EFFECT])
        chosen.append(max(zip(values, left, strict=True), key=itemgetter(0))[1])
    search.bench.report("mediators chosen", len(chosen), len(chosen))
    return chosen


def _average(
    plan: EffectPlan,
    name: str,
    values: Sequence[float | None],
    pairs: Sequence[int],
    counted: Collection[int],
) -> AverageEffect:
    """An effect over those pairs that are counted and have a number."""
    known = {
        index: value
        for index, value in zip(pairs, values, strict=True)
        if index in counted and value is not None
    }
    if not known:
        return AverageEffect(name, 0, None, None, None)
    mean = mean_of([*known.values()], [prompts_of(plan.encoded[index]) for index in known])
    return AverageEffect(name, mean.n, mean.value, mean.low, mean.high)


def _mediator(plan: EffectPlan, place: PlaceNumber) -> CellPlace:
    number, layer = place
    return CellPlace(*plan.sweeps[number].spot, layer)
