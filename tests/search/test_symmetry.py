"""Symmetry: interchangeable words are found, and every mechanism that looks into one is noticed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cfgen import CausalModel, CfgenError, Hypothesis, choice, distinct, integers
from cfgen.causal import Domain, Words, WordTable
from cfgen.search import CaseTable, Comparison, case_table

TABLE = {"red": "warm", "pink": "warm"}
COLOURS = Words("colours", ("red", "green", "blue", "pink", "grey"))


def settled(mechanism: Callable[..., Any], **more: Domain) -> CaseTable:
    """All pairs of a model of two colours, an index and one mechanism of these."""
    model = CausalModel("drawn", output="out")
    for name, domain in {"pair": distinct(COLOURS, 2), "index": integers(0, 1), **more}.items():
        model.input(name, domain)

    @model.variable
    def middle(pair: tuple[str, ...], index: int) -> Any:
        return mechanism(pair, index)

    @model.variable
    def out(middle: Any, index: int) -> Any:
        return middle

    hypotheses = (Hypothesis("middle", interchange=["middle"]),)
    comparison = Comparison(model.program, hypotheses, model.domains)
    return case_table(comparison)


def test_words_that_are_only_compared_and_passed_on_are_interchangeable() -> None:
    found = settled(lambda pair, index: pair[index] if pair[0] != pair[1] else None)
    assert found.symmetry.interchangeable == {"colours": 5}
    assert (found.symmetry.told_apart, found.symmetry.alone) == ({}, ())
    assert len(found.predictions.outputs) == 7 * 4
    assert found.symmetry.runs > 0
    assert found.symmetry.trials == 100


# What is looked at, and how many pairs of words that leaves: of two different colours each.
LOOKS: dict[str, tuple[Callable[..., Any], int]] = {
    "length": (lambda pair, index: len(pair[index]) > 3, 3),
    "first letter": (lambda pair, index: pair[index][0], 4),
    "method": (lambda pair, index: pair[0].endswith("e"), 2),
    "table": (lambda pair, index: TABLE.get(pair[index], "cold"), 2),
    "set": (lambda pair, index: pair[index] in {"red"}, 2),
}


@pytest.mark.parametrize("name", LOOKS)
def test_words_that_are_alike_in_what_is_looked_at_are_interchangeable(name: str) -> None:
    mechanism, kinds = LOOKS[name]
    found = settled(mechanism)
    assert found.symmetry.told_apart == {}
    assert len(found.symmetry.looks) == 1
    assert len(found.atoms.kinds) - 2 == kinds
    assert sum(len(kind.values) for kind in found.atoms.kinds) - 2 == 5


TOLD_APART = {
    "order": lambda pair, index: min(pair),
    "bytes": lambda pair, index: hash(pair[0].encode()) and 1,
    "identity": lambda pair, index: id(pair[0]) % 1,
    "formatted": lambda pair, index: f"{pair[0]:>9}",
}


@pytest.mark.parametrize("mechanism", TOLD_APART.values(), ids=TOLD_APART)
def test_what_is_not_followed_tells_words_apart(mechanism: Callable[..., Any]) -> None:
    found = settled(mechanism)
    assert found.symmetry.interchangeable == {}
    assert list(found.symmetry.told_apart) == ["colours"]
    assert len(found.predictions.outputs) == 20 * 20 * 4


def test_texts_made_of_words_stay_open() -> None:
    found = settled(lambda pair, index: f"{pair[0]} and {pair[1]}")
    assert found.symmetry.interchangeable == {"colours": 5}
    assert found.symmetry.told_apart == {}
    assert len(found.predictions.outputs) == 7 * 4


def swallowing(pair: tuple[str, ...], index: int) -> int:
    try:
        return hash(pair[0]) % 1
    except BaseException:
        return 7


def test_looking_is_noticed_where_the_mechanism_swallows_what_is_raised() -> None:
    assert list(settled(swallowing).symmetry.told_apart) == ["colours"]


def test_a_word_that_is_named_stands_for_itself() -> None:
    found = settled(lambda pair, index: pair[index] == "blue")
    assert found.symmetry.alone == ("blue",)
    assert found.symmetry.interchangeable == {"colours": 4}


PAINTS = Words(
    "paints", COLOURS.values, WordTable("paints", ("tone",), (
        ("red", "warm"), ("green", "cold"), ("blue", "cold"), ("pink", "warm"), ("grey", "none"),
    ))
)  # fmt: skip


def swallowed_row(pair: tuple[str, ...], index: int) -> Any:
    try:
        return PAINTS[pair[index]].tone
    except BaseException:
        return "warm"


@pytest.mark.parametrize(
    "mechanism",
    [
        lambda pair, index: PAINTS[pair[index]].tone,
        lambda pair, index: pair[0] if PAINTS[pair[1]].tone == "none" else pair[1],
        swallowed_row,
    ],
    ids=["told", "a branch", "swallowed"],
)
def test_words_of_a_lexicon_are_told_apart_by_the_column_that_is_read(
    mechanism: Callable[..., Any],
) -> None:
    found = settled(mechanism)
    assert found.symmetry.told_apart == {}
    assert [*kinds_of(found)] == [("red", "pink"), ("green", "blue"), ("grey",)]


def kinds_of(found: CaseTable) -> list[tuple[Any, ...]]:
    return [kind.values for kind in found.atoms.kinds if isinstance(kind.values[0], str)]


def test_a_dictionary_made_of_the_words_themselves_is_no_table() -> None:
    found = settled(lambda pair, index: dict(zip(pair, pair[::-1], strict=True))[pair[index]])
    assert found.symmetry.interchangeable == {"colours": 5}


def test_an_output_that_happens_to_be_a_word_stands_for_itself() -> None:
    found = settled(lambda pair, index: "grey" if index else pair[0])
    assert found.symmetry.alone == ("grey",)


def test_values_of_a_choice_that_are_words_stand_for_themselves() -> None:
    found = settled(lambda pair, index: pair[index], mode=choice(["red", "dark"]))
    assert found.names == ("pair", "index")  # the choice does not matter
    assert found.symmetry.interchangeable == {"colours": 5}


def test_an_order_that_depends_on_hashes_is_noticed() -> None:
    found = settled(lambda pair, index: next(iter(set(pair))))
    assert found.symmetry.told_apart == {
        "colours": "a mechanism depends on the order of a set of words"
    }


def test_a_mechanism_that_fails_on_plain_words_fails() -> None:
    with pytest.raises(CfgenError, match="by zero"):
        settled(lambda pair, index: 1 // index)


def test_a_word_has_the_type_of_a_text() -> None:
    found = settled(lambda pair, index: {str: 1}[type(pair[index])])
    assert found.symmetry.interchangeable == {"colours": 5}
    assert set(found.predictions.texts) == {"1"}
