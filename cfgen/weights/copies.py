"""Make the converted copy of a GGUF file in the cache: all of it, or nothing."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from filelock import FileLock, Timeout

from cfgen.errors import CfgenError, Problem
from cfgen.paths import display
from cfgen.weights.cache import Progress, cache_root, is_complete, write_provenance
from cfgen.weights.signals import terminable

Bring: TypeAlias = Callable[[Path, Path, Progress], Path]
"""``bring(work, converted, progress)`` brings the GGUF file into a folder of its own below
``work`` and returns it; it may write more files into ``converted``, beside the model."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to make one converted copy.

    Attributes:
        name: The name of the LM, as the user says it.
        where: The file that a failed conversion is blamed on.
        folder: Where the copy is to appear.
        bring: Gets the GGUF file.
        room: Bytes it takes at worst while it is made.
        size: Bytes it takes in the end.
        provenance: Where it comes from, to be noted beside it.
    """

    name: str
    where: Path
    folder: Path
    bring: Bring
    room: int
    size: int
    provenance: dict[str, Any]


def make(recipe: Recipe, progress: Progress) -> Path:
    """Make sure that a converted copy is in the cache: bring the file, convert it, rename.

    Everything happens in one working folder beside the final one, which appears only when it is
    complete. A lock keeps other processes out meanwhile; what a killed one left is removed.

    Args:
        recipe: Which one.
        progress: Called with the step (``wait``, those of ``bring``, ``convert``, ``save``) and
            how far it is.

    Returns:
        The folder with the converted model.

    Raises:
        CfgenError: The file can't be had or converted, or there is no room for it.
    """
    try:
        with _locked(recipe.folder.name, progress), terminable():
            if not is_complete(recipe.folder):  # unless another process made it meanwhile
                _make(recipe, progress)
    except OSError as error:
        _raise_for(error, recipe)
    return recipe.folder


def _make(recipe: Recipe, progress: Progress) -> None:
    work = recipe.folder.parent / f".partial-{recipe.folder.name}"
    for left_over in (work, recipe.folder):
        shutil.rmtree(left_over, ignore_errors=True)
    try:
        converted = work / "converted"
        converted.mkdir(parents=True)
        if shutil.disk_usage(work).free < recipe.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        gguf = recipe.bring(work, converted, progress)
        _convert(gguf, converted, recipe, progress)
        write_provenance(converted, recipe.provenance)
        os.rename(converted, recipe.folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _convert(gguf: Path, folder: Path, recipe: Recipe, progress: Progress) -> None:
    """Convert, telling a full disk from a file that can't be converted at all."""
    from safetensors import SafetensorError

    from cfgen.weights.conversion import convert_gguf  # imports torch

    try:
        convert_gguf(gguf, folder, progress=progress)
    except SafetensorError as error:
        if "No space left" in str(error) or "os error 28" in str(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise
    except (CfgenError, OSError):
        raise
    except Exception as error:  # whatever the libraries below make of a file they don't expect
        reason = str(error).strip() or type(error).__name__
        message = f"{recipe.name!r} can't be converted: {reason.splitlines()[0]}"
        hint = "name a GGUF file that transformers reads, or load the LM as ./folder or owner/name"
        raise CfgenError(Problem("lm-convert", message, display(recipe.where), hint)) from error


def _raise_for(error: OSError, recipe: Recipe) -> NoReturn:
    """Turn what the file system said into a problem."""
    root = display(cache_root())
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        raise CfgenError(
            Problem(
                "lm-no-space",
                f"{recipe.name!r} needs {recipe.room / 1e9:.2f} GB of room in {root} to be made, "
                f"and {recipe.size / 1e9:.2f} GB to stay",
                hint="make room, or set CFGEN_CACHE to a folder on another disk",
            )
        ) from error
    reason = error.strerror or str(error)
    message = f"{recipe.name!r} can't be written to the cache folder {root}: {reason}"
    hint = "set CFGEN_CACHE to a folder you may write to"
    raise CfgenError(Problem("lm-cache", message, hint=hint)) from error


@contextmanager
def _locked(name: str, progress: Progress) -> Iterator[None]:
    """Hold the lock of one model, waiting for another process that does."""
    folder = cache_root() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    (cache_root() / "models").mkdir(exist_ok=True)
    lock = FileLock(folder / f"{name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress("wait", 0, None)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
