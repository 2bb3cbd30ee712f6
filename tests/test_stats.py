from __future__ import annotations

import math

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from cfgen.stats import Interval, Mean, at_least, difference, mean_of, rate, rate_of


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),  # Brown, Cai & DasGupta 2001; Newcombe 1998, table I
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (64, 64, 0.9434, 1.0),
    ],
)
def test_known_intervals(k, n, low, high):
    found = rate(k, n)
    assert (found.k, found.n, found.value) == (k, n, k / n)
    assert (found.low, found.high) == pytest.approx((low, high), abs=6e-5)


@given(st.data())
def test_the_interval_is_wilsons_formula(data):
    n = data.draw(st.integers(1, 500))
    k = data.draw(st.integers(0, n))
    z = 1.959963984540054
    centre = (k + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * math.sqrt(k * (n - k) / n + z * z / 4)
    found = rate(k, n)
    assert found.low == pytest.approx(max(0, centre - half), abs=1e-9)
    assert found.high == pytest.approx(min(1, centre + half), abs=1e-9)


def test_rate_of_counts():
    assert rate_of([True, False, True]) == rate(2, 3)
    assert str(rate(1, 2)) == "0.50 [0.09, 0.91] (n=2)"


def test_no_cases_no_rate():
    with pytest.raises(ValueError, match="at least one case"):
        rate(0, 0)
    for k in (-1, 3):
        with pytest.raises(ValueError, match="is no share"):
            rate(k, 2)


@given(st.data())
def test_the_library_says_the_same(data):
    n = data.draw(st.integers(1, 3000))
    k = data.draw(st.integers(0, n))
    chance = data.draw(st.floats(0, 1))
    tested = scipy.stats.binomtest(k, n, chance, alternative="greater")
    assert at_least(k, n, chance) == pytest.approx(tested.pvalue, rel=1e-9, abs=1e-300)
    interval = scipy.stats.binomtest(k, n).proportion_ci(0.95, method="wilson")
    found = rate(k, n)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=1e-15)


def test_a_mean_is_that_of_scipy() -> None:
    numbers = [0.5, -1.25, 3.0, 2.0, 0.0]
    found = mean_of(numbers)
    low, high = scipy.stats.t.interval(0.95, 4, 0.85, scipy.stats.sem(numbers))
    assert (found.n, found.value) == (5, 0.85)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-12)
    assert mean_of([2.0]) == Mean(1, 2.0, None, None)
    assert mean_of([1.0, 1.0]) == Mean(2, 1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="at least one number"):
        mean_of([])


@pytest.mark.parametrize(
    ("one", "other", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),  # Newcombe 1998 (interval estimation), table II
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0000),
    ],
)
def test_differences_of_shares_are_those_of_newcombe(one, other, low, high) -> None:
    a, b = (rate(*counts) for counts in (one, other))
    found = difference(Interval(a.value, a.low, a.high), Interval(b.value, b.low, b.high))
    assert found.value == pytest.approx(a.value - b.value)
    assert (found.low, found.high) == pytest.approx((low, high), abs=6e-5)
