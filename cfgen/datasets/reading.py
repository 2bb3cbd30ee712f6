"""Reading: a folder that ``cfgen generate`` wrote, checked before anything in it is used.

Whoever reads a dataset goes through here: its manifest has a hash of every file, of itself too, and
the number of rows of every split. So what an experiment runs on, or an export is made of, is what
the audits were made on, or there is an error.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from cfgen.counterfactuals import ALL, KINDS, NONE, Pair, Side
from cfgen.datasets.audit import parquet_file
from cfgen.datasets.features import SPANS, RowFormat
from cfgen.datasets.labelling import words_shown
from cfgen.datasets.manifest import CARD, FORMAT, MANIFEST, SUITE, Manifest
from cfgen.datasets.tables import opened_table, table_batches
from cfgen.errors import CfgenError, Problem, did_you_mean, first_line
from cfgen.folders import read_record, wrong_with
from cfgen.paths import display, plain_name
from cfgen.prompts import Prompt, Span
from cfgen.tasks import TEMPLATE_INPUT

UNPACKED = 1 << 36
"""Bytes that the rows of a split may take once they are unpacked, one batch after the other."""
_SIDES = ("original", "counterfactual")
_PLAIN = {
    "id": pa.string(),
    "index": pa.int64(),
    "task": pa.string(),
    "design": pa.string(),
    "decisive": pa.bool_(),
}
_AGAIN = "generate it again, or copy it again from where it came from"

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DatasetFolder:
    """A dataset whose files were found to be those that its manifest lists.

    Attributes:
        folder: Where it is.
        manifest: What it says of itself.
        files: Split -> its Parquet file.
    """

    folder: Path
    manifest: Manifest
    files: Mapping[str, Path]

    def rows(self, split: str) -> Iterator[dict[str, Any]]:
        """The rows of a split, some at a time.

        Raises:
            CfgenError: The file can no longer be read (``dataset-changed``).
        """
        file = self.files[split]
        try:
            with opened_table(file) as table:
                for batch in table_batches(table, UNPACKED):
                    yield from batch.to_pylist()
        except (OSError, ValueError) as error:
            raise changed_file(file, f"cannot be read: {first_line(error)}") from error

    def row_format(self, split: str) -> RowFormat:
        """How the pairs of a split are kept as rows."""
        with opened_table(self.files[split]) as table:
            schema = table.schema_arrow
        manifest = self.manifest
        as_json = frozenset(manifest.as_json)
        return RowFormat(schema, as_json, manifest.inputs, manifest.answer_prefixes)


def open_dataset(folder: Path, *, whole: bool = False) -> DatasetFolder:
    """Open a dataset: check its manifest, and all Parquet files against it.

    Args:
        folder: What was given to ``cfgen generate`` as ``--out``, or a copy of that.
        whole: Whether all other files have to be there as well, unchanged but for the card, which
            its owner may write on.

    Returns:
        The dataset.

    Raises:
        CfgenError: It is no dataset (``not-a-dataset``), a file is missing or not as it was
            written (``dataset-changed``), or a name in it could lead elsewhere (``unsafe-name``).
    """
    manifest = _manifest(folder)
    place = display(folder / MANIFEST)
    problems: list[Problem] = []
    files = {}
    for split in manifest.splits:
        name = plain_name(split, "a split of the dataset", place)
        files[split] = parquet_file(folder, name)
    listed = {folder / _inside(name, place): sha for name, sha in manifest.sha256.items()}
    for split, file in files.items():
        if file not in listed:
            problems.append(_problem(file, f"is split {split!r}, but the manifest has no hash"))
    for file, sha in listed.items():
        looked_at = file in files.values() or (whole and file.name not in (MANIFEST, CARD))
        wrong = wrong_with(file, sha) if looked_at else ""
        if whole and file.name == CARD and not file.is_file():
            wrong = "is missing"
        if wrong:
            problems.append(_problem(file, wrong))
    if not problems:
        for split, file in files.items():
            wrong = _wrong_form(file, manifest, split)
            problems += [_problem(file, wrong)] if wrong else []
    if problems:
        raise CfgenError(problems)
    return DatasetFolder(folder, manifest, files)


def read_dataset(folder: Path, split: str, n: int | None = None) -> tuple[list[Pair], Manifest]:
    """Read pairs back from a dataset, as they were before they were written.

    Lists in the file become tuples, which is what values of causal models are.

    Args:
        folder: The dataset.
        split: Which split of it.
        n: How many pairs, from the first on; all if not given.

    Returns:
        The pairs, and what the dataset says of itself.

    Raises:
        CfgenError: As :func:`open_dataset`; or there is no such split (``bad-splits``), or it has
            fewer pairs (``too-few-pairs``).
    """
    dataset = open_dataset(folder)
    return pairs_of_split(dataset, split, n), dataset.manifest


def pairs_of_split(dataset: DatasetFolder, split: str, n: int | None = None) -> list[Pair]:
    """The first pairs of a split, or all; see :func:`read_dataset`."""
    manifest, shown = dataset.manifest, display(dataset.folder)
    if split not in dataset.files:
        message = f"the dataset {shown} has no split {split!r}"
        hint = did_you_mean(split, dataset.files)
        raise CfgenError(Problem("bad-splits", message, hint=hint))
    there = manifest.splits[split].rows
    if n is not None and n > there:
        message = f"split {split!r} of {shown} has {there:,} pairs, but {n:,} were asked for"
        hint = f"ask for {there:,} or fewer, name another split, or generate a larger dataset"
        raise CfgenError(Problem("too-few-pairs", message, hint=hint))
    rows, pairs = dataset.row_format(split), []
    for number, row in enumerate(itertools.islice(dataset.rows(split), n)):
        try:
            pairs.append(_pair(row, rows, manifest))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise changed_row(dataset.files[split], number + 1) from error
    return pairs


def _manifest(folder: Path) -> Manifest:
    """The manifest of a dataset, checked by itself."""
    file = folder / MANIFEST
    shown = display(folder)
    hint = "name the folder that was given to cfgen generate as --out"
    try:
        content = read_record(file)
    except OSError as error:
        why = f"it has no {MANIFEST}" if folder.is_dir() else "there is no such folder"
        if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
            why = f"{MANIFEST} cannot be read: {error.strerror}"
        message = f"{shown} is no dataset that cfgen generate has written: {why}"
        raise CfgenError(Problem("not-a-dataset", message, hint=hint)) from error
    except ValueError as error:
        if "changed" in str(error):
            raise changed_file(file, str(error)) from error
        message = f"{shown} is no dataset that cfgen generate has written: {MANIFEST} {error}"
        raise CfgenError(Problem("not-a-dataset", message, hint=hint)) from error
    if content.get("format") == SUITE:
        there = [display(each.parent) for each in sorted(folder.glob(f"*/{MANIFEST}"))]
        message = f"{shown} has several datasets, one of each design"
        hint = f"name one of them: {', '.join(there)}"
        raise CfgenError(Problem("several-designs", message, hint=hint))
    if content.get("format") != FORMAT:
        message = f"{shown} is no dataset that this version of cfgen has written"
        hint = f"its {MANIFEST} does not say {FORMAT!r}; generate it again, or {hint}"
        raise CfgenError(Problem("not-a-dataset", message, hint=hint))
    try:
        return Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise changed_file(file, f"has a {key!r} that cfgen does not write") from error


def _inside(name: str, place: str) -> Path:
    """The path of a listed file, which stays in the folder."""
    return Path(*(plain_name(part, "a file of the dataset", place) for part in name.split("/")))


def _wrong_form(file: Path, manifest: Manifest, split: str) -> str:
    """What is wrong with the rows of a file, as far as its metadata tell; empty if nothing is."""
    try:
        with opened_table(file) as table:
            rows, schema = table.metadata.num_rows, table.schema_arrow
    except (OSError, ValueError) as error:
        return f"cannot be read: {first_line(error)}"
    wanted = manifest.splits[split].rows
    if rows != wanted:
        return f"has {rows:,} rows, but the manifest says {wanted:,}"
    column = next(iter(_wrong_columns(schema, manifest, split)), "")
    return f"has a column {column!r} that is missing or not as cfgen writes it" if column else ""


def _wrong_columns(schema: pa.Schema, manifest: Manifest, split: str) -> Iterator[str]:
    """The columns that are missing, or of another type."""
    types = {field.name: field.type for field in schema}
    yield from (name for name, kind in _PLAIN.items() if types.get(name) != kind)
    for name in _SIDES:
        side = _fields(types.get(name))
        for text in ("prompt", "answer", "completion"):
            if side.get(text) != pa.string():
                yield f"{name}.{text}"
        if side.get("spans") != SPANS:
            yield f"{name}.spans"
        variables = _fields(side.get("variables"))
        yield from (f"{name}.variables.{n}" for n in manifest.inputs if n not in variables)
        yield from (
            f"{name}.variables.{n}" for n in manifest.as_json if variables.get(n) != pa.string()
        )
    named = {NONE, ALL, *manifest.contrast, *manifest.splits[split].kinds}
    for name in ("predictions", "kinds"):
        if _fields(types.get(name)) != dict.fromkeys(named, pa.string()):
            yield name


def _fields(kind: pa.DataType | None) -> dict[str, pa.DataType]:
    """The fields of a struct; none of anything else."""
    if kind is None or not pa.types.is_struct(kind):
        return {}
    return {field.name: field.type for field in kind}


def _pair(row: Row, rows: RowFormat, manifest: Manifest) -> Pair:
    """A row as a pair."""
    if (row["task"], row["design"]) != (manifest.task, manifest.design):
        raise ValueError("the row belongs to another dataset")
    if not {*row["kinds"].values()} <= {*KINDS}:
        raise ValueError("a kind that there is not")
    return Pair(
        id=row["id"],
        index=row["index"],
        task=row["task"],
        design=row["design"],
        original=_side(row["original"], rows),
        counterfactual=_side(row["counterfactual"], rows),
        predictions=row["predictions"],
        kinds=row["kinds"],
        decisive=row["decisive"],
        contrast=manifest.contrast,
    )


def _side(side: Row, rows: RowFormat) -> Side:
    """One side of a row; what a row does not have, such as slots, follows from its variables."""
    text = side["prompt"]
    spans = tuple(Span(*map(span.__getitem__, Span._fields)) for span in side["spans"])
    if not all(0 <= span.start < span.end <= len(text) for span in spans):
        raise ValueError("a span outside of its prompt")
    variables = {
        name: _hashable(json.loads(value) if name in rows.as_json else value)
        for name, value in side["variables"].items()
    }
    template = variables.get(TEMPLATE_INPUT, next(iter(rows.prefixes)))
    slots = {name: slots for name, slots in rows.inputs.items() if slots}
    return Side(
        inputs={name: variables[name] for name in rows.inputs},
        prompt=Prompt(text, spans),
        answer=side["answer"],
        answer_prefix=rows.prefixes[template],
        variables=variables,
        slots=words_shown(slots, variables),
    )


def _hashable(value: Any) -> Any:
    """A value with tuples for lists."""
    if isinstance(value, list):
        return tuple(map(_hashable, value))
    return value


def changed_row(file: Path, number: int) -> CfgenError:
    """What is wrong with a file in which a row is not as cfgen writes it."""
    return changed_file(file, f"has a row {number} that cfgen does not write")


def changed_file(file: Path, wrong: str) -> CfgenError:
    """A file of a dataset is not as it was written, and how."""
    return CfgenError(_problem(file, wrong))


def _problem(file: Path, wrong: str) -> Problem:
    return Problem("dataset-changed", f"{display(file)} {wrong}", hint=_AGAIN)
