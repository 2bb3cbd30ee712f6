from __future__ import annotations

import itertools
import math
import random

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from cfgen.stats import (
    Interval,
    Mean,
    Rate,
    at_least,
    difference,
    mean_of,
    rank_correlation,
    rate,
    rate_of,
    spread_of,
)


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


def plainly(residuals: list[float], units: list[tuple[int, ...]]) -> float:
    """The variance of an average, over all two cases that share something."""
    products = (
        one * other
        for one, mine in zip(residuals, units, strict=True)
        for other, theirs in zip(residuals, units, strict=True)
        if {*mine} & {*theirs}
    )
    n = len(residuals)
    return max(math.fsum(products), math.fsum(each**2 for each in residuals)) / n**2


CASES = st.lists(
    st.tuples(
        st.tuples(st.integers(0, 6), st.integers(0, 6)) | st.tuples(st.integers(0, 6)),
        st.floats(-5, 5),
    ),
    min_size=2,
    max_size=30,
)


@given(CASES)
def test_cases_that_share_something_are_not_independent(cases):
    units, numbers = [unit for unit, _ in cases], [number for _, number in cases]
    n, per_case = len(cases), sum(len({*unit}) for unit in units) / len(cases)
    independent = len({each for unit in units for each in unit}) / per_case
    found, alone = mean_of(numbers, units), mean_of(numbers)
    assert (found.n, found.value) == (alone.n, alone.value)
    if independent <= 1:
        assert found.low is found.high is None
    elif independent < n:
        variance = plainly([each - found.value for each in numbers], units)
        half = scipy.stats.t.ppf(0.975, independent - 1)
        half *= math.sqrt(variance * independent / (independent - 1))
        assert found.high - found.value == pytest.approx(half, rel=1e-6, abs=1e-9)

    outcomes = [number > 0 for number in numbers]
    wide, plain = rate_of(outcomes, units), rate_of(outcomes)
    assert (wide.k, wide.n) == (plain.k, plain.n)
    assert 0 <= wide.low <= plain.low + 1e-12
    assert plain.high - 1e-12 <= wide.high <= 1
    assert wide.low <= wide.value <= wide.high


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_cases_of_their_own_are_as_they_always_were(outcomes):
    own = [(2 * number, 2 * number + 1) for number in range(len(outcomes))]
    assert rate_of(outcomes, own) == rate_of(outcomes)
    numbers = [float(outcome) for outcome in outcomes]
    assert mean_of(numbers, own) == mean_of(numbers)


def test_saying_everything_twice_says_nothing_more():
    outcomes, units = [True, False, True, True] * 5, [(n, -1 - n) for n in range(20)]
    once, twice = rate_of(outcomes, units), rate_of(outcomes * 2, units * 2)
    assert twice.n == 2 * once.n
    assert twice.high - twice.low >= once.high - once.low
    assert rate_of([True] * 40, units * 2).low == rate_of([True] * 20, units).low
    assert rate_of([True, False], [(1, 2), (2, 1)]) == Rate(1, 2, 0.0, 1.0)


def test_the_interval_holds_what_it_should_where_prompts_are_used_again():
    """Of 400 samples of 60 pairs of 12 prompts, each with an effect of its own, 95 % should."""
    rng, possible = random.Random(5), list(itertools.permutations(range(12), 2))
    held = {"plain": 0, "robust": 0}
    for _ in range(400):
        effect = [rng.gauss(0, 0.7) for _ in range(12)]
        pairs = rng.sample(possible, 60)
        outcomes = [effect[a] + effect[b] + rng.gauss(0, 1) < 0 for a, b in pairs]
        for name, found in (("plain", rate_of(outcomes)), ("robust", rate_of(outcomes, pairs))):
            held[name] += found.low <= 0.5 <= found.high
    assert held["plain"] < 0.8 * 400
    assert held["robust"] > 0.9 * 400


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


def test_spread_is_told_apart_between_groups_and_within() -> None:
    """By hand: averages 2 and 5, variances 2 and 8, so 5 within; 4.5 between, less 5 / 2."""
    between, within = spread_of([(1.0, 3.0), (3.0, 7.0)])
    assert within == pytest.approx(math.sqrt(5))
    assert between == pytest.approx(math.sqrt(4.5 - 5 / 2))
    same, alone = spread_of([(1.0, 2.0), (1.0, 2.0)])
    assert (same, alone) == pytest.approx((0.0, math.sqrt(0.5)))  # and never below 0
    for groups in ([(1.0, 2.0)], [(1.0,), (2.0,)]):
        with pytest.raises(ValueError, match="two"):
            spread_of(groups)


def test_spread_finds_what_numbers_were_drawn_with() -> None:
    drawn = random.Random(0)
    groups = []
    for _ in range(4000):
        centre = drawn.gauss(0, 2)
        groups.append([centre + drawn.gauss(0, 1) for _ in range(5)])
    assert spread_of(groups) == pytest.approx((2, 1), rel=0.03)


def test_a_rank_correlation_by_hand():
    """Ranks 1 to 5 with two neighbours exchanged: 1 - 6 * 2 / (5 * 24)."""
    found = rank_correlation([(0.1, 1), (0.2, 3), (0.3, 2), (10, 50), (11, 60)])
    assert found is not None
    assert (found.n, found.value) == (5, pytest.approx(0.9))
    half = 1.959964 * math.sqrt((1 + 0.9**2 / 2) / 2)
    expected = [math.tanh(math.atanh(0.9) + sign * half) for sign in (-1, 1)]
    assert [found.low, found.high] == pytest.approx(expected, abs=1e-6)
    assert str(found) == f"0.90 [{expected[0]:.2f}, {expected[1]:.2f}] (n=5)"


def test_orders_that_are_the_same_have_no_interval():
    same = rank_correlation([(n, n**3) for n in range(9)])
    assert same is not None
    assert (same.value, same.low, same.high, str(same)) == (1, None, None, "1.00 (n=9)")
    few = rank_correlation([(1, 2), (2, 1), (3, 3)])
    assert few is not None
    assert (few.value, few.low) == (0.5, None)
    assert rank_correlation([(1, 2), (1, 3)]) is None


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_the_interval_of_a_rank_correlation_holds_it_as_often_as_it_says(rho):
    """Of numbers that are normal together, whose rank correlation is known (Pearson 1907)."""
    rng, true, held = random.Random(1), 6 / math.pi * math.asin(rho / 2), 0
    for _ in range(400):
        drawn = []
        for _ in range(32):
            one, other = rng.gauss(0, 1), rng.gauss(0, 1)
            drawn.append((one, rho * one + math.sqrt(1 - rho**2) * other))
        found = rank_correlation(drawn)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        held += found.low <= true <= found.high
    assert 0.92 <= held / 400 <= 0.98
