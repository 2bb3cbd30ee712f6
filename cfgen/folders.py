"""Output folders that appear complete or not at all, and never replace anybody's own files.

A folder that cfgen wrote has a *record*, a JSON file whose ``files`` lists everything in it. It may
be written anew as long as it holds nothing else.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cfgen.errors import CfgenError, Problem
from cfgen.paths import display


@contextmanager
def new_folder(folder: Path, *, record: str) -> Iterator[Path]:
    """Give a fresh folder to write to, and put it in place when all went well.

    Args:
        folder: Where the result shall be; an earlier result there is replaced as a whole.
        record: Name of the JSON file that the caller writes, with :func:`files_in` as ``files``.

    Yields:
        A fresh folder beside the final one.

    Raises:
        CfgenError: If the folder holds something else, or cannot be written.
    """
    folder = folder.absolute()
    check_replaceable(folder, record)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise _cannot_write(folder, error) from error
    try:
        fresh = beside / "new"
        fresh.mkdir()
        yield fresh
        if folder.exists():
            folder.rename(beside / "old")
        fresh.rename(folder)
    except OSError as error:
        if (beside / "old").exists() and not folder.exists():
            (beside / "old").rename(folder)
        raise _cannot_write(folder, error) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def files_in(folder: Path, *more: str) -> tuple[str, ...]:
    """Every file below a folder, relative to it, and further names; in alphabetical order."""
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return tuple(sorted(found.union(more)))


def check_replaceable(folder: Path, record: str) -> None:
    """Check that a folder is free, or holds nothing but an earlier result; best before long work.

    Args:
        folder: Where a result is to go.
        record: Name of the JSON file that lists what an earlier result wrote.

    Raises:
        CfgenError: If it holds something else.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        wrong = "is a file"
    else:
        extra = [name for name in files_in(folder) if name not in _written_before(folder, record)]
        if not extra:
            return
        wrong = f"holds other files: {', '.join(extra[:5])}"
    raise CfgenError(
        Problem(
            "folder-in-use",
            f"cannot write to {display(folder)}: it {wrong}",
            hint="name a new or empty folder with --out, or move these files away",
        )
    )


def _written_before(folder: Path, record: str) -> set[str]:
    try:
        return set(map(str, json.loads((folder / record).read_text(encoding="utf-8"))["files"]))
    except (OSError, ValueError, TypeError, KeyError):
        return set()


def _cannot_write(folder: Path, error: OSError) -> CfgenError:
    return CfgenError(
        Problem(
            "cannot-write",
            f"cannot write to {display(folder)}: {error.strerror or error}",
            hint="check the space and the permissions there, or name another folder with --out",
        )
    )
