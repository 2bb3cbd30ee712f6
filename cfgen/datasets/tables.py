"""Reading Parquet files that others wrote: they may unpack to far more than they hold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from cfgen.bounded import check_file
from cfgen.errors import first_line

BATCH = 500
"""Rows unpacked together."""


@contextmanager
def opened_table(file: Path, most: int | None = None) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file.

    Args:
        file: Where it is.
        most: Bytes at most; any number if not given.

    Raises:
        ValueError: It is no file, too large, or not Parquet; the message says so, as the end of a
            sentence.
        OSError: It cannot be read.
    """
    check_file(file, most)
    try:
        with pq.ParquetFile(file) as table:
            yield table
    except pa.ArrowException as error:
        raise ValueError(f"is not Parquet that can be read: {first_line(error)}") from error


def table_batches(table: pq.ParquetFile, most: int) -> Iterator[pa.RecordBatch]:
    """The rows of a file, some at a time.

    Args:
        table: As :func:`opened_table` gives it.
        most: Bytes that all of them may take: rows that are alike take next to no room in a file.

    Raises:
        ValueError: They take more.
    """
    left = most
    for batch in table.iter_batches(batch_size=BATCH):
        left -= batch.nbytes
        if left < 0:
            raise ValueError(f"unpacks to more than {most:,} bytes")
        yield batch
