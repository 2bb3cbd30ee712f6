"""Design search: which compositions of edits make pairs on which hypotheses predict differently.

All compositions are compared at once, on all pairs of inputs there are (:mod:`.grid`); those that
are returned are then judged once more, each by itself and in fractions (:func:`.goals.assess`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cfgen.counterfactuals import Design
from cfgen.counterfactuals.operation import Steps
from cfgen.progress import Progress, no_progress
from cfgen.search.comparison import Comparison
from cfgen.search.goals import Assessment, DesignRequest, Goal, Two, assess, goal_of
from cfgen.search.grid import EXACT, Grid, Table, make_grid
from cfgen.search.predictions import CaseTable, case_table

MOST_CANDIDATES = 5_000
"""Compositions that are looked at more closely; those that separate the most couples."""
MOST_SETS = 400
"""Different sets of couples that designs are chosen among; only those in no other count."""
MOST_DESIGNS = 4
"""Designs up to which the smallest set is found exactly; beyond that, greedily."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Result of a search.

    Attributes:
        comparison: What was compared.
        goal: What was to be told apart.
        best: The best designs, best first.
        cover: The smallest set of designs that separates whatever a design found separates.
        declared: Designs that there were before, by the same measure.
        apart: Couples that no composition separates, and that are not of one class.
        table: All pairs of inputs, with predictions.
        compositions: How many compositions were looked at.
        left_out: Kinds of edits that were not tried, in words.
    """

    comparison: Comparison
    goal: Goal
    best: tuple[Assessment, ...]
    cover: tuple[Assessment, ...]
    declared: tuple[Assessment, ...]
    apart: tuple[Two, ...]
    table: CaseTable
    compositions: int
    left_out: str

    def asked(self, found: Assessment) -> Sequence[Two]:
        """The couples that a design separates, of those that are to be told apart."""
        return [couple for couple in found.separates if couple in self.goal.required]

    def pairs_needed(self, decisive: int) -> dict[str, int]:
        """Design of the cover -> pairs, so that enough of them separate each of its couples.

        Only a share of a design's pairs are such that a couple predicts different outputs. A couple
        that several designs separate counts for the first one that does so most often.

        Args:
            decisive: Pairs that each couple needs on which the two predict different outputs.
        """
        plan = {item.design.name: 0 for item in self.cover}
        for couple in self.goal.required:
            shares = [(item.separates.get(couple, 0), item) for item in self.cover]
            most, item = max(shares, key=lambda pair: pair[0], default=(0, None))
            if item is not None and most:
                plan[item.design.name] = max(plan[item.design.name], math.ceil(decisive / most))
        return plan


def search(
    comparison: Comparison,
    request: DesignRequest,
    declared: Iterable[Design] = (),
    progress: Progress = no_progress,
) -> SearchResult:
    """Look at every composition of edits, all at once.

    Args:
        comparison: The hypotheses, and the domains of inputs.
        request: What is asked for.
        declared: Designs to judge by the same measure.
        progress: Called with ``compare pairs``, then with ``score designs``.

    Raises:
        CfgenError: If there is no such hypothesis, or a mechanism fails.
        TooManyCases: If there are too many pairs of inputs to look at all of them.
    """
    progress("compare pairs", 0, None)
    table = case_table(comparison)
    progress("score designs", 0, None)
    goal = goal_of(comparison.labels, table.predictions, request)
    grid = make_grid(table, request.max_edits, len(goal.couples))
    tables = {(one, other): table.column(one) != table.column(other) for one, other in goal.couples}
    allowed = (grid.costs(lambda option: option.cost[0]) <= request.max_edits) & (grid.weights > 0)
    scores = score_all(grid, tables, goal, request.share)
    cover, apart = smallest_cover(grid, scores, allowed, tables, goal, request.share)
    known: dict[tuple[Steps, Steps], Assessment] = {}

    def assessed(index: int, name: str, alike: int = 0) -> Assessment:
        """A composition as a design, judged once even if it is both among the best and needed."""
        original, counterfactual = edits = grid.edits(index)
        design = Design(name, counterfactual, original)
        if edits not in known:
            known[edits] = assess(comparison, goal, design, request.share)
        found = known[edits]
        return replace(found, shares=replace(found.shares, design=design), alike=alike)

    meeting = allowed & _meets(request, goal, grid, scores, tables)
    best = enumerate(best_of(scores, meeting, request.top), start=1)
    return SearchResult(
        comparison,
        goal,
        tuple(assessed(index, f"found_{k}", alike) for k, (index, alike) in best),
        tuple(assessed(index, f"part_{k}") for k, index in enumerate(cover, start=1)),
        tuple(assess(comparison, goal, design, request.share) for design in declared),
        apart,
        table,
        int(allowed.sum()),
        grid.left_out,
    )


def _meets(
    request: DesignRequest, goal: Goal, grid: Grid, scores: Scores, tables: Mapping[Two, Table]
) -> NDArray[np.bool_]:
    """For every composition, whether it does what is required."""
    meets = np.full(grid.size, bool(goal.required))
    if request.decisive:
        meets &= scores.decisive >= 1 - EXACT
    for two in request.separates:
        couple = goal.couple(*two)
        meets &= grid.shares(tables[couple]) >= request.share - EXACT if couple else False
    return meets


# Scores: every composition compared with all others.


@dataclass(frozen=True, slots=True)
class Scores:
    """What is known of every composition.

    Attributes:
        decisive: Share of decisive pairs.
        separated: Number of required couples separated.
        mark: Equal for compositions that separate the same ones.
        print: Equal for compositions with the same shares throughout.
        least: The smallest share among these.
        rank: Larger is better.
        cost: Of equal ones, that with less is better.
    """

    decisive: NDArray[np.float64]
    separated: NDArray[np.int64]
    mark: NDArray[np.uint64]
    print: NDArray[np.float64]
    least: NDArray[np.float64]
    rank: NDArray[np.float64]
    cost: NDArray[np.int64]


def score_all(grid: Grid, tables: Mapping[Two, Table], goal: Goal, share: float) -> Scores:
    """Compute the shares of every composition.

    Args:
        grid: All compositions.
        tables: For every couple of classes, the pairs on which they differ.
        goal: Which of these are to be told apart.
        share: Share of pairs from which on a couple is separated.
    """
    # A composition's shares of all couples are summed up with random weights, and the couples that
    # it separates are hashed (Zobrist hashing): two numbers that are equal where these are, and
    # almost surely nowhere else, instead of a row for each of perhaps millions of compositions.
    rng = np.random.default_rng(0)
    separated = np.zeros(grid.size, dtype=np.int64)
    mark = np.zeros(grid.size, dtype=np.uint64)
    shares = np.zeros(grid.size)
    least = np.ones(grid.size)
    for couple, table in tables.items():
        found = grid.shares(table)
        shares += rng.random() * np.round(found, 9)
        if couple not in goal.required:
            continue
        is_apart = found >= share - EXACT
        separated += is_apart
        mark ^= np.where(is_apart, rng.integers(1, 2**63, dtype=np.uint64), np.uint64(0))
        np.minimum(least, found, out=least, where=is_apart)
    decisive = np.full_like(grid.shown, bool(goal.required))
    for couple in goal.required:
        decisive &= tables[couple]
    found = np.round(grid.shares(decisive), 9)
    rank = found * 1e4 + separated
    return Scores(found, separated, mark, shares, least, rank, _total_cost(grid))


def _total_cost(grid: Grid) -> NDArray[np.int64]:
    """Inputs changed, then edits, then edits of the original, then what is harder to say."""
    total = np.zeros(grid.size, dtype=np.int64)
    for place in range(5):
        total = total * 64 + grid.costs(lambda option, place=place: option.cost[place])  # type: ignore[misc]
    return total


def best_of(scores: Scores, keep: NDArray[np.bool_], top: int) -> list[tuple[int, int]]:
    """The best compositions that do different things, and how many others do the same."""
    left = np.flatnonzero(keep)
    found: list[tuple[int, int]] = []
    while len(found) < top and left.size:
        ranks = scores.rank[left]
        first = left[ranks >= ranks.max() - EXACT]
        index = int(first[np.argmin(scores.cost[first])])
        same = (np.abs(scores.print[left] - scores.print[index]) < EXACT * 100) & (
            np.abs(scores.decisive[left] - scores.decisive[index]) < EXACT
        )
        found.append((index, int(same.sum()) - 1))
        left = left[~same]
    return found


# Covers: the smallest set of designs that together separate all that any of them separates.


def smallest_cover(
    grid: Grid,
    scores: Scores,
    allowed: NDArray[np.bool_],
    tables: Mapping[Two, Table],
    goal: Goal,
    share: float,
) -> tuple[list[int], tuple[Two, ...]]:
    """Choose compositions.

    Args:
        grid: All compositions.
        scores: What is known of each.
        allowed: Those that may be chosen.
        tables: For every couple of classes, the pairs on which they differ.
        goal: The required couples are those to be covered.
        share: Share of pairs from which on a couple is separated.

    Returns:
        Indices of the compositions, and the required couples that none separates.
    """
    places = np.flatnonzero(allowed)
    candidates = _candidates(scores, places)
    shares: dict[Two, NDArray[np.float64]] = {}
    for couple in goal.required:
        found = grid.shares(tables[couple])
        most = int(places[np.argmax(found[places])]) if places.size else -1
        if most not in candidates and most >= 0:  # so that every couple has one that separates it
            candidates.append(most)
        shares[couple] = found
    rows = {
        index: frozenset(c for c, found in shares.items() if found[index] >= share - EXACT)
        for index in candidates
    }
    best: dict[frozenset[Two], int] = {}
    for index in candidates:  # the better one of two that separate the same comes first
        best.setdefault(rows[index], index)
    whole = frozenset[Two]().union(*best)
    chosen = cover_exactly(list(best), whole)
    return [best[part] for part in chosen], tuple(c for c in goal.required if c not in whole)


def _candidates(scores: Scores, left: NDArray[np.int64]) -> list[int]:
    """For every set of couples, the composition that separates it best, or most simply."""
    order = np.lexsort((scores.cost[left], -np.round(scores.least[left], 6), scores.mark[left]))
    left = left[order]
    first = np.ones(len(left), dtype=np.bool_)
    first[1:] = scores.mark[left][1:] != scores.mark[left][:-1]
    chosen = left[first]
    order = np.lexsort(
        (scores.cost[chosen], -np.round(scores.least[chosen], 6), -scores.separated[chosen])
    )
    return [int(index) for index in chosen[order][:MOST_CANDIDATES]]


def cover_exactly(parts: Sequence[frozenset[Two]], whole: frozenset[Two]) -> list[frozenset[Two]]:
    """The fewest of some sets that together have every element; the earlier ones where equal.

    Exact for up to :data:`MOST_DESIGNS` sets; if more are needed, found greedily.
    """
    if not whole:
        return []
    larger = [part for part in parts if not any(part < other for other in parts)][:MOST_SETS]
    for size in range(1, MOST_DESIGNS + 1):
        found = _cover(larger, whole, size)
        if found is not None:
            return found
    chosen: list[frozenset[Two]] = []
    while whole:
        chosen.append(max(parts, key=lambda part: len(part & whole)))
        whole -= chosen[-1]
    return chosen


def _cover(
    parts: Sequence[frozenset[Two]], whole: frozenset[Two], size: int
) -> list[frozenset[Two]] | None:
    """A cover of at most so many sets: some set has to have the element that the fewest have."""
    if not whole:
        return []
    if size == 0 or size * max((len(part & whole) for part in parts), default=0) < len(whole):
        return None
    rarest = min(sorted(whole), key=lambda element: sum(element in part for part in parts))
    for part in parts:
        if rarest in part:
            rest = _cover(parts, whole - part, size - 1)
            if rest is not None:
                return [part, *rest]
    return None
