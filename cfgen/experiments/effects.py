"""Effects: how pairs are run with an LM that is changed at some places, unit by unit.

A pair is run as it is and with changes; an effect is a number made of these runs (see
:mod:`cfgen.experiments.methods`). Units, the filter and the checks are those of interchanges.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from cfgen.experiments.ablation import ablated_places, ablated_run, averages_wanted
from cfgen.experiments.averages import Averages, compute_averages
from cfgen.experiments.changes import (
    PairCase,
    PlaceRequest,
    Target,
    TrialCase,
    blocked_places,
    blocked_run,
    counterfactual_run,
    direct_run,
    indirect_run,
    original_run,
    swapped_places,
)
from cfgen.experiments.definition import Experiment
from cfgen.experiments.interchange import RunBlock, described_trial, swap_blocks
from cfgen.experiments.methods import (
    ABLATED,
    BLOCKED,
    CLEAN,
    CORRUPTED,
    DIRECT,
    INDIRECT,
    METHODS,
    OTHER,
    PATCHED,
    RESTORED,
    Method,
)
from cfgen.experiments.noise import Noise
from cfgen.experiments.paths import patched_departure, patched_places, patched_run
from cfgen.experiments.portions import Portion
from cfgen.experiments.replies import EVERYTHING, Unit, Workbench
from cfgen.experiments.sweeps import Sweep, Trial, cut
from cfgen.experiments.tracing import (
    corrupted_run,
    corrupted_tokens,
    find_noise,
    restored_run,
    traced_places,
)
from cfgen.experiments.vectors import SteeringVector
from cfgen.interventions import Departure, Reply, Run
from cfgen.lm import Layout, PairTokens

RunKey = tuple[str, int]
"""A run of a pair, and in which draw; 0 if nothing of it is drawn."""
Item = TypeVar("Item")

PLACES: Mapping[str, Callable[[PlaceRequest], list[Target]]] = {
    "mediation": swapped_places,
    "ablation": ablated_places,
    "knockout": blocked_places,
    "paths": patched_places,
    "tracing": traced_places,
}
"""Method -> where it changes the LM."""
PAIR_RUNS: Mapping[str, Callable[[PairCase], Run]] = {
    CLEAN: original_run,
    OTHER: counterfactual_run,
    CORRUPTED: corrupted_run,
}
"""Run of a pair that is the same for all places -> how it is made."""
RUNS: Mapping[str, Callable[[TrialCase], Run]] = {
    INDIRECT: indirect_run,
    DIRECT: direct_run,
    ABLATED: ablated_run,
    BLOCKED: blocked_run,
    PATCHED: patched_run,
    RESTORED: restored_run,
}
"""Run of a pair -> how it is made at a place."""
DEPARTURES: Mapping[str, Callable[[TrialCase], Departure]] = {PATCHED: patched_departure}
"""Run of a pair -> how it departs from another, where gradients are not taken in the run itself."""
DRAWN_SIZES = 4, 32
"""Pairs and layers of a block where runs are drawn: less and more than else, since all blocks of a
pair run it anew, whole, with the noise of every draw."""
_DECIDING = ("ablation", "mlps", "value")
"""Fields of an experiment that decide what is run, beyond places."""


@dataclass(frozen=True, slots=True)
class EffectPlan:
    """What is run to measure effects.

    Attributes:
        method: The method.
        experiment: What was asked.
        targets: Where the LM is changed.
        encoded: The pairs.
        layout: Where everything is in the LM.
        noise: What corrupts prompts, where anything does.
        vector: What the user gave to be added, if anything.
        averages: Averages over pairs that are written, once they are computed.
    """

    method: Method
    experiment: Experiment
    targets: tuple[Target, ...]
    encoded: Sequence[PairTokens]
    layout: Layout
    noise: Noise | None = None
    vector: SteeringVector | None = None
    averages: Averages = field(default_factory=dict)

    @property
    def layers(self) -> int:
        """How many the LM has."""
        return self.layout.layers

    @property
    def sweeps(self) -> tuple[Sweep, ...]:
        """The sweeps of the targets."""
        return tuple(target.sweep for target in self.targets)

    @property
    def draws(self) -> range:
        """Numbers of the draws."""
        return range(self.experiment.draws if self.method.drawn else 1)

    @property
    def of_pair(self) -> tuple[RunKey, ...]:
        """The runs of a pair that are the same for all places."""
        return self._keys((CLEAN, *(name for name in self.method.runs if name in PAIR_RUNS)))

    @property
    def at_place(self) -> tuple[RunKey, ...]:
        """Those that there are at each place."""
        return self._keys(tuple(name for name in self.method.runs if name in RUNS))

    def in_draw(self, found: Mapping[RunKey, Item], draw: int) -> dict[str, Item]:
        """Of something for each run, what belongs to one draw, by the name of the run."""
        return {
            name: one
            for (name, number), one in found.items()
            if number == draw or name not in self.method.drawn
        }

    def blocks(self, kept: Iterable[int]) -> list[RunBlock]:
        """What is computed as one; for all pairs where a method counts them all."""
        indices = range(len(self.encoded)) if self.method.unfiltered else kept
        return swap_blocks(self.sweeps, indices, *(DRAWN_SIZES if self.method.drawn else ()))

    def unit(self, block: RunBlock, verified: int) -> Unit:
        """The runs of a block: those of its pairs by themselves, then those of each trial."""
        swapped = block.swapped
        order = [index for index in swapped for _ in self.of_pair]
        order += [trial.pair for trial in block.trials for _ in self.at_place]

        def runs() -> list[Run]:
            own = {index: self.pair_runs(index) for index in swapped}
            made = [run for runs in own.values() for run in runs.values()]
            for trial in block.trials:
                for key in self.at_place:
                    made.append(self.run_at(trial, key, own[trial.pair]))
            return made

        said = [getattr(self.experiment, name) for name in _DECIDING]
        said += [self.vector.digest] if self.vector else []
        pairs = [self._described_pair(index) for index in swapped]
        trials = [self.described(trial) for trial in block.trials]
        return Unit(
            described=[self.method.name, said, pairs, trials],
            runs=runs,
            trees=[self.encoded[index].original_tree for index in order],
            wanted=[_answers(self.encoded[index]) for index in order],
            question=EVERYTHING,
            verified=verified,
        )

    def taken(
        self, block: RunBlock, replies: Sequence[Reply]
    ) -> Iterator[tuple[Trial, dict[RunKey, Reply]]]:
        """The replies of a unit, sorted: for each trial those of all runs of its pair."""
        each = iter(replies)
        own = {index: {key: next(each) for key in self.of_pair} for index in block.swapped}
        for trial in block.trials:
            yield trial, {**own[trial.pair], **{key: next(each) for key in self.at_place}}

    def _keys(self, names: Sequence[str]) -> tuple[RunKey, ...]:
        drawn = self.method.drawn
        return tuple(
            (name, draw) for name in names for draw in (self.draws if name in drawn else (0,))
        )

    def pair_runs(self, index: int) -> dict[RunKey, Run]:
        """The runs of a pair that are the same for all places."""
        asked = self.experiment, self.noise, self.layout.embed_width
        return {
            (name, draw): PAIR_RUNS[name](PairCase(self.encoded[index], draw, *asked))
            for name, draw in self.of_pair
        }

    def run_at(self, trial: Trial, key: RunKey, own: Mapping[RunKey, Run]) -> Run:
        """A run of a pair at a place.

        Args:
            trial: The pair and the place.
            key: Which run.
            own: The runs of the pair by itself.
        """
        name, draw = key
        return RUNS[name](self._case(trial, draw, own))

    def departure(self, trial: Trial, draw: int, own: Mapping[RunKey, Run]) -> Departure:
        """What is estimated of a pair at a place, as gradients have it.

        Args:
            trial: The pair and the place.
            draw: Number of the draw.
            own: The runs of the pair by itself.
        """
        estimand = self.method.estimate
        assert estimand is not None
        if estimand.run in DEPARTURES:
            return DEPARTURES[estimand.run](self._case(trial, draw, own))
        start = self.in_draw(own, draw)[estimand.start]
        return Departure(start, self.run_at(trial, (estimand.run, draw), own))

    def _case(self, trial: Trial, draw: int, own: Mapping[RunKey, Run]) -> TrialCase:
        target, beside = self.targets[trial.sweep], self.in_draw(own, draw)
        asked = self.experiment, self.layout, self.averages, self.vector
        return TrialCase(target, trial.layer, trial.pair, beside, *asked)

    def at(self, cells: Collection[tuple[int, int]]) -> EffectPlan:
        """The same with some places alone: number of the sweep, and layer, of each."""
        sweeps = cut(self.sweeps, cells)
        left = [replace(self.targets[number], sweep=sweep) for number, sweep in sweeps.items()]
        return replace(self, targets=tuple(left))

    def _described_pair(self, index: int) -> Any:
        """What the runs of a pair by itself hang on, in a form that JSON has."""
        pair, noise = self.encoded[index], self.noise
        sides = {CLEAN: pair.original, OTHER: pair.counterfactual}
        prompts = [side.ids for name, side in sides.items() if (name, 0) in self.of_pair]
        if noise is None:
            return prompts
        tokens = corrupted_tokens(pair.original, noise.position)
        return [*prompts, pair.pair.id, tokens, noise.level, self.experiment.seed, noise.draws]

    def answers(self, index: int) -> tuple[str, ...]:
        """The answers of a pair, whose probabilities are wanted after each of its runs."""
        return _answers(self.encoded[index])

    def described(self, trial: Trial) -> Any:
        """What a trial hangs on, in a form that JSON has."""
        target = self.targets[trial.sweep]
        return [*described_trial(target.sweep, trial), *target.described(trial.pair)]


def plan_effects(asked: PlaceRequest) -> EffectPlan:
    """Work out where the LM is changed.

    Args:
        asked: The pairs, and what is asked of them.

    Raises:
        CfgenError: There is no such place in the LM or in any pair; a token is left nothing to
            look at (``knockout-no-key``); there is no other pair that something could be taken
            from (``no-other-pair``); what is given to be written does not fit (``bad-parts``,
            ``ablation-value``, ``bad-vector``); no path leads to a receiver (``no-path``); or
            there is nothing to trace (``nothing-to-trace``, ``bad-noise``).
    """
    experiment = asked.experiment
    method = METHODS[experiment.method]
    noise = find_noise(asked) if "noise" in method.fields else None
    targets = tuple(PLACES[method.name](asked))
    return EffectPlan(method, experiment, targets, asked.encoded, asked.layout, noise, asked.vector)


def with_averages(bench: Workbench, plan: EffectPlan, portion: Portion) -> EffectPlan | None:
    """The plan with the averages that are written; None if it was time to stop before.

    Args:
        bench: What units are computed with.
        plan: The plan.
        portion: When to stop.
    """
    wanted = list(averages_wanted(plan.targets, plan.layers))
    if not wanted:
        return plan
    found = compute_averages(bench, wanted, portion)
    return None if found is None else replace(plan, averages=found)


def _answers(pair: PairTokens) -> tuple[str, ...]:
    sides = (pair.pair.original.answer, pair.pair.counterfactual.answer)
    return tuple(dict.fromkeys(answer for answer in sides if answer is not None))
