from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cfgen import generate

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Cli

TASKS = ("belief_tracking", "ioi")


@pytest.mark.parametrize("name", TASKS)
def test_json_shows_the_first_rows_of_generate(cli: Cli, name: str) -> None:
    shown = cli("preview", name, "-n", 4, "--seed", 5, "--json").json
    rows = generate(name, 1000, seed=5)["train"].select(range(4))
    for pair, row in zip(shown, rows, strict=True):
        assert pair["id"] == row["id"]
        assert pair["predictions"] == row["predictions"]
        for side in ("original", "counterfactual"):
            assert pair[side]["prompt"] == row[side]["prompt"]
            assert pair[side]["answer"] == row[side]["answer"]
            assert pair[side]["spans"] == row[side]["spans"]


def test_text_shows_prompts_words_predictions_and_kinds(cli: Cli) -> None:
    (pair,) = cli("preview", "ioi", "-n", 1, "--json").json
    shown = cli("preview", "ioi", "-n", 1).out
    for side in ("original", "counterfactual"):
        assert f"{pair[side]['prompt']} {pair[side]['answer']} " in shown
    for name, said in pair["predictions"].items():
        line = next(line for line in shown.splitlines() if f" {name} " in line)
        assert said in line
        assert pair["kinds"][name] in line
    assert "Decisive: none, output_position and output_token" in shown


def test_design_and_template(cli: Cli) -> None:
    options = ["--design", "visibility_flip", "--template", "tavern", "--json"]
    for pair in cli("preview", "belief_tracking", *options).json:
        assert pair["design"] == "visibility_flip"
        assert pair["original"]["variables"]["template"] == "tavern"
        assert pair["original"]["variables"]["visibility"] == "neither"


def test_mistakes(cli: Cli) -> None:
    cli("preview", "ioi", "-n", 0).failed("'-n'")
    cli("preview", "ioi", "--design", "fresh").failed("did you mean 'fresh_names'?")
    cli("preview", "ioi", "--template", "then").failed("did you mean 'then_went'?")
    cli("preview", "ioi", "--seed", "x").failed("'--seed'")


def test_more_pairs_than_there_are(cli: Cli, project: object) -> None:
    cli("preview", "toy", "-n", 100).failed("[too-few-pairs]", "ask for fewer")


def test_what_differs_between_the_prompts(cli: Cli) -> None:
    (pair,) = cli("preview", "ioi", "-n", 1, "--json").json
    sides = [pair[side]["variables"] for side in ("original", "counterfactual")]
    shown = cli("preview", "ioi", "-n", 1).out
    before, after = (", ".join(side["names"]) for side in sides)
    assert f"differs: names {before} -> {after}; subject " in shown


def test_tokens_of_a_tokenizer(cli: Cli, project: Path) -> None:
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers

    backend = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r" ?\w+|\S"), "isolated")
    backend.save(str(project / "tokenizer.json"))
    options = ["preview", "toy", "-n", 1, "--tokens", "--tokenizer", "./tokenizer.json"]
    (pair,) = cli(*options, "--json").json
    for side in (pair["original"], pair["counterfactual"]):
        offsets = side["tokens"]["offsets"]
        assert len(offsets) == len(side["tokens"]["ids"]) == 7
        assert "".join(side["prompt"][start:end] for start, end in offsets) == side["prompt"]
    shown = cli(*options).out
    assert shown.count("7 tokens: ") == 2
    assert "at: word_1 0   word_2 2   last 6" in shown


def test_tokens_are_those_of_the_default_lm(cli: Cli, project: object) -> None:
    cli("preview", "toy", "-n", 1, "--tokens").failed("no-such-lm")


def test_what_generate_is_told_preview_is_told(cli: Cli) -> None:
    pairs = cli("preview", "ioi", "-n", 9, "--decisive-only", "--reuse-prompts", "--json").json
    options = {"decisive_only": True, "reuse_prompts": True}
    rows = generate("ioi", 1000, **options)["train"].select(range(9))
    assert [pair["id"] for pair in pairs] == rows["id"]
    assert all(pair["decisive"] for pair in pairs)
