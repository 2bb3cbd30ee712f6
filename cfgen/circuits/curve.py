"""How faithful circuits of growing size are, and the two numbers that a curve comes to.

``f(k) = (m(C_k) - m(none)) / (m(all) - m(none))``: the measure m of the original with only the k
best edges as they are, between that with every edge corrupted and that with none. CPR is the area
below f, CMD that between f and 1 (Mueller et al. 2025, arXiv 2504.13151, section 4). Nothing here
needs torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cfgen.stats import CONFIDENCE

PERCENT = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
"""Sizes of the circuits of a curve, in percent of all edges."""
RESAMPLES = 1000
"""How often pairs are drawn again, with replacement, for an interval."""

PerPair = NDArray[np.float64]
"""The measure of every pair (pairs,)."""


@dataclass(frozen=True, slots=True)
class BootstrapInterval:
    """A number of several pairs, with its interval over pairs drawn again.

    Attributes:
        value: The number.
        low: Lower end of the 95 % percentile interval (Efron 1979).
        high: Upper end.
    """

    value: float
    low: float
    high: float


def faithfulness(of_circuit: PerPair, of_none: PerPair, of_all: PerPair) -> float:
    """How much of the measure a circuit has: 0 as with every edge corrupted, 1 as with none.

    A ratio of averages over pairs, since that of one pair may have a denominator near 0.

    Args:
        of_circuit: With every edge outside the circuit corrupted.
        of_none: With every edge corrupted.
        of_all: With none.

    Returns:
        The ratio; not a number where all edges make no difference.
    """
    none, every = of_none.mean(), of_all.mean()
    if none == every:
        return float("nan")
    return float((of_circuit.mean() - none) / (every - none))


def cpr(percent: Sequence[float], found: Sequence[float] | PerPair) -> float:
    """The area below a curve of faithfulness, by trapezoids; higher is better, and nothing is most.

    Args:
        percent: Sizes, ascending.
        found: Faithfulness at each, of edges ranked by signed scores.
    """
    return _area(found, np.asarray(percent) / 100)


def cmd(percent: Sequence[float], found: Sequence[float] | PerPair) -> float:
    """The area between a curve of faithfulness and 1, by trapezoids; 0 is best.

    Args:
        percent: Sizes, ascending.
        found: Faithfulness at each, of edges ranked by scores without their sign.
    """
    return _area(np.abs(1 - np.asarray(found)), np.asarray(percent) / 100)


def _area(heights: Sequence[float] | PerPair, widths: PerPair) -> float:
    from scipy.integrate import trapezoid  # which takes long to load

    return float(trapezoid(heights, widths))


@dataclass(frozen=True, slots=True)
class CurvePoints:
    """Measures of circuits of growing size, pair by pair.

    Attributes:
        percent: Sizes (points,).
        circuits: (points, pairs).
        none: With every edge corrupted (pairs,).
        every: With none (pairs,).
    """

    percent: tuple[float, ...]
    circuits: NDArray[np.float64]
    none: PerPair
    every: PerPair

    def values(self) -> list[float]:
        """Faithfulness at every size."""
        return [faithfulness(row, self.none, self.every) for row in self.circuits]

    def resampled(self, seed: int) -> NDArray[np.float64]:
        """Faithfulness over pairs drawn again (resamples, points)."""
        rng, count = np.random.default_rng(seed), len(self.none)
        weights = rng.multinomial(count, np.full(count, 1 / count), RESAMPLES) / count
        none, every = weights @ self.none, weights @ self.every  # averages (resamples,)
        found = weights @ self.circuits.T  # (resamples, points)
        with np.errstate(divide="ignore", invalid="ignore"):
            again: NDArray[np.float64] = (found - none[:, None]) / (every - none)[:, None]
        return np.where(np.isfinite(again), again, np.nan)


def interval(value: float, again: NDArray[np.float64]) -> BootstrapInterval:
    """A number with the interval of what it came to over pairs drawn again.

    Args:
        value: The number.
        again: The same over pairs drawn again (resamples,).
    """
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.nanpercentile(again, [tail, 100 - tail])
    return BootstrapInterval(value, float(low), float(high))
