from __future__ import annotations

import pytest

from cfgen.errors import CfgenError
from cfgen.prompts import Position, Prompt, Span, find_spans, parse_position

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
        ("last", Position(None, "last", None, 0)),
        ("item_1", Position(None, "item_1", None, 0)),
        ("item_1[0]", Position(None, "item_1", 0, 0)),
        ("item_1[-12]", Position(None, "item_1", -12, 0)),
        ("story/item_1", Position("story", "item_1", None, 0)),
        ("story/item_1[1]+2", Position("story", "item_1", 1, 2)),
        ("größe+1", Position(None, "größe", None, 1)),
    ],
)
def test_parse(text: str, position: Position) -> None:
    assert parse_position(text) == position


@pytest.mark.parametrize(
    "text",
    ["", "1a", "a[", "a[x]", "a[0][1]", "a/b/c", "a+", "a-1", "a b", "a[0] ", "/a", "a[1]+-1"],
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
