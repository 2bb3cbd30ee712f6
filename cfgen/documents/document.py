"""What a document consists of: headings, paragraphs, tables, lists, panels, code.

Texts in it are as they are in the data: no markup, nothing escaped. Each renderer escapes what its
own form would act on, and all of them show characters that cannot be seen by their escapes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias

Look = Literal[
    "strong",
    "emphasis",
    "code",
    "faint",
    "underlined",
    "inverse",
    "good",
    "caution",
    "bad",
    "colour 1",
    "colour 2",
    "colour 3",
    "colour 4",
    "colour 5",
    "colour 6",
]
"""How a phrase looks. The numbered colours only tell things apart; none means anything. A form
without colours leaves them out, and no document may depend on them alone."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """Some characters that look alike.

    Attributes:
        text: The characters; a newline is a line break.
        looks: How they look; several add up.
    """

    text: str
    looks: tuple[Look, ...] = ()


Inline: TypeAlias = "str | Phrase | tuple[Inline, ...]"
"""Text within a block: plain, with a look, or several such parts one after the other."""


@dataclass(frozen=True, slots=True)
class Heading:
    """A title.

    Attributes:
        text: Its words.
        level: 1 for the document's own, 2 for a section's, 3 within a section.
    """

    text: Inline
    level: Literal[1, 2, 3] = 2


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Some sentences."""

    text: Inline


@dataclass(frozen=True, slots=True)
class CodeBlock:
    """Lines that are shown as they are.

    Attributes:
        text: The lines.
        language: What they are written in, for forms that colour code.
    """

    text: str
    language: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """The title of a column of a table, and the side its cells keep to."""

    title: Inline
    align: Literal["left", "right"] = "left"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells below a header; every row has a cell for each column."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Inline, ...], ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """Names, and what there is to say about each; the names stand in a column of their own."""

    rows: tuple[tuple[Inline, Inline], ...]


@dataclass(frozen=True, slots=True)
class Item:
    """A title with blocks that belong to it.

    Attributes:
        title: A text, mostly one line.
        blocks: What is below it, indented.
        indent: By how many columns, where there are columns; within a list, by its marks' width.
    """

    title: Inline
    blocks: tuple[Block, ...]
    indent: int = 4


@dataclass(frozen=True, slots=True)
class Listing:
    """A list.

    Attributes:
        items: Texts, with blocks of their own where need be.
        numbered: Whether the items are counted from 1.
    """

    items: tuple[Inline | Item, ...]
    numbered: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """A box with a caption: a thing that is shown, apart from the text around it."""

    title: Inline
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Quotation:
    """Blocks in somebody else's words."""

    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Divider:
    """A line across the page, with a title."""

    title: Inline


@dataclass(frozen=True, slots=True)
class Gap:
    """An empty line on a terminal, where blocks stand close; other forms keep blocks apart."""


Block: TypeAlias = (
    "Heading | Paragraph | CodeBlock | Table | Facts | Listing | Item | Panel | Quotation"
    " | Divider | Gap"
)


@dataclass(frozen=True, slots=True)
class Document:
    """Blocks, from top to bottom."""

    blocks: tuple[Block, ...]


def strong(text: str) -> Phrase:
    """A phrase that catches the eye."""
    return Phrase(text, ("strong",))


def faint(text: str) -> Phrase:
    """A phrase that stays in the background."""
    return Phrase(text, ("faint",))


def code(text: str) -> Phrase:
    """A phrase that is a name or an expression."""
    return Phrase(text, ("code",))


def phrases(text: Inline) -> Iterator[Phrase]:
    """The phrases of a text, one after the other."""
    if isinstance(text, tuple):
        for part in text:
            yield from phrases(part)
    else:
        yield text if isinstance(text, Phrase) else Phrase(text)


def plain(text: Inline) -> str:
    """The characters of a text, whatever their looks."""
    return "".join(phrase.text for phrase in phrases(text))


def highlight(text: str, stretches: Iterable[tuple[int, int, Look]]) -> Inline:
    """Give looks to stretches of a text.

    Args:
        text: The text.
        stretches: Start, end (exclusive) and look; where stretches overlap, looks add up.
    """
    listed = list(stretches)
    ends = {at for start, end, _ in listed for at in (start, end) if 0 < at < len(text)}
    cuts = sorted({0, *ends, len(text)})
    return tuple(
        Phrase(text[a:b], tuple(look for start, end, look in listed if start <= a and b <= end))
        for a, b in pairwise(cuts)
    )


def visible(text: str) -> str:
    r"""The text with escapes for characters that cannot be seen.

    A word or a docstring may hold control characters, which a terminal acts on (it clears the
    screen, or sets a title), and marks of direction, which show a text in another order than it
    has. These, and blanks other than the space, become ``\x1b``, ``\u202e``, ``\xa0`` and so on;
    newlines stay.
    """
    if text.isprintable():
        return text
    return "".join(
        mark
        if mark.isprintable() or mark == "\n"
        else mark.encode("unicode_escape").decode("ascii")
        for mark in text
    )
