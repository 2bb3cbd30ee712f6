"""What differs between two prompts, and where their tokens are."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfgen.counterfactuals import Pair
from cfgen.datasets import draw_pairs, recipe
from cfgen.documents import Panel, Paragraph, phrases, plain
from cfgen.report.pairs import changes_text, differing, pair_view, tokens_text


def texts(text: str, spans: list[tuple[int, int]]) -> list[str]:
    return [text[start:end] for start, end in spans]


@pytest.mark.parametrize(
    ("one", "other", "first", "second"),
    [
        ("a b c", "a b c", [], []),
        ("a b c", "a x c", ["b"], ["x"]),
        ("a b, c d.", "a e f d.", ["b, c"], ["e f"]),
        ("a b", "a b c", [], ["c"]),
        ("Ann has tea.", "Ann has teacakes.", ["tea"], ["teacakes"]),
        ("", "a", [], ["a"]),
    ],
)
def test_whole_words_that_do_not_correspond(
    one: str, other: str, first: list[str], second: list[str]
) -> None:
    spans = differing(one, other)
    assert (texts(one, spans[0]), texts(other, spans[1])) == (first, second)


WORDS = st.lists(st.sampled_from("abcd"), max_size=12).map(" ".join)


@given(WORDS, WORDS)
def test_what_is_left_is_the_same(one: str, other: str) -> None:
    rests = []
    for text, spans in zip((one, other), differing(one, other), strict=True):
        for start, end in reversed(spans):
            text = text[:start] + text[end:]
        rests.append(text.split())
    assert rests[0] == rests[1]


def words(text: str) -> tuple[Sequence[int], Sequence[tuple[int, int]]]:
    """A tokenizer with a special token in front; words and marks are tokens."""
    found = [match.span() for match in re.finditer(r" ?\w+|\S", text)]
    return range(len(found) + 1), [(0, 0), *found]


@pytest.fixture(scope="module")
def pair() -> Pair:
    return draw_pairs(recipe("ioi", 1, design="fresh_names"))[0]


def test_tokens_and_where_slots_are(pair: Pair) -> None:
    side = pair.original
    first, second = plain(tokens_text(side, words)).split("\n")
    count, _, shown = first.partition(" tokens: ")
    tokens = shown.split("|")
    assert tokens[0] == "<special>"
    assert "".join(tokens[1:]) == side.prompt.text
    assert int(count) == len(tokens)
    places = dict(part.split(" ", 1) for part in second.removeprefix("at: ").split("   "))
    assert places.pop("last") == str(len(tokens) - 1)
    assert places.keys() == side.slots.keys()
    for name, places_of in places.items():
        for place in places_of.split(", "):
            assert tokens[int(place)].strip() == side.slots[name]


def test_a_slot_of_several_tokens(pair: Pair) -> None:
    def letters(text: str) -> tuple[Sequence[int], Sequence[tuple[int, int]]]:
        return range(len(text)), [(i, i + 1) for i in range(len(text))]

    span = next(span for span in pair.original.prompt.spans if span.name == "name_1")
    assert f"name_1 {span.start}-{span.end - 1}" in plain(tokens_text(pair.original, letters))


def test_changes_name_every_input_that_differs(pair: Pair) -> None:
    said = plain(changes_text(pair))
    before, after = pair.original.inputs, pair.counterfactual.inputs
    assert f"names {', '.join(before['names'])} -> {', '.join(after['names'])}" in said
    assert f"subject {before['subject']} -> {after['subject']}" in said
    assert "place" not in said


def test_differing_words_are_underlined(pair: Pair) -> None:
    (panel,) = pair_view(pair).blocks
    assert isinstance(panel, Panel)
    texts = [block.text for block in panel.blocks if isinstance(block, Paragraph)]
    assert not any("differs" in plain(text) for text in texts)
    underlined = "".join(
        phrase.text for text in texts for phrase in phrases(text) if "underlined" in phrase.looks
    )
    for side in (pair.original, pair.counterfactual):
        for name in side.inputs["names"]:
            assert name in underlined
        assert side.inputs["place"] not in underlined
