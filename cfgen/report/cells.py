"""What came out of a sweep as tables: layer by layer, or a map where there are heads or tokens.

A table has a row per layer and a column per hypothesis. A map has a row per head or token, in which
each layer is one character. Of neurons, which are many, the strongest are listed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from cfgen.counterfactuals import NONE, Site
from cfgen.documents import (
    Block,
    Column,
    Gap,
    Heading,
    Inline,
    Look,
    Paragraph,
    Phrase,
    Table,
    faint,
    strong,
)
from cfgen.experiments import MEASURES, Cell, CellPlace, VacuousCell
from cfgen.lm import COMPONENTS
from cfgen.stats import CONFIDENCE, with_interval

if TYPE_CHECKING:
    from cfgen.circuits import PairEstimate
    from cfgen.experiments import AverageEffect

ABREAST = 3
"""Hypotheses next to each other in one table; with ``none`` they fit into 80 columns."""
NAME_WIDTH = 16
"""Width at which the name of a hypothesis is broken, after an underscore."""
TEXT_WIDTH = 10
"""Characters of a token that are shown."""
STRONGEST = 20
"""Neurons that are listed."""
Row = tuple[int | None, str | None, int | None]
"""Head, token and neuron of a cell: the row of a map."""


def sweep_tables(
    cells: Iterable[Cell],
    vacuous: Iterable[VacuousCell] = (),
    tokens: Mapping[str, str] | None = None,
    by: Callable[[Cell], float] | None = None,
    marks: Collection[str] = (),
    *,
    picked: bool = False,
) -> list[Block]:
    """A table for every site, or a map per hypothesis.

    In a table, every entry is a value with its 95 % interval; the best layers of a hypothesis are
    marked. Layers that have no number are named below.

    Args:
        cells: Cells of one measure.
        vacuous: Places without a number.
        tokens: Name of a token -> its text, where the sweep goes over every token.
        by: What makes a cell one of the best; how well it speaks for its hypothesis if not
            given.
        marks: Names of tokens that are marked.
        picked: Whether places were run by what was expected of them.
    """
    sites: dict[tuple[str, str], tuple[list[Cell], list[VacuousCell]]] = {}
    for cell in cells:
        sites.setdefault((cell.component, cell.position), ([], []))[0].append(cell)
    for empty in vacuous:
        sites.setdefault((empty.component, empty.position), ([], []))[1].append(empty)
    blocks: list[Block] = []
    for (component, position), (here, without) in sites.items():
        rows = rows_of((*here, *without))
        # What nobody named is called by what it is; what was named also by its name.
        name = "" if component == Site().component else f"{component}, "
        part = row_name(rows[0], {}, number_name(component))
        head = f" of {part}" if len(rows) == 1 and any_part(rows[0]) else ""
        blocks += [Heading(f"at {position}: {name}{COMPONENTS[component].meaning}{head}", 3), Gap()]
        names = [name for name in dict.fromkeys(c.hypothesis for c in here) if name != NONE]
        if len({neuron for _, _, neuron in rows}) > 1:
            blocks += _neurons(here, names, by or merit, picked=picked)
            continue
        if len(rows) > 1:
            shown = {name: token_text(text) for name, text in (tokens or {}).items()}
            shown |= {name: f"{shown[name]}*" for name in marks if name in shown}
            blocks += _maps(here, names, shown, by or merit)
            continue
        for first in range(0, len(names) if here else 0, ABREAST):
            blocks += [_table(here, [*names[first : first + ABREAST], NONE], by), Gap()]
        if without:
            where = layers_text(empty.layer for empty in without)
            blocks += [Paragraph((Phrase(f"{where}: {_NO_NUMBER}", ("caution",)),)), Gap()]
    return blocks


_NO_NUMBER = (
    "no number: in every pair, what was copied here is the same as what was there, so that no "
    "swap could show anything"
)


def rows_of(cells: Iterable[Cell | VacuousCell]) -> list[Row]:
    """The heads, tokens and neurons that cells of a site are at, in order; one where none vary."""
    return list(dict.fromkeys(map(row_of, cells)))


def row_of(place: CellPlace) -> Row:
    """The row of a map that a place is in."""
    return place.head, place.token, place.neuron


def any_part(row: Row) -> bool:
    """Whether it is of a head or a neuron."""
    head, _, neuron = row
    return head is not None or neuron is not None


def best_cell(
    cells: Iterable[Cell], hypothesis: str, by: Callable[[Cell], float] | None = None
) -> Cell | None:
    """The best cell of a hypothesis, the earliest among equals; None if none has a number."""
    numbered = [c for c in cells if c.hypothesis == hypothesis and c.value is not None]
    return max(numbered, key=by or merit) if numbered else None


def magnitude(cell: Cell) -> float:
    """How far an effect is from none."""
    return -math.inf if cell.value is None else abs(cell.value)


def merit(cell: Cell) -> float:
    """A number that is the larger, the better a cell speaks for its hypothesis."""
    value = -math.inf if cell.value is None else cell.value
    return -value if MEASURES[cell.measure].low_is_good else value


def best_layers(best: Cell, cells: Iterable[Cell]) -> list[int]:
    """The layers in which a hypothesis is as good, at the same place, as in its best cell."""
    key = best.hypothesis, best.spot, best.value
    return [cell.layer for cell in cells if (cell.hypothesis, cell.spot, cell.value) == key]


def spot_name(cell: Cell) -> str:
    """What a place is called where several are told apart: head, neuron or token, or the site."""
    return row_name(row_of(cell), {}, number_name(cell.component)) or cell.position


def number_name(component: str) -> str:
    """What single numbers of a component are called."""
    return "neuron" if component == "mlp_neuron" else "dimension"


def places_text(best: Cell, mine: Sequence[Cell]) -> str:
    """The places of the best cells, and how much was tried."""
    tried = len({cell.layer for cell in mine if cell.spot == best.spot})
    where = layers_text(best_layers(best, mine)) + (f" of {tried} tried" if tried > 1 else "")
    spots = len({cell.spot for cell in mine})
    if spots == 1:
        return where
    return f"{spot_name(best)}, {where}" + (" at each" if tried > 1 else "") + f" of {spots} places"


def left_out_note(cells: Iterable[Cell]) -> list[Block]:
    """How many cases have no number, if any."""
    left_out = sum(cell.left_out for cell in cells)
    if not left_out:
        return []
    what = f"{left_out:,} cases have no finite number, and are left out of n"
    return [Paragraph((Phrase(what, ("caution",)),))]


def row_name(row: Row, texts: Mapping[str, str], number: str = "neuron") -> str:
    """What the row of a map is called: its head or neuron, and its token by name and text."""
    head, token, neuron = row
    parts = [] if head is None else [f"head {head}"]
    parts += [] if neuron is None else [f"{number} {neuron}"]
    if token is not None:
        parts += [token, *([token_text(texts[token])] if token in texts else [])]
    return " ".join(parts)


def token_text(text: str) -> str:
    """The text of a token, shortened, on one line."""
    shown = " ".join(text.split()) or ascii(text).strip("'")
    return shown if len(shown) <= TEXT_WIDTH else shown[: TEXT_WIDTH - 1] + "…"


def value_text(one: Cell | AverageEffect | PairEstimate) -> str:
    """A value with its interval."""
    return with_interval(one.value, one.low, one.high)


def _table(
    cells: Sequence[Cell], names: Sequence[str], by: Callable[[Cell], float] | None
) -> Table:
    here = {(cell.hypothesis, cell.layer): cell for cell in cells}
    best = {name: best_cell(cells, name, by) for name in names if (name, cells[0].layer) in here}
    titles = [f"{_broken(name)}\nn = {cell.n if cell else 0}" for name, cell in best.items()]
    rows = (
        (str(layer), *(_entry(here.get((name, layer)), best[name]) for name in best))
        for layer in sorted({cell.layer for cell in cells})
    )
    return Table(tuple(Column(title, "right") for title in ("layer", *titles)), tuple(rows))


def _broken(name: str) -> str:
    """A name over several lines, broken after underscores where it is too long for one."""
    if name == NONE:
        return f"{NONE}: nothing\nhappened"
    lines = [""]
    for part in name.replace("_", "_\0").split("\0"):
        if lines[-1] and len(lines[-1]) + len(part) > NAME_WIDTH:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def _entry(cell: Cell | None, best: Cell | None) -> Inline:
    if cell is None or cell.value is None:
        return faint("no number")
    share = MEASURES[cell.measure].share
    marked = (
        best is not None
        and cell.hypothesis != NONE
        and cell.value == best.value
        and bool(cell.value or not share)
    )
    likely = share and cell.low is not None and cell.low > 0.5
    looks: tuple[Look, ...] = ("strong", "good") if marked else () if likely else ("faint",)
    interval = "" if cell.low is None else f" {cell.low:z.2f}-{cell.high:z.2f}"
    if not share and interval:
        interval = f" {cell.low:z.2f}..{cell.high:z.2f}"  # a hyphen before a minus sign is no help
    value = f"{'>' if marked else ''}{cell.value:z.2f}"
    return (Phrase(value, looks), Phrase(interval, looks or ("faint",)))


# Neurons


def _neurons(
    cells: Sequence[Cell], names: Sequence[str], by: Callable[[Cell], float], *, picked: bool
) -> list[Block]:
    """The strongest neurons, and how many of all there are whose interval leaves 0 out.

    Nothing is counted of neurons that were picked: of these, more do, were it all by chance.
    """
    blocks: list[Block] = []
    for name in names:
        mine = [cell for cell in cells if cell.hypothesis == name and cell.value is not None]
        if not mine:
            continue
        ordered = sorted(mine, key=lambda cell: (-by(cell), cell.layer, cell.neuron or 0))
        rows = [
            (str(cell.neuron), str(cell.layer), value_text(cell), str(cell.n))
            for cell in ordered[:STRONGEST]
        ]
        titles = (number_name(ordered[0].component), "layer", name, "n")
        blocks += [Table(tuple(Column(title, "right") for title in titles), tuple(rows)), Gap()]
        apart = sum(cell.low is not None and (cell.low > 0 or cell.high < 0) for cell in mine)  # type: ignore[operator]
        chance = (1 - CONFIDENCE) * len(mine)
        text = f"The {len(rows)} strongest of {len(mine):,}"
        text += " that were run." if picked else "."
        if not picked:
            text += (
                f" The intervals of {apart:,} leave 0 out; about {chance:.0f} would if all were 0."
            )
        blocks += [Paragraph(faint(text)), Gap()]
    return blocks


# Maps


def _maps(
    cells: Sequence[Cell],
    names: Sequence[str],
    texts: Mapping[str, str],
    by: Callable[[Cell], float],
) -> list[Block]:
    """A map per hypothesis, and how to read them."""
    shade, legend = _shades(cells)
    together = by is merit  # effects have scales of their own
    blocks: list[Block] = [Paragraph(faint(legend)), Gap()] if together else []
    for name in names:
        mine = [cell for cell in cells if cell.hypothesis == name]
        if not together:
            shade, legend = _shades(mine)
            blocks += [Paragraph(faint(legend)), Gap()]
        rows = [row for row in rows_of(mine) if _shown([c for c in mine if row_of(c) == row])]
        others = len(rows_of(mine)) - len(rows)
        counts = sorted({cell.n for cell in mine})
        n = f"n = {counts[0]}" if len(counts) == 1 else f"n = {counts[0]} to {counts[-1]}"
        blocks += [Paragraph((strong(name), faint(f", {n}"))), Gap()]
        if rows:
            blocks += [_map(mine, rows, texts, shade, by), Gap()]
        if others:
            kind = ("token" if texts else "head") + ("s" if others > 1 else "")
            what = f"{others} {'other ' if rows else ''}{kind}: 0.00 in every layer"
            blocks += [Paragraph(faint(what)), Gap()]
    return blocks


def _shown(cells: Sequence[Cell]) -> bool:
    """Whether a row says more than that nothing is ever right there."""
    return not MEASURES[cells[0].measure].share or any(cell.value for cell in cells)


def _map(
    cells: Sequence[Cell],
    rows: Sequence[Row],
    texts: Mapping[str, str],
    shade: Mapping[Cell, str],
    by: Callable[[Cell], float],
) -> Table:
    layers = sorted({cell.layer for cell in cells})
    at = {(*row_of(cell), cell.layer): cell for cell in cells}
    ruler = "".join(str(layer % 10) if layer % 5 == 0 else " " for layer in layers)
    best = best_cell(cells, cells[0].hypothesis, by)
    listed: list[tuple[Inline, ...]] = []
    for row in rows:
        here = [at[(*row, layer)] for layer in layers if (*row, layer) in at]
        top = max(here, key=by)
        looks: tuple[Look, ...] = ("strong", "good") if best and top.value == best.value else ()
        drawn = "".join(
            shade[at[(*row, layer)]] if (*row, layer) in at else "-" for layer in layers
        )
        value = "" if top.value is None else f"{top.value:z.2f} at {top.layer}"
        head, token, _ = row
        names = [] if head is None else [str(head)]
        names += [] if token is None else [token, texts.get(token, "")]
        listed.append((*names, Phrase(drawn, looks), Phrase(value, looks)))
    titles = [] if rows[0][0] is None else [Column("head", "right")]
    titles += [] if rows[0][1] is None else [Column("token"), Column("text")]
    columns = (*titles, Column(f"{layers_text(layers)}\n{ruler}"), Column("best layer", "right"))
    return Table(columns, tuple(listed))


def _shades(cells: Sequence[Cell]) -> tuple[dict[Cell, str], str]:
    """A character for every cell, and what they mean."""
    if MEASURES[cells[0].measure].share:
        legend = "one character per layer: . is 0, 3 is 0.3 to 0.4, * is 1, - has no number"
        return {cell: _tenth(cell.value) for cell in cells}, legend
    values = [cell.value for cell in cells if cell.value is not None]
    low, high = (min(values), max(values)) if values else (0.0, 0.0)
    legend = f"one character per layer, from 0 for {low:z.2f} to 9 for {high:z.2f}; - has no number"
    step = (high - low) / 10 or 1.0
    shades = {
        cell: "-" if cell.value is None else str(min(9, int((cell.value - low) / step)))
        for cell in cells
    }
    return shades, legend


def _tenth(share: float | None) -> str:
    if share is None:
        return "-"
    return "." if share == 0 else "*" if share == 1 else str(int(10 * share))


def layers_text(numbers: Iterable[int]) -> str:
    """Layers as ``layer 4``, ``layers 3, 20-22``."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    shown = [f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
    plural = "s" if len(runs) > 1 or len(runs[0]) > 1 else ""
    return f"layer{plural} {', '.join(shown)}"
