"""The cache folder: where it is, what a whole copy in it looks like, and hashes of files.

Everything that decides what an LM says is known by its SHA-256. Hashing gigabytes takes seconds,
so the hash of a large file is remembered for as long as the file stays as it is.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import platformdirs

from cfgen import folders
from cfgen.bounded import check_file, read_json
from cfgen.paths import real_path
from cfgen.progress import Progress, no_progress

PROVENANCE = "cfgen.json"
CONVERSION = 1
"""Goes up whenever a conversion comes out differently, so that old copies are made again."""
LARGE = 1 << 20
"""Bytes from which on the hash of a file is remembered."""
SETTLED_SECONDS = 2
"""A file that changed this recently may change again without another time of change."""
_CHUNK = 1 << 24


def cache_root() -> Path:
    """Folder for everything fetched: ``$CFGEN_CACHE``, or the platform's cache folder."""
    return Path(os.environ.get("CFGEN_CACHE") or platformdirs.user_cache_dir("cfgen")).absolute()


def converted_folder(name: str, sha256: str) -> Path:
    """Folder of the converted copy of a file; another file or way of converting has another."""
    return cache_root() / "models" / f"{name}-{sha256[:12]}-{CONVERSION}"


def sha256_of(file: Path, progress: Progress = no_progress) -> str:
    """SHA-256 of a file's bytes, in hexadecimal; computed once for as long as the file stays.

    Args:
        file: The file. It is the same as long as path, size, inode and time of change are.
        progress: Called with ``hash`` and bytes where a large file is read.

    Raises:
        OSError: It can't be read.
    """
    real = real_path(file)
    try:
        check_file(real)
    except ValueError as error:
        raise OSError(errno.EINVAL, str(error), str(file)) from error
    now = real.stat()
    identity = [str(real), now.st_size, now.st_mtime_ns, now.st_ino]
    note = cache_root() / "hashes" / f"{hashlib.sha256(str(real).encode()).hexdigest()[:24]}.json"
    lasting = now.st_size >= LARGE and time.time() - now.st_mtime > SETTLED_SECONDS
    if lasting:
        with suppress(OSError, ValueError):  # no note, or none that can be read: hash it
            noted = read_json(note)
            if isinstance(noted, dict) and noted.get("file") == identity:
                return str(noted["sha256"])
    digest = hashlib.sha256()
    with real.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            if now.st_size >= LARGE:
                progress("hash", stream.tell(), max(now.st_size, stream.tell()))
    if lasting:
        with suppress(OSError):  # a folder that can't be written to costs time, nothing else
            folders.note(note, {"file": identity, "sha256": digest.hexdigest()})
    return digest.hexdigest()


def content_hash(files: Iterable[tuple[str, Path]], progress: Progress = no_progress) -> str:
    """One hash over the names and the bytes of some files, as ``sha256:...``.

    Raises:
        OSError: One of them can't be read.
    """
    digest = hashlib.sha256()
    for name, file in files:
        digest.update(f"{name} {sha256_of(file, progress)}\n".encode())
    return f"sha256:{digest.hexdigest()}"


def write_provenance(folder: Path, source: dict[str, Any]) -> None:
    """Note where a folder's content came from, and each of its files: its length, its hash."""
    files = [file for file in sorted(folder.iterdir()) if file.is_file()]
    noted = {
        "files": {file.name: file.stat().st_size for file in files},
        "sha256": {file.name: sha256_of(file) for file in files},
    }
    text = json.dumps({**source, **noted}, indent=2)
    (folder / PROVENANCE).write_text(text + "\n", encoding="utf-8")


def is_complete(folder: Path) -> bool:
    """Whether a folder of the cache still holds every file it was made with, and unchanged."""
    try:
        noted = read_json(folder / PROVENANCE)
        sizes, hashes = noted["files"], noted["sha256"]
        return all((folder / name).stat().st_size == size for name, size in sizes.items()) and all(
            sha256_of(folder / name) == hashes[name] for name in sizes
        )
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return False
