"""Design search where there are too many pairs of inputs: a beam search on pairs drawn at random.

Nothing that it says is exact: shares come with intervals, and hypotheses that never differed may.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cfgen.causal import TooFewValues
from cfgen.counterfactuals import Design, Predictor, draw_inputs, output_text
from cfgen.counterfactuals.edits import tried_on_counterfactual, tried_on_original
from cfgen.counterfactuals.operation import Steps
from cfgen.progress import Progress, no_progress
from cfgen.search.comparison import Comparison
from cfgen.search.goals import DesignRequest, Goal, Two, goal_of
from cfgen.search.grid import PALETTES, copy_links
from cfgen.search.predictions import Predictions
from cfgen.stats import rate

SCREENED, JUDGED, BEAM = 60, 2_000, 10
"""Pairs drawn of every composition, of those returned, and compositions kept in each round."""
DRAWN_MOST = 10
"""So many times as many pairs are drawn at most, where not all of them occur."""
PALETTE = PALETTES[-2]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A design judged on pairs drawn at random.

    Attributes:
        design: The design.
        pairs: Pairs drawn.
        decisive: How many of them are decisive.
        low: Lower end of the 95 % Wilson interval of that share.
        high: Upper end.
        separates: Couples that it separates, with the share of pairs that do.
        changed: Inputs in which the counterfactual differs.
    """

    design: Design
    pairs: int
    decisive: int
    low: float
    high: float
    separates: Mapping[Two, float]
    changed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SampledResult:
    """Result of a search on pairs drawn at random.

    Attributes:
        goal: What was to be told apart; its classes never differed in the pairs drawn.
        best: The best designs, best first.
        compositions: How many were looked at.
    """

    goal: Goal
    best: tuple[Estimate, ...]
    compositions: int


def sampled_search(
    comparison: Comparison, request: DesignRequest, progress: Progress = no_progress
) -> SampledResult:
    """Search by adding one edit after the other to the best designs so far.

    Args:
        comparison: The hypotheses, and the domains of inputs.
        request: What is asked for.
        progress: Called with ``draw pairs``, then with ``judge designs`` and how many were.

    Raises:
        CfgenError: If there is no such hypothesis, or a mechanism fails.
    """
    progress("draw pairs", 0, None)
    everything = _drawn(comparison, (Design("any", ()), Design("other", ())), JUDGED)
    goal = goal_of(comparison.labels, everything, request)
    known: dict[tuple[Steps, Steps], Estimate] = {}
    beam: list[tuple[Steps, Steps]] = [((), ())]
    for _ in range(request.max_edits + 2):
        for original, counterfactual in beam:
            for steps in _extended(comparison, original, counterfactual, request.max_edits):
                progress("judge designs", len(known), None)
                if steps not in known:
                    design = Design("", original=steps[0], counterfactual=steps[1])
                    made = estimate(comparison, goal, design, request, SCREENED)
                    if made is not None:
                        known[steps] = made
        ranked = sorted(known, key=lambda steps: _rank(goal, known[steps]), reverse=True)
        if ranked[:BEAM] == beam:
            break
        beam = ranked[:BEAM]
    found = []
    for number, (original, counterfactual) in enumerate(ranked[: 2 * request.top], start=1):
        design = Design(f"found_{number}", counterfactual, original)
        judged = estimate(comparison, goal, design, request, JUDGED)
        if judged is not None and _does(goal, judged, request):
            found.append(judged)
    best = sorted(found, key=lambda each: _rank(goal, each), reverse=True)[: request.top]
    return SampledResult(goal, tuple(best), len(known))


def estimate(
    comparison: Comparison, goal: Goal, design: Design, request: DesignRequest, pairs: int
) -> Estimate | None:
    """Judge a design on pairs drawn at random; None if it can draw none that are shown."""
    try:
        predictions = _drawn(comparison, (design,), pairs)
    except TooFewValues:
        return None
    outputs = predictions.outputs[predictions.shown]
    if not len(outputs):
        return None
    place = {label: index for index, label in enumerate(comparison.labels)}
    apart = {c: outputs[:, place[c[0]]] != outputs[:, place[c[1]]] for c in goal.couples}
    decisive = np.full(len(outputs), bool(goal.required))
    for couple in goal.required:
        decisive &= apart[couple]
    hits = int(decisive.sum())
    share = rate(hits, len(outputs))
    shares = {couple: float(found.mean()) for couple, found in apart.items()}
    separates = {couple: found for couple, found in shares.items() if found >= request.share}
    changed = tuple(dict.fromkeys(edit.input for edit in design.counterfactual))
    return Estimate(design, len(outputs), hits, share.low, share.high, separates, changed)


def _drawn(comparison: Comparison, designs: Sequence[Design], pairs: int) -> Predictions:
    """Predictions for pairs of a design or, of two, for pairs of originals of each."""
    rng = random.Random(0)
    drawn = []
    for _ in range(DRAWN_MOST * pairs):
        first, second = draw_inputs(designs[0], comparison.domains, rng)
        if len(designs) > 1:
            second, _ = draw_inputs(designs[1], comparison.domains, rng)
        if comparison.occurs(first, second):
            drawn.append((first, second))
        if len(drawn) == pairs:
            break
    if not drawn:
        none = np.zeros((0, len(comparison.labels)), dtype=np.int32)
        return Predictions(none, (), np.zeros(0, dtype=np.bool_), 0)
    program, rows = comparison.program, len(drawn)
    sides = [
        program.run_columns({n: [side[n] for side in listed] for n in program.graph.inputs}, rows)
        for listed in zip(*drawn, strict=True)
    ]
    numbers: dict[str | None, int] = {}
    columns = Predictor(program, comparison.hypotheses).columns(*sides)
    outputs = [
        [numbers.setdefault(output_text(value), len(numbers)) for value in columns[label]]
        for label in comparison.labels
    ]
    return Predictions(
        np.array(outputs, dtype=np.int32).T,
        tuple(numbers),
        np.ones(rows, dtype=np.bool_),
        rows,
    )


def _extended(
    comparison: Comparison, original: Steps, counterfactual: Steps, most: int
) -> Iterator[tuple[Steps, Steps]]:
    """The same edits, and with one more input edited."""
    yield original, counterfactual
    domains = {name: comparison.domains[name] for name in comparison.inputs_that_matter()}
    links = copy_links(domains, PALETTE)
    order = list(domains)
    for name, domain in domains.items():
        sources = [one for one, other in links if other == name]
        if all(edit.input != name for edit in original):
            for steps in tried_on_original(name, domain, sources)[1:]:
                yield _in_order((*original, *steps), order), counterfactual
        changed = {edit.input for edit in counterfactual}
        if name not in changed and len(changed) < most:
            for steps in tried_on_counterfactual(name, domain, sources, PALETTE)[1:]:
                yield original, _in_order((*counterfactual, *steps), order)


def _in_order(steps: Steps, order: Sequence[str]) -> Steps:
    return tuple(sorted(steps, key=lambda edit: order.index(edit.input)))


def _rank(goal: Goal, made: Estimate) -> tuple[float, ...]:
    separated = [share for couple, share in made.separates.items() if couple in goal.required]
    simple = -len(made.changed), -len(made.design.original)
    return (round(made.decisive / made.pairs, 2), len(separated), round(sum(separated), 2), *simple)


def _does(goal: Goal, made: Estimate, request: DesignRequest) -> bool:
    """Whether a design does what is required, as far as the pairs drawn tell."""
    if request.decisive and made.decisive < made.pairs:
        return False
    return all(goal.couple(*couple) in made.separates for couple in request.separates)
