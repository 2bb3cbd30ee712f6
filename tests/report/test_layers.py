from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cfgen.experiments import Cell, VacuousCell
from cfgen.report import best_cell, sweep_tables

if TYPE_CHECKING:
    from tests.report.conftest import Draw


def cell(name: str, layer: int, iia: float, position: str = "last") -> Cell:
    interval = max(0, iia - 0.1), min(1, iia + 0.1)
    return Cell("resid_post", position, None, None, None, layer, name, "iia", 64, iia, *interval)


def row(shown: str, layer: int) -> list[str]:
    return next(line.split() for line in shown.splitlines() if line.split()[:1] == [str(layer)])


def test_a_row_per_layer_and_the_best_marked(draw: Draw) -> None:
    cells = [cell("one", 4, 0.25), cell("one", 10, 0.75), cell("none", 4, 0.5), cell("none", 10, 0)]
    shown = draw(sweep_tables(cells))
    assert "at last: residual stream after the block" in shown
    assert row(shown, 4)[1:] == ["0.25", "0.15-0.35", "0.50", "0.40-0.60"]
    assert row(shown, 10)[1:] == [">0.75", "0.65-0.85", "0.00", "0.00-0.10"]
    assert shown.index("\n    4 ") < shown.index("\n   10 ")
    assert shown.count("n = 64") == 2


def test_a_table_for_every_site(draw: Draw) -> None:
    cells = [cell("one", 0, 0.1), cell("two", 0, 0.2, "x[0]"), cell("none", 0, 0.3, "x[0]")]
    first, _, second = draw(sweep_tables(cells)).partition("at x[0]")
    assert "one" in first
    assert "two" not in first
    assert "two" in second


def test_a_component_that_was_named_is_called_by_its_name_too(draw: Draw) -> None:
    named = replace(cell("one", 0, 0.1), component="mlp_out")
    assert "at last: mlp_out, what the MLP adds to the residual stream" in draw(
        sweep_tables([named])
    )


def test_many_long_names_fit_into_80_columns(draw: Draw) -> None:
    names = [f"the_{word}_of_a_rather_long_hypothesis" for word in ["one", "two", "three", "four"]]
    cells = [cell(name, 29, 0.5) for name in (*names, "none")]
    shown = draw(sweep_tables(cells))
    assert max(map(len, shown.splitlines())) <= 80
    assert shown.count(">0.50 0.40-0.60") == 4
    assert shown.count("none: nothing") == 2


def test_the_earliest_of_equal_layers_is_the_best() -> None:
    cells = [cell("one", 3, 0.5), cell("one", 4, 0.5), cell("two", 5, 1.0)]
    assert best_cell(cells, "one").layer == 3


def test_a_site_without_a_control(draw: Draw) -> None:
    assert row(draw(sweep_tables([cell("one", 7, 0.5)])), 7)[1:] == [">0.50", "0.40-0.60"]


def test_heads_and_tokens_are_maps_with_a_character_per_layer(draw: Draw) -> None:
    heads = [
        replace(cell(name, layer, value), component="head_out", head=head)
        for name in ("one", "none")
        for head, values in enumerate([[0, 0.05, 0.3, 1], [0, 0, 0, 0]])
        for layer, value in enumerate(values)
    ]
    shown = draw(sweep_tables(heads))
    assert row(shown, 0) == ["0", ".03*", "1.00", "at", "3"]
    assert "1 other head: 0.00 in every layer" in shown
    tokens = [replace(one, head=None, token=f"x[{one.head}]") for one in heads]
    texts = {"x[0]": " Ann", "x[1]": "\n"}
    found = next(
        line.split()
        for line in draw(sweep_tables(tokens, (), texts)).splitlines()
        if "x[0]" in line
    )
    assert found == ["x[0]", "Ann", ".03*", "1.00", "at", "3"]


def test_a_measure_that_is_no_share_is_scaled_from_its_lowest_to_its_highest(draw: Draw) -> None:
    cells = [
        replace(cell("one", layer, value), measure="logit_difference", head=head)
        for head in (0, 1)
        for layer, value in enumerate([-1.0, 0.0, 1.0])
    ]
    shown = draw(sweep_tables(cells))
    assert "from 0 for -1.00 to 9 for 1.00" in shown
    assert row(shown, 0) == ["0", "059", "1.00", "at", "2"]


def test_layers_without_a_number_are_named(draw: Draw) -> None:
    empty = [VacuousCell("resid_post", "last", None, None, None, layer, 8) for layer in (0, 1)]
    shown = draw(sweep_tables([cell("one", 2, 0.5), cell("none", 2, 0.5)], empty))
    assert "layers 0-1: no number" in shown
    assert row(shown, 2)[1] == ">0.50"
    alone = draw(sweep_tables([], empty))
    assert "at last: residual stream" in alone
    assert "IIA" not in alone
