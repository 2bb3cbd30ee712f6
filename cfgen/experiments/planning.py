"""Plans: what an experiment will take, from its runs and a short measurement, before it is begun.

What is measured are units of the experiment itself, which are kept: nothing of it is done twice.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from cfgen.experiments.checking import check_sites
from cfgen.experiments.filtering import Computation, prepare
from cfgen.experiments.inquiry import Inquiry
from cfgen.experiments.interchange import (
    RunBlock,
    filter_blocks,
    joint_blocks,
    swap_blocks,
    work_ahead,
)
from cfgen.experiments.portions import EVERYTHING_NOW, Portion
from cfgen.experiments.replies import Workbench
from cfgen.experiments.units import Units
from cfgen.interventions import Work, choose_engine
from cfgen.lm import LM
from cfgen.progress import Progress, no_progress

MEASURED = 2
"""Units of a kind that are measured; the last counts, since the first one also warms up."""
LONG = 20.0
"""Seconds of a unit after which no other is measured."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What an experiment will take.

    Attributes:
        engine: ``packed`` or ``reference``.
        note: Why it is not the packed one, where that had been possible to choose.
        pairs: How many will be drawn.
        keep_rate: Share of them that is expected to be kept, from those that were run.
        cells: Sites, heads, tokens and layers at which is swapped.
        swaps: How many there will be, of the pairs that are expected to be kept.
        whole: Reason -> swaps of the measured units that the packed engine has to run whole, as the
            reference does.
        measured: How many swaps were in those units.
        passes: Tokens times layers that are computed in all.
        units: How many there are in all, for this share.
        done: How many of them are there already, measured ones included.
        seconds: What the rest will take.
        memory: Bytes in use at most until now, on the device where it has a memory of its own.
    """

    engine: str
    note: str
    pairs: int
    keep_rate: float
    cells: int
    swaps: int
    whole: dict[str, int]
    measured: int
    passes: int
    units: int
    done: int
    seconds: float
    memory: int


@dataclass(slots=True)
class Forecast:
    """What blocks of one kind will take, from the first of them.

    Attributes:
        share: Which part of each block is expected to be run at all.
        seconds: What the missing ones will take.
        passes: What all take, in tokens times layers.
        done: How many are there.
        work: What the measured ones took.
        swaps: How many swaps the measured ones have.
    """

    share: float = 1.0
    seconds: float = 0.0
    passes: float = 0.0
    done: int = 0
    work: Work = field(default_factory=Work)
    swaps: int = 0


def plan_experiment(
    lm: LM,
    inquiry: Inquiry,
    units: Units,
    *,
    portion: Portion = EVERYTHING_NOW,
    report: Progress = no_progress,
) -> Plan:
    """Say what an experiment will take, from the first of its units.

    Args:
        lm: The LM, in evaluation mode.
        inquiry: What is asked of it.
        units: Where units are, and are put.
        portion: Which share is planned.
        report: Called with progress.

    Raises:
        CfgenError: As :func:`cfgen.experiments.run_experiment`, as far as that is found out by the
            first units.
    """
    options = inquiry.experiment.engine
    bench = Workbench(choose_engine(lm, options.name, batch_size=options.batch_size), units, report)
    made = prepare(bench, inquiry, inquiry.source)
    check_sites(bench, made.sweeps)
    computed = Computation(bench, inquiry, made.encoded, made.sweeps, EVERYTHING_NOW)
    count = len(made.encoded)
    if made.joint:
        first, swaps = joint_blocks(made.sweeps, count), []
    else:
        first, swaps = filter_blocks(count), swap_blocks(made.sweeps, range(count))
    forecasts = [_forecast(computed, _own(first, portion), 1.0, "prompts unchanged")]
    kept = computed.kept()
    rate = len(kept) / len(computed.replies)
    pairs = round(inquiry.experiment.n / max(rate, 1 / count)) if inquiry.experiment.kept else count
    if swaps:
        # which pairs are kept is known of the first ones; of the others, as many will be
        others = [index for index in range(count) if index not in computed.replies]
        swaps = _own(swap_blocks(made.sweeps, [*kept, *others]), portion)
        share = (len(kept) + len(others) * rate) / max(1, len(kept) + len(others))
        forecasts.append(_forecast(computed, swaps, share, "swaps"))
    work = sum((one.work for one in forecasts), Work())
    cells = sum(len(sweep.layers) for sweep in made.sweeps)
    more = pairs / count
    return Plan(
        engine=bench.engine.name,
        note=bench.engine.note,
        pairs=pairs,
        keep_rate=rate,
        cells=cells,
        swaps=round(more * rate * sum(len(s.layers) * len(s.aligned.swaps) for s in made.sweeps)),
        whole=dict(sorted(work.whole.items())),
        measured=sum(one.swaps for one in forecasts),
        passes=round(more * sum(one.passes for one in forecasts)),
        units=round(more * (len(_own(first, portion)) + len(swaps))),
        done=sum(one.done for one in forecasts),
        seconds=more * sum(one.seconds for one in forecasts),
        memory=_memory(lm),
    )


def _own(blocks: Sequence[RunBlock], portion: Portion) -> list[RunBlock]:
    """The blocks of this share; what only filters is for all shares."""
    share, shares = portion.shard
    return [
        block
        for number, block in enumerate(blocks)
        if not block.trials or number % shares == share - 1
    ]


def _forecast(
    computed: Computation, blocks: Sequence[RunBlock], share: float, step: str
) -> Forecast:
    """Measure the first blocks that are missing, and say what the others will take."""
    bench, found = computed.bench, Forecast(share)
    engine = bench.engine
    ahead = [
        work_ahead(
            block, computed.sweeps, computed.encoded, engine.layout.layers, engine.name == "packed"
        )
        for block in blocks
    ]
    there = [computed.has(block) for block in blocks]
    # of prompts, the first ones are looked at in any case: they tell which pairs are kept
    chosen = [n for n, block in enumerate(blocks) if block.prompts or not there[n]][:MEASURED]
    seconds_each = passes_each = 0.0
    for tried, number in enumerate(chosen):
        bench.report(f"measure: {step}", tried, len(chosen))
        started = time.perf_counter()
        took = computed.take(blocks[number])
        if not there[number]:
            seconds_each = (time.perf_counter() - started) / ahead[number]
        passes_each = (took.clean.passes + took.edited.passes) / ahead[number]
        found.work += took
        found.swaps += len(blocks[number].trials)
        there[number] = True
        if time.perf_counter() - started > LONG:
            break
    bench.report(f"measure: {step}", len(chosen), len(chosen))
    missing = sum(work for work, is_there in zip(ahead, there, strict=True) if not is_there)
    found.seconds = share * missing * seconds_each
    found.passes = share * sum(ahead) * passes_each
    found.done = sum(there)
    return found


def _memory(lm: LM) -> int:
    if lm.device.type == "cuda":
        return torch.cuda.max_memory_allocated(lm.device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
