"""Layer tables: interchange intervention accuracy per layer and hypothesis."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from cfgen.counterfactuals import NONE
from cfgen.lm import COMPONENTS
from cfgen.report.style import lined

if TYPE_CHECKING:
    from cfgen.analysis import Cell

COLUMNS = 3
"""Hypotheses next to each other in one table; with ``none`` they fit into 80 columns."""
NAME_WIDTH = 16
"""Width at which the name of a hypothesis is broken, after an underscore."""


def layer_tables(cells: Iterable[Cell]) -> RenderableType:
    """One table for every site: a row per layer, a column per hypothesis and one for ``none``.

    Every entry is an IIA with its 95 % interval; the best layers of a hypothesis are marked.
    """
    sites: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        sites.setdefault((cell.component, cell.position), []).append(cell)
    parts: list[RenderableType] = []
    for (component, position), here in sites.items():
        what = COMPONENTS[component].meaning
        parts += [Text(f"at {position}: {what}", "bold"), Text()]
        names = [name for name in dict.fromkeys(c.hypothesis for c in here) if name != NONE]
        for first in range(0, len(names), COLUMNS):
            parts += [_table(here, [*names[first : first + COLUMNS], NONE]), Text()]
    return Group(*parts)


def best_cell(cells: Iterable[Cell], hypothesis: str) -> Cell:
    """The cell of a hypothesis with the highest IIA; the earliest layer among equals."""
    return max((c for c in cells if c.hypothesis == hypothesis), key=lambda c: c.iia)


def _table(cells: Sequence[Cell], names: Sequence[str]) -> RenderableType:
    found = {(cell.hypothesis, cell.layer): cell for cell in cells}
    best = {name: best_cell(cells, name) for name in names if (name, cells[0].layer) in found}
    rows = [
        [
            Text(str(layer)),
            *(
                _entry(
                    found[name, layer], marked=name != NONE and _is_best(found[name, layer], best)
                )
                for name in best
            ),
        ]
        for layer in sorted({cell.layer for cell in cells})
    ]
    titles = [f"{_broken(name)}\nn = {cell.n}" for name, cell in best.items()]
    return lined([("layer", "right"), *((title, "right") for title in titles)], rows)


def _is_best(cell: Cell, best: Mapping[str, Cell]) -> bool:
    return cell.iia == best[cell.hypothesis].iia > 0


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


def _entry(cell: Cell, *, marked: bool) -> Text:
    style = "bold green" if marked else "" if cell.low > 0.5 else "dim"
    text = Text(">" if marked else "", style)
    text.append(f"{cell.iia:.2f}", style)
    return text.append(f" {cell.low:.2f}-{cell.high:.2f}", style or "dim")
