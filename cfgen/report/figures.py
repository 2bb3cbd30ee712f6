"""Figures: what came out of a run as a picture that fits into one column of a paper.

Lines over layers, and maps where a sweep goes over heads or tokens.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cfgen.counterfactuals import NONE
from cfgen.errors import CfgenError, Problem
from cfgen.experiments import MEASURES, METHODS
from cfgen.prompts import LAST
from cfgen.report.cells import Row, row_of, rows_of, token_text
from cfgen.report.drawing import (
    CONTROL,
    HEIGHT,
    STYLES,
    add_caption,
    drawing,
    halves,
    in_notebooks,
    name_panel,
    new_figure,
    number_or_gap,
)
from cfgen.report.effects import distinct_effects, marked_tokens
from cfgen.report.place_figures import (
    drawn_names,
    matrix,
    neurons_by_layer,
    over_receivers,
    over_strengths,
    profiles,
    sets,
    strengths,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from cfgen.experiments import Cell, Measure, Results

    Sites = Mapping[tuple[str, str], Sequence[Cell]]

ROW = 0.1
"""Inches of a row of a map."""
ABREAST = 2
"""Maps next to each other."""


def figure_of(results: Results, measure: str | None = None) -> Figure:
    """Draw what came out of a run.

    A panel per site, with a line and its interval per hypothesis, layer by layer. Where a sweep
    goes over heads or tokens, a map per hypothesis instead: a row per head or token, a column per
    layer. Where it goes over neurons, a point for each, with a guide over its layer; of sets of
    parts a row each, and of some strengths a line for each layer over them. Of paths to several
    receivers, a matrix: a row per sender, a column per receiver.

    Args:
        results: What came out.
        measure: What is drawn; the run's first measure if not given.

    Raises:
        CfgenError: matplotlib is not installed (``no-matplotlib``), the run has no such measure
            (``unknown-measure``), or no cell has a number (``nothing-to-draw``).
    """
    measures = results.experiment.measures
    chosen = MEASURES.get(measure or measures[0])
    if chosen is None or chosen.name not in measures:
        message = f"this run has no measure {measure!r}; it has {', '.join(measures)}"
        hint = "ask for it with --measure: the LM need not compute anything again"
        raise CfgenError(Problem("unknown-measure", message, hint=hint))
    sites: dict[tuple[str, str], list[Cell]] = {}
    for cell in distinct_effects(results.cells):
        if cell.measure == chosen.name and cell.value is not None:
            sites.setdefault((cell.component, cell.position), []).append(cell)
    if not sites:
        message = "no cell of this run has a number: nothing that was swapped differs in any pair"
        hint = "swap at another site, or use another design"
        raise CfgenError(Problem("nothing-to-draw", message, hint=hint))
    mapped = any(len(rows_of(cells)) > 1 for cells in sites.values())
    neurons = any(neuron is not None for cells in sites.values() for _, _, neuron in rows_of(cells))
    crossed = over_receivers(results)
    with drawing():
        if crossed:
            draw = matrix
        elif mapped:
            draw = _maps
            if neurons:
                draw = neurons_by_layer if results.guidance else profiles
        elif results.experiment.together:
            draw = sets
        else:
            draw = strengths if over_strengths(results) else _curves
        figure = draw(results, sites, chosen)
        counted = sorted({cell.n for cells in sites.values() for cell in cells})
        caption = _caption(results, counted, intervals=not mapped or crossed)
        add_caption(figure, caption)
    return in_notebooks(figure)


def _names(results: Results) -> list[str]:
    """The hypotheses, without the control."""
    cells = distinct_effects(results.cells)
    return list(dict.fromkeys(c.hypothesis for c in cells if c.hypothesis != NONE))


# Layer by layer


def _curves(results: Results, sites: Sites, measure: Measure) -> Figure:
    names = _names(results)
    figure = new_figure(HEIGHT * len(sites) + 0.45)
    panels = figure.subplots(len(sites), 1, squeeze=False, sharex=True)
    for axes, ((component, position), cells) in zip(panels[:, 0], sites.items(), strict=True):
        _lines(axes, cells, names, measure)
        name_panel(axes, component, position)
    panels[-1, 0].set_xlabel("layer")
    # a hypothesis may be tested at some of the sites alone
    drawn = [axes.get_legend_handles_labels() for axes in panels[:, 0]]
    handles = {
        label: handle for both in reversed(drawn) for handle, label in zip(*both, strict=True)
    }
    order = [*(name for name in names if name in handles), *(set(handles) - set(names))]
    figure.legend(
        [handles[label] for label in order],
        order,
        loc="outside upper left",
        ncols=2,
        frameon=False,
        handlelength=3,
    )
    return figure


def _lines(axes: Axes, cells: Sequence[Cell], names: Sequence[str], measure: Measure) -> None:
    for name in (*names, NONE):
        here = sorted((c for c in cells if c.hypothesis == name), key=lambda cell: cell.layer)
        if not here:
            continue
        colour, dash, marker = CONTROL if name == NONE else STYLES[names.index(name) % len(STYLES)]
        layers, values = [cell.layer for cell in here], [number_or_gap(cell.value) for cell in here]
        # of a single number, there is no interval to draw
        low = [number_or_gap(cell.value if cell.low is None else cell.low) for cell in here]
        high = [number_or_gap(cell.value if cell.high is None else cell.high) for cell in here]
        axes.fill_between(layers, low, high, color=colour, alpha=0.18, linewidth=0)
        axes.plot(
            layers,
            values,
            color=colour,
            linestyle=dash,
            marker=marker,
            markersize=2.8,
            linewidth=1.1,
            label="none: nothing happened" if name == NONE else name,
            clip_on=not measure.share,
        )
    if measure.share:
        axes.set_ylim(0, 1)
    axes.set_ylabel("\n".join(halves(measure.meaning)))
    axes.locator_params(axis="x", integer=True)


# Maps


def _maps(results: Results, sites: Sites, measure: Measure) -> Figure:
    """Maps of the hypotheses, as many abreast as fit, site below site.

    An effect that is the same at all places is no map.
    """
    effects = bool(METHODS[results.experiment.method].effects)
    names = drawn_names(results)
    lines = [
        (site, cells, names[first : first + ABREAST])
        for site, cells in sites.items()
        for first in range(0, len(names), ABREAST)
    ]
    heights = [max(0.9, ROW * len(rows_of(cells))) for _, cells, _ in lines]
    figure = new_figure(sum(heights) + 0.55 * len(lines) + 0.5)
    shape = len(lines), min(ABREAST, len(names))
    panels = figure.subplots(*shape, squeeze=False, sharey="row", height_ratios=heights)
    every = [cell for cells in sites.values() for cell in cells]
    drawn = [cell for cell in every if cell.hypothesis in names] if effects else every
    colours = _colours(drawn, measure, effects=effects)
    for line, ((component, position), cells, here) in zip(panels, lines, strict=True):
        name_panel(line[0], component, position)
        for axes, name in itertools.zip_longest(line, here):
            if name is None:
                axes.set_visible(False)
            else:
                mesh = _map(axes, cells, name, colours)
        rows = rows_of(cells)
        alone = {cell.n for cell in cells} == {1}
        labels = [_row_label(row, results, alone=alone) for row in rows]
        line[0].set_yticks([n + 0.5 for n in range(len(rows))], labels, fontsize=5.5)
        line[0].set_ylim(len(rows), 0)  # the first row on top
    bar = figure.colorbar(mesh, ax=panels, location="top", aspect=40, pad=0.02)
    bar.set_label(f"effect on {measure.meaning}" if effects else measure.meaning)
    return figure


def _map(axes: Axes, cells: Sequence[Cell], name: str, colours: Mapping[str, Any]) -> Any:
    rows, layers = rows_of(cells), sorted({cell.layer for cell in cells})
    mine = (cell for cell in cells if cell.hypothesis == name)
    found = {(*row_of(c), c.layer): c.value for c in mine}
    values = [[number_or_gap(found.get((*row, layer))) for layer in layers] for row in rows]
    mesh = axes.pcolormesh(values, rasterized=True, **colours)
    axes.set_facecolor("#cccccc")  # where there is nothing to swap
    axes.set_xlabel(f"layer\n{name}")
    # every fifth layer is named, or all where they are few, in the middle of its column
    named = [n for n, layer in enumerate(layers) if layer % 5 == 0 or len(layers) < 6]
    axes.set_xticks([n + 0.5 for n in named], [str(layers[n]) for n in named])
    axes.tick_params(length=2)
    return mesh


def _row_label(row: Row, results: Results, *, alone: bool) -> str:
    """What is of a slot is known by its name, everything else by what it says.

    Of a single prompt all is known by what it says. A star marks tokens with noise.
    """
    head, token, _ = row
    if token is None:
        return f"head {head}"
    of_slot = token == LAST or token.endswith("]") or re.search(r"\]-\d+$", token)
    text = token_text(results.tokens.get(token, token))
    if of_slot:
        text = token if not alone else f"{text} ({LAST})" if token == LAST else text
    shown = f"{text}*" if token in marked_tokens(results) else text
    return (shown if head is None else f"{head}: {shown}").replace("$", r"\$")


def _colours(cells: Sequence[Cell], measure: Measure, *, effects: bool) -> dict[str, Any]:
    """Colours and what they stand for; where numbers have a sign, zero is white."""
    values = [number_or_gap(cell.value) for cell in cells]
    low, high = min(values), max(values)
    if not effects and (measure.share or measure.name == "probability"):
        return {"cmap": "cividis", "vmin": 0, "vmax": 1}
    if low < 0:
        most = max(-low, high)
        return {"cmap": "PuOr", "vmin": -most, "vmax": most}
    name = "cividis_r" if measure.low_is_good else "cividis"
    return {"cmap": name, "vmin": 0, "vmax": high or 1}


def _caption(results: Results, n: Sequence[int], *, intervals: bool) -> str:
    counted = str(n[0]) if len(n) == 1 else f"{n[0]} to {n[-1]}"
    asked = f"{results.model}; {results.task}, {results.design}; n = {counted} pairs"
    return asked + (f"; {results.confidence:.0%} intervals" if intervals else "")
