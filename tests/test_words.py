"""Same words: what is not seen goes, and what carries meaning stays, in every script."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfgen.words import near_key, word_key

SAME = [
    ("jam", "jam\u200b"),
    ("jam", "\ufeffjam"),
    ("jam", "ja\u00adm"),
    ("jam", "jam\u2060"),
    ("jam", "jam\u200d"),
    ("jam", "j\u200cam"),
    ("jam", "\u202ajam\u202c"),
    ("jam", " jam "),
    ("jam", "jam\u034f"),
    ("jam", "\uff4a\uff41\uff4d"),
    ("ice cream", "ice\u00a0cream"),
    ("ice cream", "ice  cream"),
    ("ice cream", "ice\u2009cream"),
    ("ice cream", "ice\tcream"),
    ("caf\u00e9", "cafe\u0301"),
    ("fish", "\ufb01sh"),
    ("\u0628\u0628", "\u0628\u0640\u0628"),
    ("\u0628", "\ufe8f"),
    ("\u2764", "\u2764\ufe0f"),
    ("\uac00", "\u1100\u1161"),
    ("\u1820", "\u1820\u180b"),
]
OTHER = [
    ("jam", "Jam"),
    ("jam", "jams"),
    ("x2", "x\u00b2"),
    ("1", "\u2460"),
    ("naive", "na\u00efve"),
    ("+", "-"),
    ("-", "\u2212"),
    ("\u0915\u093f", "\u0915\u0940"),
    (
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\u0645\u06cc\u062e\u0648\u0627\u0647\u0645",
    ),
    ("\U0001f468\u200d\U0001f469", "\U0001f468\U0001f469"),
    ("\u4e2d", "\u56fd"),
    ("\u05e9\u05c1", "\u05e9\u05c2"),
    ("it's", "its"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_differs_in_what_is_not_seen_is_the_same_word(one: str, other: str) -> None:
    assert word_key(one) == word_key(other)
    assert near_key(one) == near_key(other)


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_what_differs_in_meaning_is_another_word(one: str, other: str) -> None:
    assert word_key(one) != word_key(other)


@given(st.text(max_size=8))
def test_a_key_is_its_own_key(text: str) -> None:
    assert word_key(word_key(text)) == word_key(text)
    assert near_key(near_key(text)) == near_key(text)
    assert near_key(word_key(text)) == near_key(text)


@given(st.text(st.characters(categories=["Lu", "Ll", "Lo", "Nd"]), min_size=1, max_size=8))
def test_a_word_of_letters_in_one_form_is_its_own_key(text: str) -> None:
    text = unicodedata.normalize("NFKC", text)
    if all(unicodedata.category(letter)[0] in "LN" and letter > "\u3164" for letter in text):
        assert word_key(text) == text
