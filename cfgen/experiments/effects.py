"""Effects: what changes if an LM is changed at a place, pair by pair (mediation, ablation, ...).

A pair is run as it is and with changes; an effect is a number made of these runs (see
:mod:`cfgen.experiments.methods`). Units, the filter and the checks are those of interchanges.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from cfgen.errors import CfgenError, Problem
from cfgen.experiments.behaviour import prompts_of
from cfgen.experiments.cells import Cell, VacuousCell
from cfgen.experiments.definition import Experiment
from cfgen.experiments.filtering import FilterOutcome
from cfgen.experiments.interchange import RunBlock, described_trial, swap_blocks
from cfgen.experiments.layers import parse_layers
from cfgen.experiments.measures import MEASURES, Judgement, Measure
from cfgen.experiments.methods import (
    CLEAN,
    DIRECT,
    INDIRECT,
    METHODS,
    OTHER,
    UNFILTERED,
    Method,
    Numbers,
    scaled,
)
from cfgen.experiments.replies import EVERYTHING, Unit
from cfgen.experiments.sweeps import Sweep, Trial, make_sweeps, varied_sites
from cfgen.interventions import (
    HERE,
    Block,
    Copy,
    Edit,
    Mix,
    Read,
    Reply,
    Run,
    SiteSwaps,
    Swap,
    Value,
    layers_of,
    place_of,
    run_of,
)
from cfgen.lm import Layout, PairTokens, check_places, locate
from cfgen.stats import mean_of

FEWEST = 2
"""Pairs that a mean is taken of at least, or another is found among."""
EFFECTS = pa.schema(
    [
        pa.field("pair_id", pa.string(), nullable=False),
        pa.field("kept", pa.bool_(), nullable=False),
        pa.field("effect", pa.string(), nullable=False),
        pa.field("component", pa.string(), nullable=False),
        pa.field("position", pa.string(), nullable=False),
        pa.field("head", pa.int32()),
        pa.field("token", pa.string()),
        pa.field("layer", pa.int32(), nullable=False),
        pa.field("measure", pa.string(), nullable=False),
        pa.field("value", pa.float64()),
    ]
)
"""Columns of ``effects.parquet``; one row per pair, place, effect and measure."""


@dataclass(frozen=True, slots=True)
class EffectPlan:
    """What is run to measure effects.

    Attributes:
        method: The method.
        ablation: What is written where something is ablated.
        sweeps: Where; the swaps of ablation and knockout are of an original with itself.
        blocked: For each sweep, index of a pair -> tokens that are not looked at; or nothing.
        encoded: The pairs.
        layers: How many the LM has.
    """

    method: Method
    ablation: str
    sweeps: tuple[Sweep, ...]
    blocked: tuple[Mapping[int, tuple[int, ...]], ...]
    encoded: Sequence[PairTokens]
    layers: int

    def blocks(self, kept: Iterable[int]) -> list[RunBlock]:
        """What is computed as one; for all pairs where a method counts them all."""
        indices = range(len(self.encoded)) if self.method.unfiltered else kept
        return swap_blocks(self.sweeps, indices)

    def unit(self, block: RunBlock, verified: int) -> Unit:
        """The runs of a block: the prompts of its pairs, then those of each trial."""
        pairs = list(dict.fromkeys(trial.pair for trial in block.trials))
        before = (CLEAN, OTHER) if OTHER in self.method.runs else (CLEAN,)
        trees = [self.encoded[index].original_tree for index in pairs for _ in before]
        wanted = [_answers(self.encoded[index]) for index in pairs for _ in before]
        per_trial = [name for name in self.method.runs if name != OTHER]
        for trial in block.trials:
            trees += [self.encoded[trial.pair].original_tree] * len(per_trial)
            wanted += [_answers(self.encoded[trial.pair])] * len(per_trial)

        def runs() -> list[Run]:
            made = [run for index in pairs for run in self._unchanged(index, before)]
            return made + [run for trial in block.trials for run in self._changed(trial, pairs)]

        prompts = [[run.prompt for run in self._unchanged(index, before)] for index in pairs]
        trials = [self._described(trial) for trial in block.trials]
        return Unit(
            described=[self.method.name, self.ablation, prompts, trials],
            runs=runs,
            trees=trees,
            wanted=wanted,
            question=EVERYTHING,
            verified=verified,
        )

    def taken(
        self, block: RunBlock, replies: Sequence[Reply]
    ) -> Iterator[tuple[Trial, dict[str, Reply]]]:
        """The replies of a unit, sorted: for each trial those of all runs of its pair."""
        pairs = list(dict.fromkeys(trial.pair for trial in block.trials))
        before = (CLEAN, OTHER) if OTHER in self.method.runs else (CLEAN,)
        each = iter(replies)
        clean = {index: {name: next(each) for name in before} for index in pairs}
        for trial in block.trials:
            changed = {name: next(each) for name in self.method.runs if name != OTHER}
            yield trial, {**clean[trial.pair], **changed}

    def _unchanged(self, index: int, names: Sequence[str]) -> list[Run]:
        pair = self.encoded[index]
        sides = {CLEAN: pair.original, OTHER: pair.counterfactual}
        return [Run(sides[name].ids) for name in names]

    def _changed(self, trial: Trial, pairs: Sequence[int]) -> list[Run]:
        """The runs of a trial, in the order of the method's.

        Args:
            trial: The trial.
            pairs: All pairs that are computed together.
        """
        sweep = self.sweeps[trial.sweep]
        swap = sweep.aligned.swaps[trial.pair]
        made = []
        for name in self.method.runs:
            if name == INDIRECT:
                made.append(run_of(swap, sweep.site, trial.layer, self.layers))
            elif name == DIRECT:
                made.append(run_of(_turned(swap), sweep.site, trial.layer, self.layers))
            elif name != OTHER:
                value = self._value(sweep, trial, pairs)
                to = tuple(position for position, _ in swap.moves)
                swept = sweep.site.swept(trial.layer, self.layers)
                edits = (Edit(place_of(sweep.site, layer), to, value) for layer in swept)
                made.append(Run(swap.original.ids, tuple(edits)))
        return made

    def _value(self, sweep: Sweep, trial: Trial, pairs: Sequence[int]) -> Value:
        """What is written: where attention is blocked, or something ablated."""
        keys = self.blocked[trial.sweep].get(trial.pair)
        if keys is not None:
            return Block(keys)
        if self.ablation == "zero":
            return Mix(((0.0, HERE),))
        alike = _alike(sweep, trial.pair, pairs)
        if self.ablation == "resample":
            number = alike.index(trial.pair)
            other = sweep.aligned.swaps[alike[(number + 1) % len(alike)]]
            return Copy(Run(other.original.ids), tuple(at for at, _ in other.moves))
        swaps = [sweep.aligned.swaps[index] for index in alike]
        reads = (Read(Run(s.original.ids), tuple(at for at, _ in s.moves)) for s in swaps)
        return Mix(tuple((1 / len(swaps), read) for read in reads))

    def _described(self, trial: Trial) -> Any:
        keys = self.blocked[trial.sweep].get(trial.pair)
        return [*described_trial(self.sweeps, trial), keys]


def plan_effects(found: FilterOutcome, experiment: Experiment, layout: Layout) -> EffectPlan:
    """Work out where the LM is changed.

    Args:
        found: The pairs, and what the LM says to them unchanged.
        experiment: What is asked.
        layout: Where everything is in the LM.

    Raises:
        CfgenError: As :func:`cfgen.experiments.sweeps.make_sweeps`; a token is left nothing to
            look at (``knockout-no-key``); or there is no other pair that something could be taken
            from (``no-other-pair``).
    """
    method, encoded = METHODS[experiment.method], found.encoded
    kept = {*found.computed.kept()}
    site = found.computed.inquiry.sites[method.name]
    if OTHER in method.runs:
        made = make_sweeps(encoded, {method.name: site}, experiment.sweep, layout)
        made = [replace(sweep, hypotheses=()) for sweep in made]  # effects are of none
        blocked: list[Mapping[int, tuple[int, ...]]] = [{} for _ in made]
    else:
        made, blocked = [], []
        sites = varied_sites(site, experiment.sweep, layout)
        check_places(layout, [place_of(each, 0) for each in sites])
        over = experiment.sweep.over
        chosen = None if over is None else tuple(parse_layers(over))
        for each in sites:
            layers = layers_of(each, chosen, layout.layers)
            for keys in experiment.keys or (None,):
                aligned, tokens = _located(encoded, each, keys)
                about = f" not to {keys}" if keys else ""
                made.append(Sweep(aligned, layers, (), about=about))
                blocked.append(tokens)
    plan = EffectPlan(
        method, experiment.ablation, tuple(made), tuple(blocked), encoded, layout.layers
    )
    if method.name == "ablation" and experiment.ablation != "zero":
        plan = replace(plan, sweeps=tuple(_with_others(sweep, kept) for sweep in made))
    return plan


def _located(
    encoded: Sequence[PairTokens], site: Any, keys: str | None
) -> tuple[SiteSwaps, dict[int, tuple[int, ...]]]:
    """Where the originals have the positions of a site, and the tokens that are not looked at."""
    swaps: dict[int, Swap] = {}
    blocked: dict[int, tuple[int, ...]] = {}
    for index, pair in enumerate(encoded):
        prompt = pair.original
        to = tuple(span for name in site.positions for span in locate(prompt, name))
        swaps[index] = Swap(prompt, prompt, to, to)
        if keys is not None:
            tokens = {at for span in locate(prompt, keys) for at in span.tokens}
            blocked[index] = tuple(sorted(tokens))
            for span in to:
                for at in span.tokens:
                    if {*range(at + 1)} <= tokens:
                        raise CfgenError(_nothing_left(pair, keys, at))
    return SiteSwaps(site, swaps, {}), blocked


def _nothing_left(pair: PairTokens, keys: str, at: int) -> Problem:
    message = (
        f"without {keys}, token {at} of the original of pair {pair.pair.id} has nothing to look at"
    )
    hint = "block fewer tokens, or let a later token be the one that looks"
    return Problem("knockout-no-key", message, hint=hint)


def _with_others(sweep: Sweep, kept: Collection[int]) -> Sweep:
    """A sweep of the kept pairs that have another of their kind among those computed with them."""
    swaps = {index: swap for index, swap in sweep.aligned.swaps.items() if index in kept}
    dropped = dict(sweep.aligned.dropped)
    sizes = {index: len(swap.moves) for index, swap in swaps.items()}
    blocks: dict[int, list[int]] = {}
    for block in swap_blocks([sweep], swaps):
        pairs = list(dict.fromkeys(trial.pair for trial in block.trials))
        blocks |= dict.fromkeys(pairs, pairs)
    for index, size in sizes.items():
        if sum(sizes[other] == size for other in blocks[index]) < FEWEST:
            dropped[index] = f"no other pair computed with it has {size} tokens there"
    left = {index: swap for index, swap in swaps.items() if index not in dropped}
    if not left:
        message = f"at {sweep.site.label!r} no pair has another that something could be taken from"
        hint = "run more pairs, or use --ablation zero"
        raise CfgenError(Problem("no-other-pair", message, hint=hint))
    return replace(sweep, aligned=replace(sweep.aligned, swaps=left, dropped=dropped))


def _alike(sweep: Sweep, pair: int, pairs: Sequence[int]) -> list[int]:
    """The pairs, of those computed together, that have as many tokens at a site."""
    swaps = sweep.aligned.swaps
    size = len(swaps[pair].moves)
    return [index for index in pairs if index in swaps and len(swaps[index].moves) == size]


def _turned(swap: Swap) -> Swap:
    """The same the other way round: the counterfactual with what the original has."""
    return Swap(swap.source, swap.original, swap.of, swap.to)


def _answers(pair: PairTokens) -> tuple[str, ...]:
    sides = (pair.pair.original.answer, pair.pair.counterfactual.answer)
    return tuple(dict.fromkeys(answer for answer in sides if answer is not None))


# What comes out


@dataclass(frozen=True, slots=True)
class PairEffect:
    """An effect in one pair at one place; see the columns of :data:`EFFECTS`."""

    pair_id: str
    kept: bool
    effect: str
    component: str
    position: str
    head: int | None
    token: str | None
    layer: int
    measure: str
    value: float | None


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
    right, method = {*kept}, plan.method
    places: dict[tuple[int, int], list[Trial]] = {}
    for trial in sorted(replies):
        places.setdefault((trial.sweep, trial.layer), []).append(trial)
    cells, empty, examples = [], [], []
    for (number, layer), trials in places.items():
        place = (*plan.sweeps[number].place, layer)
        runs = [name for name in method.runs if name != OTHER]
        if not any(replies[trial][name].changed for trial in trials for name in runs):
            empty.append(VacuousCell(*place, len(trials)))
            continue
        for measure in measures:
            y = {trial: _measured(plan, measure, trial.pair, replies[trial]) for trial in trials}
            for name, effect in method.effects.items():
                found = {
                    trial: None if one is None else scaled(name, effect, one, ratio=measure.ratio)
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


def effects_table(examples: Sequence[PairEffect]) -> pa.Table:
    """The effects of all pairs as a table."""
    columns = [[getattr(one, name) for one in examples] for name in EFFECTS.names]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, EFFECTS, strict=True)]
    return pa.Table.from_arrays(arrays, schema=EFFECTS)


def measures_of(experiment: Experiment) -> list[Measure]:
    """What an experiment measures."""
    return [MEASURES[name] for name in experiment.measures]
