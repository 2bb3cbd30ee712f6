"""The rows of a file of pairs, of whatever kind: column -> value.

Libraries read the files; what they say of one that cannot be read is told with its place.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from cfgen.bounded import parse_json, read_file, repeated
from cfgen.datasets.tables import opened_table, table_batches
from cfgen.errors import CfgenError, Problem, first_line
from cfgen.paths import display

HUB = "hub:"
"""What the name of a dataset of the Hub begins with."""
LARGEST = 1 << 27
"""Bytes of a file of pairs at most."""
UNPACKED = 1 << 31
"""Bytes that its rows may take once they are unpacked."""
MOST_ROWS = 1_000_000
"""Rows of a file of pairs at most: each takes a kilobyte."""

Row = Mapping[str, Any]
AnyRow = TypeVar("AnyRow")


def has_splits(pairs: str) -> bool:
    """Whether pairs are in a folder or on the Hub, of which one split is read."""
    return pairs.startswith(HUB) or Path(pairs).is_dir()


def place_of(pairs: str) -> str:
    """Where pairs are, for a person."""
    return pairs if pairs.startswith(HUB) else display(Path(pairs))


def read_rows(pairs: str, split: str) -> list[Row]:
    """Read all rows.

    Args:
        pairs: A CSV, TSV, JSONL, JSON or Parquet file; a folder that ``datasets.load_dataset``
            opens; or ``hub:OWNER/NAME[@REVISION]``.
        split: Which split of a folder, or of a dataset on the Hub.

    Raises:
        CfgenError: They can't be read, or there are none (``pairs-file``).
    """
    if has_splits(pairs):
        return _of_dataset(pairs, split)
    path, shown = Path(pairs), place_of(pairs)
    read = READERS.get(path.suffix.lower())
    if read is None:
        message = f"{shown} is of no known kind"
        hint = f"pairs are read from {', '.join(READERS)}, from a folder, or from hub:OWNER/NAME"
        raise CfgenError(Problem("pairs-file", message, hint=hint))
    try:
        rows = read(path)
        if not rows:
            raise ValueError("has no rows")
    except (ValueError, OSError, csv.Error, pa.ArrowException) as error:
        why = "is not UTF-8" if isinstance(error, UnicodeDecodeError) else first_line(error)
        why = "is not there" if isinstance(error, FileNotFoundError) else why
        hint = "docs/pairs.md says what a file of pairs looks like"
        raise CfgenError(Problem("pairs-file", f"{shown}: {why}", hint=hint)) from error
    return rows


def _of_dataset(pairs: str, split: str) -> list[Row]:
    """The rows of a split of a folder, or of a dataset on the Hub."""
    from datasets import load_dataset

    revision = None
    if pairs.startswith(HUB):
        name, _, revision = pairs.removeprefix(HUB).partition("@")
        hint = "check the name, the split (--split), and the network; or save the rows as a file"
    else:
        folder = Path(pairs)
        name = str(folder.absolute())  # one that is called json is no kind of file
        hint = "check the split (--split); or save the rows as a file"
        if (folder / "manifest.json").exists():
            hint = f"what cfgen generate wrote is given with --dataset {place_of(pairs)}"
    try:
        rows: list[Row] = list(load_dataset(name, split=split, revision=revision or None))
        if not rows:
            raise ValueError("it has no rows")
    except Exception as error:  # the library has no error of its own for what a user can get wrong
        message = f"{place_of(pairs)}, split {split!r}, can't be loaded: {first_line(error)}"
        raise CfgenError(Problem("pairs-file", message, hint=hint)) from error
    return rows


def _table(separator: str) -> Callable[[Path], list[Row]]:
    """A reader of tables whose cells are texts as they are written: 05 stays 05."""

    def read(path: Path) -> list[Row]:
        text = io.StringIO(_text(path), newline="")
        lines = csv.reader(text, delimiter=separator, strict=True)
        header = next(lines, [])
        cells = _not_too_many(line for line in lines if line)
        _check_once(header, "the header has the column")
        odd = [number for number, line in enumerate(cells, 1) if len(line) != len(header)]
        if odd:
            has = f"row {odd[0]} has {len(cells[odd[0] - 1])} cells, but the header {len(header)}"
            more = f", and so on in {len(odd) - 1:,} more" if odd[1:] else ""
            raise ValueError(f'{has}{more}: a cell with a "{separator}" in it stands in quotes')
        return [dict(zip(header, line, strict=True)) for line in cells]

    return read


def _json_lines(path: Path) -> list[Row]:
    found = []
    # a line ends with \n: what else ends one for Python may stand within a text
    lines = _text(path).split("\n")
    for number, line in enumerate(_not_too_many(lines), start=1):
        if line.strip():
            try:
                found.append(_parsed(line))
            except ValueError as error:
                raise ValueError(f"line {number} is not JSON: {error}") from error
    return _objects(found)


def _json(path: Path) -> list[Row]:
    found = _parsed(_text(path))
    if not isinstance(found, list):
        raise ValueError("is not a list of objects")
    return _objects(found)


def _parsed(text: str) -> Any:
    def once(fields: list[tuple[str, Any]]) -> dict[str, Any]:
        _check_once([name for name, _ in fields], "an object has the field")
        return dict(fields)

    return parse_json(text, once)


def _text(path: Path) -> str:
    return read_file(path, LARGEST).decode("utf-8-sig")


def _not_too_many(rows: Iterable[AnyRow]) -> list[AnyRow]:
    found = list(itertools.islice(rows, MOST_ROWS + 1))
    if len(found) > MOST_ROWS:
        raise ValueError(f"has more than {MOST_ROWS:,} rows")
    return found


def _objects(found: Sequence[Any]) -> list[Row]:
    for number, one in enumerate(found, start=1):
        if not isinstance(one, dict):
            raise ValueError(f"row {number} is not an object with a value per column")
    return list(found)


def _parquet(path: Path) -> list[Row]:
    # the file by itself: the names of the folders that it lies in are no columns
    with opened_table(path, LARGEST) as table:
        if table.metadata.num_rows > MOST_ROWS:
            raise ValueError(f"has more than {MOST_ROWS:,} rows")
        batches = table_batches(table, UNPACKED)
        return [row for batch in batches for row in batch.to_pylist()]


READERS: Mapping[str, Callable[[Path], list[Row]]] = {
    ".csv": _table(","),
    ".tsv": _table("\t"),
    ".jsonl": _json_lines,
    ".json": _json,
    ".parquet": _parquet,
}
"""How the name of a file ends -> how it is read."""


def _check_once(names: Sequence[str], has: str) -> None:
    for name in repeated(names):
        raise ValueError(f"{has} {name!r} twice")
