"""Projects written to folders: their files by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def put_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write texts below a folder, as they are."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")
