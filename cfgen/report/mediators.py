"""Sets of mediators: what places that are swapped together come to, in words and as a figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from cfgen.documents import Block, Column, Heading, Inline, Paragraph, Table
from cfgen.errors import CfgenError, Problem
from cfgen.experiments import MEASURES, UNFILTERED
from cfgen.report.cells import value_text
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

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from cfgen.experiments import MediatorSet, MediatorSets, Results, Selection

NAMES: Mapping[Selection, str] = {
    "top": "the strongest first",
    "greedy": "greedily",
    "random": "at random (control)",
}


def set_blocks(results: Results) -> list[Block]:
    """The sets, with their effects on the judging half; nothing where none were asked for."""
    found = results.mediators
    if found is None:
        return []
    # where all pairs are answered rightly, those that are unfiltered are the same
    same = {one.n for one in found.totals} == {found.judged_on}
    names = [one.effect for one in found.sets[0].effects if not (same and UNFILTERED in one.effect)]
    columns = (Column("size", "right"), Column("added"), *(Column(name, "right") for name in names))
    shown = found.totals[:1] if same else found.totals
    totals = "; ".join(f"{one.effect} {value_text(one)} (n = {one.n})" for one in shown)
    blocks: list[Block] = [
        Heading("Mediators together"),
        Paragraph(
            f"{found.chosen_on} pairs chose the places, {found.judged_on} others judge "
            f"({MEASURES[found.measure].meaning}). There: {totals}. NIE is what goes through the "
            "places together, NDE what goes past them."
        ),
    ]
    for selection in _selections(found):
        rows: list[tuple[Inline, ...]] = [
            (str(one.size), place_name(one), *(value_text(one.effect(name)) for name in names))
            for one in found.sets
            if one.selection == selection
        ]
        blocks += [Paragraph(f"Added {NAMES[selection]}:"), Table(columns, tuple(rows))]
    return blocks


def place_name(one: MediatorSet) -> str:
    """A place in few words: layer, and head or neuron; and where, if that tells it from others."""
    place = one.added
    part = next((f".{n}" for n in (place.head, place.neuron) if n is not None), "")
    return f"{place.layer}{part} {place.token or place.position}"


def _selections(found: MediatorSets) -> list[Selection]:
    return list(dict.fromkeys(one.selection for one in found.sets))


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
        figure = new_figure(2 * HEIGHT + 0.45)
        panels = figure.subplots(2, 1, sharex=True)
        for axes, name in zip(panels, ("NIE", "NDE"), strict=True):
            _draw(axes, found, name)
        panels[-1].set_xlabel("places together")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False)
        asked = f"{results.model}; {results.task}, {results.design}"
        caption = f"{asked}; n = {found.judged_on} pairs; {results.confidence:.0%} intervals"
        add_caption(figure, caption)
    return in_notebooks(figure)


def _draw(axes: Axes, found: MediatorSets, name: str) -> None:
    """Draw an effect of sets over their size."""
    for number, selection in enumerate(_selections(found)):
        colour, dash, marker = CONTROL if selection == "random" else STYLES[number]
        mine = {one.size: one.effect(name) for one in found.sets if one.selection == selection}
        sizes = [*mine]
        axes.plot(
            sizes,
            [number_or_gap(one.value) for one in mine.values()],
            color=colour,
            linestyle=dash,
            marker=marker,
            markersize=3,
            linewidth=1,
            label=NAMES[selection],
        )
        low, high = (
            [number_or_gap(end) for end in ends]
            for ends in zip(*((one.low, one.high) for one in mine.values()), strict=True)
        )
        axes.fill_between(sizes, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.axhline(number_or_gap(found.totals[0].value), color="#000000", linewidth=0.7, label="TE")
    axes.axhline(0, color=CONTROL[0], linewidth=0.5)
    axes.set_ylabel(f"{name}\n{MEASURES[found.measure].meaning}")
