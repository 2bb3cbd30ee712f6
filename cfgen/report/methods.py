"""Methods, for somebody who looks for the right one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cfgen.documents import CodeBlock, Document, Facts, Heading, Inline, Paragraph, strong

if TYPE_CHECKING:
    from cfgen.experiments import Method


def methods_view(methods: Iterable[Method]) -> Document:
    """All methods, each with the question that it answers."""
    rows: tuple[tuple[Inline, Inline], ...] = tuple(
        (strong(method.name), method.summary) for method in methods
    )
    how = "cfgen methods NAME explains one; cfgen run TASK --method NAME uses it"
    return Document((Heading("Methods"), Facts(rows), Paragraph(how)))


def method_view(method: Method) -> Document:
    """One method: its question, its formulas, and where they come from."""
    return Document(
        (Heading(method.name), Paragraph(method.summary), CodeBlock(method.explained, "text"))
    )
