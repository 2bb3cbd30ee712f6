"""What a GGUF file says about itself in front of its weights, and whether it can be used.

It is read without any library of models.

The format (version 2 and 3, little-endian): ``GGUF``, version, number of tensors, number of fields;
then the fields (key, type, value); then the tensors (name, shape, type, offset); then, at the next
multiple of the alignment, their data.
"""

from __future__ import annotations

import difflib
import struct
from dataclasses import dataclass
from math import prod
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import TypeAlias

from cfgen.bounded import check_file
from cfgen.errors import CfgenError, Problem
from cfgen.paths import display

Value: TypeAlias = str | int | float | bool

ALIGNMENT = 32
HEADER_BYTES = 1 << 27
"""What stands in front of the weights is no longer: some megabytes of words, usually."""
NAMES = 100_000
"""Fields at most, and tensors at most."""
_TEXT, _LIST = 8, 9
_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q"}
_FORMATS[12] = "d"


@dataclass(frozen=True, slots=True)
class GgufHeader:
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
        self.end = min(len(content), HEADER_BYTES)

    def number(self, kind: str) -> int | float | bool:
        at = self.at
        self.skip(struct.calcsize(f"<{kind}"))
        (value,) = struct.unpack_from(f"<{kind}", self.content, at)
        return value  # type: ignore[no-any-return]

    def count(self, kind: str = "Q") -> int:
        return int(self.number(kind))

    def skip(self, length: int) -> None:
        self.at += length
        if self.at > self.end:
            raise EOFError

    def number_of(self, what: str, most: int, kind: str = "Q") -> int:
        """How many of something follow."""
        stated = self.count(kind)
        if stated > most:
            raise ValueError(f"it says that it has {stated:,} {what}; at most {most:,} are read")
        return stated

    def text(self) -> str:
        length = self.count()
        self.skip(length)
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
                self.skip(self.count())
        else:
            self.skip(length * struct.calcsize(f"<{_FORMATS[inner]}"))
        return length


def read_header(file: Path) -> GgufHeader:
    """Read what a GGUF file says about itself, and check that all of its weights are there.

    Args:
        file: The file.

    Raises:
        OSError: It can't be read.
        ValueError: It is not GGUF (the message says why, as the end of a sentence), or it is cut
            short.
    """
    if check_file(file) < 24 or not _begins_as_gguf(file):
        raise ValueError("it does not begin as a GGUF file does")
    with file.open("rb") as stream, mmap(stream.fileno(), 0, access=ACCESS_READ) as content:
        cursor = _Cursor(content)
        cursor.at = 4
        version = cursor.count("I")
        if version not in (2, 3):
            raise ValueError(f"it is of version {version} (or big-endian), not 2 or 3")
        try:
            tensors = cursor.number_of("tensors", NAMES)
            fields = cursor.number_of("fields", NAMES)
            header = {cursor.text(): cursor.value() for _ in range(fields)}
            sizes = _sizes(cursor, tensors, int(header.get("general.alignment", ALIGNMENT)))
        except (struct.error, EOFError, ArithmeticError, KeyError, UnicodeDecodeError) as error:
            raise ValueError(
                "what stands in front of its weights is cut short or damaged"
            ) from error
        return GgufHeader(header, sizes)


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
        shape = [cursor.count() for _ in range(cursor.number_of("dimensions", 8, "I"))]
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


def check_gguf(file: Path) -> GgufHeader:
    """Read a file's header, and check what can be checked without a library of models.

    Raises:
        CfgenError: There is no such file, or it is not a whole GGUF file with a tokenizer
            (``lm-gguf``).
        OSError: It can't be read.
    """
    if not file.is_file():
        named = display(file)
        message = f"{named} is a folder" if file.is_dir() else f"there is no file {named}"
        raise CfgenError(Problem("lm-gguf", message, hint=_hint(file)))
    try:
        header = read_header(file)
    except ValueError as error:
        message = f"{display(file)} is not a whole GGUF file: {error}"
        hint = "get it again from where it came from, or name another file"
        raise CfgenError(Problem("lm-gguf", message, hint=hint)) from error
    problems = []
    if int(header.fields.get("split.count", 1)) > 1:
        message = f"{display(file)} is one of {header.fields['split.count']} parts of an LM"
        hint = "join them with llama.cpp's llama-gguf-split --merge, and name the result"
        problems.append(Problem("lm-gguf", message, hint=hint))
    if not header.architecture:
        message = f"{display(file)} does not say which architecture its weights are for"
        hint = "it must hold a language model, not an adapter or a part of one"
        problems.append(Problem("lm-gguf", message, hint=hint))
    if not {"tokenizer.ggml.model", "tokenizer.ggml.tokens"} <= header.fields.keys():
        message = f"{display(file)} holds no tokenizer"
        hint = "name a GGUF file of the whole LM, as llama.cpp's convert_hf_to_gguf.py writes it"
        problems.append(Problem("lm-gguf", message, hint=hint))
    if header.architecture and not _says_its_size(header):
        message = f"{display(file)} does not say how large its model is, or not truly"
        hint = "name a GGUF file of the whole LM, as llama.cpp's convert_hf_to_gguf.py writes it"
        problems.append(Problem("lm-gguf", message, hint=hint))
    if problems:
        raise CfgenError(problems)
    return header


def _says_its_size(header: GgufHeader) -> bool:
    """Whether blocks and width are stated, and no more than the weights allow.

    What is missing transformers takes from the default of the architecture, and makes a model of
    billions of random numbers before it can be seen that the file does not hold them.
    """
    keys = ("block_count", "embedding_length")
    blocks, width = (header.fields.get(f"{header.architecture}.{key}", 0) for key in keys)
    sizes = (len(header.tensors), max(header.tensors.values(), default=0))
    return all(
        isinstance(stated, int) and 0 < stated <= largest
        for stated, largest in zip((blocks, width), sizes, strict=True)
    )


def _hint(file: Path) -> str:
    """What may have been meant: a GGUF file in that folder."""
    folder = file if file.is_dir() else file.parent
    names = sorted(path.name for path in folder.glob("*.gguf")) if folder.is_dir() else []
    if not names:
        return "name the GGUF file as gguf:folder/model.gguf, or a folder as ./folder"
    close = difflib.get_close_matches(file.name, names, n=1) or names[:1]
    return f"did you mean gguf:{display(folder / close[0])}?"
