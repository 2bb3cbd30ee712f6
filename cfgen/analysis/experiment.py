"""Run hypotheses on an LM: from pairs to outputs and IIA, with every check on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from cfgen.analysis.behaviour import Behaviour, behave
from cfgen.analysis.iia import Cell, Output, kind_of_output, score
from cfgen.analysis.swapping import SaidTokens, run_swaps
from cfgen.counterfactuals import NONE, Pair, Site
from cfgen.errors import CfgenError, Problem, did_you_mean
from cfgen.interventions import (
    BATCH_SIZE,
    TOLERANCE,
    VERIFIED,
    Check,
    Engine,
    EngineTally,
    SiteSwaps,
    align,
    check_padding,
    check_self_swap,
    check_tokens,
    check_words,
    choose_engine,
    layers_of,
    place_of,
    swaps_to_try,
)
from cfgen.lm import (
    LM,
    Candidates,
    Layout,
    PairTokens,
    TokenPath,
    check_known,
    check_places,
    check_prompts,
    check_sums,
    check_text,
    encode_pairs,
)
from cfgen.progress import Progress


@dataclass(frozen=True, slots=True)
class Experiment:
    """What came out of a run.

    Attributes:
        model: Name of the LM.
        revision: Which weights exactly.
        device: Where it ran.
        dtype: In what it was computed.
        task: Name of the task, or names joined by ``+``.
        design: Name of the design, or names joined by ``+``.
        n: Pairs that were run, before any was dropped.
        sites: Hypothesis -> where it was tested.
        layers: The layers swept.
        behaviour: What the LM says unchanged, and which pairs were kept.
        unaligned: Label of a site -> reason -> how many kept pairs could not be swapped there.
        outputs: One per kept, swappable pair, site and layer.
        cells: IIA per hypothesis, site and layer; ``none`` is the control at every site.
        checks: The checks that ran; all passed.
        tally: How the swaps were run, and what that took.
        verified: How many of them were run again on the reference engine.
    """

    model: str
    revision: str
    device: str
    dtype: str
    task: str
    design: str
    n: int
    sites: dict[str, Site]
    layers: tuple[int, ...]
    behaviour: Behaviour
    unaligned: dict[str, dict[str, int]]
    outputs: tuple[Output, ...]
    cells: tuple[Cell, ...]
    checks: tuple[Check, ...]
    tally: EngineTally
    verified: int


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
    progress: Progress | None = None,
) -> Experiment:
    """Swap activations of every pair at every site and layer, and count what the LM says.

    Nothing is written and nothing is random: the same arguments give the same result.

    Args:
        lm: The LM, in evaluation mode.
        pairs: The pairs to run; which of those there are is for the caller to choose.
        hypotheses: Name, as in the pairs' predictions -> the site where its variables are said to
            live.
        candidates: As for :func:`cfgen.lm.encode_pairs`.
        chat: Likewise.
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
    report = progress or (lambda step, done, total: None)
    chosen = choose_engine(lm, engine, batch_size=batch_size)
    check_arguments(pairs, hypotheses, chosen.layout)
    sites = tuple(dict.fromkeys(hypotheses.values()))
    swept = {site: layers_of(site, layers, chosen.layout.layers) for site in sites}
    encoded = encode_pairs(lm.tokenizer, pairs, candidates, chat=chat)
    trees = [tree for pair in encoded for tree in (pair.original_tree, pair.counterfactual_tree)]
    chosen = replace(chosen, answer_tokens=max(tree.depth for tree in trees))
    read = [ids for pair in encoded for ids in (pair.original.ids, pair.counterfactual.ids)]
    check_prompts(lm, chosen.facts, dict(enumerate(read)), chosen.answer_tokens)
    nexts = (token for tree in trees for tokens in tree.children.values() for token in tokens)
    check_known(lm, chosen.facts, set(nexts))
    texts = check_text(lm.tokenizer, encoded)
    aligned = [align(encoded, site) for site in sites]
    answers = len(trees[0].answers)
    checks = [
        Check("tokens are the text", "", texts, "prompts decoded"),
        Check("answers are told apart", "", answers, "answers compared"),
    ]
    checks += _check_spans(encoded, sites)
    checks += _check_sites(chosen, aligned, swept, report)
    said = run_swaps(chosen, encoded, aligned, swept, verified, report)
    behaviour = behave(encoded, said.clean, lm.tokenizer)
    checks += _checks_made(chosen, said)
    kept = {index: encoded[index] for index in behaviour.kept}
    parts = []
    for swaps in aligned:
        names = [name for name, site in hypotheses.items() if site == swaps.site]
        parts.append(_outcome(lm, swaps, names, kept, said.at(swaps.site)))
    lost = {part.label: part.lost for part in parts}
    return Experiment(
        model=lm.name,
        revision=lm.revision,
        device=str(lm.device),
        dtype=str(lm.dtype).removeprefix("torch."),
        task="+".join(sorted({pair.task for pair in pairs})),
        design="+".join(sorted({pair.design for pair in pairs})),
        n=len(pairs),
        sites=dict(hypotheses),
        layers=tuple(sorted({layer for here in swept.values() for layer in here})),
        behaviour=behaviour,
        unaligned={label: reasons for label, reasons in lost.items() if reasons},
        outputs=tuple(output for part in parts for output in part.outputs),
        cells=tuple(cell for part in parts for cell in part.cells),
        checks=tuple(checks),
        tally=chosen.tally,
        verified=said.verified,
    )


def _check_spans(encoded: Sequence[PairTokens], sites: Iterable[Site]) -> list[Check]:
    """Check the words at the positions of sites; at ``last`` alone there is none to compare."""
    places = {name for site in sites for name in (*site.positions, *site.frozen)}
    spans = check_words(encoded, places)
    return [Check("spans show their slots", "", spans, "spans compared")] if spans else []


def _check_sites(
    engine: Engine,
    aligned: Sequence[SiteSwaps],
    layers: Mapping[Site, Sequence[int]],
    report: Progress,
) -> list[Check]:
    """Check the LM and every site on a few pairs, before the long run."""
    report("checks", 0, 2 * len(aligned) + 1)
    check_sums(engine.layout)
    tolerance = f"within {TOLERANCE[engine.lm.dtype]:g} standard deviations of the logits"
    checks = [Check("components add up", "", engine.layout.layers, "layers")]
    for number, found in enumerate(aligned):
        site, swaps, here = found.site, list(found.swaps.values()), layers[found.site]
        decoded = check_tokens(engine.lm.tokenizer, swaps)
        report("checks", 2 * number + 1, 2 * len(aligned) + 1)
        tried = swaps_to_try(swaps)
        selves = check_self_swap(engine, tried, site, here)
        report("checks", 2 * number + 2, 2 * len(aligned) + 1)
        ends = tried[:: max(1, len(tried) - 1)]  # the shortest and the longest
        padded = check_padding(engine, ends, site, here[len(here) // 2])
        checks += [
            Check("self-swap changes nothing", site.label, selves, f"swaps; logits {tolerance}"),
            Check("padded gives unpadded", site.label, padded, f"runs; logits {tolerance}"),
            Check("tokens are the slot", site.label, decoded, "positions decoded"),
        ]
    report("checks", 2 * len(aligned) + 1, 2 * len(aligned) + 1)
    return checks


def _checks_made(engine: Engine, said: SaidTokens) -> list[Check]:
    """The checks that the engine made on the way."""
    checks = [Check("every edit fired once", "", engine.tally.cost.edits, "edits counted")]
    if engine.tally.self_tested:
        note = "swaps that need no run, run all the same"
        checks.append(Check("what can't differ does not", "", engine.tally.self_tested, note))
    if said.verified:
        note = "swaps run again, whole, one by one"
        checks.append(Check("packed equals reference", "", said.verified, note))
    return checks


@dataclass(frozen=True, slots=True)
class SiteOutcome:
    """What came out at one site.

    Attributes:
        label: Label of the site.
        lost: Reason -> how many kept pairs could not be swapped there.
        outputs: One per swapped pair and layer.
        cells: IIA per hypothesis and layer, ``none`` included.
    """

    label: str
    lost: dict[str, int]
    outputs: list[Output]
    cells: list[Cell]


def _outcome(
    lm: LM,
    swaps: SiteSwaps,
    names: Sequence[str],
    kept: Mapping[int, PairTokens],
    said: Mapping[int, Mapping[int, TokenPath]],
) -> SiteOutcome:
    """Count what the LM said at a site, of the pairs that are kept and can be swapped there.

    Args:
        lm: The LM.
        swaps: The swaps at the site.
        names: The hypotheses that have this site.
        kept: Index -> pair, for those that the LM answers correctly.
        said: Layer -> index of the pair -> the tokens that the LM said.

    Raises:
        CfgenError: There is no such pair (``no-kept-pair-aligned``), or a hypothesis predicts
            nothing for any (``no-predictions``).
    """
    site = swaps.site
    lost = Counter(swaps.dropped[index] for index in kept if index in swaps.dropped)
    pairs = {index: pair for index, pair in kept.items() if index in swaps.swaps}
    if not pairs:
        raise CfgenError(none_kept_aligned(site.label, lost))
    check_predictions(names, list(pairs.values()))
    outputs = [
        Output(
            pair_id=pair.pair.id,
            component=site.component,
            layer=layer,
            position=site.label,
            said=_text(lm, pair, tokens[index]),
            kind=kind_of_output(pair, tokens[index]),
        )
        for layer, tokens in said.items()
        for index, pair in pairs.items()
    ]
    cells = [
        score(
            name,
            list(pairs.values()),
            [tokens[index] for index in pairs],
            (site.component, layer, site.label),
        )
        for name in dict.fromkeys([*names, NONE])
        for layer, tokens in said.items()
    ]
    found = [cell for cell in cells if cell is not None]
    return SiteOutcome(site.label, dict(sorted(lost.items())), outputs, found)


def _text(lm: LM, pair: PairTokens, said: TokenPath) -> str:
    """What the LM said as far as its answer was read, with what it was fed."""
    tree = pair.original_tree
    read = next((n for n in range(1, len(said)) if tree.label(said[:n]) is not None), len(said))
    return str(lm.tokenizer.decode([*tree.fed, *said[:read]]))


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
