from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cfgen import load_task
from cfgen.cli.search import requirements
from cfgen.errors import CfgenError

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


@pytest.mark.slow
def test_belief_tracking_finds_the_paper_s_design_or_a_simpler_one(cli: Cli) -> None:
    options = ["--target", "answer_pointer", "--against", "answer_payload", "--json"]
    found = cli("design", "belief_tracking", *options).json
    declared = {design["name"]: design for design in found["declared"]}
    best = found["found"][0]
    assert best["decisive"] == 1
    assert declared["restate"]["decisive"] == 1
    assert len(best["changed"]) < len(declared["restate"]["changed"]) == 5
    assert declared["reorder"]["decisive"] == 0
    assert declared["reorder"]["why_not"] == (
        "answer_payload predicts what none predicts, in all 2 cases"
    )
    assert found["exact"]
    assert found["cases"] == 137_200
    assert ["answer_payload", "all"] in found["classes"]
    assert {*found["interchangeable"]} == {"characters", "containers", "drinks"}
    assert [part["pairs"] for part in found["cover"]] == [26]
    kinds = best["example"]["kinds"]
    assert kinds["answer_pointer"] == "third"
    assert kinds["answer_payload"] == "counterfactual"


def test_text_shows_code_that_can_be_pasted_and_an_example(cli: Cli) -> None:
    shown = cli("design", "ioi", "--top", 1).out
    assert (
        'counterfactual=[edits.resample("names", disjoint=True), edits.flip("subject")],' in shown
    )
    assert "1. decisive: every pair; separates 3 of 3; changes 2 inputs" in shown
    assert "Swapping output_position gives Adam, a third answer." in shown
    assert "  output_token = all" in shown
    declared = [line.split() for line in shown.splitlines() if "swap_" in line]
    assert [line[0] for line in declared] == ["swap_names", "swap_subject", "swap_both"]
    assert "26 pairs, which separate 3 of 3: design 1" in shown


@pytest.mark.slow
def test_an_example_is_what_predict_says(cli: Cli, tmp_path: Path) -> None:
    for task, side in (("ioi", {}), ("belief_tracking", {"template": "tavern"})):
        best = cli("design", task, "--json", "--top", 1).json["found"][0]["example"]
        given = {
            "original": side | best["original"],
            "counterfactual": side | best["counterfactual"],
        }
        rest = {
            name: next(iter(domain))
            for name, domain in load_task(task).causal_model.domains.items()
            if name not in given["original"]
        }
        pair = json.dumps({name: rest | values for name, values in given.items()})
        said = cli("predict", task, stdin=pair).json
        for name, text in best["predictions"].items():
            assert said["predictions"][name] == text
            assert said["kinds"][name] == best["kinds"][name]


def test_requirements(cli: Cli) -> None:
    found = cli("design", "ioi", "--require", "decisive", "--top", 9, "--json").json["found"]
    assert {design["decisive"] for design in found} == {1.0}
    never = cli("design", "ioi", "--require", "separates output_token,all")
    assert never.code == 1
    assert "none does what is required" in never.out
    few = cli("design", "ioi", "--require", "decisive", "--max-edits", 1)
    assert few.code == 1
    assert requirements(["decisive", "separates a, b"]) == (True, (("a", "b"),))
    with pytest.raises(CfgenError) as caught:
        requirements(["decisive now", "separates a", "b"])
    assert [problem.code for problem in caught.value.problems] == ["bad-requirement"] * 3


def test_mistakes(cli: Cli) -> None:
    cli("design", "ioi", "--target", "token").failed("there is no hypothesis 'token'")
    cli("design", "ioi", "--require", "separates all,token").failed("no hypothesis 'token'")
    cli("design", "ioi", "--share", 0).failed("[bad-share]")
    cli("design", "ioi", "--require", "more").failed("[bad-requirement]")
    cli("design", "ioi", "--power", 2).failed("[bad-plan]")
    cli("design", "ioi", "--max-edits", 0).failed("'--max-edits'")
    cli("design", "io").failed("did you mean 'ioi'?")


LARGE = """
\"\"\"Large: too many numbers.\"\"\"
from cfgen import CausalModel, Design, Hypothesis, TaskDefinition, edits, integers

model = CausalModel("large", output="answer")
model.input("number", integers(0, 99999))
model.input("asked", integers(0, 1))


@model.variable
def half(number: int) -> int:
    return number // 2


@model.variable
def answer(half: int, asked: int) -> str:
    return f"{half}" if asked else "no"


task = TaskDefinition(
    causal_model=model,
    designs=[Design("other", counterfactual=[edits.resample("number")])],
    hypotheses=[Hypothesis("half", interchange=["half"])],
    version="1",
    default_design="other",
    default_model="no-such-lm",
)
"""
SHOWN = """\
---
id: plain
description: One line.
shows: [number, asked]
---
{{ number }} {{ asked }}:
"""


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in {
        "causal_models/large.py": LARGE,
        "templates/large/plain.jinja": SHOWN,
    }.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_shares_have_an_interval_where_there_are_too_many_pairs(cli: Cli, large: Path) -> None:
    shown = cli("design", "large").out
    assert "pairs were drawn at random" in shown
    assert "1. decisive: 1.000 of 2,000 pairs (95 % 0.998 to 1.000); separates 1 of 1" in shown
    assert 'original=[edits.set("asked", 1)],' in shown
    found = cli("design", "large", "--json", "--require", "decisive").json
    assert found["exact"] is False
    assert found["found"][0]["low"] > 0.99
    never = cli("design", "large", "--require", "separates half,half")
    assert never.code == 1


def test_proving_may_end_undecided(cli: Cli, large: Path) -> None:
    ended = cli("prove", "large", "half", "half")
    assert ended.code == 1
    assert ended.out.startswith("Undecided after 20,000 pairs drawn at random")
