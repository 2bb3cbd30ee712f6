"""Run hypotheses on an LM: from pairs to outputs and IIA, with every check on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cfgen.counterfactuals import Pair, Site
from cfgen.errors import CfgenError, Problem, did_you_mean
from cfgen.experiments.behaviour import Behaviour, behave
from cfgen.experiments.iia import Cell, Output, VacuousCell, kind_of, score
from cfgen.experiments.sweeps import Sweep, make_sweeps, run_sweeps
from cfgen.interventions import (
    BATCH_SIZE,
    TOLERANCE,
    Check,
    Engine,
    Reply,
    Work,
    check_padding,
    check_self_swap,
    check_tokens,
    check_words,
    choose_engine,
    place_of,
    swaps_to_try,
)
from cfgen.lm import (
    LM,
    Candidates,
    Layout,
    PairTokens,
    check_known,
    check_places,
    check_prompts,
    check_sums,
    check_text,
    encode_pairs,
)
from cfgen.progress import Progress, no_progress

VERIFIED = 8
"""Swaps that are executed again on the reference engine."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What came out of a run.

    Attributes:
        model: Name of the LM.
        revision: Which weights exactly.
        device: Where it ran.
        dtype: In what it was computed.
        attention: Which implementation of the attention computed it.
        task: Name of the task, or names joined by ``+``.
        design: Name of the design, or names joined by ``+``.
        n: Pairs that were run, before any was dropped.
        sites: Hypothesis -> where it was tested.
        layers: The layers swept.
        behaviour: What the LM says unchanged, and which pairs were kept.
        unaligned: Label of a site -> reason -> how many kept pairs could not be swapped there.
        outputs: One per kept, swappable pair, site and layer.
        cells: IIA per hypothesis, site and layer; ``none`` is the control at every site.
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
    task: str
    design: str
    n: int
    sites: dict[str, Site]
    layers: tuple[int, ...]
    behaviour: Behaviour
    unaligned: dict[str, dict[str, int]]
    outputs: tuple[Output, ...]
    cells: tuple[Cell, ...]
    vacuous: tuple[VacuousCell, ...]
    checks: tuple[Check, ...]
    engine: EngineSettings
    work: Work


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How runs were executed.

    Attributes:
        name: ``packed`` or ``reference``.
        note: Why it is not the packed one, where that had been possible to choose.
        budget: Tokens per forward, at the end.
    """

    name: str
    note: str
    budget: int


def run_experiment(
    lm: LM,
    pairs: Sequence[Pair],
    hypotheses: Mapping[str, Site],
    *,
    candidates: Candidates | None = None,
    chat: bool = False,
    layers: Iterable[int] | None = None,
    batch_size: int = BATCH_SIZE,
    engine: str = "auto",
    verified: int = VERIFIED,
    progress: Progress = no_progress,
) -> RunRecord:
    """Swap activations of every pair at every site and layer, and count what the LM says.

    Nothing is written and nothing is random: the same arguments give the same result.

    Args:
        lm: The LM, in evaluation mode.
        pairs: The pairs to run; which of those there are is for the caller to choose.
        hypotheses: Name, as in the pairs' predictions -> the site where its variables are said to
            live.
        candidates: As for :func:`cfgen.lm.encode_pairs`.
        chat: Whether each prompt is the user's message in the LM's own chat template.
        layers: Layers counted from 0; None for all.
        batch_size: Prompts per forward.
        engine: ``packed``, ``reference``, or ``auto``: packed where the LM allows it.
        verified: How many swaps to run again on the reference engine.
        progress: Called as ``progress(step, done, total)``.

    Returns:
        Outputs, IIA, rates, drops with their reasons, and the checks that ran.

    Raises:
        CfgenError: The pairs, sites or layers don't fit together or the LM; answers that nothing
            tells apart; no pair is left; or one of the checks failed.
    """
    chosen = choose_engine(lm, engine, batch_size=batch_size)
    check_arguments(pairs, hypotheses, chosen.layout)
    encoded = encode_pairs(lm.tokenizer, pairs, candidates, chat=chat)
    texts = _check_prompts(chosen, encoded)
    sweeps = make_sweeps(encoded, hypotheses, layers, chosen.layout.layers)
    answers = len(encoded[0].original_tree.answers)
    checks = [
        Check("tokens are the text", "", texts, "prompts decoded"),
        Check("answers are told apart", "", answers, "answers compared"),
    ]
    checks += _check_spans(encoded, hypotheses.values())
    checks += _check_sites(chosen, sweeps, progress)
    behaviour, clean = behave(chosen, encoded, progress)
    kept = {index: encoded[index] for index in behaviour.kept}
    unaligned = {sweep.site.label: _unaligned(sweep, kept) for sweep in sweeps}
    responses, swapped = run_sweeps(chosen, sweeps, kept, verified, progress)
    work = clean + swapped
    checks += _checks_made(work)
    scored = [
        score(sweep, [one for one in responses if one.sweep == number], kept)
        for number, sweep in enumerate(sweeps)
    ]
    return RunRecord(
        model=lm.name,
        revision=lm.revision,
        device=str(lm.device),
        dtype=str(lm.dtype).removeprefix("torch."),
        attention=lm.attention,
        task="+".join(sorted({pair.task for pair in pairs})),
        design="+".join(sorted({pair.design for pair in pairs})),
        n=len(pairs),
        sites=dict(hypotheses),
        layers=tuple(sorted({layer for sweep in sweeps for layer in sweep.layers})),
        behaviour=behaviour,
        unaligned={label: reasons for label, reasons in unaligned.items() if reasons},
        outputs=tuple(
            Output(
                pair_id=kept[one.pair].pair.id,
                component=sweeps[one.sweep].site.component,
                layer=one.layer,
                position=sweeps[one.sweep].site.label,
                said=_text(lm, kept[one.pair], one.reply),
                kind=kind_of(kept[one.pair], one.reply),
            )
            for one in responses
        ),
        cells=tuple(cell for cells, _ in scored for cell in cells),
        vacuous=tuple(cell for _, empty in scored for cell in empty),
        checks=tuple(checks),
        engine=EngineSettings(chosen.name, chosen.note, chosen.budget.tokens),
        work=work,
    )


def _check_prompts(engine: Engine, encoded: Sequence[PairTokens]) -> int:
    """Check that the LM can read all prompts and answers, and that prompts are their texts.

    Returns:
        How many prompts were decoded.
    """
    lm, facts = engine.lm, engine.facts
    sides = [side for pair in encoded for side in (pair.original, pair.counterfactual)]
    trees = [tree for pair in encoded for tree in (pair.original_tree, pair.counterfactual_tree)]
    depth = max(tree.depth for tree in trees)
    check_prompts(lm, facts, {index: side.ids for index, side in enumerate(sides)}, depth)
    nexts = (token for tree in trees for tokens in tree.children.values() for token in tokens)
    check_known(lm, facts, set(nexts))
    return check_text(lm.tokenizer, encoded)


def _text(lm: LM, pair: PairTokens, reply: Reply) -> str:
    """What the LM said, with what it was fed."""
    return str(lm.tokenizer.decode([*pair.original_tree.fed, *reply.said]))


def _check_spans(encoded: Sequence[PairTokens], sites: Iterable[Site]) -> list[Check]:
    """Check the words at the positions of sites; at ``last`` alone there is none to compare."""
    places = {name for site in sites for name in (*site.positions, *site.frozen)}
    spans = check_words(encoded, places)
    return [Check("spans show their slots", "", spans, "spans compared")] if spans else []


def _check_sites(engine: Engine, sweeps: Sequence[Sweep], report: Progress) -> list[Check]:
    """Check the LM and every site on a few pairs, before the long run."""
    total = 2 * len(sweeps) + 1
    report("checks", 0, total)
    check_sums(engine.layout)
    tolerance = f"within {TOLERANCE[engine.lm.dtype]:g} standard deviations of the logits"
    checks = [Check("components add up", "", engine.layout.layers, "layers")]
    for number, sweep in enumerate(sweeps):
        site, swaps, layers = sweep.site, list(sweep.aligned.swaps.values()), sweep.layers
        decoded = check_tokens(engine.lm.tokenizer, swaps)
        report("checks", 2 * number + 1, total)
        tried = swaps_to_try(swaps)
        selves = check_self_swap(engine, tried, site, layers)
        report("checks", 2 * number + 2, total)
        ends = tried[:: max(1, len(tried) - 1)]  # the shortest and the longest
        padded = check_padding(engine, ends, site, layers[len(layers) // 2])
        checks += [
            Check("self-swap changes nothing", site.label, selves, f"swaps; logits {tolerance}"),
            Check("padded gives unpadded", site.label, padded, f"runs; logits {tolerance}"),
            Check("tokens are the slot", site.label, decoded, "positions decoded"),
        ]
    report("checks", total, total)
    return checks


def _checks_made(work: Work) -> list[Check]:
    """The checks that the engine made on the way."""
    checks = [Check("every edit fired once", "", work.edited.edits, "tokens written")]
    if work.self_tested:
        note = "swaps that need no run, run all the same"
        checks.append(Check("what can't differ does not", "", work.self_tested, note))
    if work.verified:
        note = "swaps run again, whole, on the reference engine"
        checks.append(Check("packed equals reference", "", work.verified, note))
    return checks


def _unaligned(sweep: Sweep, kept: Mapping[int, PairTokens]) -> dict[str, int]:
    """Why kept pairs can't be swapped at a site, with how many.

    Raises:
        CfgenError: None can (``no-kept-pair-aligned``), or a hypothesis predicts nothing for any
            that can (``no-predictions``).
    """
    dropped = sweep.aligned.dropped
    lost = dict(sorted(Counter(dropped[index] for index in kept if index in dropped).items()))
    pairs = [pair for index, pair in kept.items() if index in sweep.aligned.swaps]
    if not pairs:
        raise CfgenError(none_kept_aligned(sweep.site.label, lost))
    check_predictions(sweep.hypotheses, pairs)
    return lost


def check_arguments(pairs: Sequence[Pair], hypotheses: Mapping[str, Site], layout: Layout) -> None:
    """Check what a run is given, before anything is computed.

    Args:
        pairs: The pairs to run.
        hypotheses: Name -> site.
        layout: Where everything is in the LM.

    Raises:
        CfgenError: There are no pairs (``no-pairs``) or hypotheses (``no-hypotheses``), a
            hypothesis that the pairs don't know (``unknown-hypothesis``), or a component that
            there isn't or that the LM doesn't have (see :func:`cfgen.lm.layout.check_places`).
    """
    problems = []
    if not pairs:
        hint = "ask for more pairs, or use a design that yields decisive ones"
        problems.append(Problem("no-pairs", "there is no pair to run", hint=hint))
    if not hypotheses:
        hint = "name at least one hypothesis and its site"
        problems.append(Problem("no-hypotheses", "there is no hypothesis to test", hint=hint))
    known = {name for pair in pairs for name in pair.predictions}
    for name in hypotheses:
        if pairs and name not in known:
            message = f"the pairs carry no predictions of the hypothesis {name!r}"
            problems.append(Problem("unknown-hypothesis", message, hint=did_you_mean(name, known)))
    if problems:
        raise CfgenError(problems)
    check_places(layout, [place_of(site, 0) for site in hypotheses.values()])


def check_predictions(names: Iterable[str], pairs: Sequence[PairTokens]) -> None:
    """Raise a CfgenError (``no-predictions``) for hypotheses that predict nothing for any pair."""
    hint = "test it with the design that it is meant for"
    silent = [
        name for name in names if all(pair.pair.predictions.get(name) is None for pair in pairs)
    ]
    if silent:
        raise CfgenError(
            Problem("no-predictions", f"{name!r} predicts an answer for no pair kept", hint=hint)
            for name in silent
        )


def none_kept_aligned(label: str, lost: Mapping[str, int]) -> Problem:
    """What to say when the filter leaves no pair that can be swapped at a site."""
    reasons = "; ".join(f"{count} pairs: {reason}" for reason, count in lost.items())
    message = f"no pair that the LM answers correctly can be swapped at {label!r}: {reasons}"
    hint = "run more pairs, or use words with the same number of tokens"
    return Problem("no-kept-pair-aligned", message, hint=hint)
