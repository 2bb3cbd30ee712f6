"""Sample sizes, against sums of the binomial distribution and against simulated experiments."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cfgen.datasets.power import corrected, critical, plan_power
from cfgen.errors import CfgenError


def tail(n: int, hits: int, rate: Fraction) -> Fraction:
    """Chance of at least so many hits, in whole numbers only."""
    return sum(
        (math.comb(n, k) * rate**k * (1 - rate) ** (n - k) for k in range(max(hits, 0), n + 1)),
        Fraction(0),
    )


def by_hand(n: int, iia: Fraction, against: Fraction, level: Fraction) -> tuple[int, Fraction]:
    """Critical number of hits and power, by adding up."""
    hits = next(k for k in range(n + 2) if tail(n, k, against) <= level)
    return hits, tail(n, hits, iia)


RATES = st.integers(0, 20).map(lambda k: Fraction(k, 20))


@given(n=st.integers(1, 60), iia=RATES, against=RATES, cells=st.integers(1, 40))
@settings(max_examples=150, deadline=None)
def test_hits_and_power_are_those_of_the_binomial_distribution(n, iia, against, cells) -> None:
    level = Fraction(1, 20 * cells)
    if iia == against:
        return
    found, power = critical(np.array([n]), float(iia), float(against), float(level))
    if iia > against:
        hits, expected = by_hand(n, iia, against, level)
    else:
        misses, expected = by_hand(n, 1 - iia, 1 - against, level)
        hits = n - misses
    assert found[0] == hits
    assert power[0] == pytest.approx(float(expected), abs=1e-9)


@given(iia=RATES, against=RATES, cells=st.integers(1, 30), power=st.sampled_from([0.5, 0.8, 0.95]))
@settings(max_examples=25, deadline=None)
def test_it_is_the_smallest_number_from_which_on_power_stays(iia, against, cells, power) -> None:
    if abs(iia - against) < Fraction(1, 4):
        return
    plan = plan_power(float(iia), float(against), cells=cells, power=power)
    assert plan.achieved >= power
    level = Fraction(1, 20 * cells)
    if iia < against:
        iia, against = 1 - iia, 1 - against
    assert plan.pairs == 1 or by_hand(plan.pairs - 1, iia, against, level)[1] <= power
    for more in range(8):
        assert by_hand(plan.pairs + more, iia, against, level)[1] >= Fraction(power) - 10**-9


def test_a_simulated_experiment_finds_what_was_planned_for() -> None:
    plan = plan_power(0.8, 0.5, cells=30)
    assert (plan.pairs, plan.hits, round(plan.level, 6)) == (47, 34, 0.001667)
    rng = np.random.default_rng(1)
    found = (rng.random((20_000, plan.pairs)) < 0.8).sum(axis=1) >= plan.hits
    assert found.mean() == pytest.approx(plan.achieved, abs=0.006)
    nothing = (rng.random((4_000, 30, plan.pairs)) < 0.5).sum(axis=2) >= plan.hits
    assert nothing.any(axis=1).mean() <= plan.alpha + 0.01


def test_corrections() -> None:
    assert corrected(0.05, 30, "bonferroni") == corrected(0.05, 30, "holm") == 0.05 / 30
    assert corrected(0.05, 30, "sidak") == pytest.approx(1 - 0.95 ** (1 / 30), rel=1e-12)
    assert corrected(0.05, 30, "none") == 0.05
    needed = [plan_power(correction=c, cells=30).pairs for c in ("none", "sidak", "holm")]
    assert needed == sorted(needed)
    assert needed[0] < needed[-1]


def test_dropped_pairs_are_drawn_in_addition() -> None:
    assert plan_power(cells=30, keep=0.8).draw == math.ceil(47 / 0.8)
    assert plan_power(cells=30, keep=0.94).draw == 50  # 47 / 0.94 is 50, but for rounding
    assert plan_power(cells=30).draw == 47


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"iia": 1.2}, "iia is 1.2"),
        ({"against": -0.1}, "against is -0.1"),
        ({"iia": 0.5}, "both 0.5"),
        ({"power": 1.0}, "power is 1"),
        ({"alpha": 0.0}, "alpha is 0"),
        ({"cells": 0}, "0 cells"),
        ({"keep": 0.0}, "keep is 0"),
        ({"iia": float("nan")}, "iia is nan"),
        ({"correction": "holms"}, "did you mean 'holm'"),
        ({"iia": 0.5001}, "more than 1,000,000 pairs"),
    ],
)
def test_what_cannot_be_planned(given: dict, message: str) -> None:
    with pytest.raises(CfgenError, match=message):
        plan_power(**given)


def test_every_mistake_is_named() -> None:
    with pytest.raises(CfgenError) as caught:
        plan_power(2.0, -1.0, cells=0, power=0.0, alpha=1.0)
    assert len(caught.value.problems) == 5
