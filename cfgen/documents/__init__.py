"""Documents: what there is to say, apart from how it is shown.

A view is a function from facts to a :class:`Document`; a renderer is a module with a function from
a document to a form. Here are the parts of a document and the renderer to Markdown. The one to the
terminal imports rich, which takes time to load, and is therefore imported where something is
printed: ``from cfgen.documents.terminal import show``.
"""

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
    Phrase,
    Quotation,
    Table,
    code,
    faint,
    highlight,
    phrases,
    plain,
    strong,
    visible,
)
from cfgen.documents.html import html
from cfgen.documents.markdown import markdown

__all__ = [
    "Block",
    "CodeBlock",
    "Column",
    "Divider",
    "Document",
    "Facts",
    "Gap",
    "Heading",
    "Inline",
    "Item",
    "Listing",
    "Look",
    "Panel",
    "Paragraph",
    "Phrase",
    "Quotation",
    "Table",
    "code",
    "faint",
    "highlight",
    "html",
    "markdown",
    "phrases",
    "plain",
    "strong",
    "visible",
]
