"""Opaque words: only comparing and passing on goes unnoticed."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from typing import Any

import pytest

from cfgen.search.opaque import (
    OpaqueWord,
    WordInspection,
    WordWatch,
    freeze,
    replaced,
    texts_within,
    word_of,
)

LOOKING: list[Callable[[Any], Any]] = [
    len,
    lambda word: sorted([word, "b"]),
    lambda word: word[0],
    lambda word: word + "s",
    lambda word: "s" + word,
    lambda word: word * 2,
    lambda word: f"{word}",
    lambda word: f"{word!r}",
    lambda word: "".join(map(format, [word])),
    lambda word: str(word),
    lambda word: list(word),
    lambda word: "a" in word,
    lambda word: word < "b",
    lambda word: word.upper(),
    lambda word: word.startswith("a"),
    lambda word: int(word),
]


@pytest.mark.parametrize("look", LOOKING)
def test_looking_is_noticed(look: Callable[[Any], Any]) -> None:
    watch = WordWatch()
    with pytest.raises(WordInspection):
        look(OpaqueWord("apple", watch))
    assert watch.inspected == {"apple"}


def test_looking_is_noticed_even_if_the_exception_is_swallowed() -> None:
    watch = WordWatch()
    with contextlib.suppress(BaseException):
        len(OpaqueWord("apple", watch))
    assert watch.inspected == {"apple"}


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
    assert (watch.inspected, watch.compared, watch.hashed) == (set(), set(), False)


def test_comparing_with_a_text_is_noted() -> None:
    watch = WordWatch()
    assert OpaqueWord("apple", watch) != "pear"
    assert OpaqueWord("apple", watch) == "apple"
    assert watch.compared == {"pear", "apple"}


def test_looking_up_in_a_dictionary_is_noted() -> None:
    watch = WordWatch()
    assert {"apple": 1}.get(OpaqueWord("apple", watch)) == 1  # type: ignore[call-overload]
    assert watch.hashed
    assert watch.compared == {"apple"}


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


def test_only_opaque_words_have_a_word() -> None:
    assert word_of(OpaqueWord("a", WordWatch())) == "a"
    assert word_of("a") is None


TABLE = {"ash": ["elm"], "oak": ("fir", 3)}


def helper() -> str:
    return "inner"


def test_texts_that_a_function_can_reach() -> None:
    closed = ["closed"]

    def mechanism(x: str, y: str = "default") -> Any:
        return TABLE[x], helper(), closed, (lambda: "nested")()

    assert texts_within([mechanism]) >= {
        *("ash", "elm", "oak", "fir", "inner", "default", "closed", "nested")
    }
    assert "unreached" not in texts_within([mechanism])
