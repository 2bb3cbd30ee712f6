"""Pairs for ``cfgen predict`` that somebody changed at random."""

from __future__ import annotations

from pathlib import Path
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from cfgen.cli.pairs import complete_sides, parse_pair
from cfgen.datasets import PairLabeller
from cfgen.report import pair_record
from cfgen.tasks import load_task
from tests.hostile import as_json, damaged, fuzzed, mutated, survives

SIDE = {"words": ["ball", "bear"], "asked": 0}
PAIR = {"original": SIDE, "counterfactual": {**SIDE, "asked": 1}}


@fuzzed(100)
@given(st.integers(0, 2**48))
def test_hostile_pairs_to_predict(project: Path, seed: int) -> None:
    rng, task = Random(seed), load_task("toy")
    content = as_json(PAIR)
    content = as_json(mutated(PAIR, rng)) if rng.random() < 0.8 else damaged(content, rng)
    text = content.decode("utf-8", "replace")

    def predict() -> object:
        sides = complete_sides(task, parse_pair(text, "pair.json"))
        pair = PairLabeller(task, task.design(None))(sides["original"], sides["counterfactual"])
        return pair_record(pair)

    survives(predict)
