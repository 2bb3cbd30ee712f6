"""Units as tables that know what they cost and whether they are damaged."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from cfgen.datasets import opened_table, table_batches

UNIT_BYTES = 1 << 32
"""Size of a unit at most, also once it is unpacked."""
_COST, _HASH = b"cfgen.cost", b"cfgen.sha256"


class Units(Protocol):
    """Where units are, and are put."""

    def get(self, digest: str) -> pa.Table | None:
        """The unit of this digest, if it is there, undamaged."""
        ...

    def put(self, digest: str, table: pa.Table, cost: Mapping[str, Any]) -> None:
        """Keep a unit, with what it took to compute it."""
        ...


def cost_of(table: pa.Table) -> dict[str, Any]:
    """What a unit took to compute, as it was put."""
    cost: dict[str, Any] = json.loads(table.schema.metadata[_COST])
    return cost


def marked_table(table: pa.Table, cost: Mapping[str, Any]) -> pa.Table:
    """A unit with its cost and its hash, which follow from what it holds and nothing else."""
    text = json.dumps(cost, sort_keys=True)
    marks = {_COST: text.encode(), _HASH: _content_hash(table, text)}
    return table.replace_schema_metadata(marks)


def _content_hash(table: pa.Table, cost: str) -> bytes:
    hashed = hashlib.sha256(cost.encode())
    # columns of bytes are those of many numbers, which take too long one by one
    hashed.update(json.dumps(table.to_pylist(), allow_nan=True, default=bytes.hex).encode())
    return hashed.hexdigest().encode()


@dataclass(frozen=True, slots=True)
class MemoryStore:
    """Units that are gone with the process."""

    tables: dict[str, pa.Table] = field(default_factory=dict)

    def get(self, digest: str) -> pa.Table | None:
        """The unit of this digest, if it is there."""
        return self.tables.get(digest)

    def put(self, digest: str, table: pa.Table, cost: Mapping[str, Any]) -> None:
        """Keep a unit."""
        self.tables[digest] = marked_table(table, cost)


def read_unit(path: Path) -> pa.Table | None:
    """A unit, or None if it is damaged."""
    try:
        with opened_table(path, UNIT_BYTES) as file:
            table = pa.Table.from_batches(table_batches(file, UNIT_BYTES), file.schema_arrow)
        metadata = table.schema.metadata
        expected = _content_hash(table.replace_schema_metadata(None), metadata[_COST].decode())
        return table if metadata[_HASH] == expected else None
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError):
        return None
