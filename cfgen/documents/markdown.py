"""Documents as Markdown: CommonMark with tables, as the Hugging Face Hub and GitHub show it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby

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
    Phrase,
    Quotation,
    Table,
    phrases,
    visible,
)

ACTIVE = re.compile(r"[\\`*\[\]<~|$#]|&(?=[#A-Za-z])|(?<![^\W_])_|_(?![^\W_])")
"""What means something anywhere in a line. An underscore within a word does not."""
OPENING = re.compile(r"([-+>=:]|\d+(?=[.)](?: |$)))")
"""What means something only at the beginning of a line: it opens a list, a quotation, ..."""
MARKS: dict[Look, tuple[str, str]] = {
    "strong": ("**", "strong"),
    "inverse": ("**", "strong"),
    "emphasis": ("*", "em"),
}
"""Looks that Markdown has -> the mark, and the HTML element where a mark would not be taken."""
BEFORE, AFTER = "([{\"'", ".,;:!?)]}\"'"
"""What besides blanks may stand before and after a mark, so that it is surely taken as one."""
LISTS = (Facts, Listing, Item)
"""Blocks that become lists; two in a row would become one."""


def markdown(document: Document) -> str:
    """The document's text in Markdown, with a newline at its end."""
    return _blocks(document.blocks) + "\n"


def _blocks(blocks: Iterable[Block]) -> str:
    parts: list[str] = []
    last: Block = Gap()
    for block in blocks:
        text = _block(block)
        if text:
            apart = isinstance(last, Facts | Listing) and isinstance(block, LISTS)
            parts += ["<!-- -->", text] if apart else [text]
            last = block
    return "\n\n".join(parts)


def _block(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {_inline(_one_line(text))}"
        case Paragraph(text):
            return _inline(text)
        case CodeBlock(text, language):
            lines = visible(text.expandtabs()).rstrip("\n")
            fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", lines))])
            return f"{fence}{language}\n{lines}\n{fence}"
        case Table():
            return _table(block)
        case Facts(rows):
            return "\n".join(_entry((name, ": ", value), (), "- ") for name, value in rows)
        case Listing(items, numbered):
            return "\n".join(
                _entry(*_titled(item), f"{number}. " if numbered else "- ")
                for number, item in enumerate(items, start=1)
            )
        case Item(title, inner):
            return _entry(title, inner, "- ")
        case Panel(title, inner):
            return _quoted((Paragraph(_strong(title)), *inner))
        case Quotation(inner):
            return _quoted(inner)
        case Divider(title):
            return f"---\n\n{_inline(title)}"
        case Gap():
            return ""


def _titled(item: Inline | Item) -> tuple[Inline, tuple[Block, ...]]:
    return (item.title, item.blocks) if isinstance(item, Item) else (item, ())


def _entry(title: Inline, inner: Sequence[Block], mark: str) -> str:
    text = _inline(title) + (f"\n\n{_blocks(inner)}" if inner else "")
    first, *rest = text.split("\n")
    return "\n".join([mark + first, *(" " * len(mark) + line if line else "" for line in rest)])


def _quoted(inner: Iterable[Block]) -> str:
    return "\n".join(f"> {line}".rstrip() for line in _blocks(inner).split("\n"))


def _table(table: Table) -> str:
    header = [_inline(column.title, newline="<br>") for column in table.columns]
    lines = ["---:" if column.align == "right" else "---" for column in table.columns]
    rows = [[_inline(cell, newline="<br>") for cell in row] for row in table.rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, lines, *rows])


def _strong(text: Inline) -> Inline:
    return tuple(Phrase(phrase.text, (*phrase.looks, "strong")) for phrase in phrases(text))


def _one_line(text: Inline) -> Inline:
    return tuple(Phrase(each.text.replace("\n", " "), each.looks) for each in phrases(text))


def _inline(text: Inline, newline: str = "<br>\n") -> str:
    """A text with marks for its looks, everything else in it escaped.

    Args:
        text: The text.
        newline: What stands for a newline; within a table it may not be one.
    """
    parts = _parts(text)
    shown = ""
    for before, part, after in zip([None, *parts], parts, [*parts[1:], None], strict=False):
        if part.looks:
            # Between other characters a mark may be taken as something else, or not at all.
            clear = _ends(before, BEFORE, -1) and _ends(after, AFTER, 0)
            shown += _marked(part, newline, clear=clear)
        else:
            shown += _escaped(part.text, newline, start=not shown or shown.endswith("\n"))
    return shown.rstrip("\n")


def _parts(text: Inline) -> list[Phrase]:
    """Phrases with the looks that Markdown has; blanks at their ends apart, like neighbours one."""
    found: list[Phrase] = []
    for phrase in phrases(text):
        looks = tuple(look for look in phrase.looks if look in MARKS or look == "code")
        shown = visible(phrase.text)
        core = shown.strip(" \n") if looks else ""
        lead, core, trail = shown.partition(core) if core else (shown, "", "")
        found += [Phrase(lead), Phrase(core, looks), Phrase(trail)]
    present = (phrase for phrase in found if phrase.text)
    return [
        Phrase("".join(phrase.text for phrase in group), looks)
        for looks, group in groupby(present, key=lambda phrase: phrase.looks)
    ]


def _ends(neighbour: Phrase | None, allowed: str, at: int) -> bool:
    """Whether the neighbour of a mark lets it be one."""
    if neighbour is None:
        return True
    return not neighbour.looks and (neighbour.text[at] in " \n" or neighbour.text[at] in allowed)


def _marked(phrase: Phrase, newline: str, *, clear: bool) -> str:
    """A phrase with its looks; by HTML elements where marks would not do."""
    shown = _escaped(phrase.text, newline, start=False)
    if "code" in phrase.looks:
        awkward = any(mark in phrase.text for mark in "`|\\\n")
        shown = f"<code>{shown}</code>" if awkward else f"`{phrase.text}`"
    for mark, element in dict.fromkeys(MARKS[look] for look in phrase.looks if look in MARKS):
        shown = f"{mark}{shown}{mark}" if clear else f"<{element}>{shown}</{element}>"
    return shown


def _escaped(text: str, newline: str, *, start: bool) -> str:
    """Text of which nothing is read as Markdown.

    Args:
        text: The text.
        newline: What stands for a newline.
        start: Whether it begins a line.
    """
    first, *rest = (ACTIVE.sub(r"\\\g<0>", line) for line in text.split("\n"))
    lines = [_line_start(first) if start else first, *map(_line_start, rest)]
    if start and not first:  # <br> in front would make the paragraph a block of HTML
        lines[0] = "&nbsp;"
    return newline.join(lines)


def _line_start(line: str) -> str:
    """The line so that its beginning opens no block, and blanks there are kept."""
    text = line.lstrip(" ")
    if len(text) < len(line):
        return "&nbsp;" * (len(line) - len(text)) + text
    opening = OPENING.match(text)
    if not opening:
        return text
    at = opening.end() if text[0].isdigit() else 0
    return f"{text[:at]}\\{text[at:]}"
