"""A GGUF file of the user's own, ``gguf:FILE``: checked, then converted once into the cache."""

from __future__ import annotations

import difflib
import hashlib
import os
import shutil
from pathlib import Path
from typing import TypeAlias

from cfgen.errors import CfgenError, Problem
from cfgen.paths import display
from cfgen.weights.cache import Progress, converted_folder, is_complete, no_progress
from cfgen.weights.copies import Recipe, make
from cfgen.weights.gguf import Header, read_header

CHUNK_BYTES = 1 << 24
TOKENIZER_BYTES = 50_000_000
"""What a large tokenizer takes as JSON, for an estimate of the room that is needed."""

Identity: TypeAlias = tuple[str, int, int]
_hashes: dict[Identity, str] = {}
"""Hashes of this process: a run asks twice, and a file may have many gigabytes."""


def convert_own(name: str, *, progress: Progress = no_progress) -> tuple[Path, str]:
    """Make sure that the converted copy of a file is in the cache. The file is only read.

    The copy belongs to the content: the same file under another name is not converted again.

    Args:
        name: ``gguf:FILE``.
        progress: Called with ``hash`` and bytes, then as in :func:`cfgen.weights.copies.make`.

    Returns:
        The folder with the converted model, and ``sha256:...`` of the file.

    Raises:
        CfgenError: There is no such file, it is not a whole GGUF file with a tokenizer, or it
            can't be converted.
    """
    file = Path(os.path.expanduser(name.removeprefix("gguf:")))
    try:
        header, before = _checked(file), _identity(file)
        sha256 = _sha256(file, progress)
    except OSError as error:
        message = f"{display(file)} can't be read: {error.strerror or error}"
        raise CfgenError(Problem("lm-gguf", message, hint="check its permissions")) from error
    folder = converted_folder("gguf", sha256)
    if is_complete(folder):
        return folder, f"sha256:{sha256}"

    def bring(work: Path, converted: Path, progress: Progress) -> Path:
        """Link to the file from an empty folder, so that nothing that lies beside it is read."""
        link = work / "gguf" / "model.gguf"
        link.parent.mkdir()
        link.symlink_to(file.resolve())
        return link

    size = 4 * sum(header.tensors.values()) + TOKENIZER_BYTES
    provenance = {"gguf": {"sha256": sha256, "size": before[1]}}
    recipe = Recipe(name, file, folder, bring, room=size, size=size, provenance=provenance)
    make(recipe, progress)
    if not file.exists() or _identity(file) != before:
        shutil.rmtree(folder)
        message = f"{display(file)} changed while it was read"
        raise CfgenError(Problem("lm-gguf", message, hint="try again once it is complete"))
    return folder, f"sha256:{sha256}"


def _checked(file: Path) -> Header:
    """Read a file's header, and check what can be checked without a library of models."""
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
    if problems:
        raise CfgenError(problems)
    return header


def _hint(file: Path) -> str:
    """What may have been meant: a GGUF file in that folder."""
    folder = file if file.is_dir() else file.parent
    names = sorted(path.name for path in folder.glob("*.gguf")) if folder.is_dir() else []
    if not names:
        return "name the GGUF file as gguf:folder/model.gguf, or a folder as ./folder"
    close = difflib.get_close_matches(file.name, names, n=1) or names[:1]
    return f"did you mean gguf:{display(folder / close[0])}?"


def _identity(file: Path) -> Identity:
    """What changes when a file does: path, size, time of the last change."""
    now = file.stat()
    return str(file.resolve()), now.st_size, now.st_mtime_ns


def _sha256(file: Path, progress: Progress) -> str:
    """SHA-256 of a file, computed once for as long as the file stays as it is."""
    known = _identity(file)
    if known not in _hashes:
        digest = hashlib.sha256()
        with file.open("rb") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                digest.update(chunk)
                progress("hash", stream.tell(), max(known[1], stream.tell()))
        _hashes[known] = digest.hexdigest()
    return _hashes[known]
