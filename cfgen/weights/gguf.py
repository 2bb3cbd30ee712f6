"""What a GGUF file says about itself in front of its weights, read without any library of models.

The format (version 2 and 3, little-endian): ``GGUF``, version, number of tensors, number of fields;
then the fields (key, type, value); then the tensors (name, shape, type, offset); then, at the next
multiple of the alignment, their data.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import prod
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import TypeAlias

Value: TypeAlias = str | int | float | bool

ALIGNMENT = 32
_TEXT, _LIST = 8, 9
_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q"}
_FORMATS[12] = "d"


@dataclass(frozen=True, slots=True)
class Header:
    """The fields and the tensors of a GGUF file.

    Attributes:
        fields: Key -> value; for a list, how long it is.
        tensors: Name -> number of its elements.
    """

    fields: dict[str, Value]
    tensors: dict[str, int]

    @property
    def architecture(self) -> str:
        """Which architecture the file says it has."""
        return str(self.fields.get("general.architecture", ""))


class _Cursor:
    """A place in the file that moves on with every read."""

    def __init__(self, content: mmap) -> None:
        self.content = content
        self.at = 0

    def number(self, kind: str) -> int | float | bool:
        (value,) = struct.unpack_from(f"<{kind}", self.content, self.at)
        self.at += struct.calcsize(f"<{kind}")
        return value  # type: ignore[no-any-return]

    def count(self, kind: str = "Q") -> int:
        return int(self.number(kind))

    def text(self) -> str:
        length = self.count()
        if self.at + length > len(self.content):
            raise ValueError("it ends in the middle of a text")
        self.at += length
        return self.content[self.at - length : self.at].decode()

    def value(self) -> Value:
        kind = self.count("I")
        if kind == _TEXT:
            return self.text()
        if kind != _LIST:
            return self.number(_FORMATS[kind])
        inner, length = self.count("I"), self.count()
        if inner == _TEXT:
            for _ in range(length):
                size = self.count()
                self.at += size
        else:
            self.at += length * struct.calcsize(f"<{_FORMATS[inner]}")
        return length


def read_header(file: Path) -> Header:
    """Read what a GGUF file says about itself, and check that all of its weights are there.

    Args:
        file: The file.

    Raises:
        OSError: It can't be read.
        ValueError: It is not GGUF (the message says why, as the end of a sentence), or it is cut
            short.
    """
    if file.stat().st_size < 24 or not _begins_as_gguf(file):
        raise ValueError("it does not begin as a GGUF file does")
    with file.open("rb") as stream, mmap(stream.fileno(), 0, access=ACCESS_READ) as content:
        cursor = _Cursor(content)
        cursor.at = 4
        version = cursor.count("I")
        if version not in (2, 3):
            raise ValueError(f"it is of version {version} (or big-endian), not 2 or 3")
        try:
            tensors, fields = cursor.count(), cursor.count()
            header = {cursor.text(): cursor.value() for _ in range(fields)}
            sizes = _sizes(cursor, tensors, int(header.get("general.alignment", ALIGNMENT)))
        except (struct.error, ArithmeticError, KeyError, UnicodeDecodeError) as error:
            raise ValueError(
                "what stands in front of its weights is cut short or damaged"
            ) from error
        return Header(header, sizes)


def _begins_as_gguf(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(4) == b"GGUF"


def _sizes(cursor: _Cursor, count: int, alignment: int) -> dict[str, int]:
    """Name -> number of elements of every tensor; checks that the data of each is in the file."""
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    elements: dict[str, int] = {}
    ends = [0]
    for _ in range(count):
        name = cursor.text()
        shape = [cursor.count() for _ in range(cursor.count("I"))]
        kind, offset = cursor.count("I"), cursor.count()
        block, width = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
        elements[name] = prod(shape)
        ends.append(offset + elements[name] // block * width)
    start = -(-cursor.at // alignment) * alignment
    if start + max(ends) > len(cursor.content):
        raise ValueError(
            f"it is cut short: {len(cursor.content):,} bytes of {start + max(ends):,} are there"
        )
    return elements
