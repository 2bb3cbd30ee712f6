"""When two texts are the same word, and when they are nearly the same text, in every script.

What is not seen goes, and what carries meaning stays. There is no other idea of it: lexicons,
splits, audits and lint all ask here.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_SAME_LETTER = frozenset(
    f"<{tag}>" for tag in ("wide", "narrow", "noBreak", "compat", "initial", "medial", "final")
) | {"<isolated>"}
"""Ways in which a character is another form of one that has the same meaning (Unicode, UAX 44,
table 14). A superscript, a circled digit or a fraction is none: it means something else."""
_TURNING = frozenset(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A))))
_JOINERS = "\u200c\u200d"
_UNSEEN = frozenset("\u034f\u0640\u115f\u1160\u3164\uffa0") | {
    chr(code)
    for first, last in ((0xFE00, 0xFE0F), (0x180B, 0x180F), (0xE0100, 0xE01EF))
    for code in range(first, last + 1)
}
"""Fillers, variation selectors, and the stroke that makes Arabic words longer."""
_LATIN = 0x24F
_SYMBOLS = frozenset({"Sm", "Sc", "So"})
_HALF = re.compile("[\ud800-\udfff]")
MAX_BITS = 13_000
"""Bits of a whole number at most: about 4,000 digits; Python writes down no more than 4,300."""
OPERATORS = frozenset("+-*/%^|~<>=&@#\\_$")
"""Marks that Unicode counts among punctuation, at least in part, but which say something."""


@lru_cache(maxsize=100_000)
def word_key(word: str) -> str:
    """What is the same for texts that are the same word.

    Characters that are not seen are left out, spaces of any kind are one space, and every character
    is in one form. A joiner stays where it changes letters: between two that are not Latin.

    Args:
        word: The text.
    """
    if word.isascii() and word.isprintable() and "  " not in word:
        return word.strip()
    letters = list("".join(map(_one_form, unicodedata.normalize("NFC", word))))
    kept = [
        letter
        for place, letter in enumerate(letters)
        if (_joins(letters, place) if letter in _JOINERS else _is_seen(letter))
    ]
    return unicodedata.normalize("NFC", " ".join("".join(kept).split()))


def near_key(text: str) -> str:
    """What is the same for texts that differ in case, spaces and punctuation alone.

    Marks that carry meaning stay: operators, currencies, emoji and the like, and the signs that are
    parts of words in scripts such as Devanagari.

    Args:
        text: The text.
    """
    folded = unicodedata.normalize("NFKC", word_key(text)).casefold()
    kept = "".join(
        letter
        for letter in unicodedata.normalize("NFKC", folded)
        if unicodedata.category(letter) in _SYMBOLS
        or unicodedata.category(letter)[0] in "LMN"
        or letter in OPERATORS
    )
    return unicodedata.normalize("NFC", kept)


def half_in(text: str) -> str:
    """Half a character (a lone surrogate), which no file can hold; empty if there is none."""
    found = _HALF.search(text)
    return found[0] if found else ""


def disguise_in(text: str) -> str:
    """A character that steers a terminal or turns the reading direction; empty if there is none."""
    return next((c for c in text if unicodedata.category(c) == "Cc" or c in _TURNING), "")


def _one_form(letter: str) -> str:
    tag = unicodedata.decomposition(letter).partition(" ")[0]
    return unicodedata.normalize("NFKC", letter) if tag in _SAME_LETTER else letter


def _is_seen(letter: str) -> bool:
    return letter not in _UNSEEN and (letter.isspace() or unicodedata.category(letter)[0] != "C")


def _joins(letters: list[str], place: int) -> bool:
    sides = letters[place - 1 : place] + letters[place + 1 : place + 2]
    return (
        len(sides) == 2
        and place > 0
        and all(
            not side.isspace() and _is_seen(side) and max(map(ord, side), default=0) > _LATIN
            for side in sides
        )
    )
