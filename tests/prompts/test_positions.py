from __future__ import annotations

import pytest

from cfgen.errors import CfgenError
from cfgen.prompts import (
    Position,
    Prompt,
    Span,
    find_spans,
    parse_position,
    part_of,
    whole_spans,
)

# A says hi. B: A, A!
PROMPT = Prompt(
    "A says hi. B: A, A!",
    (
        Span("story", 0, 0, 10),
        Span("a", 0, 0, 1),
        Span("hi", 0, 7, 9),
        Span("b", 0, 11, 12),
        Span("story", 1, 14, 19),
        Span("a", 1, 14, 15),
        Span("a", 2, 17, 18),
    ),
)


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("last", Position(None, "last", None)),
        ("item_1", Position(None, "item_1", None, "last")),
        ("item_1.first", Position(None, "item_1", None, "first")),
        ("item_1[0]", Position(None, "item_1", 0)),
        ("item_1[0].all", Position(None, "item_1", 0, "all")),
        ("item_1[-12]", Position(None, "item_1", -12)),
        ("story/item_1", Position("story", "item_1", None)),
        ("story/item_1.all", Position("story", "item_1", None, "all")),
        ("story/item_1[1]+2", Position("story", "item_1", 1, "last", 2)),
        ("größe+1", Position(None, "größe", None, "last", 1)),
    ],
)
def test_parse(text: str, position: Position) -> None:
    assert parse_position(text) == position
    assert str(position) == text


def test_the_last_token_can_be_asked_for_by_name() -> None:
    assert parse_position("item_1.last") == parse_position("item_1")


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("a", "a.all"),
        ("story/a[0]", "story/a[0].all"),
        ("a.first", "a.first"),
        ("a.last", "a.last"),
        ("a.all", "a.all"),
        ("a+1", "a+1"),
        ("last", "last"),
        ("every", "every"),
        ("a[", "a["),
    ],
)
def test_what_is_held_is_held_whole(text: str, whole: str) -> None:
    assert whole_spans(text) == whole


def test_parts_of_tokens() -> None:
    assert part_of((3, 4, 5), "first") == (3,)
    assert part_of((3, 4, 5), "last") == (5,)
    assert part_of((3, 4, 5), "all") == (3, 4, 5)


@pytest.mark.parametrize(
    "text",
    [
        *["", "1a", "a[", "a[x]", "a[0][1]", "a/b/c", "a+", "a-1", "a b", "a[0] ", "/a", "a[1]+-1"],
        *[
            "a.",
            "a.",
            "a.b.c",
            "a.first[0]",
            "a.1",
            "a.all[0]",
            "a.first+1",
            "a+1.all",
            "story.all/a",
            f"a+{'9' * 5000}",
        ],
    ],
)
def test_what_does_not_parse(text: str) -> None:
    with pytest.raises(CfgenError, match="position-syntax"):
        parse_position(text)


@pytest.mark.parametrize(
    ("position", "starts"),
    [
        ("a", [0, 14, 17]),
        ("a[0]", [0]),
        ("a[-1]", [17]),
        ("a[1]+3", [14]),
        ("story/a", [0, 14, 17]),
        ("story/a[2]", [17]),
        ("story/hi", [7]),
        ("story", [0, 14]),
        ("story[-1]", [14]),
    ],
)
def test_find(position: str, starts: list[int]) -> None:
    assert [span.start for span in find_spans(PROMPT, position)] == starts
    assert [span.start for span in find_spans(PROMPT, parse_position(position))] == starts


@pytest.mark.parametrize(
    ("position", "code", "said"),
    [
        ("stroy", "position-unknown", "did you mean 'story'"),
        ("stroy/a", "position-unknown", "did you mean 'story'"),
        ("a[3]", "position-mention", "has 3"),
        ("a[-4]", "position-mention", "has 3"),
        ("story/b", "position-mention", "has 0 inside 'story'"),
        ("story/story", "position-mention", "has 0"),
        ("last", "position-unknown", "there is: a, b, hi, story"),
    ],
)
def test_what_is_not_there(position: str, code: str, said: str) -> None:
    with pytest.raises(CfgenError) as caught:
        find_spans(PROMPT, position)
    assert caught.value.problems[0].code == code
    assert said in str(caught.value)
