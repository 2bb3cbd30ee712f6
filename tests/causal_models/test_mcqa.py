"""Multiple choice: answers, the designs, and predictions, from the inputs alone."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest

from cfgen import load_task
from cfgen.counterfactuals import Pair, draw_inputs
from cfgen.datasets import PairLabeller
from cfgen.tasks import Task

PAIRS = 300
BOX = {
    "template": "on_lines",
    "object": "box",
    "colors": ("red", "blue"),
    "symbols": ("A", "B"),
    "right_choice": 0,
}
Inputs = Mapping[str, Any]


@cache
def task() -> Task:
    return load_task("mcqa")


@cache
def pairs_of(design: str) -> tuple[Pair, ...]:
    rng = random.Random(f"pairs of {design}")
    chosen, domains = task().design(design), task().causal_model.domains
    label = PairLabeller(task(), chosen)
    return tuple(label(*draw_inputs(chosen, domains, rng), index) for index in range(PAIRS))


def fact(inputs: Inputs) -> str:
    return str(inputs["colors"][inputs["right_choice"]])


def test_word_for_word() -> None:
    other = BOX | {"colors": ("blue", "red"), "symbols": ("C", "D"), "right_choice": 1}
    pair = PairLabeller(task(), task().design())(BOX, other, 0)
    assert pair.original.prompt.text == (
        "The box is red. What color is the box?\nA. red\nB. blue\nAnswer:"
    )
    assert pair.counterfactual.prompt.text == (
        "The box is red. What color is the box?\nC. blue\nD. red\nAnswer:"
    )
    assert (pair.original.answer_prefix, pair.original.answer) == (" ", "A")
    assert pair.predictions == {
        "none": "A",
        "all": "D",
        "answer_pointer": "B",
        "answer": "D",
        "color": "A",
    }
    assert pair.kinds["answer_pointer"] == "third"
    assert pair.decisive


@pytest.mark.parametrize("template", list(load_task("mcqa").templates))
@pytest.mark.parametrize("right_choice", [0, 1])
def test_spans_show_what_they_say(template: str, right_choice: int) -> None:
    pair = PairLabeller(task(), task().design())(
        BOX | {"template": template, "right_choice": right_choice}, BOX, 0
    )
    prompt = pair.original.prompt
    shown = {(s.name, s.mention): prompt.text[s.start : s.end] for s in prompt.spans}
    assert shown["fact_color", 0] == ("red", "blue")[right_choice]
    assert shown["fact_color", 0] in shown["fact", 0]
    assert shown["question", 0].endswith("?")
    for number, (symbol, color) in enumerate(zip("AB", ("red", "blue"), strict=True), start=1):
        choice = shown[f"choice_{number}", 0]
        assert choice.endswith(color)
        assert choice.strip("(")[0] == symbol
        assert shown[f"symbol_{number}", 0] == symbol


@pytest.mark.parametrize(
    ("design", "pointer_stays", "symbols_stay", "color_stays"),
    [
        ("move_choice", False, True, True),
        ("change_symbols", True, False, True),
        ("move_and_change", False, False, True),
        ("other_color", False, False, False),
        ("fresh", False, False, False),
    ],
)
def test_what_the_designs_change(
    design: str, pointer_stays: bool, symbols_stay: bool, color_stays: bool
) -> None:
    for pair in pairs_of(design):
        o, c = pair.original.inputs, pair.counterfactual.inputs
        assert (o["right_choice"] == c["right_choice"]) is pointer_stays
        assert (o["symbols"] == c["symbols"]) is symbols_stay
        assert symbols_stay or not {*o["symbols"]} & {*c["symbols"]}
        assert (fact(o) == fact(c)) is color_stays
        assert (o["object"] == c["object"]) is (design != "fresh")
        assert o["template"] == c["template"]
        assert pair.original.answer == o["symbols"][o["right_choice"]]
        assert pair.counterfactual.answer == c["symbols"][c["right_choice"]]


def test_designs_and_hypotheses_are_the_ones_tested_here() -> None:
    designs = {"move_choice", "change_symbols", "move_and_change", "other_color", "fresh"}
    assert set(task().designs) == designs
    assert set(task().hypotheses) == {"answer_pointer", "answer", "color"}


@pytest.mark.parametrize("design", list(load_task("mcqa").designs))
def test_predictions_and_decisive_pairs(design: str) -> None:
    for pair in pairs_of(design):
        o, c = pair.original.inputs, pair.counterfactual.inputs
        named = {color: o["symbols"][k] for k, color in enumerate(o["colors"])}
        assert pair.predictions == {
            "none": o["symbols"][o["right_choice"]],
            "all": c["symbols"][c["right_choice"]],
            "answer_pointer": o["symbols"][c["right_choice"]],
            "answer": c["symbols"][c["right_choice"]],
            "color": named.get(fact(c)),
        }
        assert pair.decisive


def test_every_pair_of_positions_and_moves() -> None:
    """Original and counterfactual position, and which letters each has: all 16 combinations."""
    label = PairLabeller(task(), task().design())
    letters = (("A", "B"), ("C", "D"))
    for here, there, mine, yours in itertools.product((0, 1), (0, 1), letters, letters):
        o, c = (
            BOX | {"right_choice": k, "symbols": s}
            for k, s in zip((here, there), (mine, yours), strict=True)
        )
        predictions = label(o, c, 0).predictions
        assert predictions["none"] == mine[here]
        assert predictions["answer_pointer"] == mine[there]
        assert predictions["answer"] == predictions["all"] == yours[there]
        assert predictions["color"] == mine[there]


def test_only_the_decisive_designs_tell_pointer_and_letter_apart() -> None:
    for design in task().designs:
        apart = {
            len({pair.predictions[n] for n in ("none", "answer_pointer", "answer")}) == 3
            for pair in pairs_of(design)
        }
        assert apart == {design in ("move_and_change", "other_color", "fresh")}


def test_positions_and_templates_are_balanced() -> None:
    pairs = pairs_of("move_and_change")
    assert 0.4 < sum(pair.original.inputs["right_choice"] for pair in pairs) / PAIRS < 0.6
    for template in task().templates:
        share = sum(pair.original.inputs["template"] == template for pair in pairs) / PAIRS
        assert 0.08 < share < 0.28
