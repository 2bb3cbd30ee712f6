"""Circuits as pictures: how faithful they are by size, and the nodes and edges of one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cfgen.circuits import INPUT, LOGITS, colour_of, layer_of
from cfgen.report.cells import value_text
from cfgen.report.circuits import NAMES
from cfgen.report.drawing import (
    CONTROL,
    HEIGHT,
    STYLES,
    WIDTH,
    add_caption,
    drawing,
    in_notebooks,
    new_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from cfgen.circuits import Circuit, CircuitResults, PairEstimate, SubsetGap

DRAWN = 150
"""Edges of a circuit that are drawn at most: the strongest."""
SQUARE = 1.9
"""Inches of the panel of completeness."""
GOLDEN = 0.618
"""By what share of the width a level is shifted against the one below."""
ROW = 0.3
"""Inches from one level of nodes to the next."""


def curve_figure(results: CircuitResults) -> Figure:
    """Draw how faithful circuits of growing size are, with intervals.

    Below, where it was measured, completeness: what the circuit and the LM do without sets of its
    nodes, which is the same on the diagonal (Wang et al. 2023, arXiv 2211.00593, figure 7).

    Args:
        results: What came out of a search.

    Raises:
        CfgenError: matplotlib is not installed (``no-matplotlib``).
    """
    rankings = list(dict.fromkeys(point.ranking for point in results.curve))
    with drawing():
        parts = [HEIGHT, *([SQUARE] if results.gaps else [])]
        figure = new_figure(sum(parts) + 0.45)
        axes, *below = figure.subplots(len(parts), 1, squeeze=False, height_ratios=parts)[:, 0]
        if below:
            _draw_gaps(below[0], results.gaps)
        for number, ranking in enumerate(rankings):
            style = CONTROL if ranking == "random" else STYLES[number]
            colour, dash, marker = style
            points = [p for p in results.curve if p.ranking == ranking]
            drawn = [p for p in points if p.faithfulness.value is not None]
            sizes = [p.percent for p in drawn]
            axes.plot(
                sizes,
                [p.faithfulness.value or 0.0 for p in drawn],
                color=colour,
                linestyle=dash,
                marker=marker,
                markersize=3,
                linewidth=1,
                label=NAMES[ranking],
            )
            spans = [(p.percent, p.faithfulness.low, p.faithfulness.high) for p in drawn]
            known = [each for each in spans if each[1] is not None and each[2] is not None]
            if known:
                at, low, high = (list(part) for part in zip(*known, strict=True))
                axes.fill_between(at, low, high, color=colour, alpha=0.15, linewidth=0)
        for level in (0, 1):
            axes.axhline(level, color="#999999", linewidth=0.5, zorder=0)
        axes.set_xscale("log")
        axes.set_xticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
        axes.set_xlabel("percent of the edges")
        axes.set_ylabel("faithfulness")
        named = axes.get_legend_handles_labels()
        figure.legend(*named, loc="outside upper center", ncols=3, frameon=False, fontsize=6)
        title = f"CPR {value_text(results.cpr)}, CMD {value_text(results.cmd)}"
        axes.set_title(title, fontsize=7, loc="left")
        asked = f"{results.model}; {results.task}, {results.design}"
        caption = f"{asked}; n = {len(results.judged_on)} pairs; {results.confidence:.0%} intervals"
        add_caption(figure, caption)
    return in_notebooks(figure)


def _number(found: PairEstimate) -> float:
    return math.nan if found.value is None else found.value


def _draw_gaps(axes: Axes, gaps: Sequence[SubsetGap]) -> None:
    """Draw what the circuit does without sets of nodes, against what the LM does."""
    for number, how in enumerate(dict.fromkeys(one.how for one in gaps)):
        colour, _, marker = STYLES[number]
        here = [one for one in gaps if one.how == how]
        axes.scatter(
            [_number(one.circuit) for one in here],
            [_number(one.model) for one in here],
            color=colour,
            marker=marker,
            s=14,
            linewidths=0,
            label={"none": "none left out", "random": "at random", "greedy": "looked for"}[how],
            zorder=2,
        )
    axes.axline((0, 0), slope=1, color="#999999", linewidth=0.5, zorder=0)
    axes.set_xlabel("faithfulness of the circuit without some nodes")
    axes.set_ylabel("of the LM without them")
    axes.legend(frameon=False, fontsize=6, loc="best")


def circuit_figure(circuit: Circuit) -> Figure:
    """Draw a circuit: the input below, layers above one another, the logits at the top.

    Of a large one, the strongest edges. The wider an edge, the larger its score; orange edges speak
    against the answer.

    Args:
        circuit: The circuit.

    Raises:
        CfgenError: matplotlib is not installed (``no-matplotlib``).
    """
    edges, scores = circuit.edges[:DRAWN], circuit.scores[:DRAWN]  # the strongest come first
    named = dict.fromkeys(node for edge in edges for node in (edge.sender, edge.node))
    levels: dict[float, list[str]] = {}
    for node in named:
        levels.setdefault(layer_of(node, circuit.layers), []).append(node)
    order = sorted(levels)
    most = max((len(nodes) for nodes in levels.values()), default=1)
    width, height = max(WIDTH, 0.55 * most), ROW * max(len(order), 2) + 0.3
    places = {
        node: (_across(row, number, levels[level]) * width, ROW * row)
        for row, level in enumerate(order)
        for number, node in enumerate(sorted(levels[level], key=_in_order))
    }
    largest = max((abs(score) for score in scores), default=1.0) or 1.0
    with drawing():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(width, height + 0.2))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set_xlim(0, width)
        axes.set_ylim(-0.35, height - 0.15)
        for edge, score in zip(edges, scores, strict=True):
            share = abs(score) / largest
            look = {"arrowstyle": "-", "color": colour_of(score)}
            look |= {"lw": 0.3 + 2 * share, "alpha": 0.35 + 0.6 * share}  # type: ignore[dict-item]
            axes.annotate("", places[edge.node], places[edge.sender], arrowprops=look, zorder=1)
        for node, place in places.items():
            edge_colour = "#000000" if node in (INPUT, LOGITS) else "#777777"
            box = {"boxstyle": "round,pad=0.2", "facecolor": "#FFFFFF", "edgecolor": edge_colour}
            axes.text(
                *place,
                node,
                ha="center",
                va="center",
                fontsize=6,
                bbox={**box, "lw": 0.6},
                zorder=2,
            )
        left_out = len(circuit.edges) - len(edges)
        rest = f"; the {len(edges)} strongest of {len(circuit.edges):,} edges" if left_out else ""
        caption = f"{circuit.model}; {circuit.task}, {circuit.design}{rest}"
        add_caption(figure, caption)
    return in_notebooks(figure)


def _across(row: int, number: int, nodes: Sequence[str]) -> float:
    """Where a node stands in its level, from 0 to 1.

    Those that are alone stand aside by turns, so that no edge is hidden behind the nodes between.
    """
    if len(nodes) > 1 or nodes[0] in (INPUT, LOGITS):
        return (number + 1) / (len(nodes) + 1)
    return 0.25 + 0.5 * (row * GOLDEN % 1)


def _in_order(node: str) -> int:
    """Heads by their number."""
    return int(node.rpartition("h")[2]) if ".h" in node else 0
