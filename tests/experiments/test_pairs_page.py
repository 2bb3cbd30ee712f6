"""docs/pairs.md: what it makes of the forms of others can be asked about."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cfgen.counterfactuals import Side
from cfgen.errors import CfgenError
from cfgen.experiments import (
    MemoryStore,
    RunRecord,
    experiment_of,
    look_up,
    override,
    read_experiment,
    run_experiment,
)
from cfgen.lm import LM
from tests.pages import blocks_of, exec_here, run_here, write_files

PAGE = Path(__file__).parents[2] / "docs" / "pairs.md"
FILES = [block.label for block in blocks_of(PAGE) if block.label.endswith(".yaml")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pairs")
    write_files(PAGE, made)
    for block in blocks_of(PAGE):
        if block.language == "python":
            exec_here(made, block.text)
    return made


@pytest.mark.parametrize("name", FILES)
def test_every_recipe_gives_pairs_with_the_positions_that_are_asked_for(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    inquiry = look_up(read_experiment(Path(name)))
    for pair in inquiry.source.pairs:
        for side in (pair.original, pair.counterfactual):
            named = {span.name for span in side.prompt.spans}
            for site in inquiry.sites.values():
                assert {position.partition("[")[0] for position in site.positions} <= named
        assert pair.original.prompt.text != pair.counterfactual.prompt.text


def test_what_the_recipes_say(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    first = {name: look_up(read_experiment(Path(name))).source.pairs[0] for name in FILES}
    mib = first["mib.yaml"]
    assert (mib.original.answer, mib.counterfactual.answer) == ("Nora", "Paul")
    gym = first["causalgym.yaml"]
    assert (gym.original.prompt.text, gym.original.answer) == ("The pilot near the boats", "is")
    assert [gym.original.prompt.text[s.start : s.end] for s in gym.original.prompt.spans] == [
        "The", "pilot", "near the", "boats",
    ]  # fmt: skip
    assert gym.counterfactual.prompt.text == "The pilots near the boats"
    ravel = look_up(read_experiment(Path("ravel.yaml"))).source.pairs
    assert len(ravel) == 12
    assert {
        (pair.original.variables["template"], pair.kinds["holds_country"]) for pair in ravel
    } == {("Country", "counterfactual"), ("Continent", "original")}
    quoted = ravel[1].original
    assert quoted.prompt.text.endswith('"country": "')
    assert (quoted.answer_prefix, ravel[0].original.answer_prefix) == ("", " ")
    bias = look_up(read_experiment(Path("winobias.yaml"))).source.pairs
    assert [
        (pair.original.prompt.text, pair.original.slots["who"], pair.counterfactual.slots["who"],
         pair.original.answer, pair.counterfactual.answer)
        for pair in bias
    ] == [
        ("The carpenter thanked the nurse because", "carpenter", "librarian", "he", "she"),
        ("The carpenter thanked the nurse because", "nurse", "plumber", "she", "he"),
        ("The plumber waved at the librarian since", "plumber", "nurse", "he", "she"),
        ("The plumber waved at the librarian since", "librarian", "carpenter", "she", "he"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["mib", "causalgym", "ravel", "winobias"])
def test_every_recipe_is_run_on_an_lm_that_answers(
    folder: Path, name: str, build_tiny_lm: Callable[..., LM], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows of each recipe, but with what a tiny LM says for answers."""
    monkeypatch.chdir(folder)
    experiment = read_experiment(Path(f"{name}.yaml"))
    pairs = look_up(experiment).source.pairs
    sides = [(pair.original, pair.counterfactual) for pair in pairs]
    texts = " ".join(side.prompt.text for both in sides for side in both)
    words = {"yes", "no", *re.findall(r"\w+|[^\w\s]", texts)}
    rows: list[dict[str, Any]] = []
    for seed in range(50):  # not every one says words
        lm = build_tiny_lm(sorted(words), seed=seed)
        rows = [json.loads(line) for line in Path(f"{name}.jsonl").read_text().splitlines()]
        for row, (original, counterfactual) in zip(rows, sides, strict=True):
            row |= {"answer_prefix": "", "original_answer": said_by(lm, original)}
            row["counterfactual_answer"] = said_by(lm, counterfactual)
            row |= {k: row["counterfactual_answer"] for k in row if k.startswith("predicts.")}
        rows = [row for row in rows if row["original_answer"] and row["counterfactual_answer"]]
        if len(rows) >= len(pairs) / 2:
            break
    assert len(rows) >= len(pairs) / 2
    Path("said.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    inquiry = look_up(override(experiment, ["pairs=said.jsonl"]))
    found = run_experiment(lm, inquiry, MemoryStore())
    assert isinstance(found, RunRecord)
    assert len(found.behaviour.kept) == len(rows)
    assert {cell.hypothesis for cell in found.cells} == {"none", *inquiry.sites}


def said_by(lm: LM, side: Side) -> str:
    """The token that an LM says next, as text; empty if that is no word with a space before it."""
    ids = lm.tokenizer(side.prompt.text)["input_ids"]
    token = int(lm.model(torch.tensor([ids])).logits[0, -1].argmax())
    text = str(lm.tokenizer.decode([token]))
    back = lm.tokenizer(side.prompt.text + text)["input_ids"]
    return text if back == [*ids, token] and text.startswith(" ") and text.strip() else ""


def test_how_many_rows_and_of_which_split(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert len(look_up(experiment_of(None, {"pairs": "capitals.csv"})).source.pairs) == 3
    assert len(look_up(experiment_of(None, {"pairs": "capitals.csv", "n": 2})).source.pairs) == 2
    with pytest.raises(CfgenError, match="too-few-pairs"):
        look_up(experiment_of(None, {"pairs": "capitals.csv", "n": 5}))
    with pytest.raises(CfgenError, match="a file of pairs has no splits"):
        experiment_of(None, {"pairs": "capitals.csv", "split": "dev"})
    Path("many").mkdir()
    shutil.copy("capitals.csv", "many/dev.csv")
    asked = experiment_of(None, {"pairs": "many", "split": "validation"})
    assert len(look_up(asked).source.pairs) == 3
    assert experiment_of(None, {"pairs": "hub:a/b", "split": "dev"}).split == "dev"


@pytest.mark.slow
def test_the_first_file_is_run_on_a_real_lm(folder: Path) -> None:
    (command,) = (block.text for block in blocks_of(PAGE) if block.language == "sh")
    shown = run_here(folder, command.strip() + " --layers 20-29")
    assert "all: best at layers" in shown
    assert "(n = 3 pairs)" in shown
