"""Plans: what an experiment will take, from its runs and a short measurement, before it is begun.

What is measured are units of the experiment itself, which are kept: nothing of it is done twice.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import torch

from cfgen.experiments.changes import PlaceRequest
from cfgen.experiments.checking import check_sites
from cfgen.experiments.effects import plan_effects, with_averages
from cfgen.experiments.estimates import Aims, effect_aims, swap_aims
from cfgen.experiments.filtering import Computation, prepare
from cfgen.experiments.guide import guide
from cfgen.experiments.inquiry import Inquiry
from cfgen.experiments.interchange import (
    RunBlock,
    filter_blocks,
    joint_blocks,
    swap_blocks,
    work_ahead,
)
from cfgen.experiments.methods import METHODS
from cfgen.experiments.portions import EVERYTHING_NOW, Portion
from cfgen.experiments.replies import Unit, Workbench
from cfgen.experiments.sweeps import Sweep, cut
from cfgen.experiments.units import Units
from cfgen.interventions import Work, choose_engine
from cfgen.lm import LM, PairTokens
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
        generated: Tokens that are generated at most, which is not measured.
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
    generated: int = 0


@dataclass(frozen=True, slots=True)
class Workload:
    """Blocks of one kind, and how each is computed.

    Attributes:
        name: What computing them is called.
        blocks: The blocks.
        sweeps: Where trials are made.
        unit: Makes a unit of a block.
        take: Computes a block, or finds it, and says what that took.
        runs: How many runs a trial is.
    """

    name: str
    blocks: Sequence[RunBlock]
    sweeps: Sequence[Sweep]
    unit: Callable[[RunBlock], Unit]
    take: Callable[[RunBlock], Work]
    runs: int = 1


@dataclass(frozen=True, slots=True)
class Forecast:
    """What blocks of one kind will take, from some of them.

    Attributes:
        blocks: How many there are.
        done: How many of them were computed by now.
        seconds: What the others will take.
        passes: What all take, in tokens times layers.
        work: What those took that were looked at.
        swaps: How many swaps these have.
    """

    blocks: int
    done: int
    seconds: float
    passes: float
    work: Work
    swaps: int


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
    computed = Computation(bench, inquiry, made.encoded, made.sweeps, EVERYTHING_NOW)
    encoded, count = made.encoded, len(made.encoded)
    first = joint_blocks(made.sweeps, count) if made.joint else filter_blocks(count)
    prompts = Workload(
        "prompts unchanged", _own(first, portion), made.sweeps, computed.unit, computed.take
    )
    forecasts = [_forecast(bench, encoded, prompts, 1.0)]
    kept, run = computed.kept(), len(computed.replies)
    rate = len(kept) / run if run else 1.0  # none is run where all are for other shares
    pairs = round(inquiry.experiment.n / max(rate, 1 / count)) if inquiry.experiment.kept else count
    load = prompts
    every = METHODS[inquiry.experiment.method].unfiltered  # whether or not a pair is kept
    if not made.joint:
        # which pairs are kept is known of the first ones; of the others, as many will be
        others = [index for index in range(count) if index not in computed.replies]
        load = _changes(computed, [*kept, *others], portion)
        share = (len(kept) + len(others) * rate) / max(1, len(kept) + len(others))
        forecasts.append(_forecast(bench, encoded, load, 1.0 if every else share))
    check_sites(bench, load.sweeps)
    work = sum((one.work for one in forecasts), Work())
    cells = sum(len(sweep.layers) for sweep in load.sweeps)
    trials = sum(len(sweep.layers) * len(sweep.aligned.swaps) for sweep in load.sweeps)
    more = pairs / count
    return Plan(
        engine=bench.engine.name,
        note=bench.engine.note,
        pairs=pairs,
        keep_rate=rate,
        cells=cells,
        swaps=round(more * (1.0 if every else rate) * trials * load.runs),
        whole=dict(sorted(work.whole.items())),
        measured=sum(one.swaps for one in forecasts),
        passes=round(more * sum(one.passes for one in forecasts)),
        units=round(more * sum(one.blocks for one in forecasts)),
        done=sum(one.done for one in forecasts),
        seconds=more * sum(one.seconds for one in forecasts),
        memory=_memory(lm),
        generated=round(more * rate * trials) * inquiry.experiment.generate,
    )


def _changes(computed: Computation, likely: Sequence[int], portion: Portion) -> Workload:
    """What is computed besides unchanged prompts: swaps, or what effects are made of.

    Args:
        computed: What computes swaps.
        likely: Indices of pairs that are kept, as far as is known.
        portion: Which share is planned.
    """
    bench, inquiry, encoded = computed.bench, computed.inquiry, computed.encoded
    experiment = inquiry.experiment

    def chosen(aims: Aims) -> Collection[tuple[int, int]]:
        # the places may be others, but not how many there are
        choice = guide(bench, aims, computed.kept() or likely[:1], EVERYTHING_NOW)
        assert choice is not None
        return choice.run

    if not METHODS[experiment.method].effects:
        if experiment.guide:
            aims = swap_aims(computed.sweeps, encoded, experiment, bench.engine.layout.layers)
            computed.sweeps = list(cut(computed.sweeps, chosen(aims)).values())
        blocks = _own(swap_blocks(computed.sweeps, likely), portion)
        return Workload("swaps", blocks, computed.sweeps, computed.unit, computed.take)
    (site,) = inquiry.sites.values()
    layout, vector = bench.engine.layout, inquiry.vector
    plan = plan_effects(PlaceRequest(encoded, likely, site, experiment, layout, vector))
    ready = with_averages(bench, plan, EVERYTHING_NOW)
    assert ready is not None
    plan = ready.at(chosen(effect_aims(ready))) if experiment.guide else ready

    def unit(block: RunBlock) -> Unit:
        return plan.unit(block, experiment.engine.verify)

    def take(block: RunBlock) -> Work:
        return bench.replies(unit(block))[1]

    blocks = _own(plan.blocks(likely), portion)
    return Workload("changes", blocks, plan.sweeps, unit, take, len(plan.at_place))


def _own(blocks: Sequence[RunBlock], portion: Portion) -> list[RunBlock]:
    """The blocks of this share; what only filters is for all shares."""
    share, shares = portion.shard
    return [
        block
        for number, block in enumerate(blocks)
        if not block.trials or number % shares == share - 1
    ]


def _forecast(
    bench: Workbench, encoded: Sequence[PairTokens], load: Workload, share: float
) -> Forecast:
    """Measure the first blocks that are missing, and say what the others will take.

    Args:
        bench: What units are computed with.
        encoded: The pairs.
        load: The blocks.
        share: Which part of each is expected to be run at all.
    """
    engine, report, blocks, step = bench.engine, bench.report, load.blocks, load.name
    packed = engine.name == "packed"
    ahead = [
        work_ahead(block, load.sweeps, encoded, engine.layout.layers, packed) for block in blocks
    ]
    missing = [number for number, block in enumerate(blocks) if not bench.has(load.unit(block))]
    # what is there is looked at, too: prompts tell which pairs are kept, and all tell their cost
    looked_at = [number for number in range(len(blocks)) if number not in missing][:MEASURED]
    each = 0.0
    took = [load.take(blocks[number]) for number in looked_at]
    for tried, number in enumerate(missing[:MEASURED]):
        report(f"measure: {step}", tried, len(missing[:MEASURED]))
        started = time.perf_counter()
        took.append(load.take(blocks[number]))
        seconds = time.perf_counter() - started
        each = seconds / ahead[number]
        looked_at.append(number)
        if seconds > LONG:
            break
    report(f"measure: {step}", 1, 1)
    work = sum(took, Work())
    passes = (work.clean.passes + work.edited.passes) / max(1, sum(ahead[n] for n in looked_at))
    left = [number for number in missing if number not in looked_at]
    return Forecast(
        blocks=len(blocks),
        done=len(blocks) - len(left),
        seconds=share * each * sum(ahead[number] for number in left),
        passes=share * passes * sum(ahead),
        work=work,
        swaps=sum(len(blocks[number].trials) for number in looked_at),
    )


def _memory(lm: LM) -> int:
    if lm.device.type == "cuda":
        return torch.cuda.max_memory_allocated(lm.device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
