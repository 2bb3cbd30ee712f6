"""Effects from the replies of a pair's runs: of every pair, and averaged over pairs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from cfgen.experiments.behaviour import prompts_of
from cfgen.experiments.cells import Cell, PairEffect, VacuousCell
from cfgen.experiments.effects import EffectPlan
from cfgen.experiments.measures import Judgement, Measure
from cfgen.experiments.methods import CLEAN, OTHER, UNFILTERED, Numbers, scaled
from cfgen.experiments.sweeps import Trial
from cfgen.interventions import Reply
from cfgen.stats import mean_of


def score_effects(
    plan: EffectPlan,
    replies: Mapping[Trial, Mapping[str, Reply]],
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
        A cell per effect, measure and place, averaged over pairs; places that have none, since
        nothing that was written differs from what was there; and the effects of each pair.
    """
    right, method, sweeps = {*kept}, plan.method, plan.sweeps
    places: dict[tuple[int, int], list[Trial]] = {}
    for trial in sorted(replies):
        places.setdefault((trial.sweep, trial.layer), []).append(trial)
    cells, empty, examples = [], [], []
    for (number, layer), trials in places.items():
        place = (*sweeps[number].place, layer)
        if not any(replies[trial][name].changed for trial in trials for name in plan.changed):
            empty.append(VacuousCell(*place, len(trials)))
            continue
        for measure in measures:
            y = {trial: _measured(plan, measure, trial.pair, replies[trial]) for trial in trials}
            for name, effect in method.effects.items():
                found = {
                    trial: None if one is None else scaled(effect, one, ratio=measure.ratio)
                    for trial, one in y.items()
                }
                examples += [
                    PairEffect(
                        plan.encoded[trial.pair].pair.id,
                        trial.pair in right,
                        name,
                        *place,
                        measure.name,
                        value,
                    )
                    for trial, value in found.items()
                ]
                filtered = {t: value for t, value in found.items() if t.pair in right}
                cells.append(_cell(plan, name, place, measure, filtered))
                if method.unfiltered:
                    cells.append(_cell(plan, name + UNFILTERED, place, measure, found))
    order = [each.name for each in measures]
    cells.sort(key=lambda cell: order.index(cell.measure))
    return cells, empty, examples


def _measured(
    plan: EffectPlan, measure: Measure, index: int, replies: Mapping[str, Reply]
) -> Numbers | None:
    """Run -> a measure of it; None if any has no finite number."""
    one = plan.encoded[index].pair
    sides = {CLEAN: one.original.answer, OTHER: one.counterfactual.answer}
    predicted = sides[plan.method.predicted]
    found = {
        name: measure.of(Judgement(reply, predicted, sides[CLEAN], sides[OTHER]))
        for name, reply in replies.items()
    }
    numbers = {name: number for name, number in found.items() if number is not None}
    finite = len(numbers) == len(found) and all(map(math.isfinite, numbers.values()))
    return numbers if finite else None


def _cell(
    plan: EffectPlan,
    name: str,
    place: tuple[str, str, int | None, str | None, int],
    measure: Measure,
    found: Mapping[Trial, float | None],
) -> Cell:
    """The average over pairs, with its interval: Student's, over prompts that are independent."""
    numbers = [
        (value, prompts_of(plan.encoded[trial.pair]))
        for trial, value in found.items()
        if value is not None and math.isfinite(value)
    ]
    left_out = len(found) - len(numbers)
    if not numbers:
        return Cell(name, *place, measure.name, 0, None, None, None, left_out)
    mean = mean_of([value for value, _ in numbers], [prompts for _, prompts in numbers])
    return Cell(name, *place, measure.name, mean.n, mean.value, mean.low, mean.high, left_out)
