"""Figures: what came out of a run as a picture that fits into one column of a paper.

Lines differ in colour, dash and marker, so that nothing hangs on colour alone; the colours are
those of Okabe and Ito (2008), which people with any colour vision tell apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfgen.counterfactuals import NONE
from cfgen.errors import CfgenError, Problem, did_you_mean
from cfgen.lm import COMPONENTS
from cfgen.paths import display

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from cfgen.experiments import Cell, Results

FORMATS = ("pdf", "png", "svg")
WIDTH = 3.4
"""Inches; a column of most two-column papers."""
HEIGHT = 2.1
"""Inches of one panel."""
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


def figure_of(results: Results) -> Figure:
    """Draw the layers of a run: a panel per site, a line with its interval per hypothesis.

    Args:
        results: What came out.

    Raises:
        CfgenError: matplotlib is not installed (``no-matplotlib``), or no cell has a number
            (``nothing-to-draw``).
    """
    matplotlib = _matplotlib()
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    sites: dict[tuple[str, str], list[Cell]] = {}
    for cell in results.cells:
        sites.setdefault((cell.component, cell.position), []).append(cell)
    if not sites:
        message = "no cell of this run has a number: nothing that was swapped differs in any pair"
        hint = "swap at another site, or use another design"
        raise CfgenError(Problem("nothing-to-draw", message, hint=hint))
    with matplotlib.rc_context(PLAIN):
        names = list(dict.fromkeys(c.hypothesis for c in results.cells if c.hypothesis != NONE))
        size = WIDTH, HEIGHT * len(sites) + 0.45
        # a strip below is left to the caption
        layout = ConstrainedLayoutEngine(rect=(0, 0.035, 1, 0.965))
        figure = Figure(figsize=size, layout=layout)
        panels = figure.subplots(len(sites), 1, squeeze=False, sharex=True)
        for axes, ((component, position), cells) in zip(panels[:, 0], sites.items(), strict=True):
            _lines(axes, cells, names)
            axes.set_title(f"{COMPONENTS[component].meaning}, {position}", fontsize=7.5, loc="left")
        panels[-1, 0].set_xlabel("layer")
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside upper left", ncols=2, frameon=False, handlelength=3
        )
        figure.text(0.995, 0.005, _caption(results), ha="right", va="bottom", fontsize=6)
    return figure


def figure_bytes(figure: Figure, kind: str) -> bytes:
    """A figure in one of :data:`FORMATS`: the same bytes for the same results."""
    dates = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}
    drawn = BytesIO()
    with _matplotlib().rc_context(PLAIN):
        figure.savefig(drawn, format=kind, dpi=300, metadata=dates[kind])
    return drawn.getvalue()


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as a file.

    Raises:
        CfgenError: The name has no known ending (``figure-format``), a file is there already
            (``figure-exists``), or it can't be written (``cannot-write``).
    """
    kind = path.suffix.removeprefix(".").lower()
    if kind not in FORMATS:
        message = f"{display(path)} is not the name of a figure"
        hint = f"end it with .pdf, .png or .svg; {did_you_mean(kind, FORMATS)}"
        raise CfgenError(Problem("figure-format", message, hint=hint))
    content = figure_bytes(figure, kind)
    try:
        with path.open("xb") as stream:
            stream.write(content)
    except FileExistsError as error:
        message = f"{display(path)} is there already, and nothing is written over"
        raise CfgenError(Problem("figure-exists", message, hint="give another name")) from error
    except OSError as error:
        message = f"cannot write to {display(path)}: {error.strerror or error}"
        hint = "name a folder that exists and may be written to"
        raise CfgenError(Problem("cannot-write", message, hint=hint)) from error


def _lines(axes: Axes, cells: Sequence[Cell], names: Sequence[str]) -> None:
    for name in (*names, NONE):
        here = sorted((c for c in cells if c.hypothesis == name), key=lambda cell: cell.layer)
        if not here:
            continue
        colour, dash, marker = CONTROL if name == NONE else STYLES[names.index(name) % len(STYLES)]
        layers = [cell.layer for cell in here]
        label = "none: nothing happened" if name == NONE else name
        low, high = [cell.low for cell in here], [cell.high for cell in here]
        axes.fill_between(layers, low, high, color=colour, alpha=0.18, linewidth=0)
        axes.plot(
            layers,
            [cell.iia for cell in here],
            color=colour,
            linestyle=dash,
            marker=marker,
            markersize=2.8,
            linewidth=1.1,
            label=label,
            clip_on=False,
        )
    axes.set_ylim(0, 1)
    axes.set_ylabel("interchange intervention\naccuracy")
    axes.locator_params(axis="x", integer=True)


def _caption(results: Results) -> str:
    n = sorted({cell.n for cell in results.cells})
    counted = str(n[0]) if len(n) == 1 else f"{n[0]} to {n[-1]}"
    return (
        f"{results.model}; {results.task}, {results.design}; n = {counted} pairs; "
        f"{results.confidence:.0%} intervals"
    )


def _matplotlib() -> Any:
    try:
        import matplotlib
    except ImportError as error:
        message = "figures are drawn by matplotlib, which is not installed"
        hint = "pip install 'cfgen[figures]'"
        raise CfgenError(Problem("no-matplotlib", message, hint=hint)) from error
    return matplotlib
