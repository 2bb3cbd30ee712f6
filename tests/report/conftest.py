"""Drawing reports into a text."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.console import Console, RenderableType

from cfgen.documents import Block, Document
from cfgen.documents.terminal import rendered

Draw = Callable[..., str]


@pytest.fixture
def draw() -> Draw:
    """The text of a report on a terminal without colours; lines without trailing blanks."""

    def drawn(report: Document | list[Block] | RenderableType, width: int = 80) -> str:
        if isinstance(report, list):
            report = Document(tuple(report))
        if isinstance(report, Document):
            report = rendered(report)
        file = io.StringIO()
        Console(file=file, width=width, color_system=None, highlight=False).print(report)
        return "\n".join(line.rstrip() for line in file.getvalue().splitlines())

    return drawn
