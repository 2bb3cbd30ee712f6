"""The words of a page, for a terminal."""

from __future__ import annotations

import re
import textwrap
from html.parser import HTMLParser

WIDTH = 80
_UNSEEN = {"script", "style", "template", "button", "nav", "head"}
_BLOCKS = {"p", "li", "h1", "h2", "h3", "h4", "h5", "h6", "tr", "pre", "blockquote", "div", "br"}


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
    page = _Page()
    page.feed(text)
    page.close()
    paragraphs = [" ".join("".join(pieces).split()) for pieces in page.blocks]
    return "\n\n".join(textwrap.fill(words, WIDTH) for words in paragraphs if words) + "\n"


class _Page(HTMLParser):
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
