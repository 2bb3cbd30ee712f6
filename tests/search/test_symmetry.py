"""Symmetry: interchangeable words are found, and every mechanism that looks into one is noticed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cfgen import CausalModel, CfgenError, Hypothesis, choice, distinct, integers
from cfgen.causal import Domain, Words, WordTable
from cfgen.search import CaseTable, Comparison, case_table

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


LOOKING = {
    "length": lambda pair, index: len(pair[index]) > 3,
    "first letter": lambda pair, index: pair[index][0],
    "order": lambda pair, index: min(pair),
    "made of": lambda pair, index: f"{pair[0]} and {pair[1]}",
    "method": lambda pair, index: pair[0].endswith("e"),
    "own type": lambda pair, index: type(pair[0]) is str and pair[0].encode()[0] % 2,
}


@pytest.mark.parametrize("mechanism", LOOKING.values(), ids=LOOKING)
def test_looking_into_words_is_noticed(mechanism: Callable[..., Any]) -> None:
    found = settled(mechanism)
    assert found.symmetry.interchangeable == {}
    assert list(found.symmetry.told_apart) == ["colours"]
    assert len(found.predictions.outputs) == 20 * 20 * 4


def swallowing(pair: tuple[str, ...], index: int) -> int:
    try:
        return len(pair[0]) % 2
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
def test_looking_a_word_up_in_a_lexicon_is_looking_into_it(mechanism: Callable[..., Any]) -> None:
    found = settled(mechanism)
    assert found.symmetry.interchangeable == {}
    assert len(found.predictions.outputs) == 20 * 20 * 4


TABLE = {"red": "warm", "pink": "warm"}


def test_words_of_a_table_stand_for_themselves() -> None:
    found = settled(lambda pair, index: TABLE.get(pair[index], "cold"))
    assert set(found.symmetry.alone) == {"red", "pink"}
    assert found.symmetry.interchangeable == {"colours": 3}


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
        "colours": "a variable does not follow when words trade places"
    }


def test_a_mechanism_that_fails_on_plain_words_fails() -> None:
    with pytest.raises(CfgenError, match="by zero"):
        settled(lambda pair, index: 1 // index)


def test_a_mechanism_that_fails_on_opaque_words_alone_is_run_on_plain_ones() -> None:
    found = settled(lambda pair, index: {str: 1}[type(pair[index])])
    assert list(found.symmetry.told_apart) == ["colours"]
    assert set(found.predictions.texts) == {"1"}
