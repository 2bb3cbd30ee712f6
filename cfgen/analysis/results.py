"""Results on disk: ``outputs.parquet`` and ``results.json``, written together or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from cfgen.analysis.experiment import Experiment
from cfgen.analysis.records import Plain, Results, as_results
from cfgen.errors import CfgenError, Problem
from cfgen.paths import display

OUTPUTS = "outputs.parquet"
RESULTS = "results.json"
SCHEMA = pa.schema(
    [
        pa.field("pair_id", pa.string(), nullable=False),
        pa.field("component", pa.string(), nullable=False),
        pa.field("layer", pa.int32(), nullable=False),
        pa.field("position", pa.string(), nullable=False),
        pa.field("said", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
    ]
)
"""Columns of ``outputs.parquet``; one row per pair and cell."""


def write_results(
    experiment: Experiment,
    folder: str | os.PathLike[str],
    *,
    seed: int,
    settings: Mapping[str, Plain] | None = None,
    also: Callable[[Path], None] | None = None,
) -> Results:
    """Write an experiment into a folder, whole or not at all.

    Args:
        experiment: What came out.
        folder: Where to write; it must be new, empty, or hold nothing but an earlier result, which
            is replaced.
        seed: The seed that the pairs were made with.
        settings: Further choices of the caller that a reader of the results should know.
        also: Writes further files of the run; given the folder that they go to.

    Returns:
        What was written into ``results.json``.

    Raises:
        CfgenError: The folder holds something else (``folder-not-empty``), or writing failed
            (``cannot-write-results``).
    """
    target = Path(folder).absolute()
    check_folder(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise CfgenError(_cannot_write(target, error)) from error
    try:
        new = beside / "new"
        new.mkdir()
        pq.write_table(_table(experiment), new / OUTPUTS, compression="zstd")
        if also is not None:
            also(new)
        names = sorted({*_files(new), RESULTS})
        results = as_results(experiment, seed, settings or {}, names)
        text = results.model_dump_json(indent=2) + "\n"
        (new / RESULTS).write_text(text, encoding="utf-8")
        if target.exists():
            target.rename(beside / "old")
        new.rename(target)
    except OSError as error:
        if (beside / "old").exists() and not target.exists():
            (beside / "old").rename(target)
        raise CfgenError(_cannot_write(target, error)) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return results


def check_folder(folder: Path) -> None:
    """Check that results may be written to a folder, best before a long run.

    Args:
        folder: Where results are to go.

    Raises:
        CfgenError: It holds something that is not an earlier result (``folder-not-empty``).
    """
    if not folder.exists():
        return
    inside = _files(folder) if folder.is_dir() else {folder.name}
    extra = inside - _written_before(folder)
    if extra:
        named = ", ".join(sorted(extra)[:5])
        message = f"{display(folder)} holds something that is not an earlier result: {named}"
        hint = "choose a new folder, or move these files away"
        raise CfgenError(Problem("folder-not-empty", message, hint=hint))


def _table(experiment: Experiment) -> pa.Table:
    outputs = experiment.outputs
    columns = [[getattr(output, name) for output in outputs] for name in SCHEMA.names]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def _files(folder: Path) -> set[str]:
    """Everything in a folder that is not a folder, relative to it."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def _written_before(folder: Path) -> set[str]:
    """What an earlier result in this folder says it wrote."""
    try:
        files = json.loads((folder / RESULTS).read_text(encoding="utf-8"))["files"]
        return {str(name) for name in files}
    except (OSError, ValueError, TypeError, KeyError):
        return set()


def _cannot_write(target: Path, error: OSError) -> Problem:
    message = f"can't write to {display(target)}: {error.strerror or error}"
    hint = "choose another folder, or make room on the disk"
    return Problem("cannot-write-results", message, hint=hint)
