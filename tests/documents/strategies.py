"""Texts that a renderer might take for something else."""

from __future__ import annotations

from typing import get_args

from hypothesis import strategies as st

from cfgen.documents import Inline, Look, Phrase

ACTIVE = [*"\\`*_{}[]()<>#+-.!|~$&:=\"'", "```", "**", "1.", "2)", "---", "<br>", "&amp;"]
UNSEEN = [
    "\x00",
    "\x1b[2J",
    "\x9b",
    "\r",
    "\t",
    "\x7f",
    "\u2028",
    "\u202e",
    "\u2066",
    "\u200b",
    "\xa0",
]
TEXTS = st.lists(
    st.sampled_from([*ACTIVE, *UNSEEN, " ", " ", "\n", "a", "b", "1", "ä", "[bold]", ":smile:"])
    | st.characters(max_codepoint=0x2FFF, exclude_categories=["Cs"]),
    max_size=12,
).map("".join)
PHRASES = st.builds(
    Phrase, TEXTS, st.lists(st.sampled_from(get_args(Look)), max_size=2, unique=True).map(tuple)
)
INLINES: st.SearchStrategy[Inline] = (
    TEXTS | PHRASES | st.lists(PHRASES | TEXTS, max_size=4).map(tuple)
)
