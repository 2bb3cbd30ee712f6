"""Filtering: pairs are drawn and prepared, and their prompts asked, until there are enough.

What the LM says to prompts as they are decides which pairs anything else is done with, so this
comes first in every experiment; it is all that there is of one that swaps nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cfgen.counterfactuals import Pair
from cfgen.datasets import ASKED_AT_MOST, PairSource
from cfgen.errors import CfgenError, Problem
from cfgen.experiments.behaviour import wrong_sides
from cfgen.experiments.changes import PlaceRequest
from cfgen.experiments.checking import check_arguments, check_sites, check_spans, check_texts
from cfgen.experiments.effects import plan_effects
from cfgen.experiments.inquiry import Inquiry
from cfgen.experiments.interchange import (
    FILTERED,
    RunBlock,
    filter_blocks,
    joint_blocks,
    swaps_cost_little,
    unit_of,
)
from cfgen.experiments.measures import MEASURES
from cfgen.experiments.methods import METHODS
from cfgen.experiments.portions import Portion, Remainder
from cfgen.experiments.replies import Unit, Workbench
from cfgen.experiments.sweeps import Sweep, Trial, make_sweeps
from cfgen.experiments.units import MemoryStore
from cfgen.interventions import Check, Engine, Reply, Work
from cfgen.lm import Candidates, PairTokens, encode_pairs
from cfgen.progress import Progress, no_progress


@dataclass(frozen=True, slots=True)
class Preparation:
    """What is to be run, checked as far as that can be done before.

    Attributes:
        encoded: The pairs.
        sweeps: Where swaps are made.
        joint: Whether prompts and swaps of a pair are computed together.
        checks: The checks that were made.
    """

    encoded: list[PairTokens]
    sweeps: list[Sweep]
    joint: bool
    checks: list[Check]


def prepare(bench: Workbench, inquiry: Inquiry, source: PairSource) -> Preparation:
    """Encode pairs, align them at all sites, and check what can be checked before the long run."""
    experiment, engine, pairs = inquiry.experiment, bench.engine, source.pairs
    effects = METHODS[experiment.method].effects
    tests = METHODS[experiment.method].tests
    sites = inquiry.sites if tests else {}
    check_arguments(pairs, sites, engine.layout, swaps=tests)
    encoded = encode_pairs(
        engine.lm.tokenizer,
        pairs,
        source.candidates,
        chat=experiment.chat,
        progress=bench.report,
    )
    checks = check_texts(engine, encoded, experiment.generate) + check_spans(
        encoded, inquiry.sites.values()
    )
    sweeps = make_sweeps(encoded, sites, experiment.sweep, engine.layout)
    if effects:
        # Where the LM is changed hangs on which pairs are kept. What no pair has is known before.
        (site,) = inquiry.sites.values()
        every = range(len(encoded))
        layout, vector = engine.layout, inquiry.vector
        plan_effects(PlaceRequest(encoded, every, site, experiment, layout, vector))
    # where the LM goes on, each share has to know which pairs are kept; so has a guide
    later = experiment.kept or experiment.generate or experiment.guide
    joint = bool(sweeps) and not later
    if joint:
        joint = swaps_cost_little(sweeps, engine.layout.layers, engine.name == "packed")
    return Preparation(encoded, sweeps, joint, checks)


@dataclass(slots=True)
class Computation:
    """Computes blocks, or finds what was computed before; some may have to be left to others.

    Attributes:
        bench: What units are computed with.
        inquiry: What is asked.
        encoded: The pairs.
        sweeps: Where swaps are made.
        portion: What is to be computed here and now.
        replies: Index of a pair -> what the LM says after its original and its counterfactual.
        responses: What it says after swaps.
        work: What that took.
        there: How many blocks are there.
        missing: How many are not.
        late: Whether that is because time is up.
    """

    bench: Workbench
    inquiry: Inquiry
    encoded: Sequence[PairTokens]
    sweeps: Sequence[Sweep]
    portion: Portion
    replies: dict[int, tuple[Reply, Reply]] = field(default_factory=dict)
    responses: dict[Trial, Reply] = field(default_factory=dict)
    work: Work = field(default_factory=Work)
    there: int = 0
    missing: int = 0
    late: bool = False

    def run(self, blocks: Sequence[RunBlock]) -> None:
        """Compute the blocks that are missing, as far as they are to be computed."""
        self.run_as(blocks, self.unit, self.take)

    def run_as(
        self,
        blocks: Sequence[RunBlock],
        unit_of_block: Callable[[RunBlock], Unit],
        take: Callable[[RunBlock], object],
    ) -> None:
        """The same, where a block is made a unit otherwise, or something else is done with it.

        Args:
            blocks: The blocks.
            unit_of_block: Makes a unit of a block.
            take: Takes over what came of a block, which is computed unless it is there.
        """
        swaps = any(block.trials for block in blocks)
        sizes = [len(block.trials) or 2 * len(block.prompts) for block in blocks]
        step, done = "swaps" if swaps else "prompts unchanged", 0
        for number, (block, size) in enumerate(zip(blocks, sizes, strict=True)):
            self.bench.report(step, done, sum(sizes))
            done += size
            if self._left_out(number, block, unit_of_block(block)):
                self.missing += 1
                continue
            self.there += 1
            take(block)
        self.bench.report(step, done, sum(sizes))

    def kept(self) -> list[int]:
        """Indices of the pairs, of those run, that the LM answers correctly."""
        graded = METHODS[self.inquiry.experiment.method].graded
        said = sorted(self.replies.items())
        return [i for i, both in said if not {*graded} & {*wrong_sides(self.encoded[i], both)}]

    def remainder(self) -> Remainder:
        """What there is, and what is missing."""
        return Remainder(self.there, self.there + self.missing, self.late)

    def stopped(self) -> Remainder:
        """What there is, where time was up in the middle of something else than a block."""
        return Remainder(self.there, self.there + 1, late=True)

    def unit(self, block: RunBlock) -> Unit:
        """What is computed of a block, or found."""
        return unit_of(
            block,
            self.sweeps,
            self.encoded,
            self.bench.engine.layout.layers,
            answers=any(MEASURES[one].answers for one in self.inquiry.experiment.measures),
            verified=self.inquiry.experiment.engine.verify,
        )

    def _left_out(self, number: int, block: RunBlock, unit: Unit) -> bool:
        """Whether a block is for another shard, or for another time.

        What only filters is for all shards, since each has to know which pairs are kept.
        """
        share, shares = self.portion.shard
        for_others = bool(block.trials) and number % shares != share - 1
        if (for_others or self.portion.due) and not self.bench.has(unit):
            self.late = self.late or not for_others
            return True
        return False

    def take(self, block: RunBlock) -> Work:
        """Take over what came of a block, which is computed unless it is there."""
        replies, took = self.bench.replies(self.unit(block))
        own = 2 * len(block.prompts)
        both = zip(replies[:own:2], replies[1:own:2], strict=True)
        self.replies |= zip(block.prompts, both, strict=True)
        self.responses |= zip(block.trials, replies[own:], strict=True)
        self.work += took
        return took


@dataclass(frozen=True, slots=True)
class FilterOutcome:
    """The pairs, and what the LM says to their prompts.

    Attributes:
        encoded: The pairs.
        said: Per pair, what the LM says after the original and after the counterfactual.
        computed: What was computed for it.
        joint: Whether all swaps were computed with it.
        checks: The checks that were made first.
    """

    encoded: list[PairTokens]
    said: list[tuple[Reply, Reply]]
    computed: Computation
    joint: bool
    checks: list[Check]


def filter_pairs(bench: Workbench, inquiry: Inquiry, portion: Portion) -> FilterOutcome | Remainder:
    """Draw pairs, check, and ask the LM their prompts, until enough are kept where that is wanted.

    Raises:
        CfgenError: As :func:`run_experiment`.
    """
    experiment = inquiry.experiment
    count, checks = experiment.n, None
    while True:
        source = inquiry.source if count == experiment.n else inquiry.draw(count)
        made = prepare(bench, inquiry, source)
        if checks is None:
            checks = check_sites(bench, made.sweeps) if made.sweeps else []
        encoded = made.encoded
        computed = Computation(bench, inquiry, encoded, made.sweeps, portion)
        count = len(encoded)
        computed.run(joint_blocks(made.sweeps, count) if made.joint else filter_blocks(count))
        if computed.missing:
            return computed.remainder()
        kept = computed.kept()
        if not experiment.kept:
            break
        if len(kept) >= experiment.n:
            encoded = encoded[: kept[experiment.n - 1] + 1]
            break
        count = _more(len(kept), len(encoded), experiment.n, source.total)
    said = [computed.replies[index] for index in range(len(encoded))]
    return FilterOutcome(encoded, said, computed, made.joint, made.checks + checks)


def _more(kept: int, drawn: int, n: int, total: int | None) -> int:
    """How many pairs to draw, all in all, for ``n`` to be kept, where so many of these were.

    Args:
        kept: Pairs that are kept.
        drawn: Pairs that were drawn.
        n: How many are to be kept.
        total: How many pairs there are; None for as many as one likes.

    Raises:
        CfgenError: There are no more, or far too few are kept (``too-few-kept``).
    """
    most = min(ASKED_AT_MOST * n, total or ASKED_AT_MOST * n)
    if drawn >= most:
        there = "there are" if most == total else "were drawn"
        message = (
            f"{n} pairs are to be kept, but of the {drawn} that {there} the LM answers only "
            f"{kept} correctly"
        )
        hint = "ask for fewer, or use an LM that can do the task"
        raise CfgenError(Problem("too-few-kept", message, hint=hint))
    rate = max(kept, 1) / drawn
    return min(most, drawn + max(FILTERED, round((n - kept) / rate)))


def answered_rightly(
    engine: Engine,
    pairs: Sequence[Pair],
    candidates: Candidates,
    report: Progress = no_progress,
) -> list[bool]:
    """For each pair, whether a run would keep it: the LM answers its prompts correctly.

    Args:
        engine: How prompts are run, with the LM.
        pairs: The pairs.
        candidates: What may be answered -> the texts any of which is this answer.
        report: Called with progress.

    Raises:
        CfgenError: An answer cannot be read in the LM's tokens.
    """
    encoded = encode_pairs(engine.lm.tokenizer, pairs, candidates)
    check_texts(engine, encoded)
    right: list[bool] = []
    for block in filter_blocks(len(encoded)):
        report("prompts unchanged", 2 * len(right), 2 * len(encoded))
        unit = unit_of(block, [], encoded, engine.layout.layers, answers=False, verified=0)
        replies, _ = Workbench(engine, MemoryStore(), report).replies(unit)
        both = zip(block.prompts, replies[::2], replies[1::2], strict=True)
        right += [not wrong_sides(encoded[index], (one, other)) for index, one, other in both]
    report("prompts unchanged", 2 * len(right), 2 * len(encoded))
    return right
