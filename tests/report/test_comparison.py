from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from cfgen.errors import CfgenError
from cfgen.experiments import Cell, EngineOptions, Experiment, SweepOptions, compare_runs
from cfgen.report import comparison_record, comparison_view
from cfgen.stats import rate

if TYPE_CHECKING:
    from tests.report.conftest import Draw


def results(n: int, seed: int, over: str, **hits: list[int]) -> Any:
    """Hypothesis -> how many of n pairs it was right for, layer by layer."""
    cells = []
    for name, counts in hits.items():
        for layer, count in enumerate(counts):
            found = rate(count, n)
            numbers = (n, found.value, found.low, found.high)
            cells.append(Cell("resid_post", "last", None, None, None, layer, name, "iia", *numbers))
    return SimpleNamespace(
        cells=tuple(cells),
        sites={name: None for name in hits if name != "none"},
        experiment=Experiment(task="t", seed=seed, sweep=SweepOptions(over=over)),
        model="some-lm",
        revision="r",
        device="cpu",
        dtype="float32",
        engine=EngineOptions(),
        source={"split": "test"},
        versions={"torch": "2"},
        n=n,
        kept=n,
        clean={"both": SimpleNamespace(rate=1.0)},
    )


def test_what_differs_is_named_and_where_it_differs_most(draw: Draw) -> None:
    one = results(20, 0, "0-2", x=[0, 20, 10], none=[20, 0, 0])
    other = results(20, 1, "0-2", x=[0, 18, 0], none=[20, 2, 0])
    found = compare_runs({"runs/one": one, "runs/other": other})
    assert found.asked == {"seed": (0, 1)}
    assert [(each.one.layer, round(each.by.value, 2)) for each in found.cells] == [
        (0, 0.0),
        (1, 0.1),
        (2, 0.5),
    ]
    assert [each.clear for each in found.cells] == [False, False, True]
    shown = " ".join(draw(comparison_view(found)).split())
    assert "run 1 runs/one: some-lm, clean accuracy 1.00, 20 of 20 pairs kept" in shown
    assert "run 1 x 1.00 [0.84, 1.00] last, layer 1" in shown
    assert "x iia last, layer 2 0.50 0.00 0.50 [0.2" in shown
    assert "In 1 of 3 cells" in shown
    assert comparison_record(found)["cells"][2]["by"]["value"] == 0.5


def test_more_than_two_runs_are_a_table(draw: Draw) -> None:
    runs = {f"runs/{n}": results(8, 0, f"0-{n}", x=[8] * n) for n in (1, 2, 3)}
    found = compare_runs(runs)
    assert found.asked == {"sweep.over": ("0-1", "0-2", "0-3")}
    assert found.cells == ()
    shown = " ".join(draw(comparison_view(found)).split())
    assert "run 3 x 1.00 [0.68, 1.00] last, layers 0-2" in shown
    assert "no cell in common" not in shown


def test_two_runs_without_a_common_cell(draw: Draw) -> None:
    found = compare_runs({"a": results(8, 0, "0", x=[1]), "b": results(8, 0, "0", y=[1])})
    assert "no cell in common" in draw(comparison_view(found))


def test_one_run_is_not_compared() -> None:
    with pytest.raises(CfgenError, match="nothing-to-compare"):
        compare_runs({"a": results(8, 0, "0", x=[1])})
