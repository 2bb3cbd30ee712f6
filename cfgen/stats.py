"""Statistics: rates and means with their intervals, and the binomial distribution.

From ``scipy.special``, which takes a third of the time to load that ``scipy.stats`` takes; it is
loaded where something is counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95
"""Confidence level of every interval."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A share, with what is needed to judge it.

    Attributes:
        k: How many.
        n: Out of how many.
        low: Lower end of the 95 % Wilson interval.
        high: Upper end.
    """

    k: int
    n: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The share itself, 0 to 1. Raises ZeroDivisionError if n is 0: there is no share."""
        return self.k / self.n

    def __str__(self) -> str:
        return f"{with_interval(self.value, self.low, self.high)} (n={self.n})"


def with_interval(share: float, low: float, high: float, digits: int = 2) -> str:
    """A share and its interval as text, the same way in every report."""
    return f"{share:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def rate(k: int, n: int) -> Rate:
    """A share with its Wilson score interval (Wilson 1927; no continuity correction).

    The same numbers as ``scipy.stats.binomtest(k, n).proportion_ci(method="wilson")``, without the
    test that comes with it.

    Args:
        k: How many.
        n: Out of how many, at least 1.

    Returns:
        The rate.

    Raises:
        ValueError: n is 0, or k is not between 0 and n.
    """
    from scipy.special import ndtri

    if n < 1:
        raise ValueError("a rate needs at least one case")
    if not 0 <= k <= n:
        raise ValueError(f"{k} of {n} is no share")
    z = float(ndtri(0.5 + 0.5 * CONFIDENCE))
    share = k / n
    centre = (2 * n * share + z**2) / (2 * (n + z**2))
    half = z / (2 * (n + z**2)) * math.sqrt(4 * n * share * (1 - share) + z**2)
    return Rate(k, n, centre - half if k else 0.0, centre + half if k < n else 1.0)


def rate_of(outcomes: Iterable[bool]) -> Rate:
    """The share of true outcomes, of which there must be at least one."""
    listed = list(outcomes)
    return rate(sum(listed), len(listed))


@dataclass(frozen=True, slots=True)
class Mean:
    """An average, with what is needed to judge it.

    Attributes:
        n: Of how many numbers.
        value: The average.
        low: Lower end of the 95 % Student interval; None where there is only one number.
        high: Upper end; None likewise.
    """

    n: int
    value: float
    low: float | None
    high: float | None


def mean_of(numbers: Sequence[float]) -> Mean:
    """The average of finite numbers, with its Student interval (Student 1908).

    The same as ``scipy.stats.t.interval`` with the standard error of the mean; exact for numbers
    that are normally distributed, and close to it where there are many.

    Raises:
        ValueError: There is no number.
    """
    from scipy.special import stdtrit

    n = len(numbers)
    if n < 1:
        raise ValueError("an average needs at least one number")
    value = math.fsum(numbers) / n
    if n == 1:
        return Mean(n, value, None, None)
    variance = math.fsum((each - value) ** 2 for each in numbers) / (n - 1)
    half = float(stdtrit(n - 1, 0.5 + 0.5 * CONFIDENCE)) * math.sqrt(variance / n)
    return Mean(n, value, value - half, value + half)


@dataclass(frozen=True, slots=True)
class Interval:
    """A number with the interval that it is taken to lie in."""

    value: float
    low: float
    high: float


def difference(one: Interval, other: Interval) -> Interval:
    """How much larger one number is than another of other cases, with an interval.

    From the intervals of the two (Newcombe 1998, method 10, for shares with Wilson's intervals;
    Zou and Donner 2008 for any): the squares of the distances to their ends add up.
    """
    value = one.value - other.value
    low = math.hypot(one.value - one.low, other.high - other.value)
    high = math.hypot(one.high - one.value, other.value - other.low)
    return Interval(value, value - low, value + high)


def at_least(k: int, n: int, chance: float) -> float:
    """How probable at least ``k`` hits in ``n`` tries are, each with this chance.

    This is the p-value of the exact one-sided binomial test.
    """
    from scipy.special import bdtrc

    return float(bdtrc(k - 1, n, chance)) if k > 0 else 1.0
