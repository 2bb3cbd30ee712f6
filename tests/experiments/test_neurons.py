"""Single neurons as mediators: all of them at once, beside each of them run by itself."""

from __future__ import annotations

from typing import Any

import pytest

from cfgen.counterfactuals import Site
from cfgen.documents import markdown
from cfgen.errors import CfgenError
from cfgen.experiments import (
    FinishedRun,
    Portion,
    SweepOptions,
    answer,
    check_neurons,
    merge_shards,
    plan_answer,
    read_results,
)
from cfgen.report import figure_bytes, figure_of, run_view
from tests.inquiries import ask, contents, request_of

pytestmark = pytest.mark.usefixtures("loaded")
SITE = Site("last", component="mlp_neuron")
FEW = (0, 5, 11, 30)


@pytest.fixture(scope="module")
def pairs(lm, contrasting):
    return contrasting(lm, 5)


def fields_of(neurons: Any = "all", **fields: Any) -> dict[str, Any]:
    given = {"measures": ("logit_difference",), "guide": "exact", "guided": 3, **fields}
    sweep = SweepOptions(component="mlp_neuron", neurons=neurons)
    return {"method": "mediation", "sweep": sweep, **given}


def test_numbers_of_all_are_the_effects_of_each(lm, pairs):
    record = ask(lm, pairs, {"mediation": SITE}, **fields_of(FEW))
    whole = ask(lm, pairs, {"mediation": SITE}, **fields_of(FEW, guide=None))
    each = {
        (cell.neuron, cell.layer): cell.value for cell in whole.cells if cell.hypothesis == "NIE"
    }
    (found,) = record.guidance
    assert len(found.places) == len(FEW) * len(record.layers) == len(each)
    for place in found.places:
        assert place.estimate == pytest.approx(each[place.neuron, place.layer], abs=1e-4)
    largest = sorted(each, key=lambda at: -abs(each[at]))[:3]
    promising = [(p.neuron, p.layer) for p in found.places if p.run == "promising"]
    assert sorted(promising) == sorted(largest)
    assert found.correlation == pytest.approx(1.0)
    run = {
        (cell.neuron, cell.layer): cell.value for cell in record.cells if cell.hypothesis == "NIE"
    }
    assert len(run) == 6
    assert run == pytest.approx({at: each[at] for at in run}, abs=1e-5)


def test_what_is_lost_without_each_as_well(lm, pairs):
    """With intervals, of all neurons; the same as where each is run by itself."""
    record = ask(lm, pairs, {"mediation": SITE}, **fields_of(FEW, guide="exact-both"))
    whole = ask(lm, pairs, {"mediation": SITE}, **fields_of(FEW, guide=None))
    assert [one.aim for one in record.guidance] == ["NIE", "TIE"]
    for found in record.guidance:
        each = {cell.place: cell for cell in whole.cells if cell.hypothesis == found.aim}
        assert {place.place for place in found.places} == {*each}
        for place in found.places:
            cell = each[place.place]
            given, expected = (
                (one.n, number, one.low, one.high)
                for one, number in ((place, place.estimate), (cell, cell.value))
            )
            assert given == pytest.approx(expected, abs=1e-4)
        assert found.correlation == pytest.approx(1.0)
        promising = {place.place for place in found.places if place.run == "promising"}
        assert promising == {*sorted(each, key=lambda at: -abs(each[at].value))[:3]}
    run = {cell.place for cell in record.cells}
    assert run == {place.place for one in record.guidance for place in one.places if place.run}


def test_shards_and_resumption_give_the_same_bytes(pairs, tmp_path):
    asked = request_of(pairs, {"mediation": SITE}, **fields_of())
    whole = answer(asked, tmp_path / "whole")
    assert isinstance(whole, FinishedRun)
    for share in (1, 2):
        answer(asked, tmp_path / f"of{share}", portion=Portion((share, 2)))
    merge_shards(asked, [tmp_path / "of1", tmp_path / "of2"], tmp_path / "merged")
    assert contents(tmp_path / "merged") == contents(tmp_path / "whole")
    assert read_results(tmp_path / "merged").guidance == whole.results.guidance
    text = markdown(run_view(whole.results, tmp_path / "whole"))
    assert "swapped behind its block" in text
    assert "gradients" not in text
    assert "would if all were 0" not in text  # said of neurons that nobody picked
    assert figure_bytes(figure_of(whole.results), "png")


def test_it_is_not_planned(pairs, tmp_path):
    asked = request_of(pairs, {"mediation": SITE}, **fields_of(FEW))
    with pytest.raises(CfgenError, match="not-planned"):
        plan_answer(asked, tmp_path / "out")


@pytest.mark.parametrize(
    ("site", "fields"),
    [
        (Site("last"), {}),
        (SITE, {"neurons": None}),
        (Site("last", component="mlp_neuron", layers="window(3)"), {}),
        (SITE, {"method": "ablation"}),
    ],
)
def test_nothing_else_is_computed_so(pairs, site, fields):
    given = {**fields_of(fields.pop("neurons", "all")), **fields}
    experiment = request_of(pairs, {"mediation": site}, **given).inquiry.experiment
    with pytest.raises(CfgenError, match="exact-without-neurons"):
        check_neurons(experiment, {"mediation": site})
