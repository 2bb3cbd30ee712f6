"""The stages of an experiment: pairs, checks, what the LM says unchanged, swaps, what that makes.

What takes long is computed in units, each of which is put away as soon as it is there: an
experiment that was killed goes on where it was, and one that is done is only counted again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any

from cfgen.counterfactuals import Pair, Site
from cfgen.errors import CfgenError
from cfgen.experiments.behaviour import Behaviour, check_any_kept, grade
from cfgen.experiments.cells import (
    Cell,
    Continuation,
    ContinuationRate,
    Guidance,
    MediatorSets,
    Output,
    PairEffect,
    VacuousCell,
)
from cfgen.experiments.changes import PlaceRequest
from cfgen.experiments.checking import (
    check_predictions,
    check_sites,
    checks_made,
    none_kept_aligned,
)
from cfgen.experiments.continuing import (
    BlockRuns,
    continuation_rates,
    continuation_records,
    continued,
)
from cfgen.experiments.effect_scores import score_effects
from cfgen.experiments.effects import RunKey, plan_effects, with_averages
from cfgen.experiments.estimates import effect_aims, swap_aims
from cfgen.experiments.filtering import Computation, FilterOutcome, filter_pairs
from cfgen.experiments.guide import guide
from cfgen.experiments.inquiry import Inquiry
from cfgen.experiments.interchange import RunBlock, swap_blocks
from cfgen.experiments.measures import MEASURES
from cfgen.experiments.mediators import mediator_sets
from cfgen.experiments.methods import METHODS
from cfgen.experiments.noise import Noise
from cfgen.experiments.portions import EVERYTHING_NOW, Portion, Remainder
from cfgen.experiments.replies import Unit, Workbench
from cfgen.experiments.scoring import output_kind, score
from cfgen.experiments.sweeps import Sweep, Trial, cut
from cfgen.experiments.units import Units
from cfgen.interventions import Check, Reply, Run, Work, choose_engine
from cfgen.lm import LM, PairTokens
from cfgen.progress import Progress, no_progress


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
        effects: Where effects are measured, those of each pair.
        noise: What corrupted prompts, where anything did.
        guidance: Estimates of all places, where only some were run: per hypothesis or effect.
        mediators: Sets of places that were swapped together, where that was asked.
        continuations: How the LM goes on, where that was asked.
        rates: How many of these begin with an answer, place by place.
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
    effects: tuple[PairEffect, ...] = ()
    noise: Noise | None = None
    guidance: tuple[Guidance, ...] = ()
    mediators: MediatorSets | None = None
    continuations: tuple[Continuation, ...] = ()
    rates: tuple[ContinuationRate, ...] = ()

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
    effects = METHODS[inquiry.experiment.method].effects
    found = (_effects if effects else _swaps)(bench, inquiry, portion)
    if isinstance(found, Remainder):
        return found
    kept = {index: found.encoded[index] for index in found.behaviour.kept}
    unaligned = {sweep.label: _unaligned(sweep, kept) for sweep in found.sweeps}
    texts, source = found.continuations, inquiry.source
    return RunRecord(
        model=lm.name,
        revision=lm.revision,
        device=str(lm.device),
        dtype=lm.dtype_name,
        attention=lm.attention,
        pairs=tuple(one.pair for one in found.encoded),
        sites=dict(inquiry.sites),
        layers=tuple(sorted({layer for sweep in found.sweeps for layer in sweep.layers})),
        tokens=_tokens(lm, found.sweeps),
        behaviour=found.behaviour,
        unaligned={label: reasons for label, reasons in unaligned.items() if reasons},
        outputs=found.outputs,
        effects=found.effects,
        noise=found.noise,
        guidance=found.guidance,
        mediators=found.mediators,
        continuations=texts,
        rates=continuation_rates(texts, found.encoded, source.candidates),
        cells=found.cells,
        vacuous=found.vacuous,
        checks=(*found.checks, *checks_made(found.work)),
        engine=EngineSettings(bench.engine.name, bench.engine.note, bench.engine.budget.tokens),
        work=found.work,
    )


@dataclass(frozen=True, slots=True)
class Responses:
    """What the LM said, and what that makes.

    Attributes:
        encoded: The pairs.
        sweeps: Where the LM was changed.
        behaviour: What it says unchanged, and which pairs are kept.
        checks: The checks that were made first.
        work: What all that took.
        cells: Numbers per place.
        vacuous: Places that have none.
        outputs: What it said after each swap of a kept pair.
        effects: Where effects are measured, those of each pair.
        noise: What corrupted prompts, where anything did.
        guidance: Estimates of all places, where only some were run: per hypothesis or effect.
        continuations: How the LM goes on, where that was asked.
        mediators: Sets of places that were swapped together, where that was asked.
    """

    encoded: list[PairTokens]
    sweeps: Sequence[Sweep]
    behaviour: Behaviour
    checks: list[Check]
    work: Work
    cells: tuple[Cell, ...]
    vacuous: tuple[VacuousCell, ...]
    outputs: tuple[Output, ...] = ()
    effects: tuple[PairEffect, ...] = ()
    noise: Noise | None = None
    guidance: tuple[Guidance, ...] = ()
    continuations: tuple[Continuation, ...] = ()
    mediators: MediatorSets | None = None


def _swaps(bench: Workbench, inquiry: Inquiry, portion: Portion) -> Responses | Remainder:
    """Test hypotheses, as far as that is to be done here and now."""
    found = filter_pairs(bench, inquiry, portion)
    if isinstance(found, Remainder):
        return found
    computed, sweeps = found.computed, found.computed.sweeps
    behaviour, choice = _graded(bench, inquiry, found), None
    if inquiry.experiment.guide:
        layers = bench.engine.layout.layers
        aims = swap_aims(sweeps, found.encoded, inquiry.experiment, layers)
        choice = guide(bench, aims, behaviour.kept, portion)
        if choice is None:
            return computed.stopped()
        sweeps = computed.sweeps = list(cut(sweeps, choice.run).values())
    if not found.joint:
        computed.run(swap_blocks(sweeps, behaviour.kept))

    def runs(block: RunBlock) -> tuple[Any, Sequence[Run]]:
        unit = computed.unit(replace(block, prompts=()))
        originals = [Run(found.encoded[index].original.ids) for index in block.swapped]
        return unit.described, [*originals, *unit.runs()]

    texts = _continued(computed, swap_blocks(sweeps, behaviour.kept), runs, sweeps)
    if computed.missing:
        return computed.remainder()
    kept = {index: found.encoded[index] for index in behaviour.kept}
    by_sweep: list[dict[Trial, Reply]] = [{} for _ in sweeps]
    for trial, reply in sorted(computed.responses.items(), key=itemgetter(0)):
        if trial.pair in kept:
            by_sweep[trial.sweep][trial] = reply
    measures = [MEASURES[name] for name in inquiry.experiment.measures]
    scored = [score(*each, kept, measures) for each in zip(sweeps, by_sweep, strict=True)]
    cells = tuple(cell for cells, _ in scored for cell in cells)
    return Responses(
        found.encoded,
        sweeps,
        behaviour,
        found.checks,
        computed.work,
        continuations=texts,
        cells=cells,
        vacuous=tuple(cell for _, empty in scored for cell in empty),
        guidance=choice.compared(cells) if choice else (),
        outputs=tuple(
            _output(bench.engine.lm, sweep, trial, kept[trial.pair], reply)
            for sweep, here in zip(sweeps, by_sweep, strict=True)
            for trial, reply in here.items()
        ),
    )


def _effects(bench: Workbench, inquiry: Inquiry, portion: Portion) -> Responses | Remainder:
    """Measure effects, as far as that is to be done here and now."""
    found = filter_pairs(bench, inquiry, portion)
    if isinstance(found, Remainder):
        return found
    computed, experiment = found.computed, inquiry.experiment
    behaviour = _graded(bench, inquiry, found)
    (site,) = inquiry.sites.values()
    layout, kept = bench.engine.layout, behaviour.kept
    asked = PlaceRequest(found.encoded, kept, site, experiment, layout, inquiry.vector)
    plan, choice = with_averages(bench, plan_effects(asked), portion), None
    if plan is None:
        return computed.stopped()
    checks = found.checks + check_sites(bench, plan.sweeps)
    if experiment.guide:
        choice = guide(bench, effect_aims(plan), behaviour.kept, portion)
        if choice is None:
            return computed.stopped()
        plan = plan.at(choice.run)
    replies: dict[Trial, Mapping[RunKey, Reply]] = {}

    def unit(block: RunBlock) -> Unit:
        return plan.unit(block, experiment.engine.verify)

    def take(block: RunBlock) -> None:
        said, work = bench.replies(unit(block))
        replies.update(plan.taken(block, said))
        computed.work += work

    computed.run_as(plan.blocks(behaviour.kept), unit, take)

    def runs(block: RunBlock) -> tuple[Any, Sequence[Run]]:
        made = unit(block)
        return made.described, made.runs()

    texts = _continued(computed, plan.blocks(behaviour.kept), runs, plan.sweeps)
    if computed.missing:
        return computed.remainder()
    measures, sets = [MEASURES[name] for name in experiment.measures], None
    cells, vacuous, effects = score_effects(plan, replies, behaviour.kept, measures)
    if experiment.mediators:
        sets = mediator_sets(bench, plan, replies, behaviour.kept, portion)
        if sets is None:
            return computed.stopped()
    return Responses(
        found.encoded,
        plan.sweeps,
        behaviour,
        checks,
        computed.work,
        cells=tuple(cells),
        vacuous=tuple(vacuous),
        effects=tuple(effects),
        noise=plan.noise,
        mediators=sets,
        guidance=choice.compared(cells) if choice else (),
        continuations=texts,
    )


def _continued(
    computed: Computation, blocks: Sequence[RunBlock], runs: BlockRuns, sweeps: Sequence[Sweep]
) -> tuple[Continuation, ...]:
    """How the LM goes on, as far as that is asked and there; what is not counts as missing."""
    experiment, lm = computed.inquiry.experiment, computed.bench.engine.lm
    if not experiment.generate:
        return ()
    found = continued(computed.bench, blocks, runs, experiment, computed.portion)
    computed.there += found.there
    computed.missing += found.missing
    computed.late = computed.late or found.late

    def decode(tokens: Sequence[int]) -> str:
        return str(lm.tokenizer.decode([*tokens]))

    return continuation_records(found, sweeps, computed.encoded, decode, experiment.during)


def _graded(bench: Workbench, inquiry: Inquiry, found: FilterOutcome) -> Behaviour:
    """What the LM says unchanged; some pair has to be kept."""
    behaviour = grade(found.encoded, found.said, METHODS[inquiry.experiment.method].graded)
    check_any_kept(behaviour, found.encoded, found.said, bench.engine.lm.tokenizer)
    return behaviour


def _output(lm: LM, sweep: Sweep, trial: Trial, pair: PairTokens, reply: Reply) -> Output:
    said = str(lm.tokenizer.decode([*pair.original_tree.fed, *reply.said]))
    kind = output_kind(pair, reply)
    return Output(*sweep.spot, trial.layer, pair.pair.id, said, kind)


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
        raise CfgenError(none_kept_aligned(sweep.label, lost))
    check_predictions(sweep.hypotheses, pairs)
    return lost
