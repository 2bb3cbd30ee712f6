"""Drawing reports into a text."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.console import Console, RenderableType

Draw = Callable[..., str]


@pytest.fixture
def draw() -> Draw:
    """The text of a report on a terminal without colours; lines without trailing blanks."""

    def drawn(report: RenderableType, width: int = 80) -> str:
        file = io.StringIO()
        Console(file=file, width=width, color_system=None, highlight=False).print(report)
        return "\n".join(line.rstrip() for line in file.getvalue().splitlines())

    return drawn
