from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


PAPER: dict[str, dict[str, Any]] = {
    "original": {
        "characters": ["Bob", "Carla"],
        "containers": ["bottle", "cup"],
        "drinks": ["beer", "coffee"],
        "asked_character": 1,
        "asked_container": 1,
    },
    "counterfactual": {
        "characters": ["Carla", "Bob"],
        "containers": ["cup", "bottle"],
        "drinks": ["tea", "water"],
        "asked_character": 0,
        "asked_container": 0,
    },
}
NAMES: dict[str, dict[str, Any]] = {
    "original": {"names": ["Ann", "Ben"], "subject": 1, "place": "park", "object": "cup"},
    "counterfactual": {"names": ["Cid", "Eve"], "subject": 0, "place": "park", "object": "cup"},
}


def test_the_pair_of_the_paper(cli: Cli) -> None:
    ended = cli("predict", "belief_tracking", stdin=json.dumps(PAPER))
    assert (ended.code, ended.err) == (0, "")
    found = ended.json
    assert found["original"]["prompt"] == (
        "Bob and Carla are working in a busy restaurant. To complete an order, Bob grabs an "
        "opaque bottle and fills it with beer. Then Carla grabs another opaque cup and fills it "
        "with coffee. Question: What does Carla believe the cup contains? Answer:"
    )
    assert found["counterfactual"]["prompt"] == (
        "Carla and Bob are working in a busy restaurant. To complete an order, Carla grabs an "
        "opaque cup and fills it with tea. Then Bob grabs another opaque bottle and fills it "
        "with water. Question: What does Carla believe the cup contains? Answer:"
    )
    assert found["original"]["answer"] == found["predictions"]["none"] == "coffee"
    assert found["counterfactual"]["answer"] == found["predictions"]["all"] == "tea"
    assert found["predictions"]["answer_pointer"] == "beer"
    assert found["predictions"]["answer_payload"] == "tea"
    assert found["kinds"]["none"] == "original"
    assert found["kinds"]["answer_pointer"] == "third"
    assert found["kinds"]["answer_payload"] == "counterfactual"
    assert found["decisive"] is True
    assert found["original"]["variables"]["answer_pointer"] == 1
    spans = found["original"]["spans"]
    shown = [
        found["original"]["prompt"][span["start"] : span["end"]]
        for span in spans
        if span["name"] == "character_2"
    ]
    assert shown == ["Carla"] * 3


def test_the_other_task_with_its_default_template(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "pair.json"
    file.write_text(json.dumps(NAMES), encoding="utf-8-sig")
    found = cli("predict", "ioi", "--file", file, "--json").json
    assert found["original"]["variables"]["template"] == "then_went"
    assert found["predictions"] == {
        "none": "Ann",
        "all": "Eve",
        "output_position": "Ben",
        "output_token": "Eve",
    }
    assert found["kinds"]["output_position"] == "third"


def test_decisive_is_for_the_design_named(cli: Cli) -> None:
    agreeing = {"original": NAMES["original"], "counterfactual": NAMES["original"]}
    text = json.dumps(agreeing)
    assert cli("predict", "ioi", stdin=text).json["decisive"] is False
    kept = {**NAMES["counterfactual"], "subject": 1}
    text = json.dumps({"original": NAMES["original"], "counterfactual": kept})
    assert cli("predict", "ioi", stdin=text).json["decisive"] is False
    found = cli("predict", "ioi", "--design", "fresh_names_kept", stdin=text).json
    assert (found["decisive"], found["contrast"]) == (True, ["output_token"])


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["nothing was given", '{"original":']),
        ('{"a": 1,\n}', ["standard input:2", "[not-json]"]),
        ("[" * 100_000, ["[not-json]"]),
        ("[]", ["not an object with two sides"]),
        ('{"orignal": {}, "counterfactual": 1}', ["did you mean 'original'?", "is missing"]),
        ('{"original": {}, "original": {}, "counterfactual": {}}', ["given twice"]),
        (b"\xff", ["not UTF-8"]),
    ],
)
def test_what_is_not_a_pair(cli: Cli, text: str | bytes, parts: list[str]) -> None:
    cli("predict", "ioi", stdin=text).failed(*parts)


def test_problems_of_both_sides_come_together(cli: Cli) -> None:
    wrong = {
        "original": {**NAMES["original"], "plase": "bar"},
        "counterfactual": {**NAMES["counterfactual"], "names": ["Ann", "Ann"], "subject": "1"},
    }
    del wrong["original"]["place"]
    cli("predict", "ioi", stdin=json.dumps(wrong)).failed(
        "original: causal model 'ioi' has no input 'plase'",
        "did you mean 'place'?",
        "original: input 'place'",
        "counterfactual: input 'names'",
        "counterfactual: input 'subject' is '1'",
    )


def test_other_mistakes(cli: Cli, tmp_path: Path) -> None:
    cli("predict", "ioi", "--file", tmp_path / "none.json").failed("[unreadable-file]")
    cli("predict", "ioi", "--file", tmp_path).failed("[unreadable-file]")
    cli("predict", "ioi", "--design", "x", stdin="{}").failed("no design 'x'")
