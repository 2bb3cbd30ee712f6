"""Effects: how pairs are run with an LM that is changed at some places, unit by unit.

A pair is run as it is and with changes; an effect is a number made of these runs (see
:mod:`cfgen.experiments.methods`). Units, the filter and the checks are those of interchanges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cfgen.experiments.changes import (
    PlaceRequest,
    Target,
    TrialCase,
    ablated_places,
    ablated_run,
    blocked_places,
    blocked_run,
    direct_run,
    indirect_run,
    swapped_places,
)
from cfgen.experiments.definition import Experiment
from cfgen.experiments.interchange import RunBlock, described_trial, swap_blocks
from cfgen.experiments.methods import (
    ABLATED,
    BLOCKED,
    CLEAN,
    DIRECT,
    INDIRECT,
    METHODS,
    OTHER,
    PATCHED,
    Method,
)
from cfgen.experiments.paths import patched_places, patched_run
from cfgen.experiments.replies import EVERYTHING, Unit
from cfgen.experiments.sweeps import Sweep, Trial
from cfgen.interventions import Reply, Run
from cfgen.lm import PairTokens

PLACES: Mapping[str, Callable[[PlaceRequest], list[Target]]] = {
    "mediation": swapped_places,
    "ablation": ablated_places,
    "knockout": blocked_places,
    "paths": patched_places,
}
"""Method -> where it changes the LM."""
RUNS: Mapping[str, Callable[[TrialCase], Run]] = {
    INDIRECT: indirect_run,
    DIRECT: direct_run,
    ABLATED: ablated_run,
    BLOCKED: blocked_run,
    PATCHED: patched_run,
}
"""Run of a pair -> how it is made at a place."""
_DECIDING = ("ablation", "mlps")
"""Fields of an experiment that decide what is run, beyond places."""


@dataclass(frozen=True, slots=True)
class EffectPlan:
    """What is run to measure effects.

    Attributes:
        method: The method.
        experiment: What was asked.
        targets: Where the LM is changed.
        encoded: The pairs.
        layers: How many the LM has.
    """

    method: Method
    experiment: Experiment
    targets: tuple[Target, ...]
    encoded: Sequence[PairTokens]
    layers: int

    @property
    def sweeps(self) -> tuple[Sweep, ...]:
        """The sweeps of the targets."""
        return tuple(target.sweep for target in self.targets)

    @property
    def unchanged(self) -> tuple[str, ...]:
        """The runs of a pair in which nothing is changed."""
        return (CLEAN, *(name for name in self.method.runs if name not in RUNS))

    @property
    def changed(self) -> tuple[str, ...]:
        """Those in which something is."""
        return tuple(name for name in self.method.runs if name in RUNS)

    def blocks(self, kept: Iterable[int]) -> list[RunBlock]:
        """What is computed as one; for all pairs where a method counts them all."""
        indices = range(len(self.encoded)) if self.method.unfiltered else kept
        return swap_blocks(self.sweeps, indices)

    def unit(self, block: RunBlock, verified: int) -> Unit:
        """The runs of a block: the prompts of its pairs, then those of each trial."""
        order = [index for index in block.swapped for _ in self.unchanged]
        order += [trial.pair for trial in block.trials for _ in self.changed]

        def runs() -> list[Run]:
            made = [run for index in block.swapped for run in self._prompts(index)]
            cases = (self._case(trial, block.swapped) for trial in block.trials)
            return made + [RUNS[name](case) for case in cases for name in self.changed]

        prompts = [[run.prompt for run in self._prompts(index)] for index in block.swapped]
        said = [getattr(self.experiment, name) for name in _DECIDING]
        trials = [self._described(trial) for trial in block.trials]
        return Unit(
            described=[self.method.name, said, prompts, trials],
            runs=runs,
            trees=[self.encoded[index].original_tree for index in order],
            wanted=[_answers(self.encoded[index]) for index in order],
            question=EVERYTHING,
            verified=verified,
        )

    def taken(
        self, block: RunBlock, replies: Sequence[Reply]
    ) -> Iterator[tuple[Trial, dict[str, Reply]]]:
        """The replies of a unit, sorted: for each trial those of all runs of its pair."""
        each = iter(replies)
        clean = {index: {name: next(each) for name in self.unchanged} for index in block.swapped}
        for trial in block.trials:
            yield trial, {**clean[trial.pair], **{name: next(each) for name in self.changed}}

    def _prompts(self, index: int) -> list[Run]:
        pair = self.encoded[index]
        sides = {CLEAN: pair.original, OTHER: pair.counterfactual}
        return [Run(sides[name].ids) for name in self.unchanged]

    def _case(self, trial: Trial, together: Sequence[int]) -> TrialCase:
        target = self.targets[trial.sweep]
        return TrialCase(target, trial.layer, trial.pair, together, self.experiment, self.layers)

    def _described(self, trial: Trial) -> Any:
        target = self.targets[trial.sweep]
        receiver = target.receiver and asdict(target.receiver)
        return [*described_trial(target.sweep, trial), target.keys.get(trial.pair), receiver]


def plan_effects(asked: PlaceRequest) -> EffectPlan:
    """Work out where the LM is changed.

    Args:
        asked: The pairs, and what is asked of them.

    Raises:
        CfgenError: There is no such place in the LM or in any pair; a token is left nothing to
            look at (``knockout-no-key``); there is no other pair that something could be taken
            from (``no-other-pair``); or no path leads to a receiver (``no-path``).
    """
    experiment, layers = asked.experiment, asked.layout.layers
    targets = tuple(PLACES[experiment.method](asked))
    return EffectPlan(METHODS[experiment.method], experiment, targets, asked.encoded, layers)


def _answers(pair: PairTokens) -> tuple[str, ...]:
    sides = (pair.pair.original.answer, pair.pair.counterfactual.answer)
    return tuple(dict.fromkeys(answer for answer in sides if answer is not None))
