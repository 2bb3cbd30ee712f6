"""Documents as HTML that needs nothing else: no script, no style sheet, no font of its own.

Colours are tints behind the text, of the palette of Okabe and Ito (2008), so that a page may be
light or dark, and a reader may see colours in any way.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from cfgen.documents.document import (
    Block,
    CodeBlock,
    Column,
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
    "strong": "font-weight:600",
    "emphasis": "font-style:italic",
    "code": "font-family:monospace",
    "faint": "opacity:.65",
    "underlined": "text-decoration:underline",
    "inverse": "font-weight:600;outline:1px solid;padding:0 .2em",
    "good": "background:rgba(0,158,115,.25)",
    "caution": "background:rgba(230,159,0,.3)",
    "bad": "background:rgba(213,94,0,.3)",
    "colour 1": "background:rgba(86,180,233,.3)",
    "colour 2": "background:rgba(230,159,0,.3)",
    "colour 3": "background:rgba(0,158,115,.3)",
    "colour 4": "background:rgba(204,121,167,.35)",
    "colour 5": "background:rgba(240,228,66,.35)",
    "colour 6": "background:rgba(213,94,0,.3)",
}
"""How each look is shown."""
BOX = "border:1px solid rgba(128,128,128,.5);border-radius:4px;padding:.4em .8em;margin:.5em 0"
CELL = "padding:.1em .7em;vertical-align:top"
RULE = "border-bottom:1px solid rgba(128,128,128,.5)"


def html(document: Document) -> str:
    """The document as one ``div``, to be put into a page or shown by a notebook."""
    return f'<div style="line-height:1.45">{_blocks(document.blocks)}</div>'


def _blocks(blocks: Iterable[Block]) -> str:
    return "".join(map(_block, blocks))


def _block(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"<h{level + 2}>{_inline(text)}</h{level + 2}>"
        case Paragraph(text):
            return f'<p style="margin:.3em 0">{_inline(text)}</p>'
        case CodeBlock(text, _):
            return f"<pre>{escape(visible(text))}</pre>"
        case Table(columns, rows):
            return _table(columns, rows)
        case Facts(rows):
            return _table((), rows)
        case Listing(items, numbered):
            kind = "ol" if numbered else "ul"
            return f"<{kind}>{''.join(f'<li>{_item(item)}</li>' for item in items)}</{kind}>"
        case Item():
            return f'<div style="margin:.3em 0">{_item(block)}</div>'
        case Panel(title, inner):
            caption = f'<div style="opacity:.65">{_inline(title)}</div>'
            return f'<div style="{BOX}">{caption}{_blocks(inner)}</div>'
        case Quotation(inner):
            return f"<blockquote>{_blocks(inner)}</blockquote>"
        case Divider(title):
            return f"<hr>{_inline(title)}"
        case Gap():
            return ""


def _item(item: Inline | Item) -> str:
    if not isinstance(item, Item):
        return _inline(item)
    return f'{_inline(item.title)}<div style="margin-left:1.5em">{_blocks(item.blocks)}</div>'


def _table(columns: Iterable[Column], rows: Iterable[tuple[Inline, ...]]) -> str:
    titles = tuple(columns)
    sides = [column.align for column in titles]

    def line(cells: Iterable[Inline], tag: str, extra: str = "") -> str:
        parts = []
        for number, cell in enumerate(cells):
            side = f"{sides[number]};white-space:nowrap" if sides else "left"
            style = f"{CELL};text-align:{side}{extra}"
            parts.append(f'<{tag} style="{style}">{_inline(cell)}</{tag}>')
        return f"<tr>{''.join(parts)}</tr>"

    head = line([column.title for column in titles], "th", f";{RULE}") if titles else ""
    body = "".join(line(cells, "td") for cells in rows)
    return f'<table style="border-collapse:collapse;margin:.5em 0">{head}{body}</table>'


def _inline(text: Inline) -> str:
    return "".join(_phrase(phrase.text, phrase.looks) for phrase in phrases(text))


def _phrase(text: str, looks: tuple[Look, ...]) -> str:
    shown = escape(visible(text)).replace("\n", "<br>")
    style = ";".join(STYLES[look] for look in looks)
    return f'<span style="{style}">{shown}</span>' if style else shown
