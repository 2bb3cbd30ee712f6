"""docs/lint.md lists every code, and its command prints what is shown."""

from __future__ import annotations

import re
from pathlib import Path

from cfgen.lint import CODES
from tests.pages import ROOT, blocks_of, run_block

PAGE = ROOT / "docs/lint.md"


def test_every_code_is_listed_once() -> None:
    listed = re.findall(r"^\| \[`([\w-]+)`\]\(errors/lint\.md#\1\)", PAGE.read_text("utf-8"), re.M)
    assert listed == sorted(CODES)


def test_the_built_in_task_gives_what_is_shown(tmp_path: Path) -> None:
    (command,) = [block for block in blocks_of(PAGE) if block.runs]
    assert command.shown
    run_block(command, tmp_path)
