"""What a known LM is: the records that ``data/models/<name>.yaml`` is checked against.

A *base* comes out of a wheel on a package index::

    description: A small Llama
    licence: Apache-2.0
    parameters: 134515008
    size: 541614000              # bytes in the cache, once converted
    source:
      package: some-package
      version: 0.1.2
      wheel: {sha256: ..., size: 92871040}
      member: {path: some_package/model.gguf, sha256: ..., size: 98362432}

An *adapter* is a LoRA adapter in a folder next to its file, applied to a base::

    description: The small Llama, taught a task
    licence: Apache-2.0
    base: small-llama            # a known base, a Hub id, or ./folder (from this file)
    adapter: small-llama-task    # holds adapter_config.json and adapter_model.safetensors
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, PositiveInt, StringConstraints

from cfgen.lm.cache import converted_folder

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")

Text: TypeAlias = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Sha256: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WheelFile(_Record):
    """The wheel to download: SHA-256 in hexadecimal and size in bytes."""

    sha256: Sha256
    size: PositiveInt


class Member(_Record):
    """The GGUF file inside the wheel: path in the archive, SHA-256 and size in bytes."""

    path: Annotated[str, StringConstraints(pattern=r"\.gguf$")]
    sha256: Sha256
    size: PositiveInt


class Source(_Record):
    """Where a base comes from: one file of one wheel of one version of a package."""

    package: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    version: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9.!+_-]*$")]
    wheel: WheelFile
    member: Member


class BaseEntry(_Record):
    """A base LM; ``size`` is in bytes, in the cache, once converted."""

    name: Text
    file: Path
    description: Text
    licence: Text
    parameters: PositiveInt
    size: PositiveInt
    source: Source

    @property
    def folder(self) -> Path:
        """Where its converted copy lies in the cache, whether it does yet or not."""
        return converted_folder(self.name, self.source.member.sha256)


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

    def missing(self) -> list[Path]:
        """Which of the two aren't there; an adapter may be named before it is trained."""
        files = [self.folder / name for name in ADAPTER_FILES]
        return [file for file in files if not file.is_file()]


Entry: TypeAlias = BaseEntry | AdapterEntry
