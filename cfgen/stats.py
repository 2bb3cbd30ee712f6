"""Statistics: rates and means with their intervals, and the binomial distribution.

From ``scipy.special``, which takes a third of the time to load that ``scipy.stats`` takes; it is
loaded where something is counted.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from statistics import variance

Units = Iterable[Hashable]
"""What a case rests on and may share with others, one thing or two: the prompts of a pair."""
CONFIDENCE = 0.95
"""Confidence level of every interval."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A share, with what is needed to judge it.

    Attributes:
        k: How many.
        n: Out of how many.
        low: Lower end of the 95 % Wilson interval, wider where cases are not independent.
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


def with_interval(
    value: float | None, low: float | None, high: float | None, digits: int = 2
) -> str:
    """A number and its interval as text, the same way in every report; either may be missing."""
    if value is None:
        return "no number"
    if low is None or high is None:
        return f"{value:z.{digits}f}"
    return f"{value:z.{digits}f} [{low:z.{digits}f}, {high:z.{digits}f}]"


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
    if n < 1:
        raise ValueError("a rate needs at least one case")
    if not 0 <= k <= n:
        raise ValueError(f"{k} of {n} is no share")
    return _wilson(k, n, n)


def _wilson(k: int, n: int, effective: float) -> Rate:
    """The share ``k / n`` with Wilson's interval for another number of cases."""
    from scipy.special import ndtri

    z = float(ndtri(0.5 + 0.5 * CONFIDENCE))
    share = k / n
    centre = (2 * effective * share + z**2) / (2 * (effective + z**2))
    half = z / (2 * (effective + z**2)) * math.sqrt(4 * effective * share * (1 - share) + z**2)
    return Rate(k, n, centre - half if k else 0.0, centre + half if k < n else 1.0)


def rate_of(outcomes: Iterable[bool], rests_on: Sequence[Units] | None = None) -> Rate:
    """The share of true outcomes, of which there must be at least one.

    Where cases share something they rest on, the interval is Wilson's for the effective number of
    cases (Korn and Graubard 1998): ``n`` over the design effect, which is the ratio of the variance
    that :func:`_variance` finds to the one of independent cases, times the squared ratio of
    Student's quantiles for ``n - 1`` and for as many degrees of freedom as there are independent
    cases, less one. Where all outcomes are the same, the effective number is that of the
    independent cases. It is never more than ``n``.

    Args:
        outcomes: True or false, for every case.
        rests_on: For every case, the one or two things that it rests on, such as its prompts; cases
            are independent if they have none in common. All are, if it is not given.
    """
    from scipy.special import stdtrit

    listed = list(outcomes)
    k, n = sum(listed), len(listed)
    independent = float(n) if rests_on is None else _independent(rests_on)
    if not 0 < independent < n or rests_on is None:
        return rate(k, n)
    if independent <= 1:
        return Rate(k, n, 0.0, 1.0)
    share = k / n
    if k in (0, n):
        return _wilson(k, n, independent)
    plain = share * (1 - share) / n
    effect = max(1.0, _variance([one - share for one in listed], rests_on) / plain)
    level = 0.5 + 0.5 * CONFIDENCE
    students = float(stdtrit(n - 1, level) / stdtrit(independent - 1, level))
    return _wilson(k, n, n / effect * students**2)


def _independent(rests_on: Sequence[Units]) -> float:
    """How many cases there would be if each rested on things of its own."""
    each = [frozenset(units) for units in rests_on]
    return len(frozenset().union(*each)) * len(each) / sum(map(len, each))


def _variance(residuals: Sequence[float], rests_on: Sequence[Units]) -> float:
    """The variance of an average of cases that are correlated where they share a thing.

    The sum of the products of residuals over all pairs of cases that have at least one thing in
    common, over n squared (Aronow, Samii and Assenova 2015, for cases of two things;
    Liang and Zeger 1986 for cases of one): the squared sums over the cases of each thing, less
    those over the cases of each two things, which would be counted twice. Never less than if the
    cases were independent.
    """
    of_one: dict[Hashable, list[float]] = {}
    of_two: dict[frozenset[Hashable], list[float]] = {}
    for residual, units in zip(residuals, map(frozenset, rests_on), strict=True):
        for unit in units:
            of_one.setdefault(unit, []).append(residual)
        if len(units) > 1:
            of_two.setdefault(units, []).append(residual)
    total = math.fsum(math.fsum(part) ** 2 for part in of_one.values())
    total -= math.fsum(math.fsum(part) ** 2 for part in of_two.values())
    return max(total, math.fsum(each**2 for each in residuals)) / len(residuals) ** 2


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


def mean_of(numbers: Sequence[float], rests_on: Sequence[Units] | None = None) -> Mean:
    """The average of finite numbers, with its Student interval (Student 1908).

    The same as ``scipy.stats.t.interval`` with the standard error of the mean; exact for numbers
    that are normally distributed, and close to it where there are many. Where cases share something
    that they rest on, with the variance that :func:`_variance` finds, times ``g / (g - 1)``, and
    ``g - 1`` degrees of freedom, ``g`` being the number of independent cases; of independent cases
    this is the same.

    Args:
        numbers: One for every case.
        rests_on: As for :func:`rate_of`.

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
    independent, variance = float(n), math.fsum((each - value) ** 2 for each in numbers) / n**2
    if rests_on is not None:
        independent = _independent(rests_on)
    if independent <= 1:
        return Mean(n, value, None, None)
    if rests_on is not None and independent < n:
        variance = _variance([each - value for each in numbers], rests_on)
    variance *= independent / (independent - 1)
    half = float(stdtrit(independent - 1, 0.5 + 0.5 * CONFIDENCE)) * math.sqrt(variance)
    return Mean(n, value, value - half, value + half)


@dataclass(frozen=True, slots=True)
class Correlation:
    """How far two numbers of each case rise together.

    Attributes:
        n: Cases.
        value: The correlation, from -1 to 1.
        low: Lower end of the 95 % interval; None if there is none.
        high: Upper end.
    """

    n: int
    value: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        return f"{with_interval(self.value, self.low, self.high)} (n={self.n})"


def rank_correlation(pairs: Sequence[tuple[float, float]]) -> Correlation | None:
    """Spearman's rank correlation of two numbers of each case.

    Its interval is that of Bonett and Wright (2000, Psychometrika 65, 23-28): normal on the scale
    of Fisher's z, with a variance of ``(1 + r**2 / 2) / (n - 3)``. There is none of three cases,
    nor where all are in the same order, or in the reverse one.

    Args:
        pairs: The two numbers, case by case, of independent cases.

    Returns:
        The correlation; None where one of the two never differs.
    """
    if any(len({pair[side] for pair in pairs}) < 2 for side in (0, 1)):
        return None
    from scipy.special import ndtri
    from scipy.stats import spearmanr  # which takes long to load

    one, other = zip(*pairs, strict=True)
    n, value = len(pairs), max(-1.0, min(1.0, float(spearmanr(one, other).statistic)))
    if n < 4 or abs(value) > 1 - 1e-12:
        return Correlation(n, value, None, None)
    half = float(ndtri(0.5 + 0.5 * CONFIDENCE)) * math.sqrt((1 + value**2 / 2) / (n - 3))
    ends = (math.tanh(math.atanh(value) + sign * half) for sign in (-1, 1))
    return Correlation(n, value, *ends)


def spread_of(groups: Sequence[Sequence[float]]) -> tuple[float, float]:
    """How far numbers lie apart between groups, and within: standard deviations.

    Of a random effect in groups of one size ``d``, by the method of moments: the variance within is
    the average of that of each group, the variance between is that of their averages less a
    ``d``-th of the one within, or 0 where that is negative (Searle, Casella and McCulloch 1992,
    section 3.6).

    Args:
        groups: Two groups at least, with as many numbers each, two at least.

    Raises:
        ValueError: There are fewer.
    """
    if len(groups) < 2 or min(map(len, groups)) < 2:
        raise ValueError("two groups of two numbers are needed at least")
    within = math.fsum(variance(group) for group in groups) / len(groups)
    between = variance([math.fsum(group) / len(group) for group in groups])
    return math.sqrt(max(0.0, between - within / len(groups[0]))), math.sqrt(within)


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
