"""Results on disk: ``outputs.parquet`` and ``results.json``, written together or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from cfgen.analysis.experiment import Experiment
from cfgen.analysis.records import Plain, Results, as_results
from cfgen.folders import new_folder, write_record

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
        CfgenError: The folder holds something else (``folder-in-use``), or writing failed
            (``cannot-write``).
    """
    with new_folder(Path(folder), record=RESULTS) as new:
        pq.write_table(_table(experiment), new / OUTPUTS, compression="zstd")
        if also is not None:
            also(new)
        results = as_results(experiment, seed, settings or {})
        content = json.loads(results.model_dump_json())
        results = Results.model_validate(write_record(new, RESULTS, content))
    return results


def _table(experiment: Experiment) -> pa.Table:
    outputs = experiment.outputs
    columns = [[getattr(output, name) for output in outputs] for name in SCHEMA.names]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)
