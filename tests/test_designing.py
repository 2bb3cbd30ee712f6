"""docs/designing.md: its commands and its program print what is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pages import ROOT, blocks_of, run_block

PAGE = ROOT / "docs/designing.md"


@pytest.mark.slow
def test_what_is_shown_is_printed(tmp_path: Path) -> None:
    ran = [block for block in blocks_of(PAGE) if block.runs]
    assert len(ran) == 5
    for block in ran:
        assert block.shown, block.line
        run_block(block, tmp_path)


def test_every_option_is_explained() -> None:
    from typer.main import get_command

    from cfgen.cli.main import app

    command = get_command(app).commands["design"]  # type: ignore[attr-defined]
    options = {option for parameter in command.params for option in parameter.opts}
    page = PAGE.read_text(encoding="utf-8")
    assert [name for name in options if name.startswith("--") and f"`{name}" not in page] == []
