"""docs/tutorial.md, followed from top to bottom: files are written, commands print what is shown.

The labels of fences are those of tests/pages.py, and two more: a path with ``+`` for the rest of a
file whose beginning is another block, and ``findings`` for a command that ends with 1.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pages import ROOT, Block, blocks_of, run_block

TUTORIAL = ROOT / "docs/tutorial.md"


class Reader:
    """Follows the tutorial in an empty folder.

    Attributes:
        ran: How many blocks were run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ran = 0
        self._beginnings: dict[str, str] = {}

    def follow(self) -> None:
        """Do all that it says."""
        for block in blocks_of(TUTORIAL):
            if "." in block.label:
                self._write(block)
            elif block.runs:
                run_block(block, self.folder, code=int(block.label == "findings"))
                self.ran += 1

    def _write(self, block: Block) -> None:
        """Write a file, or the rest of one behind its beginning."""
        name = block.label.removesuffix("+")
        if name == block.label:
            self._beginnings[name] = block.text
            text = block.text
        else:
            text = f"{self._beginnings[name]}\n\n{block.text}"
        assert (self.folder / name).is_file(), f"{name} was not made by cfgen new"
        (self.folder / name).write_text(text, encoding="utf-8")


@pytest.mark.slow
def test_the_tutorial_works_as_it_is_written(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    reader.follow()
    assert reader.ran == 10


def test_every_file_of_the_new_task_is_spoken_of() -> None:
    labels = [block.label for block in blocks_of(TUTORIAL) if "." in block.label]
    made = next(block for block in blocks_of(TUTORIAL) if "cfgen new possession" in block.text)
    assert made.shown
    listed = [line.strip() for line in made.shown.text.splitlines() if line.startswith("  ")]
    files = {line for line in listed if " " not in line}
    words = {"data/lexicons/possession_things.txt"}  # stay as they are
    assert {label.removesuffix("+") for label in labels} == files - words
    assert labels.count("causal_models/possession.py+") == 2
