"""A plan says what the run then takes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cfgen.counterfactuals import Site
from cfgen.experiments import FinishedRun, PlannedRun, Portion, answer, plan_answer
from tests.inquiries import request_of
from tests.sampling import one_in

LAST = {"all": Site()}
SLOTS = {"all": Site(("name_1[0]", "drink_1"), layers="up_to")}


@pytest.fixture(scope="module")
def pairs(lm, make, answer):
    return answer(lm, make.pairs(160, seed=3, vary_length=False))[:80]


@pytest.fixture(autouse=True)
def loaded(lm, monkeypatch):
    monkeypatch.setattr("cfgen.lm.load.load_lm", lambda *_, **__: lm)


def passes(results):
    return results.engine.clean.passes + results.engine.swaps.passes


@pytest.mark.parametrize("engine", one_in(2, ["packed", "reference"]))
@pytest.mark.parametrize("sites", one_in(2, [SLOTS, LAST]))
def test_what_is_planned_is_what_the_run_takes(pairs, tmp_path, engine, sites):
    request = request_of(pairs, sites, engine=engine)
    planned = plan_answer(request, tmp_path / "run")
    assert isinstance(planned, PlannedRun)
    plan, before = planned.plan, units(tmp_path / "run")
    assert 0 < plan.done < plan.units
    assert plan.seconds > 0
    found = answer(request, tmp_path / "run").results
    assert before < units(tmp_path / "run")  # what was measured was not computed again
    assert plan.engine == engine == found.engine.name
    assert plan.swaps == found.engine.run + sum(found.engine.filled.values())
    assert (plan.keep_rate, plan.cells) == (1.0, 4)
    assert plan.passes == pytest.approx(passes(found), rel=0.1)
    assert isinstance(plan_answer(request, tmp_path / "run"), FinishedRun)


def units(folder):
    return {path.name for path in (folder / "units").iterdir()}


def test_a_keep_rate_is_expected_of_the_pairs_that_were_not_run(pairs, tmp_path):
    """Every other pair is answered wrongly: half of the swaps will be made."""
    mixed = [
        replace(pair, original=replace(pair.original, answer=pair.counterfactual.answer))
        if number % 2
        else pair
        for number, pair in enumerate(pairs)
    ]
    request = request_of(mixed, SLOTS)
    plan = plan_answer(request, tmp_path / "run").plan
    found = answer(request, tmp_path / "run").results
    assert (plan.keep_rate, found.keep_rate) == pytest.approx((0.5, 0.5), abs=0.05)
    made = found.engine.run + sum(found.engine.filled.values())
    assert plan.swaps == pytest.approx(made, rel=0.05)
    assert plan.passes == pytest.approx(passes(found), rel=0.1)


def test_a_share_is_planned_as_a_share(pairs, tmp_path):
    request = request_of(pairs, SLOTS)
    whole = plan_answer(request, tmp_path / "a").plan
    half = plan_answer(request, tmp_path / "b", portion=Portion((2, 2))).plan
    assert 0.4 * whole.passes < half.passes < 0.8 * whole.passes


@pytest.mark.slow
def test_a_plan_of_what_was_begun_is_of_the_rest(pairs, tmp_path):
    """What the first units took is known of those that are there, and measured on others."""
    for name, sites in (("last", LAST), ("slots", SLOTS)):
        plans = [plan_answer(request_of(pairs, sites), tmp_path / name).plan for _ in range(2)]
        first, second = plans
        assert second.units == first.units
        assert second.done > first.done
        assert second.seconds > 0
        assert second.passes == pytest.approx(first.passes, rel=0.1)
        found = answer(request_of(pairs, sites), tmp_path / name).results
        assert second.passes == pytest.approx(passes(found), rel=0.1)


def test_a_share_of_nothing_takes_nothing(pairs, tmp_path):
    """There are more shares than units."""
    plan = plan_answer(request_of(pairs, LAST), tmp_path / "run", portion=Portion((9, 9))).plan
    assert (plan.units, plan.seconds, plan.passes) == (0, 0, 0)


def test_an_interrupted_plan_says_what_is_kept(pairs, tmp_path, monkeypatch):
    request, folder = request_of(pairs, SLOTS), tmp_path / "run"
    plan_answer(request, folder)
    count = len(list((folder / "units").glob("*.parquet")))

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("cfgen.lm.load.load_lm", interrupted)  # before anything is read
    with pytest.raises(KeyboardInterrupt) as caught:
        plan_answer(request, folder)
    (kept,) = caught.value.__notes__
    assert kept.startswith(f"{count} units are kept in ")
    assert kept.endswith("; the same command goes on.")
