"""Figures over other things than layers: neurons one by one, sets of parts, strengths, paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from cfgen.counterfactuals import NONE
from cfgen.experiments import ABLATIONS, MEASURES, METHODS, UNFILTERED
from cfgen.report.cells import magnitude, number_name
from cfgen.report.drawing import (
    CONTROL,
    HEIGHT,
    STYLES,
    name_panel,
    new_figure,
    number_or_gap,
    text_lines,
)
from cfgen.report.effects import distinct_effects, is_everywhere

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cfgen.experiments import Cell, Measure, Results

    Sites = Mapping[tuple[str, str], Sequence[Cell]]

NAMED = 5
"""Neurons of a panel that are named."""
FEWEST_STRENGTHS = 3
"""Strengths from which on effects are drawn over them."""
SET = 0.26
"""Inches of a set."""
SENDERS = 30
"""Senders of a matrix at most: those that do most to any receiver."""
UPRIGHT = 8
"""Receivers beyond which their names stand upright."""


def drawn_names(results: Results) -> list[str]:
    """The hypotheses, or the effects that are not the same wherever the LM is changed."""
    method = METHODS[results.experiment.method]
    cells = distinct_effects(results.cells)
    names = dict.fromkeys(cell.hypothesis for cell in cells if cell.hypothesis != NONE)
    return [name for name in names if not (method.effects and is_everywhere(name, method))]


def over_strengths(results: Results) -> bool:
    """Whether effects are drawn over strengths: there are some, in few layers."""
    layers = {cell.layer for cell in results.cells}
    strengths = results.experiment.strength
    steers = ABLATIONS[results.experiment.ablation].added
    return steers and len(strengths) >= FEWEST_STRENGTHS and len(layers) <= len(STYLES)


def profiles(results: Results, sites: Sites, measure: Measure) -> Figure:
    """Of every effect a panel per site: a point per neuron, the strongest of which are named."""
    panels_of = [(site, cells, n) for site, cells in sites.items() for n in drawn_names(results)]
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
                [number_or_gap(cell.value) for cell in here],
                color=colour,
                marker=marker,
                markersize=1.8,
                linewidth=0,
                label=f"layer {layer}",
            )
        for cell in sorted(mine, key=lambda cell: -magnitude(cell))[:NAMED]:
            at = (cell.neuron or 0, number_or_gap(cell.value))
            axes.annotate(str(cell.neuron), at, (2, 2), textcoords="offset points", fontsize=5.5)
        axes.axhline(0, color=CONTROL[0], linewidth=0.5)
        axes.set_ylabel(_effect_label(results, name, measure))
        name_panel(axes, component, position)
    numbers = {number_name(component) for component, _ in sites}
    panels[-1, 0].set_xlabel(" or ".join(sorted(numbers)))
    _legend(figure, panels[0, 0])
    return figure


def neurons_by_layer(results: Results, sites: Sites, measure: Measure) -> Figure:
    """Numbers of all neurons, as the guide has them: a point each over its layer.

    Those that were run have a colour, and the largest of them their number.
    """
    figure = new_figure(HEIGHT * len(results.guidance) + 0.45)
    panels = figure.subplots(len(results.guidance), 1, squeeze=False, sharex=True)
    kinds = {
        "": ("not run", *CONTROL[::2], 1.0),
        "random": ("run, at random", *STYLES[1][::2], 1.8),
    }
    kinds["promising"] = ("run, the largest", *STYLES[0][::2], 1.8)
    for axes, guidance in zip(panels[:, 0], results.guidance, strict=True):
        for why, (label, colour, marker, size) in kinds.items():
            here = [place for place in guidance.places if place.run == why]
            axes.plot(
                [place.layer for place in here],
                [place.estimate for place in here],
                color=colour,
                marker=marker or ".",
                markersize=size,
                linewidth=0,
                label=label,
            )
        for place in sorted(guidance.places, key=lambda place: -abs(place.estimate))[:NAMED]:
            text, at = f"{place.layer}.{place.neuron}", (place.layer, place.estimate)
            axes.annotate(text, at, (2, 2), textcoords="offset points", fontsize=5.5)
        axes.axhline(0, color=CONTROL[0], linewidth=0.5)
        axes.set_ylabel(_effect_label(results, guidance.aim, MEASURES[guidance.estimated]))
        component, position, *_ = guidance.places[0].place
        name_panel(axes, component, position)
    panels[-1, 0].set_xlabel("layer")
    _legend(figure, panels[0, 0])
    return figure


def sets(results: Results, sites: Sites, measure: Measure) -> Figure:
    """A panel per effect, with a row per set of parts: its value and interval."""
    names, count = drawn_names(results), len(sites)
    labels = ["\n".join(text_lines(position, 24)) for _, position in sites]
    rows = sum(SET * (label.count("\n") + 1) for label in labels)
    figure = new_figure((rows + 0.55) * len(names) + 0.2)
    panels = figure.subplots(len(names), 1, squeeze=False)
    for number, (axes, name) in enumerate(zip(panels[:, 0], names, strict=True)):
        colour, _, marker = STYLES[number % len(STYLES)]
        mine = [[cell for cell in cells if cell.hypothesis == name] for cells in sites.values()]
        for row, cells in enumerate(mine):
            for cell in cells:
                value = number_or_gap(cell.value)
                low, high = (value if end is None else end for end in (cell.low, cell.high))
                axes.plot([low, high], [row, row], color=colour, linewidth=1.1)
                axes.plot([value], [row], color=colour, marker=marker, markersize=3.5)
        axes.axvline(0, color=CONTROL[0], linewidth=0.5)
        axes.set_yticks(range(count), labels, fontsize=5.5)
        axes.set_ylim(count - 0.5, -0.5)  # the first on top
        axes.set_xlabel(_effect_label(results, name, measure).replace("\n", ", "))
    return figure


def strengths(results: Results, sites: Sites, measure: Measure) -> Figure:
    """A panel per effect and place, with a line per layer over strengths, and its interval."""
    times = {f", strength={one:g}": one for one in results.experiment.strength}
    places: dict[tuple[str, str], list[tuple[float, Cell]]] = {}
    for (component, position), cells in sites.items():
        ending = next(end for end in times if position.endswith(end))
        here = places.setdefault((component, position.removesuffix(ending)), [])
        here += [(times[ending], cell) for cell in cells]
    panels_of = [(place, here, n) for place, here in places.items() for n in drawn_names(results)]
    figure = new_figure(HEIGHT * len(panels_of) + 0.45)
    panels = figure.subplots(len(panels_of), 1, squeeze=False, sharex=True)
    for axes, ((component, position), here, name) in zip(panels[:, 0], panels_of, strict=True):
        mine = sorted(
            ((time, cell) for time, cell in here if cell.hypothesis == name),
            key=lambda one: one[0],
        )
        for number, layer in enumerate(sorted({cell.layer for _, cell in mine})):
            colour, dash, marker = STYLES[number % len(STYLES)]
            line = [(time, cell) for time, cell in mine if cell.layer == layer]
            at = [time for time, _ in line]
            values = [number_or_gap(cell.value) for _, cell in line]
            ends = [[getattr(cell, end) for _, cell in line] for end in ("low", "high")]
            if all(end is not None for side in ends for end in side):
                axes.fill_between(at, *ends, color=colour, alpha=0.18, linewidth=0)
            axes.plot(
                at,
                values,
                color=colour,
                linestyle=dash,
                marker=marker,
                markersize=2.8,
                linewidth=1.1,
                label=f"layer {layer}",
            )
        axes.axhline(0, color=CONTROL[0], linewidth=0.5)
        axes.set_ylabel(_effect_label(results, name, measure))
        name_panel(axes, component, position)
    panels[-1, 0].set_xlabel("strength")
    _legend(figure, panels[0, 0])
    return figure


def _effect_label(results: Results, name: str, measure: Measure) -> str:
    """What is drawn, and in which unit."""
    effect = METHODS[results.experiment.method].effects.get(name.removesuffix(UNFILTERED))
    share = measure.ratio or (effect is not None and effect.relative)
    return f"{name}\n{'as a share' if share else measure.meaning}"


def _legend(figure: Figure, axes: object) -> None:
    handles, labels = axes.get_legend_handles_labels()  # type: ignore[attr-defined]
    figure.legend(handles, labels, loc="outside upper left", ncols=4, frameon=False)


def over_receivers(results: Results) -> bool:
    """Whether paths lead to several receivers."""
    fields = METHODS[results.experiment.method].fields
    return "receivers" in fields and len(results.experiment.receivers) > 1


Sender = tuple[int, int]
"""Layer and head, or -1 for a part as a whole."""


def matrix(results: Results, sites: Sites, measure: Measure) -> Figure:
    """What the senders that matter most do to each receiver, earlier ones above.

    A cell whose interval holds 0 has a dot; grey is what no path leads to.
    """
    name, *_ = METHODS[results.experiment.method].effects
    cells = [cell for here in sites.values() for cell in here if cell.hypothesis == name]
    found = {(_sender(cell), _receiver(cell)): cell for cell in cells}
    strongest: dict[Sender, float] = {}
    for (sender, _), cell in found.items():
        strongest[sender] = max(strongest.get(sender, 0.0), abs(number_or_gap(cell.value)))
    senders = sorted(sorted(strongest, key=lambda one: (-strongest[one], one))[:SENDERS])
    receivers = list(dict.fromkeys(receiver for _, receiver in found))
    grid = [[found.get((sender, receiver)) for receiver in receivers] for sender in senders]
    most = max((strongest[sender] for sender in senders), default=0.0) or 1.0
    figure = new_figure(0.13 * len(senders) + 1.25)
    axes = figure.subplots()
    values = [[number_or_gap(cell.value if cell else None) for cell in row] for row in grid]
    # of both signs or one, zero is white: what is told is what is strengthened, what weakened
    mesh = axes.pcolormesh(values, rasterized=True, cmap="PuOr", vmin=-most, vmax=most)
    axes.set_facecolor("#cccccc")
    unsure = [
        (column + 0.5, row + 0.5)
        for row, line in enumerate(grid)
        for column, cell in enumerate(line)
        if cell and (cell.low is None or cell.high is None or cell.low <= 0 <= cell.high)
    ]
    if unsure:
        across, down = zip(*unsure, strict=True)
        axes.scatter(across, down, s=1.5, color="#555555", linewidths=0)
    labels = [f"{layer}" if head < 0 else f"{layer}.{head}" for layer, head in senders]
    axes.set_yticks([n + 0.5 for n in range(len(senders))], labels, fontsize=6)
    axes.set_ylim(len(senders), 0)
    upright = len(receivers) > UPRIGHT
    axes.set_xticks(
        [n + 0.5 for n in range(len(receivers))],
        receivers,
        fontsize=6,
        rotation=90 if upright else 0,
    )
    axes.tick_params(length=2)
    axes.set_xlabel("receiver")
    left_out = len(strongest) - len(senders)
    axes.set_ylabel(f"sender: the strongest {SENDERS}" if left_out else "sender")
    bar = figure.colorbar(mesh, ax=axes, location="top", aspect=40, pad=0.02)
    bar.set_label(f"{name} of {measure.meaning}" + ("; dots: interval holds 0" if unsure else ""))
    return figure


def _sender(cell: Cell) -> Sender:
    return cell.layer, -1 if cell.head is None else cell.head


def _receiver(cell: Cell) -> str:
    return cell.position.rpartition(" to ")[2]
