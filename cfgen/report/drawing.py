"""Drawing: how all figures look, what they share, and how they become files.

Lines differ in colour, dash and marker, so that nothing hangs on colour alone; the colours are
those of Okabe and Ito (2008), which people with any colour vision tell apart.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from cfgen.errors import CfgenError, Problem, did_you_mean
from cfgen.folders import write_file
from cfgen.lm import COMPONENTS
from cfgen.paths import display

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("pdf", "png", "svg")
WIDTH = 3.4
"""Inches; a column of most two-column papers."""
HEIGHT = 2.1
"""Inches of one panel."""
STRIP = 0.09
"""Inches below the panels, for the caption."""
TITLE = 45
"""Characters of what is swapped, beyond which it is called by its short name."""
LINE = 48
"""Characters of a line of a title."""
LINES = 3
"""Lines of a title at most; tables and files have the whole of it."""
CAPTION = 76
"""Characters of a caption that fit into the column; one that has more is set smaller."""
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


def name_panel(axes: Axes, component: str, position: str) -> None:
    """Say on top of a panel what is changed, and where."""
    meaning = COMPONENTS[component].meaning
    what = component if len(meaning) > TITLE else meaning
    text = f"{what}, {position}"
    lines = text_lines(text, LINE)
    if len(lines) > LINES:
        lines = [*lines[: LINES - 1], f"{lines[LINES - 1][: LINE - 3]}..."]
    title = axes.set_title("\n".join(lines), fontsize=7.5, loc="left")
    title.set_in_layout("\n" in title.get_text())  # a short one may reach over the panel beside


def text_lines(text: str, width: int) -> list[str]:
    """A text on as many lines of a width as it needs, broken behind +, commas and spaces."""
    lines = [""]
    for part in re.findall(r"[^+, ]*[+, ]+|[^+, ]+", text):
        if len(lines[-1]) + len(part) > width and lines[-1]:
            lines.append("")
        lines[-1] += part
    return lines


def halves(text: str) -> tuple[str, ...]:
    """A text on two lines, if it is too long for one."""
    if len(text) < LABEL:
        return (text,)
    before, _, after = text.rpartition(" ")
    return before, after


def number_or_gap(value: float | None) -> float:
    """A number that can be drawn: a gap where there is none."""
    return math.nan if value is None else value


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
