"""Statistics: rates with intervals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from scipy.stats import binomtest

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
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}] (n={self.n})"


def rate(k: int, n: int) -> Rate:
    """A share with its Wilson score interval (Wilson 1927; no continuity correction).

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
    interval = binomtest(k, n).proportion_ci(confidence_level=CONFIDENCE, method="wilson")
    return Rate(k, n, float(interval.low), float(interval.high))


def rate_of(outcomes: Iterable[bool]) -> Rate:
    """The share of true outcomes, of which there must be at least one."""
    listed = list(outcomes)
    return rate(sum(listed), len(listed))
