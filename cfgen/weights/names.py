"""What the name of an LM stands for: a known LM, a folder, a GGUF file, or an id on the Hub.

A name is resolved once, to a :class:`Checkpoint`: every file that decides what the LM says, and one
hash over all of them. What is loaded is these files and no others, whatever lies beside them.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from cfgen.bounded import read_json
from cfgen.errors import CfgenError, Problem
from cfgen.paths import display, plain_name, real_path
from cfgen.progress import Progress, no_progress
from cfgen.weights.cache import PROVENANCE, content_hash
from cfgen.weights.copies import convert_own, fetch
from cfgen.weights.hub import hub_folder
from cfgen.weights.lookup import bare_name, check_adapter, named_folder
from cfgen.weights.registry import (
    ADAPTER_FILES,
    WITH_ADAPTER,
    WITHOUT_ADAPTER,
    AdapterEntry,
    BaseEntry,
    is_gguf,
    load_entries,
)

Files: TypeAlias = tuple[tuple[str, Path], ...]
"""Name that a loader looks for, and where the file lies; in alphabetical order."""

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
TOKENIZER = "tokenizer.json"
TEMPLATES = "additional_chat_templates"
SUFFIXES = (".json", ".txt", ".model", ".jinja", ".tiktoken")
"""Of files beside the weights that loaders may read: configuration, tokenizer, chat template."""
SETTINGS_BYTES = 1 << 27
"""An index of shards names every tensor: some megabytes at most."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The files that a name stands for, and which they are.

    Attributes:
        name: The name.
        folder: Where they lie, for messages.
        files: Configuration, weights, tokenizer, chat templates; adapter files are none of them.
        revision: One text for all of it, and for the adapter; see :class:`cfgen.lm.LM`.
        adapter: Folder of the LoRA adapter to merge, None if there is none.
    """

    name: str
    folder: Path
    files: Files
    revision: str
    adapter: Path | None = None


@contextmanager
def linked(files: Files) -> Iterator[Path]:
    """Yield a folder that holds some files (links to them) and nothing else.

    Loaders look around in the folder they are given: an adapter beside the weights is applied,
    even one that names other weights. In here they find what was hashed.
    """
    with tempfile.TemporaryDirectory(prefix="cfgen-") as made:
        for name, file in files:
            link = Path(made, name)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file.absolute())
        yield Path(made)


def find_checkpoint(
    name: str, *, accept_license: bool = False, progress: Progress = no_progress
) -> Checkpoint:
    """Find the files that a name stands for, fetching them if need be.

    Args:
        name: As in :func:`cfgen.lm.load_lm`.
        accept_license: As in :func:`cfgen.lm.load_lm`.
        progress: As in :func:`cfgen.lm.load_lm`.

    Raises:
        CfgenError: Nothing has that name, it can't be fetched, what is there is not a whole LM,
            or an adapter lies beside the weights and the name does not say whether it is meant
            (``lm-adapter``).
    """
    entries = load_entries()
    entry = entries.get(name)
    if isinstance(entry, BaseEntry):
        made = fetch(entry, accept_license=accept_license, progress=progress)
        return Checkpoint(name, made, _whole(made), f"sha256:{entry.source.gguf.sha256}")
    if isinstance(entry, AdapterEntry):
        check_adapter(entry)
        below = _without_own_adapter(entry)
        base = find_checkpoint(below, accept_license=accept_license, progress=progress)
        return _adapted(replace(base, name=name), entry.folder, progress)
    if is_gguf(name):
        made, revision = convert_own(name, progress=progress)
        return Checkpoint(name, made, _whole(made), revision)
    local = named_folder(name, entries)
    folder = local or hub_folder(bare_name(name), progress)
    files = _whole(folder)
    revision = _hash(files, progress)
    commit = "" if local else f"{folder.name}+files:"
    found = Checkpoint(name, folder, files, commit + revision)
    if name.startswith(WITH_ADAPTER):
        return _adapted(found, folder, progress)
    if name.startswith(WITHOUT_ADAPTER) or not (folder / ADAPTER_FILES[0]).exists():
        return found
    message = f"{display(folder)} holds an adapter beside the weights"
    hint = f"name {WITH_ADAPTER}{name} for the LM with it, {WITHOUT_ADAPTER}{name} for that without"
    raise CfgenError(Problem("lm-adapter", message, hint=hint))


def find_tokenizer(
    name: str, *, accept_license: bool = False, progress: Progress = no_progress
) -> tuple[Path, Files]:
    """Find the files of a tokenizer; of an LM on the Hub the weights are not downloaded.

    Args:
        name: As for :func:`find_checkpoint`; or a folder without weights, or a ``tokenizer.json``.
        accept_license: As for :func:`find_checkpoint`.
        progress: As for :func:`find_checkpoint`.

    Returns:
        What was meant, for messages, and the files: those of the LM but its weights. A
        ``tokenizer.json`` stands for its folder, where what else there is decides as well; a file
        of another name stands for itself, and is returned as ``tokenizer.json``.

    Raises:
        CfgenError: As :func:`find_checkpoint`.
    """
    entries = load_entries()
    entry = entries.get(name)
    if isinstance(entry, AdapterEntry):
        return find_tokenizer(entry.below, accept_license=accept_license, progress=progress)
    if isinstance(entry, BaseEntry) or is_gguf(name):
        found = find_checkpoint(name, accept_license=accept_license, progress=progress)
        return found.folder, _beside(found.folder)
    file = Path(os.path.expanduser(name))
    if name and file.is_file() and file.suffix != ".gguf":
        folder = file.parent
        return file, _beside(folder) if file.name == TOKENIZER else ((TOKENIZER, file),)
    folder = named_folder(name, entries) or hub_folder(bare_name(name), progress, weights=False)
    return folder, _beside(folder)


def read_settings(file: Path) -> dict[str, Any]:
    """Read a JSON file of an LM: configuration, index of shards, settings of the tokenizer.

    Args:
        file: The file.

    Returns:
        What it holds; nothing if that is no object.

    Raises:
        CfgenError: It can't be read, is too large for what it should be, or is not JSON
            (``lm-folder``).
    """
    try:
        read = read_json(file, SETTINGS_BYTES)
    except OSError as error:
        raise _unreadable(file, error) from error
    except ValueError as error:
        message, hint = f"{display(file)} {error}", "get it again from where it came from"
        raise CfgenError(Problem("lm-folder", message, hint=hint)) from error
    return read if isinstance(read, dict) else {}


def _without_own_adapter(entry: AdapterEntry) -> str:
    """The name of an adapter's base: if the adapter lies beside it, without merging it twice."""
    folder = Path(os.path.expanduser(entry.below))
    beside = folder.is_dir() and real_path(folder) == real_path(entry.folder)
    return f"{WITHOUT_ADAPTER}{entry.below}" if beside else entry.below


def _adapted(base: Checkpoint, folder: Path, progress: Progress) -> Checkpoint:
    """A checkpoint with an adapter on top, both files of which are hashed."""
    files = tuple((name, folder / name) for name in ADAPTER_FILES)
    for name, file in files:
        if not file.is_file():
            message = f"{display(folder)} holds no {name}"
            hint = "save the adapter there with peft's save_pretrained"
            raise CfgenError(Problem("lm-folder", message, hint=hint))
    revision = f"{base.revision}+adapter:{_hash(files, progress)}"
    return replace(base, revision=revision, adapter=folder)


def _hash(files: Files, progress: Progress) -> str:
    try:
        return content_hash(files, progress)
    except OSError as error:
        raise _unreadable(files[0][1], error) from error


def _unreadable(file: Path, error: OSError) -> CfgenError:
    message = f"{display(error.filename or file)} can't be read: {error.strerror or error}"
    return CfgenError(Problem("lm-folder", message, hint="check its permissions"))


def _whole(folder: Path) -> Files:
    """All files of an LM in a folder; its weights have to be there."""
    return tuple(sorted({*_weights(folder), *_beside(folder)}))


def _beside(folder: Path) -> Files:
    """The files of a folder that loaders may read, but weights and adapters."""
    try:
        files = [*folder.iterdir(), *(folder / TEMPLATES).glob("*.jinja")]
    except OSError as error:
        raise _unreadable(folder, error) from error
    found = {
        file.relative_to(folder).as_posix(): file
        for file in files
        if file.suffix in SUFFIXES
        and not file.name.startswith(".")
        and file.name not in (PROVENANCE, ADAPTER_FILES[0])
        and not file.name.endswith(".index.json")
        and file.is_file()
    }
    return tuple(sorted(found.items()))


def _weights(folder: Path) -> Files:
    """The weights of an LM in a folder: one file, or an index and its shards.

    Raises:
        CfgenError: There are none (``lm-folder``); a shard is not there (``lm-incomplete``), or
            its name leads out of the folder (``unsafe-name``).
    """
    if not (folder / CONFIG).is_file():
        raise _no_lm(folder, CONFIG)
    # where transformers looks first
    stated = read_settings(folder / CONFIG).get("transformers_weights")
    name = _inside(stated, folder / CONFIG) if stated is not None else WEIGHTS
    if stated is None and not (folder / name).is_file() and (folder / INDEX).is_file():
        name = INDEX
    if not (folder / name).is_file():
        raise _no_lm(folder, name if any(folder.glob("*.safetensors")) else "*.safetensors")
    if not name.endswith(".index.json"):
        return ((name, folder / name),)
    shards = read_settings(folder / name).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        message = f"{display(folder / name)} names no shards"
        raise CfgenError(Problem("lm-folder", message, hint="get it again from where it came from"))
    names = sorted({_inside(shard, folder / name) for shard in shards.values()})
    absent = [shard for shard in names if not (folder / shard).is_file()]
    if absent:
        message = f"{display(folder)} lacks {len(absent)} of the {len(names)} files of its weights"
        hint = f"get {display(folder)} again from where it came from"
        detail = "\n".join(absent[:5])
        raise CfgenError(Problem("lm-incomplete", message, hint=hint, detail=detail))
    return ((name, folder / name), *((shard, folder / shard) for shard in names))


def _inside(name: object, file: Path) -> str:
    """A name of weights that a file states, of plain parts: it stays inside the folder."""
    parts = name.split("/") if isinstance(name, str) else [name]
    return "/".join(plain_name(part, "a file of weights", display(file)) for part in parts)


def _no_lm(folder: Path, missing: str) -> CfgenError:
    hint = "it must be a folder as transformers' save_pretrained writes it"
    if (folder / ADAPTER_FILES[0]).is_file():
        hint = "this is an adapter: name it in data/models/<name>.yaml, together with its base"
    elif folder.parent.name == "snapshots":  # of the Hub, which was asked first
        hint = "the Hub has none for it, or it was not fetched before and the Hub can't be reached"
    return CfgenError(Problem("lm-folder", f"{display(folder)} holds no {missing}", hint=hint))
