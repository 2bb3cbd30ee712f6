"""Layer tables: interchange intervention accuracy per layer and hypothesis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from cfgen.counterfactuals import NONE
from cfgen.report.style import lined

if TYPE_CHECKING:
    from cfgen.analysis.iia import Cell

COMPONENTS = {"resid_post": "residual stream after the block"}
"""What the components are called in a sentence."""


def layer_tables(cells: Iterable[Cell]) -> RenderableType:
    """One table for every site: a row per layer, a column per hypothesis and one for ``none``.

    Every entry is an IIA with its 95 % interval; the best layer of a hypothesis is marked.
    """
    sites: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        sites.setdefault((cell.component, cell.position), []).append(cell)
    parts: list[RenderableType] = []
    for (component, position), here in sites.items():
        what = COMPONENTS.get(component, component)
        parts += [Text(f"at {position}: {what}", "bold"), Text(), _table(here), Text()]
    return Group(*parts)


def best_cell(cells: Iterable[Cell], hypothesis: str) -> Cell:
    """The cell of a hypothesis with the highest IIA; the earliest layer among equals."""
    return max((c for c in cells if c.hypothesis == hypothesis), key=lambda c: c.iia)


def _table(cells: Sequence[Cell]) -> RenderableType:
    names = dict.fromkeys(cell.hypothesis for cell in cells)
    found = {(cell.hypothesis, cell.layer): cell for cell in cells}
    best = {name: best_cell(cells, name) for name in names}
    headers = [Text("layer")]
    rows = []
    for layer in sorted({cell.layer for cell in cells}):
        row = [Text(str(layer))]
        for name in names:
            cell = found[name, layer]
            row.append(_entry(cell, marked=name != NONE and cell is best[name]))
        rows.append(row)
    for name in names:
        title = f"{name}\n(nothing happened)" if name == NONE else name
        headers.append(Text(f"{title}\nn = {best[name].n}"))
    return lined([(header.plain, "right") for header in headers], rows)


def _entry(cell: Cell, *, marked: bool) -> Text:
    style = "bold green" if marked else "" if cell.low > 0.5 else "dim"
    text = Text("> " if marked else "", style)
    text.append(f"{cell.iia:.2f}", style)
    return text.append(f" {cell.low:.2f}-{cell.high:.2f}", style or "dim")
