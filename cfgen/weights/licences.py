"""Terms of a base LM that have to be accepted once before anything of it is fetched.

They are asked for, remembered in the cache folder, and shown in full where a wheel holds them.
"""

from __future__ import annotations

import re
import tempfile
import textwrap
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

from cfgen import folders
from cfgen.errors import CfgenError, Problem
from cfgen.paths import display
from cfgen.progress import Progress, no_progress
from cfgen.weights.cache import cache_root
from cfgen.weights.registry import BaseEntry
from cfgen.weights.wheels import download_wheels, read_part

WIDTH = 80
_UNSEEN = {"script", "style", "template", "button", "nav", "head"}
_BLOCKS = {"p", "li", "h1", "h2", "h3", "h4", "h5", "h6", "tr", "pre", "blockquote", "div", "br"}


def check_accepted(entry: BaseEntry, accept: bool) -> None:
    """Refuse to go on unless the terms of a base are accepted, now or before.

    Args:
        entry: Which base.
        accept: Whether the user accepts them now, which is remembered in the cache folder, for
            every base under the same terms.

    Raises:
        CfgenError: They are not accepted (``lm-licence``), or that can't be remembered.
    """
    if entry.terms is None or entry.accepted:
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


def _remember(entry: BaseEntry) -> None:
    assert entry.terms is not None
    file = entry.acceptance
    record = {
        "licence": entry.licence,
        "url": entry.terms.url,
        "accepted": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    try:
        folders.note(file, record)
    except OSError as error:
        message = (
            f"that you accept the {entry.licence} can't be noted in the cache folder "
            f"{display(cache_root())}: {error.strerror or error}"
        )
        hint = "set CFGEN_CACHE to a folder you may write to"
        raise CfgenError(Problem("lm-cache", message, hint=hint)) from error


def plain_text(content: bytes) -> str:
    """Turn a file into text, a blank line between paragraphs.

    Args:
        content: Plain text, or an HTML page, of which everything from its first heading to the
            end of its article (or of its main part) is taken.

    Returns:
        Lines of at most 80 characters (of a page), with a newline at the end.
    """
    text = content.decode("utf-8", errors="replace")
    if not re.match(r"\s*<(!doctype|html)", text, re.IGNORECASE):
        return text.strip() + "\n"
    page = _PageText()
    page.feed(text)
    page.close()
    paragraphs = [" ".join("".join(pieces).split()) for pieces in page.blocks]
    return "\n\n".join(textwrap.fill(words, WIDTH) for words in paragraphs if words) + "\n"


class _PageText(HTMLParser):
    """Collects what is to be read of a page, block by block."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks: list[list[str]] = []
        self.unseen: list[str] = []
        self.inside = False

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "h1" and not self.unseen:
            self.inside = True
        if tag in _UNSEEN:
            self.unseen.append(tag)
        elif tag in _BLOCKS:
            self.blocks.append([])

    def handle_endtag(self, tag: str) -> None:
        if tag in ("article", "main") and self.blocks:
            self.inside = False
        if tag in self.unseen:
            self.unseen.remove(tag)
        elif tag in _BLOCKS:
            self.blocks.append([])

    def handle_data(self, data: str) -> None:
        if self.inside and not self.unseen and self.blocks:
            self.blocks[-1].append(data)
