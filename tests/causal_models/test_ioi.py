"""Indirect objects: answers, the signs of the designs, and predictions, from the inputs alone."""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest

from cfgen import load_task
from cfgen.counterfactuals import Pair, draw_inputs
from cfgen.datasets import PairLabeller
from cfgen.tasks import Task

PAIRS = 500
Inputs = Mapping[str, Any]


@cache
def task() -> Task:
    return load_task("ioi")


@cache
def pairs_of(design: str) -> tuple[Pair, ...]:
    rng = random.Random(f"pairs of {design}")
    chosen, domains = task().design(design), task().causal_model.domains
    label = PairLabeller(task(), chosen)
    return tuple(label(*draw_inputs(chosen, domains, rng), index) for index in range(PAIRS))


def position(inputs: Inputs) -> int:
    """Which of the two names is not named again."""
    return 1 if inputs["subject"] == 0 else 0


def token(inputs: Inputs) -> str:
    [left] = [n for k, n in enumerate(inputs["names"]) if k != inputs["subject"]]
    return str(left)


def test_word_for_word() -> None:
    inputs = {
        "template": "then_went",
        "names": ("Anna", "Tom"),
        "subject": 0,
        "place": "park",
        "object": "book",
    }
    other = inputs | {"names": ("Mary", "John"), "subject": 1}
    pair = PairLabeller(task(), task().design())(inputs, other, 0)
    assert pair.original.prompt.text == "Then, Anna and Tom went to the park. Anna gave a book to"
    assert pair.original.answer == "Tom"
    assert pair.original.answer_prefix == " "
    assert pair.counterfactual.answer == "Mary"
    assert pair.predictions == {
        "none": "Tom",
        "all": "Mary",
        "output_position": "Anna",
        "output_token": "Mary",
    }
    assert pair.kinds == {
        "none": "original",
        "all": "counterfactual",
        "output_position": "third",
        "output_token": "counterfactual",
    }
    assert pair.decisive


@pytest.mark.parametrize(
    ("design", "position_stays", "token_stays"),
    [
        ("swap_names", False, True),
        ("swap_subject", False, False),
        ("swap_both", True, False),
        ("fresh_names", False, False),
        ("fresh_names_kept", True, False),
    ],
)
def test_signs_of_the_designs(design: str, position_stays: bool, token_stays: bool) -> None:
    for pair in pairs_of(design):
        o, c = pair.original.inputs, pair.counterfactual.inputs
        assert (position(o) == position(c)) is position_stays
        assert (token(o) == token(c)) is token_stays
        assert pair.original.answer == token(o)
        assert pair.counterfactual.answer == token(c)
        shared = {*o["names"]} & {*c["names"]}
        assert len(shared) == (0 if design.startswith("fresh") else 2)
        assert {n for n in o if o[n] != c[n]} <= {"names", "subject"}


def test_designs_are_the_ones_tested_here() -> None:
    assert set(task().designs) == {
        "swap_names",
        "swap_subject",
        "swap_both",
        "fresh_names",
        "fresh_names_kept",
    }


@pytest.mark.parametrize("design", list(task().designs))
def test_predictions_and_decisive_pairs(design: str) -> None:
    for pair in pairs_of(design):
        o, c = pair.original.inputs, pair.counterfactual.inputs
        assert pair.predictions["output_position"] == o["names"][position(c)]
        assert pair.predictions["output_token"] == token(c)
        assert pair.decisive


def test_only_fresh_names_in_the_other_position_tell_the_hypotheses_apart() -> None:
    for design in task().designs:
        apart = {
            len({pair.predictions[n] for n in ("none", "output_position", "output_token")}) == 3
            for pair in pairs_of(design)
        }
        assert apart == {design == "fresh_names"}


def test_subjects_and_templates_are_balanced() -> None:
    pairs = pairs_of("fresh_names")
    assert 0.4 < sum(pair.original.inputs["subject"] for pair in pairs) / PAIRS < 0.6
    for template in task().templates:
        share = sum(pair.original.inputs["template"] == template for pair in pairs) / PAIRS
        assert 0.08 < share < 0.28
