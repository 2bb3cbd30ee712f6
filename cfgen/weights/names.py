"""What the name of an LM stands for: a known LM, a folder, a GGUF file, or an id on the Hub."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from cfgen.errors import CfgenError, Problem, did_you_mean
from cfgen.paths import display
from cfgen.weights.cache import Progress, no_progress, sha256_of
from cfgen.weights.copies import convert_own, fetch
from cfgen.weights.hub import hub_folder
from cfgen.weights.registry import (
    ADAPTER_FILES,
    AdapterEntry,
    BaseEntry,
    Entry,
    is_gguf,
    load_entries,
)


@dataclass(frozen=True, slots=True)
class Weights:
    """Files to load, and which they are.

    Attributes:
        folder: Holds the configuration, the weights and the tokenizer.
        revision: As in :class:`cfgen.lm.load.LM`.
        adapter: Folder of the LoRA adapter to merge, None if there is none.
    """

    folder: Path
    revision: str
    adapter: Path | None = None


def find_weights(
    name: str, *, accept_license: bool = False, progress: Progress = no_progress
) -> Weights:
    """Find the files that a name stands for, fetching them if need be.

    Args:
        name: As in :func:`cfgen.lm.load.load_lm`.
        accept_license: As in :func:`cfgen.lm.load.load_lm`.
        progress: As in :func:`cfgen.lm.load.load_lm`.

    Raises:
        CfgenError: Nothing has that name, or it can't be fetched.
    """
    entries = load_entries()
    entry = entries.get(name)
    if isinstance(entry, BaseEntry):
        made = fetch(entry, accept_license=accept_license, progress=progress)
        return Weights(made, f"sha256:{entry.source.gguf.sha256}")
    if isinstance(entry, AdapterEntry):
        _check_files(entry)
        base = find_weights(entry.below, accept_license=accept_license, progress=progress)
        revision = f"{base.revision}+adapter:{_content_hash(entry.folder, ADAPTER_FILES)}"
        return Weights(base.folder, revision, entry.folder)
    if is_gguf(name):
        return Weights(*convert_own(name, progress=progress))
    folder = Path(os.path.expanduser(name))
    if name and folder.is_dir():
        return _local(folder)
    if folder.suffix == ".gguf" and folder.is_file():
        message, hint = f"{name} is a file, not a folder", f"name it as gguf:{name}"
        raise CfgenError(Problem("lm-unknown", message, hint=hint))
    if _is_path(name):
        message = f"there is no folder {name}"
        raise CfgenError(Problem("lm-unknown", message, hint=_hint(name, entries)))
    if name.count("/") == 1:
        snapshot = hub_folder(name, progress)
        return Weights(snapshot, snapshot.name)
    message = f"there is no known LM {name!r}"
    raise CfgenError(Problem("lm-unknown", message, hint=_hint(name, entries)))


def _check_files(entry: AdapterEntry) -> None:
    """Check that an adapter's files are there, before its base is fetched."""
    hint = "train it, or save it there with peft's save_pretrained"
    problems = [
        Problem("lm-entry-adapter", f"there is no {display(file)}", display(entry.file), hint)
        for file in entry.missing()
    ]
    if problems:
        raise CfgenError(problems)


def _is_path(name: str) -> bool:
    return name.startswith((".", "~")) or Path(name).is_absolute()


def _hint(name: str, known: dict[str, Entry]) -> str:
    closest = did_you_mean(name, known)
    listed = "" if closest.startswith("there is") else f" there is: {', '.join(known)};"
    return (
        f"{closest}{listed or ';'} a folder is named as ./folder, a GGUF file as gguf:FILE, an "
        "LM on the Hub as owner/name or owner/name@revision"
    )


def _local(folder: Path) -> Weights:
    """Check that a folder holds an LM, and hash what decides its outputs."""
    weights = sorted(file.name for file in folder.glob("*.safetensors"))
    if (folder / "config.json").is_file() and weights:
        return Weights(folder, _content_hash(folder, ("config.json", *weights)))
    missing = "*.safetensors" if (folder / "config.json").is_file() else "config.json"
    hint = "it must be a folder as transformers' save_pretrained writes it"
    if (folder / ADAPTER_FILES[0]).is_file():
        hint = "this is an adapter: name it in data/models/<name>.yaml, together with its base"
    raise CfgenError(Problem("lm-folder", f"{display(folder)} holds no {missing}", hint=hint))


def _content_hash(folder: Path, names: tuple[str, ...]) -> str:
    """One hash over the names and the bytes of some files of a folder."""
    digest = hashlib.sha256()
    for name in names:
        digest.update(f"{name} {sha256_of(folder / name)}\n".encode())
    return f"sha256:{digest.hexdigest()}"
