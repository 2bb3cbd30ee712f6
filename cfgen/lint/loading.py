"""What keeps a task from being loaded: everything that can be told at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cfgen.errors import CfgenError
from cfgen.lint.finding import Finding, from_error
from cfgen.paths import project_of
from cfgen.prompts import load_lexicon, read_source, read_text


def check_files(path: Path) -> Iterator[Finding]:
    """Problems of the files around a task file, read one by one and without the task.

    A task file that does not run hides what is wrong elsewhere; this looks there all the same.

    Args:
        path: The task file.
    """
    for root in project_of(path):
        for file in sorted((root / "templates" / path.stem).glob("*.jinja")):
            read = read_text if file.name.startswith("_") else read_source
            try:
                read(file)
            except CfgenError as error:
                yield from from_error(error)
        lexicons = (root / "data/lexicons").glob("*")
        for name in sorted({file.stem for file in lexicons if file.suffix in (".txt", ".tsv")}):
            try:
                load_lexicon(name, root)
            except CfgenError as error:
                yield from from_error(error)
