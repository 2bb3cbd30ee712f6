"""Hierarchical equality: every pair of inputs there is, against a table written by hand."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import pytest

from cfgen import load_task
from cfgen.counterfactuals import Pair, draw_inputs
from cfgen.datasets import PairLabeller
from cfgen.tasks import Task

PAIRS = 200
CHOICES = ("choice_w", "choice_x", "choice_y", "choice_z")
ANSWERS = {  # left pair equal, right pair equal -> answer
    (True, True): "True",
    (True, False): "False",
    (False, True): "False",
    (False, False): "True",
}
Inputs = Mapping[str, Any]


@cache
def task() -> Task:
    return load_task("hierarchical_equality")


@cache
def pairs_of(design: str) -> tuple[Pair, ...]:
    rng = random.Random(f"pairs of {design}")
    chosen, domains = task().design(design), task().causal_model.domains
    label = PairLabeller(task(), chosen)
    return tuple(label(*draw_inputs(chosen, domains, rng), index) for index in range(PAIRS))


def every_input(left: tuple[str, str], right: tuple[str, str]) -> Iterator[dict[str, Any]]:
    """All 16 ways to choose from two words on the left and two on the right."""
    for bits in itertools.product((0, 1), repeat=4):
        words = {"left_words": left, "right_words": right}
        yield {"template": "two_sentences", **words, **dict(zip(CHOICES, bits, strict=True))}


def shown(inputs: Inputs) -> tuple[str, str, str, str]:
    w, x = (inputs["left_words"][inputs[name]] for name in CHOICES[:2])
    y, z = (inputs["right_words"][inputs[name]] for name in CHOICES[2:])
    return w, x, y, z


def equal(inputs: Inputs) -> tuple[bool, bool]:
    w, x, y, z = shown(inputs)
    return w == x, y == z


def expected(o: Inputs, c: Inputs) -> dict[str, str]:
    (left, right), (other_left, other_right) = equal(o), equal(c)
    return {
        "none": ANSWERS[left, right],
        "all": ANSWERS[other_left, other_right],
        "left": ANSWERS[other_left, right],
        "right": ANSWERS[left, other_right],
        "x": ANSWERS[shown(o)[0] == shown(c)[1], right],
    }


def test_word_for_word() -> None:
    [original] = [i for i in every_input(("cat", "dog"), ("owl", "bear")) if equal_bits(i, "0001")]
    [other] = [i for i in every_input(("cow", "wolf"), ("toad", "seal")) if equal_bits(i, "1000")]
    pair = PairLabeller(task(), task().design())(original, other, 0)
    assert pair.original.prompt.text == (
        "A pair is equal if its two words are the same. The left pair is cat and cat. The right "
        "pair is owl and bear. True or false: both pairs are equal, or both are unequal. Answer:"
    )
    assert (pair.original.answer_prefix, pair.original.answer) == (" ", "False")
    assert pair.predictions == {
        "none": "False",
        "all": "False",
        "left": "True",
        "right": "True",
        "x": "True",
    }
    assert pair.kinds["left"] == pair.kinds["right"] == "third"
    assert pair.decisive


def equal_bits(inputs: Inputs, bits: str) -> bool:
    return "".join(str(inputs[name]) for name in CHOICES) == bits


@pytest.mark.parametrize(
    "words",
    [
        (("cow", "wolf"), ("toad", "seal")),  # all new
        (("cat", "dog"), ("owl", "bear")),  # the same
        (("dog", "cat"), ("cat", "owl")),  # the same in other places
    ],
)
def test_every_pair_of_inputs(words: tuple[tuple[str, str], tuple[str, str]]) -> None:
    """All 256 pairs of choices."""
    label = PairLabeller(task(), task().design())
    checked = 0
    for original in every_input(("cat", "dog"), ("owl", "bear")):
        for other in every_input(*words):
            assert label(original, other, 0).predictions == expected(original, other)
            checked += 1
    assert checked == 256


def test_both_answers_are_given_half_of_the_time() -> None:
    answers = [
        task().causal_model.run(inputs)["answer"]
        for inputs in every_input(("cat", "dog"), ("owl", "bear"))
    ]
    assert sorted(answers) == ["False"] * 8 + ["True"] * 8


@pytest.mark.parametrize("template", list(load_task("hierarchical_equality").templates))
def test_spans_show_the_four_words(template: str) -> None:
    label = PairLabeller(task(), task().design())
    for inputs in every_input(("cat", "dog"), ("owl", "bear")):
        prompt = label({**inputs, "template": template}, inputs, 0).original.prompt
        texts = {s.name: prompt.text[s.start : s.end] for s in prompt.spans if s.mention == 0}
        assert tuple(texts[name] for name in "wxyz") == shown(inputs)
        assert all(texts[name] in texts["left_pair"] for name in "wx")
        assert all(texts[name] in texts["right_pair"] for name in "yz")


@pytest.mark.parametrize(
    ("design", "moved"),
    [
        ("change_left", (True, False)),
        ("change_right", (False, True)),
        ("change_both", (True, True)),
        ("make_left_equal", (True, True)),
        ("same_words", (True, False)),
    ],
)
def test_designs(design: str, moved: tuple[bool, bool]) -> None:
    for pair in pairs_of(design):
        o, c = pair.original.inputs, pair.counterfactual.inputs
        assert tuple(a != b for a, b in zip(equal(o), equal(c), strict=True)) == moved
        assert pair.predictions == expected(o, c)
        assert pair.decisive
        assert {*o["left_words"]}.isdisjoint(c["left_words"]) is (design != "same_words")
        assert o["template"] == c["template"]
        if design == "make_left_equal":
            assert equal(c)[0]
            assert pair.predictions["x"] == pair.predictions["none"] == pair.predictions["all"]
            assert pair.predictions["left"] != pair.predictions["x"]


def test_designs_and_hypotheses_are_the_ones_tested_here() -> None:
    designs = {"change_left", "change_right", "change_both", "make_left_equal", "same_words"}
    assert set(task().designs) == designs
    assert set(task().hypotheses) == {"left", "right", "x"}


def test_no_pair_tells_three_hypotheses_apart() -> None:
    """There are two answers."""
    for design in task().designs:
        for pair in pairs_of(design):
            assert len(set(pair.predictions.values())) <= 2
