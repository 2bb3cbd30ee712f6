"""The cache folder: where it is, and what a complete model in it looks like."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import platformdirs

Progress: TypeAlias = Callable[[str, int, int | None], None]
"""Called as ``progress(step, done, total)``; units are bytes for steps that move bytes."""

PROVENANCE = "cfgen.json"
CONVERSION = 1
"""Goes up whenever a conversion comes out differently, so that old copies are made again."""


def cache_root() -> Path:
    """Folder for everything fetched: ``$CFGEN_CACHE``, or the platform's cache folder."""
    return Path(os.environ.get("CFGEN_CACHE") or platformdirs.user_cache_dir("cfgen")).absolute()


def converted_folder(name: str, sha256: str) -> Path:
    """Folder of the converted copy of a file; another file or way of converting has another."""
    return cache_root() / "models" / f"{name}-{sha256[:12]}-{CONVERSION}"


def no_progress(step: str, done: int, total: int | None) -> None:
    """Show nothing."""


def sha256_of(file: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_provenance(folder: Path, source: dict[str, Any]) -> None:
    """Note where a folder's content came from, and how long each of its files is."""
    files = {file.name: file.stat().st_size for file in sorted(folder.iterdir()) if file.is_file()}
    text = json.dumps({**source, "files": files}, indent=2)
    (folder / PROVENANCE).write_text(text + "\n", encoding="utf-8")


def is_complete(folder: Path) -> bool:
    """Whether a folder of the cache still holds every file it was made with, at its full length."""
    try:
        files = json.loads((folder / PROVENANCE).read_text(encoding="utf-8"))["files"]
        return all((folder / name).stat().st_size == size for name, size in files.items())
    except (OSError, ValueError, KeyError, AttributeError):
        return False
