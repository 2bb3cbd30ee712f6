"""Pairs for ``cfgen predict`` that somebody changed at random."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cli.conftest import Cli
from tests.hostile import as_json, damaged, fuzzed, limited, mutated

SIDE = {"words": ["ball", "bear"], "asked": 0}
PAIR = {"original": SIDE, "counterfactual": {**SIDE, "asked": 1}}


def test_half_a_character(cli: Cli, project: Path) -> None:
    side = {"words": ["\ud800", "bear"], "asked": 0}
    (project / "pair.json").write_bytes(as_json({"original": side, "counterfactual": side}))
    cli("predict", "toy", "--file", "pair.json").failed("not-a-pair", "half a character")


@pytest.mark.parametrize(
    ("verb", "name"),
    [("tasks", "toy"), ("tasks", "other"), ("show toy", "toy"), ("lint toy", "toy")],
)
def test_links_that_lead_round_in_a_circle(cli: Cli, project: Path, verb: str, name: str) -> None:
    file = project / "causal_models" / f"{name}.py"
    file.unlink(missing_ok=True)
    file.symlink_to(file.name)
    ended = cli(*verb.split())
    assert "internal-error" not in ended.err, ended.err
    assert ended.code in (0, 1, 2)


@fuzzed(40)
@given(st.integers(0, 2**48))
def test_hostile_pairs_to_predict(cli: Cli, project: Path, seed: int) -> None:
    rng, content = Random(seed), as_json(PAIR)
    content = as_json(mutated(PAIR, rng)) if rng.random() < 0.8 else damaged(content, rng)
    (project / "pair.json").write_bytes(content)
    with limited():
        ended = cli("predict", "toy", "--file", "pair.json")
    if ended.code:
        ended.failed("->")
        assert "internal-error" not in ended.err
