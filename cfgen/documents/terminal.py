"""Documents on a terminal, drawn by rich."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TextIO

from rich import box
from rich import panel as rich_panel
from rich import table as rich_table
from rich.console import Console, Group, OverflowMethod, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.text import Text
from typing_extensions import override

from cfgen.documents.document import (
    Block,
    CodeBlock,
    Divider,
    Document,
    Facts,
    Gap,
    Heading,
    Inline,
    Item,
    Listing,
    Look,
    Panel,
    Paragraph,
    Quotation,
    Table,
    phrases,
    visible,
)

STYLES: dict[Look, str] = {
    "strong": "bold",
    "emphasis": "italic",
    "code": "",
    "faint": "dim",
    "underlined": "underline",
    "inverse": "reverse",
    "good": "green",
    "caution": "yellow",
    "bad": "red",
    "colour 1": "cyan",
    "colour 2": "yellow",
    "colour 3": "green",
    "colour 4": "magenta",
    "colour 5": "blue",
    "colour 6": "red",
}
TITLES = {1: "bold", 2: "bold underline", 3: "bold"}
QUOTED = 2
"""Columns by which a quotation is indented."""


class _PipedConsole(Console):
    """A console that says it like any file if nobody reads on."""

    @override
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def show(document: Document, file: TextIO | None = None, *, wrap: bool = True) -> None:
    """Print a document; without colours where the file is no terminal.

    Args:
        document: The document.
        file: Where to; standard output if not given.
        wrap: Whether lines are broken at the terminal's width. Not where other programs look for
            a place or a message within a line.
    """
    console = _PipedConsole(file=file or sys.stdout, highlight=False)
    console.print(rendered(document, wrap=wrap), soft_wrap=not wrap)


def rendered(document: Document, *, wrap: bool = True) -> RenderableType:
    """A document as rich draws it; wrapped or not, as for :func:`show`."""
    return Group(*_drawn(document.blocks, wrap))


def _drawn(blocks: Iterable[Block], wrap: bool) -> list[RenderableType]:
    return [part for block in blocks for part in _block(block, wrap)]


def _block(block: Block, wrap: bool) -> Sequence[RenderableType]:
    match block:
        case Heading(text, level):
            title = _text(text)
            title.stylize(TITLES[level])
            return [Text(), title] if level == 2 else [title]
        case Paragraph(text):
            return [_text(text)]
        case CodeBlock(text):
            # Rich cuts what it may fold but not wrap.
            overflow: OverflowMethod | None = "fold" if wrap else None
            return [Text(visible(text.expandtabs()).rstrip("\n"), overflow=overflow)]
        case Table():
            return [_table(block)]
        case Facts(rows):
            return [_grid(([_text(name), _text(value)] for name, value in rows))]
        case Listing(items, numbered):
            return _list(items, numbered, wrap)
        case Item(title, inner, indent):
            return [_text(title), *_indented(_drawn(inner, wrap), " " * indent, wrap)]
        case Panel(title, inner):
            content = Group(*_drawn(inner, wrap))
            return [
                rich_panel.Panel(content, title=_text(title), title_align="left", padding=(0, 1))
            ]
        case Quotation(inner):
            return _indented(_drawn(inner, wrap), " " * QUOTED, wrap)
        case Divider(title):
            return [Rule(_text(title))]
        case Gap():
            return [Text()]


def _text(text: Inline) -> Text:
    drawn = Text()
    for phrase in phrases(text):
        drawn.append(visible(phrase.text), " ".join(filter(None, map(STYLES.get, phrase.looks))))
    return drawn


def _table(table: Table) -> RenderableType:
    """A table with a line below its header."""
    drawn = rich_table.Table(
        box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False, show_edge=False
    )
    for column in table.columns:
        drawn.add_column(_text(column.title), justify=column.align, overflow="fold")
    for row in table.rows:
        drawn.add_row(*map(_text, row))
    return drawn


def _grid(rows: Iterable[Sequence[RenderableType]]) -> RenderableType:
    """Two columns without lines: the first is never wrapped, the other takes what room there is."""
    drawn = rich_table.Table.grid(padding=(0, 2))
    drawn.add_column(overflow="fold", no_wrap=True)
    drawn.add_column(overflow="fold")
    for row in rows:
        drawn.add_row(*row)
    return drawn


def _list(items: Sequence[Inline | Item], numbered: bool, wrap: bool) -> list[RenderableType]:
    width = len(f"{len(items)}. ") if numbered else 3
    drawn: list[RenderableType] = []
    for number, item in enumerate(items, start=1):
        mark = (f"{number}." if numbered else "-").ljust(width)
        title, inner = (item.title, item.blocks) if isinstance(item, Item) else (item, ())
        drawn += _indented([_text(title), *_drawn(inner, wrap)], mark, wrap)
    return drawn


def _indented(parts: Sequence[RenderableType], mark: str, wrap: bool) -> list[RenderableType]:
    """Parts to the right of a mark, with blanks below it.

    Rich can only indent what it wraps; where lines are not wrapped, each gets the blanks.
    """
    if wrap:
        grid = rich_table.Table.grid()
        grid.add_column(width=len(mark), no_wrap=True)
        grid.add_column(overflow="fold")
        grid.add_row(Text(mark), Group(*parts))
        return [grid]
    blanks = " " * len(mark)
    drawn: list[RenderableType] = []
    for part in parts:
        if isinstance(part, Text):
            for line in part.split("\n", allow_blank=True):
                drawn.append(Text(blanks if drawn else mark).append_text(line))
        else:
            drawn.append(Padding(part, (0, 0, 0, len(mark))))
    return drawn
