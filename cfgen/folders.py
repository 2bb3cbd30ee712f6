"""Output folders that appear complete or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cfgen.errors import CfgenError, Problem
from cfgen.paths import display


@contextmanager
def new_folder(folder: Path, *, marker: str) -> Iterator[Path]:
    """Give a temporary folder to write to, and put it in place when all went well.

    Args:
        folder: Where the result shall be. An earlier result there is replaced.
        marker: Name of a file by which an earlier result is known; a non-empty folder without it
            is never touched.

    Yields:
        A fresh folder beside the final one.

    Raises:
        CfgenError: If the folder holds something else, or cannot be written.
    """
    folder = folder.absolute()
    check_replaceable(folder, marker)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise _cannot_write(folder, error) from error
    try:
        yield fresh
        _put_in_place(fresh, folder)
    except OSError as error:
        raise _cannot_write(folder, error) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def check_replaceable(folder: Path, marker: str) -> None:
    """Check that a folder is free, or holds an earlier result that may be replaced.

    Raises:
        CfgenError: If it holds something else.
    """
    if folder.exists() and not folder.is_dir():
        wrong = "is a file"
    elif folder.is_dir() and any(folder.iterdir()) and not (folder / marker).is_file():
        wrong = f"holds other files (there is no {marker} in it)"
    else:
        return
    raise CfgenError(
        Problem(
            "folder-in-use",
            f"cannot write to {display(folder)}: it {wrong}",
            hint="name a new or empty folder with --out",
        )
    )


def _put_in_place(fresh: Path, folder: Path) -> None:
    umask = os.umask(0)
    os.umask(umask)
    fresh.chmod(0o777 & ~umask)  # mkdtemp makes it private
    old = fresh.with_name(fresh.name + "-old")
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _cannot_write(folder: Path, error: OSError) -> CfgenError:
    return CfgenError(
        Problem(
            "cannot-write",
            f"cannot write to {display(folder)}: {error.strerror or error}",
            hint="check the space and the permissions there, or name another folder with --out",
        )
    )
