"""Sample size: how many pairs an exact test needs to tell one rate from another in many cells."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cfgen.errors import CfgenError, Problem, did_you_mean

CORRECTIONS = ("holm", "bonferroni", "sidak", "none")
"""How the level of a test is corrected for the number of cells that are tested."""
_HOW = {
    "holm": "Holm's correction, planned for its first step",
    "bonferroni": "Bonferroni's correction",
    "sidak": "Sidak's correction",
    "none": "no correction",
}
Counts = NDArray[np.int64]
MOST = 1_000_000
"""Pairs beyond which nobody plans."""


@dataclass(frozen=True, slots=True)
class PowerPlan:
    """A planned experiment.

    Attributes:
        iia: Share of pairs that come out as predicted, if the hypothesis holds.
        against: The share to tell it from: chance, or what a rival reaches.
        cells: Number of cells (layers x positions) that are tested.
        alpha: Chance of finding anything in any of the cells where there is nothing.
        power: Chance of finding a cell where the hypothesis holds, as asked for.
        correction: One of :data:`CORRECTIONS`.
        level: What is left of ``alpha`` for one cell.
        pairs: Pairs that must be tested in a cell.
        hits: So many of these must come out as predicted (at most so many, if ``iia`` is below
            ``against``) for the test to be significant.
        achieved: Power with so many pairs, at least ``power``.
        keep: Share of pairs expected to be kept when those are dropped that are answered wrongly.
        draw: Pairs to draw, so that as many as are needed are left.
    """

    iia: float
    against: float
    cells: int
    alpha: float
    power: float
    correction: str
    level: float
    pairs: int
    hits: int
    achieved: float
    keep: float
    draw: int


def plan_power(
    iia: float = 0.8,
    against: float = 0.5,
    *,
    cells: int = 1,
    power: float = 0.9,
    alpha: float = 0.05,
    correction: str = "holm",
    keep: float = 1.0,
) -> PowerPlan:
    """Find the smallest number of pairs for a wanted power.

    The test of a cell is the exact one-sided binomial test of ``against`` (Clopper and Pearson
    1934). Its power is computed exactly, and goes up and down as pairs are added, because hits
    are counted in whole numbers; the number returned is the one from which on it stays high
    enough. Holm's procedure (1979) tests its first cell at ``alpha / cells`` and the others at
    more, so it is planned for like Bonferroni's; Sidak's level is ``1 - (1 - alpha)^(1 / cells)``
    and wants independent tests.

    Args:
        iia: Share expected if the hypothesis holds.
        against: Share to tell it from.
        cells: Number of cells that are tested.
        power: Wanted chance of finding a cell where the hypothesis holds.
        alpha: Accepted chance of a false finding in any cell.
        correction: One of :data:`CORRECTIONS`.
        keep: Share of pairs that are kept; those answered wrongly are dropped before the test.

    Returns:
        The plan.

    Raises:
        CfgenError: A number is out of range (``bad-plan``), or no reasonable number of pairs is
            enough (``too-many-needed``).
    """
    _check(iia, against, cells, power, alpha, correction, keep)
    level = corrected(alpha, cells, correction)
    pairs = _smallest(iia, against, level, power)
    hits, achieved = critical(np.array([pairs]), iia, against, level)
    return PowerPlan(
        iia=iia,
        against=against,
        cells=cells,
        alpha=alpha,
        power=power,
        correction=correction,
        level=level,
        pairs=pairs,
        hits=int(hits[0]),
        achieved=float(achieved[0]),
        keep=keep,
        draw=math.ceil(round(pairs / keep, 9)),
    )


def power_sentence(plan: PowerPlan) -> str:
    """What a plan comes to, in a sentence."""
    return (
        f"{plan.pairs:,} pairs tell an IIA of {plan.iia:g} from {plan.against:g} in {plan.cells} "
        f"cells with power {plan.achieved:.3f}: exact one-sided binomial test at "
        f"{plan.level:.2g} per cell ({plan.correction}, {plan.alpha:g} over all)."
    )


def power_text(plan: PowerPlan) -> str:
    """What a plan comes to: pairs, the test, and what it can find."""
    cells = f"{plan.cells} cells" if plan.cells > 1 else "one cell"
    least = "at least" if plan.iia > plan.against else "at most"
    lines = [
        f"{plan.pairs:,} pairs tell an IIA of {plan.iia:g} from {plan.against:g} in {cells}.",
        f"Test: exact one-sided binomial, level {plan.level:.2g} in each cell "
        f"({plan.alpha:g} over all, {_HOW[plan.correction]}).",
        f"Significant: {least} {plan.hits:,} of {plan.pairs:,} pairs as predicted. "
        f"Power: {plan.achieved:.3f} (wanted: {plan.power:g}).",
    ]
    if plan.keep < 1:
        lines.append(
            f"Draw {plan.draw:,} pairs: {plan.keep:g} of them are expected to be answered "
            "correctly, and kept."
        )
    return "\n".join(lines)


def corrected(alpha: float, cells: int, correction: str) -> float:
    """Level of the test of one cell, so that all together have the level ``alpha``."""
    if correction == "sidak":
        return -math.expm1(math.log1p(-alpha) / cells)
    return alpha if correction == "none" else alpha / cells


def critical(
    pairs: Counts, iia: float, against: float, level: float
) -> tuple[Counts, NDArray[np.float64]]:
    """Hits that make the test significant, and the chance of so many.

    Args:
        pairs: Numbers of pairs, one dimension.
        iia: As in :func:`plan_power`; if it is below ``against``, few hits are significant.
        against: As in :func:`plan_power`.
        level: Level of the test.

    Returns:
        Critical numbers of hits (``n + 1`` or ``-1`` where no number is significant), and powers.
    """
    level *= 1 + 1e-9  # a chance that is the level but for rounding is no more than the level
    if iia < against:  # few hits are many misses
        misses, power = critical(pairs, 1 - iia, 1 - against, level)
        return pairs - misses, power
    from scipy.stats import binom  # a second and more, for those who don't plan

    hits = binom.isf(level, pairs, against).astype(np.int64) + 1
    # isf is the inverse of a step function in floating point: step until it is exact
    hits += binom.sf(hits - 1, pairs, against) > level
    hits -= (hits > 0) & (binom.sf(hits - 2, pairs, against) <= level)
    return hits, binom.sf(hits - 1, pairs, iia)


def _smallest(iia: float, against: float, level: float, power: float) -> int:
    """The first number of pairs from which on the power is never below the wanted one."""
    # if not even the most are enough, looking at all the numbers below takes seconds for nothing
    enough = critical(np.array([MOST]), iia, against, level)[1][0] >= power
    bound = 64
    while enough and bound <= 4 * MOST:
        counts = np.arange(1, bound + 1)
        _, powers = critical(counts, iia, against, level)
        short = np.flatnonzero(powers < power)
        last = int(counts[short[-1]]) if short.size else 0
        if last <= bound // 2:  # far from the end, beyond which power only grows
            if last + 1 > MOST:
                break
            return last + 1
        bound *= 4
    raise CfgenError(
        Problem(
            "too-many-needed",
            f"to tell {iia:g} from {against:g}, more than {MOST:,} pairs are needed",
            hint="compare rates that are further apart, test fewer cells, or ask for less power",
        )
    )


def _check(
    iia: float, against: float, cells: int, power: float, alpha: float, correction: str, keep: float
) -> None:
    problems = []
    for name, value in (("iia", iia), ("against", against)):
        if not 0 <= value <= 1:
            message = f"{name} is {value:g}, but a share is from 0 to 1"
            problems.append((message, "give 0.8 for 80 %"))
    if iia == against:
        problems.append((f"iia and against are both {iia:g}", "give two rates that differ"))
    for name, value in (("power", power), ("alpha", alpha)):
        if not 0 < value < 1:
            message = f"{name} is {value:g}, but must be between 0 and 1"
            problems.append((message, "give 0.05 for 5 %"))
    if not 0 < keep <= 1:
        message = f"keep is {keep:g}, but a share of pairs is above 0 and at most 1"
        problems.append((message, "give 0.8 if 80 % of the pairs are kept"))
    if cells < 1:
        problems.append((f"there are {cells} cells to test", "give at least one"))
    if correction not in CORRECTIONS:
        hint = did_you_mean(correction, CORRECTIONS)
        problems.append((f"there is no correction {correction!r}", hint))
    if problems:
        raise CfgenError(Problem("bad-plan", message, hint=hint) for message, hint in problems)
