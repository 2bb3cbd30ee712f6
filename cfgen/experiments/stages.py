"""The stages of an experiment: pairs, checks, what the LM says unchanged, swaps, what that makes.

What takes long is computed in units, each of which is put away as soon as it is there: an
experiment that was killed goes on where it was, and one that is done is only counted again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from cfgen.counterfactuals import Pair, Site
from cfgen.datasets import PairSource
from cfgen.errors import CfgenError, Problem
from cfgen.experiments.behaviour import Behaviour, grade, wrong_sides
from cfgen.experiments.cells import Cell, Output, VacuousCell
from cfgen.experiments.checking import (
    check_arguments,
    check_predictions,
    check_sites,
    check_spans,
    check_texts,
    checks_made,
    none_kept_aligned,
)
from cfgen.experiments.inquiry import Inquiry
from cfgen.experiments.interchange import (
    FILTERED,
    RunBlock,
    filter_blocks,
    joint_blocks,
    swap_blocks,
    swaps_cost_little,
    unit_of,
)
from cfgen.experiments.measures import MEASURES
from cfgen.experiments.portions import EVERYTHING_NOW, Portion, Remainder
from cfgen.experiments.replies import Unit, Workbench
from cfgen.experiments.scoring import kind_of, score
from cfgen.experiments.sweeps import Sweep, Trial, make_sweeps
from cfgen.experiments.units import Units
from cfgen.interventions import Check, Reply, Work, choose_engine
from cfgen.lm import LM, PairTokens, encode_pairs
from cfgen.progress import Progress, no_progress

DRAWN_AT_MOST = 50
"""So many times as many pairs as are to be kept are drawn, before it is said that too few are."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How runs were executed.

    Attributes:
        name: ``packed`` or ``reference``.
        note: Why it is not the packed one, where that had been possible to choose.
        budget: Tokens per forward.
    """

    name: str
    note: str
    budget: int


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What came out of an experiment.

    Attributes:
        model: Name of the LM.
        revision: Which weights exactly.
        device: Where it ran.
        dtype: In what it was computed.
        attention: Which implementation of the attention computed it.
        pairs: Those that were run, before any was dropped.
        sites: Hypothesis -> where it was tested.
        layers: The layers swept.
        tokens: Name of every token -> its text in the first pair that has it, where the sweep goes
            over every token.
        behaviour: What the LM says unchanged, and which pairs were kept.
        unaligned: Label of a site -> reason -> how many kept pairs could not be swapped there.
        outputs: One per kept, swappable pair, site and layer.
        cells: Measures per hypothesis, site and layer; ``none`` is the control at every site.
        vacuous: Sites and layers that have no cells, as nothing that was swapped differs.
        checks: The checks that ran; all passed.
        engine: How runs were executed.
        work: What was executed, and what that took.
    """

    model: str
    revision: str
    device: str
    dtype: str
    attention: str
    pairs: tuple[Pair, ...]
    sites: dict[str, Site]
    layers: tuple[int, ...]
    tokens: dict[str, str]
    behaviour: Behaviour
    unaligned: dict[str, dict[str, int]]
    outputs: tuple[Output, ...]
    cells: tuple[Cell, ...]
    vacuous: tuple[VacuousCell, ...]
    checks: tuple[Check, ...]
    engine: EngineSettings
    work: Work

    @property
    def task(self) -> str:
        """Name of the task, or names joined by ``+``."""
        return "+".join(sorted({pair.task for pair in self.pairs}))

    @property
    def design(self) -> str:
        """Name of the design, or names joined by ``+``."""
        return "+".join(sorted({pair.design for pair in self.pairs}))


def run_experiment(
    lm: LM,
    inquiry: Inquiry,
    units: Units,
    *,
    portion: Portion = EVERYTHING_NOW,
    report: Progress = no_progress,
) -> RunRecord | Remainder:
    """Swap activations of every pair at every site and layer, and count what the LM says.

    Nothing is random: the same arguments give the same result, whoever computed its units.

    Args:
        lm: The LM, in evaluation mode.
        inquiry: What is asked of it.
        units: Where units are, and are put.
        portion: Which units are computed here and now.
        report: Called with progress.

    Returns:
        Outputs, measures, rates, drops with their reasons, and the checks that ran; or, if units
        are missing that were not to be computed here, how many there are.

    Raises:
        CfgenError: The pairs, sites or layers don't fit together or the LM; answers that nothing
            tells apart; no pair is left; or one of the checks failed.
    """
    options = inquiry.experiment.engine
    bench = Workbench(choose_engine(lm, options.name, batch_size=options.batch_size), units, report)
    found = _answered(bench, inquiry, portion)
    if isinstance(found, Remainder):
        return found
    kept = {index: found.encoded[index] for index in found.behaviour.kept}
    unaligned = {sweep.site.label: _unaligned(sweep, kept) for sweep in found.sweeps}
    by_sweep: list[dict[Trial, Reply]] = [{} for _ in found.sweeps]
    for trial, reply in sorted(found.responses.items(), key=itemgetter(0)):
        by_sweep[trial.sweep][trial] = reply
    measures = [MEASURES[name] for name in inquiry.experiment.measures]
    scored = [score(*each, kept, measures) for each in zip(found.sweeps, by_sweep, strict=True)]
    return RunRecord(
        model=lm.name,
        revision=lm.revision,
        device=str(lm.device),
        dtype=str(lm.dtype).removeprefix("torch."),
        attention=lm.attention,
        pairs=tuple(one.pair for one in found.encoded),
        sites=dict(inquiry.sites),
        layers=tuple(sorted({layer for sweep in found.sweeps for layer in sweep.layers})),
        tokens=_tokens(lm, found.sweeps),
        behaviour=found.behaviour,
        unaligned={label: reasons for label, reasons in unaligned.items() if reasons},
        outputs=tuple(
            _output(lm, sweep, trial, kept[trial.pair], reply)
            for sweep, here in zip(found.sweeps, by_sweep, strict=True)
            for trial, reply in here.items()
        ),
        cells=tuple(cell for cells, _ in scored for cell in cells),
        vacuous=tuple(cell for _, empty in scored for cell in empty),
        checks=(*found.checks, *checks_made(found.work)),
        engine=EngineSettings(bench.engine.name, bench.engine.note, bench.engine.budget.tokens),
        work=found.work,
    )


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
    check_arguments(pairs, inquiry.sites, engine.layout)
    encoded = encode_pairs(
        engine.lm.tokenizer,
        pairs,
        source.candidates,
        chat=experiment.chat,
        progress=bench.report,
    )
    checks = check_texts(engine, encoded) + check_spans(encoded, inquiry.sites.values())
    sweeps = make_sweeps(encoded, inquiry.sites, experiment.sweep, engine.layout)
    little = swaps_cost_little(sweeps, engine.layout.layers, engine.name == "packed")
    return Preparation(encoded, sweeps, little and not experiment.kept, checks)


@dataclass(frozen=True, slots=True)
class Responses:
    """What the LM said.

    Attributes:
        encoded: The pairs.
        sweeps: Where swaps were made.
        behaviour: What it says unchanged, and which pairs are kept.
        responses: What it says after each swap of a kept pair; in no order.
        checks: The checks that were made first.
        work: What all that took.
    """

    encoded: list[PairTokens]
    sweeps: list[Sweep]
    behaviour: Behaviour
    responses: dict[Trial, Reply]
    checks: list[Check]
    work: Work


def _answered(bench: Workbench, inquiry: Inquiry, portion: Portion) -> Responses | Remainder:
    """Draw pairs, check, and execute everything, as far as that is to be done here and now."""
    experiment = inquiry.experiment
    count, checks = experiment.n, None
    while True:
        source = inquiry.source if count == experiment.n else inquiry.draw(count)
        made = prepare(bench, inquiry, source)
        checks = checks or check_sites(bench, made.sweeps)
        encoded = made.encoded
        computed = Computation(bench, inquiry, encoded, made.sweeps, portion)
        computed.run(
            joint_blocks(made.sweeps, len(encoded)) if made.joint else filter_blocks(len(encoded))
        )
        if computed.missing:
            return computed.remainder()
        kept = computed.kept()
        if not experiment.kept:
            break
        if len(kept) >= experiment.n:
            encoded = encoded[: kept[experiment.n - 1] + 1]
            kept = kept[: experiment.n]
            break
        count = _more(len(kept), len(encoded), experiment.n, source.total)
    said = [computed.replies[index] for index in range(len(encoded))]
    behaviour = grade(encoded, said, bench.engine.lm.tokenizer)
    if not made.joint:
        computed.run(swap_blocks(made.sweeps, kept))
    if computed.missing:
        return computed.remainder()
    wanted = set(kept)
    responses = {t: reply for t, reply in computed.responses.items() if t.pair in wanted}
    done = made.checks + checks
    return Responses(encoded, made.sweeps, behaviour, responses, done, computed.work)


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
    most = min(DRAWN_AT_MOST * n, total or DRAWN_AT_MOST * n)
    if drawn >= most:
        there = "there are" if most == total else "were drawn"
        message = (
            f"{n} pairs are to be kept, but of the {drawn} that {there} the LM answers only "
            f"{kept} correctly on both sides"
        )
        hint = "ask for fewer, or use an LM that can do the task"
        raise CfgenError(Problem("too-few-kept", message, hint=hint))
    rate = max(kept, 1) / drawn
    return min(most, drawn + max(FILTERED, round((n - kept) / rate)))


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
        swaps = any(block.trials for block in blocks)
        sizes = [len(block.trials) or 2 * len(block.prompts) for block in blocks]
        step, done = "swaps" if swaps else "prompts unchanged", 0
        for number, (block, size) in enumerate(zip(blocks, sizes, strict=True)):
            self.bench.report(step, done, sum(sizes))
            done += size
            unit = self.unit(block)
            if self._left_out(number, block, unit):
                self.missing += 1
                continue
            self.there += 1
            self.take(block)
        self.bench.report(step, done, sum(sizes))

    def kept(self) -> list[int]:
        """Indices of the pairs, of those run, that the LM answers correctly on both sides."""
        said = sorted(self.replies.items())
        return [index for index, both in said if not wrong_sides(self.encoded[index], both)]

    def remainder(self) -> Remainder:
        """What there is, and what is missing."""
        return Remainder(self.there, self.there + self.missing, self.late)

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


def _output(lm: LM, sweep: Sweep, trial: Trial, pair: PairTokens, reply: Reply) -> Output:
    said = str(lm.tokenizer.decode([*pair.original_tree.fed, *reply.said]))
    return Output(pair.pair.id, *sweep.place, trial.layer, said, kind_of(pair, reply))


def _tokens(lm: LM, sweeps: Sequence[Sweep]) -> dict[str, str]:
    """Name -> text of the tokens that are swapped by themselves."""
    found: dict[str, str] = {}
    for sweep in sweeps:
        if sweep.token is not None:
            swap = next(iter(sweep.aligned.swaps.values()))
            ((at, _),) = swap.moves
            found.setdefault(sweep.token, str(lm.tokenizer.decode([swap.original.ids[at]])))
    return found


def _unaligned(sweep: Sweep, kept: Mapping[int, PairTokens]) -> dict[str, int]:
    """Why kept pairs can't be swapped at a site, with how many.

    Raises:
        CfgenError: None can (``no-kept-pair-aligned``), or a hypothesis predicts nothing for any
            that can (``no-predictions``).
    """
    dropped = sweep.aligned.dropped
    lost = dict(sorted(Counter(dropped[index] for index in kept if index in dropped).items()))
    pairs = [pair for index, pair in kept.items() if index in sweep.aligned.swaps]
    if sweep.token is not None:
        # some tokens are those of dropped pairs alone, or of pairs without a prediction
        check_predictions(sweep.hypotheses, list(kept.values()))
        return lost
    if not pairs:
        raise CfgenError(none_kept_aligned(sweep.site.label, lost))
    check_predictions(sweep.hypotheses, pairs)
    return lost
