"""Edits: what each does to an input, and which cannot be applied."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfgen import CfgenError, boolean, choice, distinct, edits, integers
from cfgen.causal import Domain, Words
from cfgen.counterfactuals import InputEdit, apply_edits, problems_with

COLOURS = Words("colours", ("red", "green", "blue", "pink", "grey"))
DOMAINS: dict[str, Domain] = {
    "pair": distinct(COLOURS, 2),
    "word": COLOURS,
    "index": integers(0, 1),
    "other": integers(0, 1),
    "loud": boolean(),
    "mode": choice(["low", "mid", "high"]),
    "shape": choice([("a", "b"), ("c", "d"), ("b", "a")]),
    "huge": integers(0, 10**12),
    "huger": integers(0, 10**12),
    "pairs": distinct(COLOURS, 2),
    "triple": distinct(COLOURS, 3),
}
INPUTS: dict[str, Any] = {
    "pair": ("red", "blue"),
    "word": "green",
    "index": 0,
    "other": 1,
    "loud": True,
    "mode": "mid",
    "shape": ("a", "b"),
    "huge": 5,
    "huger": 6,
    "pairs": ("grey", "pink"),
    "triple": ("red", "pink", "blue"),
}


def apply(*steps: InputEdit, seed: int = 0) -> dict[str, Any]:
    return apply_edits(steps, INPUTS, DOMAINS, random.Random(seed))


@pytest.mark.parametrize(
    ("edit", "name", "value"),
    [
        (edits.keep("pair"), "pair", ("red", "blue")),
        (edits.reverse("pair"), "pair", ("blue", "red")),
        (edits.permute("pair", [1, 0]), "pair", ("blue", "red")),
        (edits.permute("triple", (2, 0, 1)), "triple", ("blue", "red", "pink")),
        (edits.flip("index"), "index", 1),
        (edits.flip("other"), "other", 0),
        (edits.flip("loud"), "loud", False),
        (edits.set("mode", "high"), "mode", "high"),
        (edits.set("pair", ["grey", "red"]), "pair", ("grey", "red")),
        (edits.copy("index", of="other"), "index", 1),
        (edits.copy("pair", of="pairs"), "pair", ("grey", "pink")),
    ],
)
def test_what_an_edit_does(edit: InputEdit, name: str, value: Any) -> None:
    assert problems_with(edit, DOMAINS) == []
    assert apply(edit) == {**INPUTS, name: value}


def test_edits_follow_one_another() -> None:
    steps = (edits.copy("index", of="other"), edits.flip("other"), edits.flip("index"))
    assert apply(*steps) == {**INPUTS, "index": 0, "other": 0}
    assert INPUTS["other"] == 1


@given(st.integers(0, 2**32))
def test_resample_draws_from_the_domain(seed: int) -> None:
    for name, domain in DOMAINS.items():
        new = apply(edits.resample(name), seed=seed)
        assert domain.problem_with(new[name]) is None
        assert {**new, name: INPUTS[name]} == INPUTS
        assert new == apply(edits.resample(name), seed=seed)


def test_resample_may_draw_the_old_value_again() -> None:
    drawn = {apply(edits.resample("mode"), seed=seed)["mode"] for seed in range(60)}
    assert drawn == {"low", "mid", "high"}


@given(st.integers(0, 2**32))
def test_disjoint_resample_shares_nothing_with_the_old_value(seed: int) -> None:
    def drawn(name: str) -> Any:
        return apply(edits.resample(name, disjoint=True), seed=seed)[name]

    assert not {*drawn("pair")} & {"red", "blue"}
    assert drawn("word") != "green"
    assert drawn("index") == 1
    assert drawn("shape") in {("c", "d"), ("b", "a")}  # a choice of tuples has no elements


@given(st.integers(0, 2**32), st.integers(0, 2))
def test_one_element_is_drawn_anew(seed: int, index: int) -> None:
    for disjoint in (False, True):
        edit = edits.resample("triple", disjoint=disjoint, index=index)
        assert problems_with(edit, DOMAINS) == []
        old, new = INPUTS["triple"], apply(edit, seed=seed)["triple"]
        assert DOMAINS["triple"].problem_with(new) is None
        assert [k for k in range(3) if k != index and new[k] != old[k]] == []
        assert not disjoint or new[index] not in old


def test_drawing_one_element_anew_may_keep_it() -> None:
    edit = edits.resample("triple", index=1)
    drawn = {apply(edit, seed=seed)["triple"][1] for seed in range(60)}
    assert drawn == {"pink", "green", "grey"}


def test_disjoint_resample_without_enough_words() -> None:
    few = {"pair": distinct(Words("colours", ("red", "green", "blue")), 2)}
    with pytest.raises(CfgenError) as caught:
        apply_edits(
            [edits.resample("pair", disjoint=True)],
            {"pair": ("red", "blue")},
            few,
            random.Random(0),
        )
    [problem] = caught.value.problems
    assert problem.code == "too-few-values"
    assert problem.message == (
        "2 new values are needed, but only 1 of 3 are left besides 'red', 'blue'"
    )


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            edits.reverse("index"),
            "reverse(index) cannot be applied: its values are not tuples, so there is nothing to "
            "reverse",
        ),
        (
            edits.flip("mode"),
            "flip(mode) cannot be applied: it does not have exactly two values to flip between",
        ),
        (
            edits.flip("pair"),
            "flip(pair) cannot be applied: it does not have exactly two values to flip between",
        ),
        (
            edits.permute("triple", [0, 1]),
            "permute(triple, (0, 1)) cannot be applied: (0, 1) does not name the index of each of "
            "its elements once",
        ),
        (
            edits.permute("index", [0, 1]),
            "permute(index, (0, 1)) cannot be applied: (0, 1) does not name the index of each of "
            "its elements once",
        ),
        (
            edits.resample("pair", index=2),
            "resample(pair, index=2) cannot be applied: its values have no element with the index "
            "2",
        ),
        (
            edits.resample("word", index=0, disjoint=True),
            "resample(word, index=0, disjoint) cannot be applied: its values have no element with "
            "the index 0",
        ),
        (
            edits.set("mode", "off"),
            "set(mode, 'off') cannot be applied: the value must be one of 'low', 'mid', 'high'",
        ),
        (
            edits.set("index", True),
            "set(index, True) cannot be applied: the value must be a whole number from 0 to 1",
        ),
        (
            edits.copy("index", of="mode"),
            "copy(index, of=mode) cannot be applied: its values are not those of 'mode'",
        ),
        (
            edits.copy("index", of="loud"),
            "copy(index, of=loud) cannot be applied: its values are not those of 'loud'",
        ),
        (
            edits.copy("pair", of="word"),
            "copy(pair, of=word) cannot be applied: its values are not those of 'word'",
        ),
    ],
)
def test_impossible_edits(edit: InputEdit, message: str) -> None:
    [problem] = problems_with(edit, DOMAINS)
    assert problem.code == "impossible-edit"
    assert problem.message == message
    assert problem.where == edit.where
    assert edit.where.startswith(f"{__file__}:")


def test_edits_of_inputs_that_do_not_exist() -> None:
    one, two = problems_with(edits.copy("indx", of="othr"), DOMAINS)
    assert (one.code, one.hint) == ("unknown-input", "did you mean 'index'?")
    assert one.message == (
        "copy(indx, of=othr) names an input 'indx' that the causal model does not have"
    )
    assert two.hint == "did you mean 'other'?"


def test_copying_between_huge_domains_is_checked_at_once() -> None:
    assert problems_with(edits.copy("huge", of="huger"), DOMAINS) == []
    letters = Words("words", tuple(f"w{k}" for k in range(200)))
    many: dict[str, Domain] = {"a": distinct(letters, 6), "b": distinct(COLOURS, 2)}
    many["c"] = distinct(letters, 6)
    assert problems_with(edits.copy("a", of="c"), many) == []
    assert len(problems_with(edits.copy("a", of="b"), many)) == 1


def test_edits_say_what_they_do() -> None:
    steps = (
        edits.keep("a"),
        edits.reverse("a"),
        edits.flip("a"),
        edits.set("a", 3),
        edits.copy("a", of="b"),
        edits.resample("a"),
        edits.resample("a", disjoint=True),
    )
    assert [str(step) for step in steps] == [
        "keep(a)",
        "reverse(a)",
        "flip(a)",
        "set(a, 3)",
        "copy(a, of=b)",
        "resample(a)",
        "resample(a, disjoint)",
    ]
