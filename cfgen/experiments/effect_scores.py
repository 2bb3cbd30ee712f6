"""Effects from the replies of a pair's runs: of every pair, and averaged over pairs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import stdev

from cfgen.experiments.behaviour import prompts_of
from cfgen.experiments.cells import Cell, PairEffect, Spot, VacuousCell
from cfgen.experiments.effects import EffectPlan, RunKey
from cfgen.experiments.measures import Judgement, Measure
from cfgen.experiments.methods import CLEAN, OTHER, UNFILTERED, Numbers, effects_on, scaled
from cfgen.experiments.sweeps import Trial
from cfgen.interventions import Reply
from cfgen.stats import mean_of, spread_of

Draws = tuple[float, ...]
"""An effect in a pair, once per draw or, where nothing is drawn, once; empty without a number."""


def score_effects(
    plan: EffectPlan,
    replies: Mapping[Trial, Mapping[RunKey, Reply]],
    kept: Iterable[int],
    measures: Sequence[Measure],
) -> tuple[list[Cell], list[VacuousCell], list[PairEffect]]:
    """Make effects of replies.

    Args:
        plan: What was run.
        replies: Trial -> run -> what the LM answered.
        kept: Indices of the pairs that the LM answers rightly.
        measures: What is measured.

    Returns:
        A cell per effect, measure and place, averaged over draws and pairs; places that have none,
        since nothing that was written differs from what was there; and the effects of each pair.
    """
    right, method, sweeps = {*kept}, plan.method, plan.sweeps
    places: dict[tuple[int, int], list[Trial]] = {}
    for trial in sorted(replies):
        places.setdefault((trial.sweep, trial.layer), []).append(trial)
    cells, empty, examples = [], [], []
    for (number, layer), trials in places.items():
        place = (*sweeps[number].spot, layer)
        if not any(replies[trial][key].changed for trial in trials for key in plan.at_place):
            empty.append(VacuousCell(*place, len(trials)))
            continue
        for measure in measures:
            y = {trial: measured(plan, measure, trial.pair, replies[trial]) for trial in trials}
            for name, effect in effects_on(method, measure.name).items():
                found = {
                    trial: _finite(scaled(effect, one, ratio=measure.ratio) for one in each)
                    for trial, each in y.items()
                }
                examples += [
                    PairEffect(
                        *place,
                        plan.encoded[trial.pair].pair.id,
                        trial.pair in right,
                        name,
                        measure.name,
                        math.fsum(values) / len(values) if values else None,
                        stdev(values) if len(values) > 1 else None,
                    )
                    for trial, values in found.items()
                ]
                filtered = {t: values for t, values in found.items() if t.pair in right}
                both = {name: filtered, **({name + UNFILTERED: found} if method.unfiltered else {})}
                cells += [
                    _cell(plan, called, place, measure, each) for called, each in both.items()
                ]
    order = [each.name for each in measures]
    cells.sort(key=lambda cell: order.index(cell.measure))
    return cells, empty, examples


def measured(
    plan: EffectPlan, measure: Measure, index: int, replies: Mapping[RunKey, Reply]
) -> list[Numbers]:
    """For each draw run -> a measure of it; none at all if any has no finite number."""
    one = plan.encoded[index].pair
    sides = {CLEAN: one.original.answer, OTHER: one.counterfactual.answer}
    predicted = sides[plan.method.predicted]
    numbers: dict[RunKey, float] = {}
    for key, reply in replies.items():
        number = measure.of(Judgement(reply, predicted, sides[CLEAN], sides[OTHER]))
        if number is None or not math.isfinite(number):
            return []
        numbers[key] = number
    return [plan.in_draw(numbers, draw) for draw in plan.draws]


def _finite(values: Iterable[float]) -> Draws:
    """An effect in every draw, if all of them are finite."""
    found = tuple(values)
    return found if all(map(math.isfinite, found)) else ()


def _cell(
    plan: EffectPlan,
    name: str,
    place: tuple[*Spot, int],
    measure: Measure,
    found: Mapping[Trial, Draws],
) -> Cell:
    """The average over pairs, with its interval: Student's, over prompts that are independent.

    Draws are independent between pairs, so that what they add to the averages of pairs is in that
    interval.
    """
    drawn = [values for values in found.values() if values]
    left_out = len(found) - len(drawn)
    if not drawn:
        return Cell(*place, name, measure.name, 0, None, None, None, left_out)
    averages = [math.fsum(values) / len(values) for values in drawn]
    prompts = [prompts_of(plan.encoded[trial.pair]) for trial, values in found.items() if values]
    mean = mean_of(averages, prompts)
    several = len(drawn) > 1 and len(plan.draws) > 1
    spread = spread_of(drawn) if several else (None, None)
    return Cell(
        *place, name, measure.name, mean.n, mean.value, mean.low, mean.high, left_out, *spread
    )
