"""What a user has in hand says in one line what it is."""

from __future__ import annotations

import re
from typing import Any

import pytest

import cfgen
from cfgen.datasets import recipe
from cfgen.experiments import Experiment
from cfgen.prompts import parse_position

MOST = 160


@pytest.fixture(scope="module")
def things(tiny_lm: Any) -> dict[str, Any]:
    task = cfgen.load_task("belief_tracking")
    pairs = task.sample(2)
    pair = pairs[0]
    return {
        "Task": task,
        "Pairs": pairs,
        "Pair": pair,
        "Side": pair.original,
        "Prompt": pair.original.prompt,
        "CausalModel": task.causal_model,
        "Design": task.design(),
        "Hypothesis": task.hypothesis("source_frozen"),
        "Site": task.hypothesis("answer_pointer").site,
        "Position": parse_position("item_1[0].all"),
        "LM": tiny_lm,
        "Experiment": Experiment(task="belief_tracking"),
        "edit": task.design().counterfactual[0],
    }


def test_reprs_are_one_short_line_without_an_address(things: dict[str, Any]) -> None:
    for name, thing in things.items():
        shown = repr(thing)
        assert "\n" not in shown, name
        assert not re.search(r"0x[0-9a-f]{6}", shown), shown
        if name != "Experiment":  # which says all of its fields, as pydantic's records do
            assert len(shown) <= MOST, shown


def test_what_they_say(things: dict[str, Any]) -> None:
    assert repr(things["Task"]) == "Task(belief_tracking, 7 designs, 13 hypotheses, 6 templates)"
    assert repr(things["Pairs"]) == "Pairs(belief_tracking, restate, n=2, decisive=2)"
    assert repr(things["Pair"]).startswith("Pair(belief_tracking, restate, ")
    assert repr(things["Side"]).endswith(f"-> {things['Side'].answer!r})")
    assert repr(things["CausalModel"]).endswith("output answer)")
    assert repr(things["LM"]).endswith("float32 on cpu)")


def test_recipes_are_not_so_long_that_nobody_reads_them() -> None:
    assert len(repr(recipe("mcqa", 5))) < 400
