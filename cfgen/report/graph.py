"""Causal models as pictures: inputs on the left, the output on the right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cfgen.causal import CausalModel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GAP = 0.6
"""Inches between columns of variables."""
ROW = 0.36
"""Inches from one variable to the next below."""
LETTER = 0.064
"""Inches of a letter, about."""
PAD = 0.08
"""Inches between a name and the box around it."""


def graph_figure(model: CausalModel) -> Figure:
    """Draw a causal model: an arrow from every variable to those that are computed from it.

    Args:
        model: The model. A variable stands one column behind the last of its parents.

    Raises:
        CfgenError: matplotlib is not installed (``no-matplotlib``).
    """
    from cfgen.report.drawing import drawing, in_notebooks

    graph = model.graph()
    depth: dict[str, int] = {}
    for name in graph.order:
        depth[name] = 1 + max((depth[parent] for parent in graph.parents[name]), default=-1)
    columns: list[list[str]] = [[] for _ in range(max(depth.values()) + 1)]
    for name in graph.order:
        columns[depth[name]].append(name)
    widths = [max(len(name) for name in column) * LETTER + 2 * PAD for column in columns]
    tallest = max(map(len, columns))
    places = {
        name: (
            sum(widths[:number]) + GAP * number + widths[number] / 2,
            -((tallest - len(column)) / 2 + place) * ROW,  # columns are centred
        )
        for number, column in enumerate(columns)
        for place, name in enumerate(column)
    }
    width, height = sum(widths) + GAP * (len(columns) - 1) + 0.2, tallest * ROW + 0.1
    with drawing():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(width, height))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set_xlim(-0.1, width - 0.1)
        axes.set_ylim(ROW / 2 + 0.05 - height, ROW / 2 + 0.05)
        for name, place in places.items():
            for parent in graph.parents[name]:
                (x, y), (to_x, to_y) = places[parent], place
                start = x + len(parent) * LETTER / 2 + PAD, y
                end = to_x - len(name) * LETTER / 2 - PAD, to_y
                arrow = {"arrowstyle": "-|>", "color": "#777777", "lw": 0.7}
                arrow |= {"shrinkA": 0, "shrinkB": 0}
                axes.annotate("", end, start, arrowprops=arrow, zorder=1)
            fill = "#FFFFFF" if name in graph.inputs else "#D5E8F5"
            edge = "#D55E00" if name == graph.output else "#0072B2"
            box = {"boxstyle": "round,pad=0.25", "facecolor": fill, "edgecolor": edge, "lw": 1}
            axes.text(*place, name, ha="center", va="center", fontsize=8, bbox=box, zorder=2)
    return in_notebooks(figure)
