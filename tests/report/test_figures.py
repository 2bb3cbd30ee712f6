from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from cfgen.errors import CfgenError
from cfgen.experiments import Cell, Experiment
from cfgen.report import figure_of, save_figure
from cfgen.stats import rate

if TYPE_CHECKING:
    from pathlib import Path


def results(*positions: str, **hits: list[int]) -> Any:
    """Hypothesis -> how many of 20 pairs it was right for, layer by layer, at every position."""
    cells = []
    for position in positions:
        for name, counts in hits.items():
            for layer, count in enumerate(counts):
                found = rate(count, 20)
                where = ("resid_post", position, None, None, None, layer)
                cells.append(Cell(*where, name, "iia", 20, found.value, found.low, found.high))
    return SimpleNamespace(
        cells=tuple(cells),
        model="some-lm",
        task="t",
        design="d",
        confidence=0.95,
        experiment=Experiment(task="t"),
        tokens={},
        noise=None,
    )


def test_a_line_shows_the_cells_of_a_hypothesis_and_its_band_their_intervals() -> None:
    seen = results("last", x=[0, 5, 20], none=[20, 10, 0])
    (axes,) = figure_of(seen).axes
    assert [line.get_label() for line in axes.lines] == ["x", "none: nothing happened"]
    for line, band, name in zip(axes.lines, axes.collections, ("x", "none"), strict=True):
        here = [cell for cell in seen.cells if cell.hypothesis == name]
        assert list(line.get_xdata()) == [0, 1, 2]
        assert list(line.get_ydata()) == [cell.value for cell in here]
        corners = {tuple(corner) for path in band.get_paths() for corner in path.vertices}
        assert {(c.layer, c.low) for c in here} | {(c.layer, c.high) for c in here} <= corners
    assert axes.get_ylim() == (0, 1)


def test_every_site_has_a_panel_and_no_two_lines_look_alike() -> None:
    names = [f"h{number}" for number in range(6)]
    figure = figure_of(results("last", "drink_1", **{key: [3, 4] for key in (*names, "none")}))
    assert [axes.get_title(loc="left").rpartition(", ")[2] for axes in figure.axes] == [
        "last",
        "drink_1",
    ]
    looks = {(line.get_color(), line.get_marker()) for line in figure.axes[0].lines}
    assert len(looks) == 7
    (caption,) = (text.get_text() for text in figure.texts)
    assert caption == "some-lm; t, d; n = 20 pairs; 95% intervals"


@pytest.mark.parametrize("kind", ["pdf", "png", "svg"])
def test_the_same_results_give_the_same_bytes(tmp_path: Path, kind: str) -> None:
    for name in "ab":
        save_figure(figure_of(results("last", x=[1, 2], none=[0, 0])), tmp_path / f"{name}.{kind}")
    assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


def test_nothing_is_written_over(tmp_path: Path) -> None:
    figure = figure_of(results("last", x=[1, 2]))
    (tmp_path / "a.png").write_text("mine")
    with pytest.raises(CfgenError, match="file-exists"):
        save_figure(figure, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_text() == "mine"
    with pytest.raises(CfgenError, match="figure-format"):
        save_figure(figure, tmp_path / "a.gif")
    with pytest.raises(CfgenError, match="cannot-write"):
        save_figure(figure, tmp_path / "a.png" / "b.png")
    assert save_figure(figure, tmp_path / "b.png")
    assert not save_figure(figure, tmp_path / "b.png")


def grid(tokens: dict[str, str], **values: float) -> Any:
    """Every token at two layers, with the value of its hypothesis on the diagonal."""
    seen = results("each token", **{name: [0, 0] for name in values})
    cells = [
        replace(cell, token=token, value=values[cell.hypothesis] if number == cell.layer else 0.0)
        for number, token in enumerate(tokens)
        for cell in seen.cells
    ]
    return SimpleNamespace(**{**vars(seen), "cells": tuple(cells), "tokens": tokens})


def test_a_map_has_a_row_per_token_and_a_column_per_layer() -> None:
    seen = grid({"x[0]": " Ann", "x[0]+1": " and", "last": ":"}, one=0.5, two=1.0, none=0.0)
    figure = figure_of(seen)
    first, second, bar = figure.axes
    assert [label.get_text() for label in first.get_yticklabels()] == ["x[0]", "and", "last"]
    assert first.yaxis_inverted()
    for axes, value in ((first, 0.5), (second, 1.0)):
        (mesh,) = axes.collections
        assert mesh.get_array().tolist() == [[value, 0], [0, value], [0, 0]]  # type: ignore[union-attr]
        assert mesh.get_clim() == (0, 1)
    assert [axes.get_xlabel() for axes in (first, second)] == ["layer\none", "layer\ntwo"]
    assert bar.get_xlabel() == "interchange intervention accuracy"


def test_only_a_measure_of_the_run_is_drawn() -> None:
    with pytest.raises(CfgenError, match="it has iia"):
        figure_of(results("last", x=[1, 2]), "kl")


def test_a_run_without_numbers_has_no_figure() -> None:
    with pytest.raises(CfgenError, match="nothing-to-draw"):
        figure_of(results())


def test_a_hypothesis_of_a_later_panel_is_in_the_legend_and_a_long_title_leaves_room() -> None:
    long = (
        "+".join(f"story/character_{number}" for number in range(12)) + " by word up to, frozen x"
    )
    seen = results(long, x=[0, 5], none=[20, 10])
    more = results("last", y=[3, 4], none=[20, 10])
    seen.cells = (*seen.cells, *more.cells)
    figure = figure_of(seen)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["x", "y", "none: nothing happened"]
    figure.draw_without_rendering()
    width = figure.bbox.width
    for axes in figure.axes:
        assert axes.get_window_extent().width > width / 2
        assert axes.get_title(loc="left").count("\n") <= 2
