"""Opaque words: only comparing and passing on goes unnoticed."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from typing import Any

import pytest

from cfgen.search.contents import freeze, replaced
from cfgen.search.opaque import (
    OpaqueWord,
    WordInspection,
    WordWatch,
    put_together,
)

# What is done to a word -> what comes out of it.
LOOKS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "length": (len, 5),
    "letter": (lambda word: word[0], "a"),
    "letters": (list, [*"apple"]),
    "part": (lambda word: "a" in word, True),
    "order": (lambda word: word < "b", True),
    "upper": (lambda word: word.upper(), "APPLE"),
    "start": (lambda word: word.startswith("a"), True),
    "slice": (lambda word: word[1:3], "pp"),
}


@pytest.mark.parametrize("name", LOOKS)
def test_a_look_is_taken_and_noted(name: str) -> None:
    look, expected = LOOKS[name]
    watch = WordWatch()
    assert look(OpaqueWord("apple", watch)) == expected
    assert not watch.inspected
    noted = watch.looks["letters" if name == "letters" else next(iter(watch.looks))]
    assert noted.result("apple") == freeze(
        tuple(expected) if isinstance(expected, list) else expected
    )
    assert noted.result("zz") != noted.result("apple")


REFUSED: list[Callable[[Any], Any]] = [
    lambda word: word * 2,
    lambda word: f"{word}",
    lambda word: f"{word!r}",
    lambda word: "".join(map(format, [word])),
    lambda word: str(word),
    lambda word: int(word),
    lambda word: word < OpaqueWord("pear", WordWatch()),
    lambda word: {word: 1},
    lambda word: word == object(),
    lambda word: (word + "s").upper(),
    lambda word: {word + "s"},
]


@pytest.mark.parametrize("look", REFUSED)
def test_what_is_not_followed_is_noticed(look: Callable[[Any], Any]) -> None:
    watch = WordWatch()
    with pytest.raises(WordInspection):
        look(OpaqueWord("apple", watch))
    assert [*watch.inspected] == ["apple"]


def test_it_is_noticed_even_if_the_exception_is_swallowed() -> None:
    watch = WordWatch()
    with contextlib.suppress(BaseException):
        hash(OpaqueWord("apple", watch))
    assert [*watch.inspected] == ["apple"]


def test_comparing_and_passing_on_is_not() -> None:
    watch = WordWatch()
    one, two = OpaqueWord("apple", watch), OpaqueWord("pear", watch)
    assert one == one
    assert one != two
    assert [two, one].index(one) == 1
    assert one in (two, one)
    assert copy.copy(one) is one
    assert copy.deepcopy([one])[0] is one
    assert isinstance(one, str)
    assert not isinstance(one, tuple)
    assert bool(one)
    assert one != 3
    assert one is not None
    assert (watch.inspected, watch.compared, watch.looks) == ({}, set(), {})


def test_comparing_with_a_text_is_noted() -> None:
    watch = WordWatch()
    assert OpaqueWord("apple", watch) != "pear"
    assert OpaqueWord("apple", watch) == "apple"
    assert watch.compared == {"pear", "apple"}


KINDS = {word: ("apple", "pear", "fig") for word in ("apple", "pear", "fig")}


def test_texts_with_words_in_them() -> None:
    watch = WordWatch(KINDS)
    apple, pear = OpaqueWord("apple", watch), OpaqueWord("pear", watch)
    assert put_together("the ", apple) == "the " + apple
    assert put_together("the ", apple) != put_together("the ", pear)
    assert put_together("the ", apple) != put_together("a ", apple)
    assert put_together(apple, " and ", pear) != put_together(pear, " and ", apple)
    assert put_together("the ", apple) != apple
    assert put_together(apple) is apple
    assert put_together("", "a", "b") == "ab"
    assert (watch.inspected, watch.compared, watch.looks) == ({}, set(), {})


def test_texts_that_may_be_equal_to_known_ones_note_the_word() -> None:
    watch = WordWatch(KINDS)
    apple = OpaqueWord("apple", watch)
    assert put_together("the ", apple) != "the fig"
    assert watch.compared == {"fig"}
    assert put_together("the ", apple) == "the apple"
    assert watch.compared == {"fig", "apple"}
    assert put_together("the ", apple) != "the moon"
    assert put_together(apple, "s") != put_together("fi", OpaqueWord("pear", watch))
    assert watch.compared == {"fig", "apple"}


@pytest.mark.parametrize("between", ["", "e", "ap"])
def test_texts_whose_words_cannot_be_found_again_are_refused(between: str) -> None:
    watch = WordWatch(KINDS)
    apple, pear = OpaqueWord("apple", watch), OpaqueWord("pear", watch)
    with pytest.raises(WordInspection):
        assert put_together(apple, between, pear) == put_together(pear, between, apple)


def test_keys_tell_types_apart() -> None:
    word = OpaqueWord("a", WordWatch())
    values = [1, True, 1.0, "a", word, None, (1,), [1], (True,), {"a": 1}, {1}, frozenset({1})]
    keys = [freeze(value) for value in values]
    assert len({*keys}) == len(values)
    assert [freeze(copy.deepcopy(value)) for value in values] == keys
    with pytest.raises(TypeError):
        freeze(bytearray(b"x"))


def test_scalars_are_replaced_at_any_depth() -> None:
    value = ("a", ["b", {"a": ("b",)}], frozenset({"a"}), 3)
    assert replaced(value, {"a": "b", "b": "a"}.get) == (
        "b",
        ["a", {"b": ("a",)}],
        frozenset({"b"}),
        None,
    )
