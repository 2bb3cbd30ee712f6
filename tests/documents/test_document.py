from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfgen.documents import Phrase, highlight, phrases, plain, strong, visible
from tests.documents.strategies import TEXTS


def test_phrases_one_after_the_other() -> None:
    text = ("a", (strong("b"), "c"))
    assert list(phrases(text)) == [Phrase("a"), Phrase("b", ("strong",)), Phrase("c")]
    assert plain(text) == "abc"


STRETCHES = st.lists(
    st.tuples(st.integers(-2, 30), st.integers(-2, 30), st.sampled_from(["strong", "good"]))
)


@given(TEXTS, STRETCHES)
def test_every_character_has_the_looks_of_the_stretches_that_it_is_in(
    text: str, stretches: list[tuple[int, int, str]]
) -> None:
    shown = [(mark, set(p.looks)) for p in phrases(highlight(text, stretches)) for mark in p.text]
    assert shown == [
        (mark, {look for start, end, look in stretches if start <= at < end})
        for at, mark in enumerate(text)
    ]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a [b] ä\n", "a [b] ä\n"),
        ("\x1b[2J\x07", "\\x1b[2J\\x07"),
        ("\u202eabc\u2066", "\\u202eabc\\u2066"),
        ("a\tb\r\n\xa0\x9b", "a\\tb\\r\n\\xa0\\x9b"),
        ("\ud800\U000e0001", "\\ud800\\U000e0001"),
    ],
)
def test_what_cannot_be_seen_is_escaped(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text())
def test_nothing_stays_that_a_terminal_acts_on(text: str) -> None:
    shown = visible(text)
    assert shown.replace("\n", "").isprintable()
    assert visible(shown) == shown
