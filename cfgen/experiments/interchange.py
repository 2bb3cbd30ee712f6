"""Interchange interventions: swaps of activations between the prompts of pairs, in units.

A unit is a block of drawn pairs times a block of cells. Which block a pair belongs to follows from
its number alone, so that a longer experiment has the units of a shorter one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cfgen.counterfactuals import Pair
from cfgen.experiments.replies import EVERYTHING, SAID, Unit
from cfgen.experiments.sweeps import Sweep, Trial
from cfgen.interventions import Run, run_of
from cfgen.lm import AnswerTree, PairTokens, PromptTokens

FILTERED = 32
"""Drawn pairs of a block in which nothing is swapped."""
PAIRS = 16
"""Drawn pairs of a block with swaps."""
CELLS = 128
"""Cells of a block at most."""
GRID_LAYERS = 2
"""Layers of a block where every token is swapped by itself."""


@dataclass(frozen=True, slots=True)
class RunBlock:
    """What is computed as one.

    Attributes:
        prompts: Indices of pairs whose prompts are run unchanged.
        trials: Swaps, cell by cell.
    """

    prompts: tuple[int, ...] = ()
    trials: tuple[Trial, ...] = ()

    @property
    def swapped(self) -> list[int]:
        """Indices of the pairs that its trials are of."""
        return list(dict.fromkeys(trial.pair for trial in self.trials))


def filter_blocks(count: int) -> list[RunBlock]:
    """All prompts of so many pairs, unchanged."""
    return [
        RunBlock(prompts=tuple(range(start, min(start + FILTERED, count))))
        for start in range(0, count, FILTERED)
    ]


def swap_blocks(
    sweeps: Sequence[Sweep],
    kept: Iterable[int],
    size: int = PAIRS,
    grid_layers: int = GRID_LAYERS,
) -> list[RunBlock]:
    """All swaps of some pairs.

    Args:
        sweeps: The sites.
        kept: Indices of the pairs.
        size: Drawn pairs of a block.
        grid_layers: Layers of a block where every token is swapped by itself.
    """
    groups = _grouped(sweeps, grid_layers)
    return [
        RunBlock(trials=trials)
        for pairs in in_blocks(kept, size)
        for cells in groups
        if (trials := _trials(sweeps, cells, pairs))
    ]


def joint_blocks(sweeps: Sequence[Sweep], count: int) -> list[RunBlock]:
    """All prompts of so many pairs unchanged, each together with all swaps in it."""
    cells = _cells(sweeps)
    return [
        RunBlock(tuple(pairs), _trials(sweeps, cells, pairs)) for pairs in in_blocks(range(count))
    ]


def swaps_cost_little(sweeps: Sequence[Sweep], layers: int, packed: bool) -> bool:
    """Whether all swaps of a pair are less work than its two prompts.

    Then prompts are run once, for the filter and as what swaps are made upon, although some swaps
    are made in pairs that turn out not to be kept. Counted on the first pairs, so that it is the
    same however many there are: a swap changes its tokens and all behind them, from its layer on.
    """
    first = {
        index: swap
        for sweep in sweeps
        for index, swap in sweep.aligned.swaps.items()
        if index < PAIRS
    }
    prompts = sum(len(swap.original) + len(swap.source) for swap in first.values()) * layers
    cost = sum(
        _swap_work(sweep, Trial(number, layer, index), layers, packed)
        for number, sweep in enumerate(sweeps)
        for index in sweep.aligned.swaps
        if index < PAIRS
        for layer in sweep.layers
    )
    return cost <= prompts


def work_ahead(
    block: RunBlock,
    sweeps: Sequence[Sweep],
    encoded: Sequence[PairTokens],
    layers: int,
    packed: bool,
) -> int:
    """About how many tokens times layers a block takes, for comparing it with others.

    Args:
        block: The block.
        sweeps: The sites.
        encoded: The pairs.
        layers: How many the LM has.
        packed: Whether only what a swap can change is computed.
    """
    pairs = {*block.prompts, *(trial.pair for trial in block.trials)}
    both = (len(encoded[n].original) + len(encoded[n].counterfactual) for n in pairs)
    swaps = (_swap_work(sweeps[trial.sweep], trial, layers, packed) for trial in block.trials)
    return sum(both) * layers + sum(swaps)


def _swap_work(sweep: Sweep, trial: Trial, layers: int, packed: bool) -> int:
    swap = sweep.aligned.swaps[trial.pair]
    if not packed:
        return len(swap.original) * layers
    behind = len(swap.original) - min(position for position, _ in swap.moves)
    return behind * (layers - sweep.site.swept(trial.layer, layers)[0])


def _cells(sweeps: Sequence[Sweep]) -> list[tuple[int, int]]:
    """Number of the sweep, and layer, of every cell."""
    return [(number, layer) for number, sweep in enumerate(sweeps) for layer in sweep.layers]


def _grouped(sweeps: Sequence[Sweep], grid_layers: int) -> list[list[tuple[int, int]]]:
    """Cells in groups, each of which is a block; the same ones however many pairs there are."""
    cells = _cells(sweeps)
    if any(sweep.token is not None for sweep in sweeps):
        # more pairs may have further tokens, but not further layers
        layers = sorted({layer for _, layer in cells})
        chunks = [set(layers[at : at + grid_layers]) for at in range(0, len(layers), grid_layers)]
        return [[cell for cell in cells if cell[1] in chunk] for chunk in chunks]
    size = math.ceil(len(cells) / math.ceil(len(cells) / CELLS))  # blocks of equal size
    return [cells[start : start + size] for start in range(0, len(cells), size)]


def in_blocks(indices: Iterable[int], size: int = PAIRS) -> list[list[int]]:
    """Indices of pairs in blocks: the same pair is always in the same one."""
    found: dict[int, list[int]] = {}
    for index in indices:
        found.setdefault(index // size, []).append(index)
    return [found[number] for number in sorted(found)]


def _trials(
    sweeps: Sequence[Sweep], cells: Sequence[tuple[int, int]], pairs: Sequence[int]
) -> tuple[Trial, ...]:
    return tuple(
        Trial(number, layer, index)
        for number, layer in cells
        for index in pairs
        if index in sweeps[number].aligned.swaps
    )


def unit_of(
    block: RunBlock,
    sweeps: Sequence[Sweep],
    encoded: Sequence[PairTokens],
    layers: int,
    *,
    answers: bool,
    verified: int,
) -> Unit:
    """The runs of a block: of each pair the original and the counterfactual, then the swaps.

    Args:
        block: The block.
        sweeps: The sites.
        encoded: The pairs.
        layers: How many the LM has.
        answers: Whether log-probabilities and ranks of answers are wanted at any price; without a
            further run they always are.
        verified: How many to execute again on the reference engine.
    """
    prompts: list[PromptTokens] = []
    trees: list[AnswerTree] = []
    for index in block.prompts:
        pair = encoded[index]
        prompts += [pair.original, pair.counterfactual]
        trees += [pair.original_tree, pair.counterfactual_tree]

    def runs() -> list[Run]:
        return [Run(prompt.ids) for prompt in prompts] + [
            run_of(sweeps[t.sweep].aligned.swaps[t.pair], sweeps[t.sweep].site, t.layer, layers)
            for t in block.trials
        ]

    wanted = {t.pair: _wanted(encoded[t.pair], answers) for t in block.trials}
    trials = [described_trial(sweeps[t.sweep], t) for t in block.trials]
    return Unit(
        described=["interchange", [prompt.ids for prompt in prompts], trials],
        runs=runs,
        trees=[*trees, *(encoded[t.pair].original_tree for t in block.trials)],
        wanted=[*([()] * len(prompts)), *(wanted[t.pair] for t in block.trials)],
        question=EVERYTHING if block.trials else SAID,
        verified=verified if block.trials else 0,
    )


def described_trial(sweep: Sweep, trial: Trial) -> Any:
    """What a swap is, in a form that JSON has."""
    swap = sweep.aligned.swaps[trial.pair]
    where = {key: value for key, value in asdict(sweep.site).items() if key in _MADE}
    return [trial.layer, where, swap.original.ids, swap.source.ids, swap.moves, swap.held]


_MADE = ("layers", "component", "head", "neurons")
"""Fields of a site that a run is made from; its positions have become tokens."""


def _wanted(pair: PairTokens, answers: bool) -> tuple[str, ...]:
    """The answers that matter for a pair: those of its sides, and those that are predicted.

    Their probabilities need no further run where one token tells each answer. Where answers have
    several, they are read only if a measure takes them.
    """
    if pair.original_tree.depth > 1 and not answers:
        return ()
    return tuple(dict.fromkeys(_answers(pair.pair)))


def _answers(pair: Pair) -> Iterator[str]:
    said = (pair.original.answer, pair.counterfactual.answer, *pair.predictions.values())
    return (answer for answer in said if answer is not None)
