"""Colours and layout that all reports share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from rich import box
from rich.table import Table
from rich.text import Text

SLOT_STYLES = ("cyan", "yellow", "green", "magenta", "blue", "red")
"""Colours of slots, in order of their first mention; repeated when there are more slots."""

KIND_STYLES = {"original": "default", "counterfactual": "cyan", "third": "bold green"}
"""Styles of the kinds of predictions."""

Justify = Literal["left", "right", "center"]


def plain(text: object) -> Text:
    """Text exactly as it is: no markup, and every character takes the place of one."""
    return Text("".join(mark if mark.isprintable() or mark == "\n" else "�" for mark in str(text)))


def grid(rows: Iterable[Sequence[object]], styles: Sequence[str] = ()) -> Table:
    """Columns without lines: the first is never wrapped, the last takes what room there is.

    Args:
        rows: Cells, as rich renderables or anything with a text; all rows equally long.
        styles: Style of each column; none where left out.
    """
    listed = [list(row) for row in rows]
    table = Table.grid(padding=(0, 2))
    width = len(listed[0]) if listed else 0
    for index in range(width):
        style = styles[index] if index < len(styles) else ""
        table.add_column(style=style, overflow="fold", no_wrap=index == 0)
    for row in listed:
        table.add_row(*(cell if isinstance(cell, Text | Table) else plain(cell) for cell in row))
    return table


def lined(headers: Sequence[tuple[str, Justify]], rows: Iterable[Sequence[object]]) -> Table:
    """A table with a line below its header."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False, show_edge=False)
    for title, justify in headers:
        table.add_column(title, justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else plain(cell) for cell in row))
    return table


def heading(text: str) -> Text:
    """A line above a section."""
    return Text(f"\n{text}", "bold underline")
