"""Sets of mediators: what places that are swapped together come to, in words and as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cfgen.documents import Block, Column, Heading, Inline, Paragraph, Table
from cfgen.errors import CfgenError, Problem
from cfgen.experiments import MEASURES
from cfgen.report.drawing import (
    CONTROL,
    HEIGHT,
    STYLES,
    add_caption,
    drawing,
    in_notebooks,
    new_figure,
    number_or_gap,
)
from cfgen.stats import with_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cfgen.experiments import MediatorSet, MediatorSets, Results

NAMES = {"top": "the strongest", "greedy": "greedily", "random": "at random (control)"}


def set_blocks(results: Results) -> list[Block]:
    """The sets, with their effects on the judging half; nothing where none were asked for."""
    found = results.mediators
    if found is None:
        return []
    orders = list(dict.fromkeys(one.selection for one in found.sets))
    by = {(one.selection, one.size): one for one in found.sets}
    rows: list[tuple[Inline, ...]] = []
    for size in sorted({one.size for one in found.sets}):
        row: list[Inline] = [str(size)]
        for order in orders:
            one = by.get((order, size))
            row += [place_name(one), _value(one)] if one else ["", ""]
        rows.append(tuple(row))
    columns = [Column("size", "right")]
    for order in orders:
        columns += [Column(f"{NAMES[order]}: added"), Column("NIE together", "right")]
    about = MEASURES[found.measure].meaning
    return [
        Heading("Mediators together"),
        Paragraph(
            f"{found.chosen_on} pairs chose the places, {found.judged_on} others judge, in which "
            f"TE is {_total(found)} ({about})."
        ),
        Table(tuple(columns), tuple(rows)),
    ]


def place_name(one: MediatorSet) -> str:
    """A place in few words: layer, and head or neuron; and where, if that tells it from others."""
    place = one.added
    part = next((f".{n}" for n in (place.head, place.neuron) if n is not None), "")
    return f"{place.layer}{part} {place.token or place.position}"


def _value(one: MediatorSet) -> str:
    if one.value is None or one.low is None or one.high is None:
        return "" if one.value is None else f"{one.value:.2f}"
    return with_interval(one.value, one.low, one.high)


def _total(found: MediatorSets) -> str:
    if found.total is None or found.low is None or found.high is None:
        return "no number"
    return with_interval(found.total, found.low, found.high)


def mediators_figure(results: Results) -> Figure:
    """Draw what sets mediate together over their size, with intervals, beside the total effect.

    Args:
        results: What came out.

    Raises:
        CfgenError: matplotlib is not installed (``no-matplotlib``), or no sets were asked for
            (``nothing-to-draw``).
    """
    found = results.mediators
    if found is None:
        message = "this run has no sets of mediators"
        hint = "ask for them with --method mediation --mediators 10"
        raise CfgenError(Problem("nothing-to-draw", message, hint=hint))
    with drawing():
        figure = new_figure(HEIGHT + 0.45)
        axes = figure.subplots()
        for number, order in enumerate(dict.fromkeys(one.selection for one in found.sets)):
            colour, dash, marker = CONTROL if order == "random" else STYLES[number]
            mine = [one for one in found.sets if one.selection == order]
            sizes = [one.size for one in mine]
            low, high = ([number_or_gap(end) for end in ends] for ends in _ends(mine))
            axes.plot(
                sizes,
                [number_or_gap(one.value) for one in mine],
                color=colour,
                linestyle=dash,
                marker=marker,
                markersize=3,
                linewidth=1,
                label=NAMES[order],
            )
            axes.fill_between(sizes, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.axhline(number_or_gap(found.total), color="#000000", linewidth=0.7, label="TE")
        axes.axhline(0, color=CONTROL[0], linewidth=0.5)
        axes.set_xlabel("places swapped together")
        axes.set_ylabel(f"NIE\n{MEASURES[found.measure].meaning}")
        figure.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=6)
        asked = f"{results.model}; {results.task}, {results.design}"
        caption = f"{asked}; n = {found.judged_on} pairs; {results.confidence:.0%} intervals"
        add_caption(figure, caption)
    return in_notebooks(figure)


def _ends(sets: Sequence[MediatorSet]) -> tuple[list[float | None], list[float | None]]:
    """Lower and upper ends of intervals."""
    return [one.low for one in sets], [one.high for one in sets]
