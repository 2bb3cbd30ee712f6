"""Faithfulness curves and their two areas, on curves by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cfgen.circuits import PERCENT, CurvePoints, cmd, cpr, faithfulness


@pytest.mark.parametrize(
    ("curve", "below", "beside"),
    [
        ([1.0] * 10, 0.999, 0.0),
        ([0.0] * 9 + [1.0], 0.250, 0.749),
        ([percent / 100 for percent in PERCENT], 0.500, 0.499),
        ([2.0] * 9 + [1.0], 1.748, 0.749),
    ],
    ids=["perfect", "nothing below 100 %", "in proportion", "twice too much"],
)
def test_areas_by_hand(curve, below, beside):
    """CMD can't tell the second from the fourth, and CPR has no upper end."""
    assert cpr(PERCENT, curve) == pytest.approx(below, abs=6e-4)
    assert cmd(PERCENT, curve) == pytest.approx(beside, abs=6e-4)


def test_faithfulness_is_a_ratio_of_averages():
    none, every = np.array([0.0, 1.0]), np.array([4.0, 1.0])  # the second pair makes no difference
    assert faithfulness(np.array([1.0, 1.0]), none, every) == pytest.approx(0.25)
    assert faithfulness(none, none, every) == 0
    assert faithfulness(every, none, every) == 1
    assert np.isnan(faithfulness(none, none, none))


def test_pairs_drawn_again_have_the_pairs_own_spread():
    rng = np.random.default_rng(0)
    none, every = np.zeros(200), np.ones(200)
    points = CurvePoints((50.0,), rng.normal(0.5, 0.2, (1, 200)), none, every)
    again = points.resampled(seed=1)
    assert again.shape[1] == 1
    assert again.std() == pytest.approx(0.2 / np.sqrt(200), rel=0.15)
    np.testing.assert_array_equal(again, points.resampled(seed=1))
    assert not np.array_equal(again, points.resampled(seed=2))
