"""Figures: what came out of a run as a picture that fits into one column of a paper.

Lines differ in colour, dash and marker, so that nothing hangs on colour alone; the colours are
those of Okabe and Ito (2008), which people with any colour vision tell apart.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfgen.counterfactuals import NONE
from cfgen.errors import CfgenError, Problem, did_you_mean
from cfgen.experiments import MEASURES, METHODS, UNFILTERED
from cfgen.folders import write_file
from cfgen.lm import COMPONENTS
from cfgen.paths import display
from cfgen.prompts import LAST
from cfgen.report.cells import Row, magnitude, number_name, rows_of, token_text
from cfgen.report.effects import distinct_effects, is_everywhere, marked_tokens

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from cfgen.experiments import Cell, Measure, Results

    Sites = Mapping[tuple[str, str], Sequence[Cell]]

FORMATS = ("pdf", "png", "svg")
WIDTH = 3.4
"""Inches; a column of most two-column papers."""
HEIGHT = 2.1
"""Inches of one panel."""
STRIP = 0.09
"""Inches below the panels, for the caption."""
ROW = 0.1
"""Inches of a row of a map."""
ABREAST = 2
"""Maps next to each other."""
TITLE = 45
"""Characters of what is swapped, beyond which it is called by its short name."""
LINE = 48
"""Characters of a line of a title."""
LINES = 3
"""Lines of a title at most; tables and files have the whole of it."""
CAPTION = 76
"""Characters of a caption that fit into the column; one that has more is set smaller."""
NAMED = 5
"""Neurons of a panel that are named."""
LABEL = 25
"""Characters of a label that are broken into two lines."""
STYLES = (
    ("#0072B2", "-", "o"),
    ("#D55E00", "--", "s"),
    ("#009E73", "-.", "^"),
    ("#CC79A7", (0, (3, 1, 1, 1)), "D"),
    ("#E69F00", (0, (5, 1)), "v"),
    ("#56B4E9", (0, (1, 1)), "P"),
)
"""Colour, dash and marker of a hypothesis."""
CONTROL = ("#666666", ":", "")
"""Those of ``none``, under which nothing happens."""
PLAIN = {
    "font.size": 7.5,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "cfgen",
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
}


def figure_of(results: Results, measure: str | None = None) -> Figure:
    """Draw what came out of a run.

    A panel per site, with a line and its interval per hypothesis, layer by layer. Where a sweep
    goes over heads or tokens, a map per hypothesis instead: a row per head or token, a column per
    layer. Where it goes over neurons, a point for each.

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
    several = any(neuron is not None for cells in sites.values() for _, _, neuron in rows_of(cells))
    with drawing():
        if mapped and several:
            figure = _profiles(results, sites, chosen)
        else:
            figure = (_maps if mapped else _curves)(results, sites, chosen)
        counted = sorted({cell.n for cells in sites.values() for cell in cells})
        caption = _caption(results, counted, intervals=not mapped)
        add_caption(figure, caption)
    return in_notebooks(figure)


def add_caption(figure: Figure, caption: str) -> None:
    """Say in the strip below what a figure is of."""
    size = min(6.0, 6.0 * CAPTION / len(caption))
    figure.text(0.995, 0.005, caption, ha="right", va="bottom", fontsize=size)


def in_notebooks(figure: Figure) -> Figure:
    """The same figure, which a notebook shows, although pyplot knows nothing of it."""
    figure._repr_svg_ = lambda: figure_bytes(figure, "svg").decode()  # type: ignore[attr-defined]
    return figure


def new_figure(height: float) -> Figure:
    """An empty figure, one column wide, with a strip below that is left to the caption."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    strip = STRIP / height
    layout = ConstrainedLayoutEngine(rect=(0, strip, 1, 1 - strip))
    return Figure(figsize=(WIDTH, height), layout=layout)


def _name_panel(axes: Axes, component: str, position: str) -> None:
    meaning = COMPONENTS[component].meaning
    what = component if len(meaning) > TITLE else meaning
    text = f"{what}, {position}"
    title = axes.set_title("\n".join(_broken(text)), fontsize=7.5, loc="left")
    title.set_in_layout("\n" in title.get_text())  # a short one may reach over the panel beside


def _broken(text: str) -> list[str]:
    """A text on as many lines as it needs, at most :data:`LINES`; broken behind + and spaces."""
    lines = [""]
    for part in re.findall(r"[^+ ]*[+ ]|[^+ ]+", text):
        if len(lines[-1]) + len(part) > LINE and lines[-1]:
            lines.append("")
        lines[-1] += part
    left_out = len(lines) > LINES
    lines = lines[:LINES]
    return [*lines[:-1], f"{lines[-1][: LINE - 3]}..."] if left_out else lines


def _names(results: Results) -> list[str]:
    """The hypotheses, without the control."""
    cells = distinct_effects(results.cells)
    return list(dict.fromkeys(c.hypothesis for c in cells if c.hypothesis != NONE))


def _effects(results: Results) -> list[str]:
    """The hypotheses, or the effects that are not the same wherever the LM is changed."""
    method = METHODS[results.experiment.method]
    names = _names(results)
    return [name for name in names if not (method.effects and is_everywhere(name, method))]


# Layer by layer


def _curves(results: Results, sites: Sites, measure: Measure) -> Figure:
    names = _names(results)
    figure = new_figure(HEIGHT * len(sites) + 0.45)
    panels = figure.subplots(len(sites), 1, squeeze=False, sharex=True)
    for axes, ((component, position), cells) in zip(panels[:, 0], sites.items(), strict=True):
        _lines(axes, cells, names, measure)
        _name_panel(axes, component, position)
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
        layers, values = [cell.layer for cell in here], [_number(cell.value) for cell in here]
        # of a single number, there is no interval to draw
        low = [_number(cell.value if cell.low is None else cell.low) for cell in here]
        high = [_number(cell.value if cell.high is None else cell.high) for cell in here]
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
    axes.set_ylabel("\n".join(_halves(measure.meaning)))
    axes.locator_params(axis="x", integer=True)


def _halves(text: str) -> tuple[str, ...]:
    """A text on two lines, if it is too long for one."""
    if len(text) < LABEL:
        return (text,)
    before, _, after = text.rpartition(" ")
    return before, after


# Maps


def _maps(results: Results, sites: Sites, measure: Measure) -> Figure:
    """Maps of the hypotheses, as many abreast as fit, site below site.

    An effect that is the same at all places is no map.
    """
    effects = bool(METHODS[results.experiment.method].effects)
    names = _effects(results)
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
        _name_panel(line[0], component, position)
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
    found = {(c.head, c.token, c.neuron, c.layer): c.value for c in mine}
    values = [[_number(found.get((*row, layer))) for layer in layers] for row in rows]
    mesh = axes.pcolormesh(values, rasterized=True, **colours)
    axes.set_facecolor("#cccccc")  # where there is nothing to swap
    axes.set_xlabel(f"layer\n{name}")
    # every fifth layer is named, or all where they are few, in the middle of its column
    named = [n for n, layer in enumerate(layers) if layer % 5 == 0 or len(layers) < 6]
    axes.set_xticks([n + 0.5 for n in named], [str(layers[n]) for n in named])
    axes.tick_params(length=2)
    return mesh


# Neurons


def _profiles(results: Results, sites: Sites, measure: Measure) -> Figure:
    """Of every effect a panel per site: a point per neuron, the strongest of which are named."""
    names, effects = _effects(results), METHODS[results.experiment.method].effects
    panels_of = [(site, cells, name) for site, cells in sites.items() for name in names]
    figure = new_figure(HEIGHT * len(panels_of) + 0.45)
    panels = figure.subplots(len(panels_of), 1, squeeze=False, sharex=True)
    layers = sorted({cell.layer for cells in sites.values() for cell in cells})
    for axes, ((component, position), cells, name) in zip(panels[:, 0], panels_of, strict=True):
        mine = [cell for cell in cells if cell.hypothesis == name]
        for number, layer in enumerate(layers):
            here = [cell for cell in mine if cell.layer == layer]
            colour, _, marker = STYLES[number % len(STYLES)]
            axes.plot(
                [cell.neuron for cell in here],
                [_number(cell.value) for cell in here],
                color=colour,
                marker=marker,
                markersize=1.8,
                linewidth=0,
                label=f"layer {layer}",
            )
        for cell in sorted(mine, key=lambda cell: -magnitude(cell))[:NAMED]:
            at = (cell.neuron or 0, _number(cell.value))
            axes.annotate(str(cell.neuron), at, (2, 2), textcoords="offset points", fontsize=5.5)
        axes.axhline(0, color=CONTROL[0], linewidth=0.5)
        effect = effects.get(name.removesuffix(UNFILTERED))
        share = measure.ratio or (effect is not None and effect.relative)
        axes.set_ylabel(f"{name}\n{'as a share' if share else measure.meaning}")
        _name_panel(axes, component, position)
    numbers = {number_name(component) for component, _ in sites}
    panels[-1, 0].set_xlabel(" or ".join(sorted(numbers)))
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=4, frameon=False)
    return figure


def _number(value: float | None) -> float:
    return math.nan if value is None else value


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
    values = [_number(cell.value) for cell in cells]
    low, high = min(values), max(values)
    if not effects and (measure.share or measure.name == "probability"):
        return {"cmap": "cividis", "vmin": 0, "vmax": 1}
    if low < 0:
        most = max(-low, high)
        return {"cmap": "PuOr", "vmin": -most, "vmax": most}
    name = "cividis_r" if measure.low_is_good else "cividis"
    return {"cmap": name, "vmin": 0, "vmax": high or 1}


def figure_bytes(figure: Figure, kind: str) -> bytes:
    """A figure in one of :data:`FORMATS`: the same bytes for the same results."""
    dates = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}
    drawn = BytesIO()
    with drawing():
        figure.savefig(drawn, format=kind, dpi=300, metadata=dates[kind])
    return drawn.getvalue()


def save_figure(figure: Figure, path: Path) -> bool:
    """Write a figure as a file.

    Returns:
        Whether it was written; not if it is there, just the same.

    Raises:
        CfgenError: The name has no known ending (``figure-format``), another file is there
            (``file-exists``), or it can't be written (``cannot-write``).
    """
    kind = path.suffix.removeprefix(".").lower()
    if kind not in FORMATS:
        message = f"{display(path)} is not the name of a figure"
        hint = f"end it with .pdf, .png or .svg; {did_you_mean(kind, FORMATS)}"
        raise CfgenError(Problem("figure-format", message, hint=hint))
    return write_file(path, figure_bytes(figure, kind))


def _caption(results: Results, n: Sequence[int], *, intervals: bool) -> str:
    counted = str(n[0]) if len(n) == 1 else f"{n[0]} to {n[-1]}"
    asked = f"{results.model}; {results.task}, {results.design}; n = {counted} pairs"
    return asked + (f"; {results.confidence:.0%} intervals" if intervals else "")


@contextmanager
def drawing() -> Iterator[None]:
    """In here, matplotlib draws as all figures are drawn.

    Raises:
        CfgenError: It is not installed (``no-matplotlib``).
    """
    try:
        import matplotlib
    except ImportError as error:
        message = "figures are drawn by matplotlib, which is not installed"
        hint = "pip install 'cfgen[figures]'"
        raise CfgenError(Problem("no-matplotlib", message, hint=hint)) from error
    with matplotlib.rc_context(PLAIN):
        yield
