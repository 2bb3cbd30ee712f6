"""The checks that every experiment makes, before the long run and on the way.

What is checked of single runs and forwards is a matter of :mod:`cfgen.interventions`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import pyarrow as pa

from cfgen.counterfactuals import Pair, Site
from cfgen.errors import CfgenError, Problem, did_you_mean
from cfgen.experiments.digests import digest_of
from cfgen.experiments.replies import Workbench
from cfgen.experiments.sweeps import Sweep
from cfgen.interventions import (
    TOLERANCE,
    Check,
    Engine,
    Work,
    check_padding,
    check_self_swap,
    check_tokens,
    check_words,
    place_of,
    swaps_to_try,
)
from cfgen.lm import (
    Layout,
    PairTokens,
    check_known,
    check_places,
    check_prompts,
    check_sums,
    check_text,
)


def check_arguments(
    pairs: Sequence[Pair], hypotheses: Mapping[str, Site], layout: Layout, *, swaps: bool = True
) -> None:
    """Check what a run is given, before anything is computed.

    Args:
        pairs: The pairs to run.
        hypotheses: Name -> site.
        layout: Where everything is in the LM.
        swaps: Whether anything is swapped, so that there must be hypotheses.

    Raises:
        CfgenError: There are no pairs (``no-pairs``) or hypotheses (``no-hypotheses``), a
            hypothesis that the pairs don't know (``unknown-hypothesis``), or a component that
            there isn't or that the LM doesn't have (see :func:`cfgen.lm.layout.check_places`).
    """
    problems = []
    if not pairs:
        hint = "ask for more pairs, or use a design that yields decisive ones"
        problems.append(Problem("no-pairs", "there is no pair to run", hint=hint))
    if swaps and not hypotheses:
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


def check_texts(engine: Engine, encoded: Sequence[PairTokens], generated: int = 0) -> list[Check]:
    """Check that the LM can read all prompts and answers, and that prompts are their texts.

    Args:
        engine: How prompts are run, with the LM.
        encoded: The pairs.
        generated: How many tokens the LM is to go on for.
    """
    lm, facts = engine.lm, engine.facts
    sides = [side for pair in encoded for side in (pair.original, pair.counterfactual)]
    trees = [tree for pair in encoded for tree in (pair.original_tree, pair.counterfactual_tree)]
    depth = max(generated, *(tree.depth for tree in trees))
    check_prompts(lm, facts, {index: side.ids for index, side in enumerate(sides)}, depth)
    nexts = (token for tree in trees for tokens in tree.children.values() for token in tokens)
    check_known(lm, facts, set(nexts))
    texts, answers = check_text(lm.tokenizer, encoded), len(trees[0].answers)
    return [
        Check("tokens are the text", "", texts, "prompts decoded"),
        Check("answers are told apart", "", answers, "answers compared"),
    ]


def check_spans(encoded: Sequence[PairTokens], sites: Iterable[Site]) -> list[Check]:
    """Check the words at the positions of sites; at ``last`` alone there is none to compare."""
    places = {name for site in sites for name in (*site.positions, *site.frozen)}
    spans = check_words(encoded, places)
    return [Check("spans show their slots", "", spans, "spans compared")] if spans else []


def check_sites(bench: Workbench, sweeps: Sequence[Sweep]) -> list[Check]:
    """Check the LM and sites on a few pairs, before the long run.

    What passed before with the same prompts is not tried again. Of sites that differ in nothing but
    the head or the position, the first, one in the middle and the last are tried.
    """
    engine, total = bench.engine, len(sweeps) + 1
    bench.report("checks", 0, total)
    (layers,) = _passed(bench, ["sums"], lambda: (_sums(engine),))
    checks = [Check("components add up", "", layers, "layers")]
    tolerance = f"within {TOLERANCE[engine.lm.dtype]:g} standard deviations of the logits"
    chosen = _some_of_each(sweeps)
    for number, sweep in enumerate(sweeps):
        bench.report("checks", number + 1, total)
        label = sweep.site.label
        decoded = check_tokens(engine.lm.tokenizer, sweep.aligned.swaps.values())
        if number in chosen:
            selves, padded = _site_passed(bench, sweep)
            checks += [
                Check("self-swap changes nothing", label, selves, f"swaps; logits {tolerance}"),
                Check("padded gives unpadded", label, padded, f"runs; logits {tolerance}"),
            ]
        checks.append(Check("tokens are the slot", label, decoded, "positions decoded"))
    bench.report("checks", total, total)
    return checks


def _sums(engine: Engine) -> int:
    check_sums(engine.layout)
    return engine.layout.layers


def _some_of_each(sweeps: Sequence[Sweep]) -> set[int]:
    """Numbers of sweeps: of each kind of site the first, one in the middle, the last."""
    kinds: dict[object, list[int]] = {}
    for number, sweep in enumerate(sweeps):
        kind = replace(sweep.site, head=None, neurons=(), positions=())
        kinds.setdefault((kind, sweep.layers), []).append(number)
    return {n for same in kinds.values() for n in (same[0], same[len(same) // 2], same[-1])}


def _site_passed(bench: Workbench, sweep: Sweep) -> tuple[int, int]:
    """How many swaps of prompts with themselves, and how many padded runs, were tried."""
    site, layers = sweep.site, sweep.layers
    tried = swaps_to_try(list(sweep.aligned.swaps.values()))
    ends = tried[:: max(1, len(tried) - 1)]  # the shortest and the longest

    def check() -> tuple[int, int]:
        selves = check_self_swap(bench.engine, tried, site, layers)
        return selves, check_padding(bench.engine, ends, site, layers[len(layers) // 2])

    prompts = [[swap.original.ids, swap.moves, swap.held] for swap in tried]
    selves, padded = _passed(bench, ["site", asdict(site), layers, prompts], check)
    return selves, padded


def _passed(bench: Workbench, described: Any, check: Callable[[], tuple[int, ...]]) -> list[int]:
    """Cases of checks, which are made unless they were made before; they raise if they fail."""
    digest = digest_of(["checks", bench.identity, described])
    found = bench.units.get(digest)
    if found is None:
        found = pa.table({"cases": pa.array(check(), pa.int64())})
        bench.units.put(digest, found, {})
    cases: list[int] = found["cases"].to_pylist()
    return cases


def checks_made(work: Work) -> list[Check]:
    """The checks that the engine made on the way."""
    checks = [Check("every edit fired once", "", work.edited.edits, "tokens written")]
    if work.self_tested:
        note = "swaps that need no run, run all the same"
        checks.append(Check("what can't differ does not", "", work.self_tested, note))
    if work.verified:
        note = "swaps run again, whole, on the reference engine"
        checks.append(Check("packed equals reference", "", work.verified, note))
    return checks
