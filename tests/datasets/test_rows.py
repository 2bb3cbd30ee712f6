"""Rows, against the same candidates made one by one in the plainest way."""

from __future__ import annotations

import hashlib
import itertools
import json
from typing import Any

import pytest

from cfgen import CfgenError, generate, load_task
from cfgen.counterfactuals import Pair
from cfgen.datasets import (
    Candidates,
    DatasetRecipe,
    candidate_pairs,
    draw_pairs,
    pairs_table,
    recipe,
    schema_of,
)
from cfgen.datasets.rows import table_chunks
from cfgen.tasks import list_tasks
from tests.datasets.plain import all_pairs, plain_row
from tests.sampling import one_in

DESIGNS = [(task, design) for task in sorted(list_tasks()) for design in load_task(task).designs]
GOLDEN = {
    # Task, design, whether it is balanced: SHA-256 of 300 rows with seed 5 and all templates. Only
    # a change to what a task says may change them.
    ("belief_tracking", "reorder", False): "d836bda5ada5544748503006f388df1e",
    ("belief_tracking", "reorder", True): "392d86ffa0f623368c7aa44ccda9a137",
    ("belief_tracking", "restate", False): "ec3292e864113a4a7c989d733ff33b84",
    ("belief_tracking", "restate", True): "f582b9d3471c92bda6c640c93bcdbc38",
    ("belief_tracking", "visibility_flip", False): "f0c4a8d3912f5c9799f3d6fbdc6822c0",
    ("factual_recall", "other_relation", True): "28f43f139ce4c10e15ea16519342413a",
    ("factual_recall", "other_fact", False): "318b48bc8a349e28931d90bbc8ad6afa",
    ("gender_bias", "other_profession", False): "90d8ef106c381ff954e1f579849056e0",
    ("hierarchical_equality", "change_left", False): "0e77c3d7e996e83085ae9548ee3da0a4",
    ("hierarchical_equality", "change_left", True): "5af5834e61d952d2da51749a89cb6118",
    ("hierarchical_equality", "change_right", False): "42b3b279613a7c079dd11b0ecdd24feb",
    ("hierarchical_equality", "change_right", True): "d7da854a824cfac48b687fff57e6a4b7",
    ("hierarchical_equality", "change_both", False): "403de58f3811813bac61ac0d86768ac6",
    ("ioi", "swap_names", False): "e54484ac133dddc3f6e435d882b8d92e",
    ("ioi", "swap_names", True): "a201ff20e0fd172d993cd84b026b47d9",
    ("ioi", "swap_subject", False): "06070abbaf0667861bc1256e43bc41ba",
    ("ioi", "swap_subject", True): "870a4c3da856c7f6e6a4fa08131cce2e",
    ("ioi", "fresh_names", False): "1c7ca1833c6c82f22388716d847ba2a5",
    ("mcqa", "move_choice", False): "e69392ba6f197c7629314f8428c369e4",
    ("mcqa", "move_choice", True): "d95288dbe48b2a5e3fa5f8dd666b76c4",
    ("mcqa", "change_symbols", False): "f845c30085e1e048b2c1f558ee75470d",
    ("mcqa", "change_symbols", True): "a7a459fd6baabde856c588365b7eb9ac",
    ("mcqa", "move_and_change", False): "e756a6d5350654b1b1a1d4984ee257ec",
    ("subject_verb_agreement", "flip_attractor", True): "7abd9baba06f33717995d3a3ab5b5c09",
    ("subject_verb_agreement", "other_sentence", False): "b2541ecd5b989d0691856c7b408ac2f1",
}


def assert_same(made: DatasetRecipe, start: int, stop: int) -> None:
    for candidates in made.candidates():
        chunk = table_chunks(candidates)(start, stop)
        plain = [plain_row(candidates, index) for index in range(start, stop)]
        assert chunk.content.schema == schema_of(made.task)
        assert chunk.content.to_pylist() == plain
        assert chunk.error is None
        pairs = candidate_pairs(candidates, stop - start, start)
        assert pairs_table(made.task, pairs).to_pylist() == plain
        for pair, row in zip(pairs, plain, strict=True):
            assert_pair(made, pair, row)
        texts = [(row["original"]["prompt"], row["counterfactual"]["prompt"]) for row in plain]
        assert len(set(zip(*chunk.hashes.tolist(), strict=True))) == len(set(texts))
        again = table_chunks(candidates)(start + 1, stop)
        assert again.hashes.tolist() == chunk.hashes[:, 1:].tolist()


def assert_pair(made: DatasetRecipe, pair: Pair, row: dict[str, Any]) -> None:
    """What a record has and a row has not."""
    assert pair.contrast == made.design.contrast
    for side in (pair.original, pair.counterfactual):
        assert list(side.inputs) == list(made.task.causal_model.domains)
        assert side.variables == made.task.causal_model.run(side.inputs)


@pytest.mark.parametrize("balance", one_in(2, [False, True]))
@pytest.mark.parametrize(("task", "design"), one_in(4, DESIGNS))
def test_builtin_tasks(task: str, design: str, balance: bool) -> None:
    made = recipe(task, 1000, design=design, seed=3, templates=["all"], balance=balance)
    assert_same(made, 7, 31)


@pytest.mark.parametrize(("task", "design", "balance"), one_in(2, GOLDEN))
def test_the_rows_are_the_ones_they_always_were(task: str, design: str, balance: bool) -> None:
    rows = hashlib.sha256()
    made = generate(task, 300, design=design, seed=5, templates=["all"], balance=balance)
    for name, split in made.items():
        for row in split:
            rows.update(json.dumps([name, row], ensure_ascii=False).encode())
    assert rows.hexdigest()[:32] == GOLDEN[task, design, balance]


def test_a_dataset_has_the_pairs_that_are_labelled_one_by_one(project) -> None:
    """Few stories, so that many candidates repeat one."""
    project.lexicon("things", [f"thing{number}" for number in range(15)])
    made = recipe(project.load(), 50, fractions={"train": 0.9, "test": 0.1})
    rows = {
        name: [(row["id"], row["index"]) for row in split]
        for name, split in generate(made.task, 50, fractions=dict(made.fractions)).items()
    }
    pairs: dict[str, list] = {}
    for split, some in all_pairs(made):
        pairs.setdefault(split.name, []).extend((pair.id, pair.index) for pair in some)
    assert rows == pairs
    assert rows["train"][-1][1] > len(rows["train"])  # some were passed over


def failing(project, message: str) -> None:
    path = project.root / "causal_models/toy.py"
    text = path.read_text()
    broken = f"    if things[0] == 'thing7':\n        raise ValueError({message!r})\n"
    assert "    return things[pointer]" in text
    path.write_text(
        text.replace("    return things[pointer]", broken + "    return things[pointer]")
    )


def first_failure(candidates: Candidates, start: int) -> tuple[int, CfgenError]:
    for index in itertools.count(start):
        try:
            plain_row(candidates, index)
        except CfgenError as error:
            return index, error
    raise AssertionError


def test_what_fails_is_said_and_only_when_it_is_needed(project) -> None:
    failing(project, "not this one")
    made = recipe(project.load(), 500, fractions={"train": 1.0})
    [candidates] = made.candidates()
    good, alone = first_failure(candidates, 0)
    assert 0 < good < 500
    chunk = table_chunks(candidates)(0, 500)
    assert len(chunk.content) == good
    assert str(chunk.error) == str(alone)
    assert chunk.error.__cause__ is not None
    assert "not this one" in str(chunk.error)
    with pytest.raises(CfgenError) as first:
        table_chunks(candidates)(good, 500)
    assert str(first.value) == str(alone)
    assert len(candidate_pairs(candidates, good)) == good
    with pytest.raises(CfgenError, match="not this one"):
        candidate_pairs(candidates, good + 1)
    generate(made.task, good, fractions={"train": 1.0})
    with pytest.raises(CfgenError, match="not this one"):
        generate(made.task, good + 1, fractions={"train": 1.0})


def test_the_first_candidate_that_fails_is_found_whatever_fails_later(project) -> None:
    """The pointer is computed before the answer, in all candidates, but fails in a later one."""
    failing(project, "early")
    path = project.root / "causal_models/toy.py"
    text = path.read_text()
    text = text.replace("def pointer(asked) -> int:", "def pointer(asked, things) -> int:")
    broken = "    if things[1] == 'thing9':\n        raise ValueError('late')\n    return asked"
    path.write_text(text.replace("    return asked", broken))
    made = recipe(project.load(), 500, fractions={"train": 1.0})
    [candidates] = made.candidates()
    seen = set()
    for start in range(0, 400, 25):
        good, alone = first_failure(candidates, start)
        seen.add(alone.problems[0].message.split(": ")[-1])
        if good > start:
            assert str(table_chunks(candidates)(start, 500).error) == str(alone)
    assert seen == {"early", "late"}


def test_templates_that_support_some_inputs_only(project) -> None:
    project.template(
        "---\nid: plain\ndescription: Words that are not the last one.\nshows: [things, asked]\n"
        "supports: {asked: [1]}\n---\n{{ thing_1 }} and {{ thing_2 }}, number {{ asked }} is\n"
    )
    project.design(
        'Design("fresh", counterfactual=[edits.resample("things", disjoint=True)],'
        ' contrast=["token"])'
    )
    for balance in (False, True):
        made = recipe(project.load(), 100, balance=balance)
        assert_same(made, 0, 30)
        assert {
            row["variables"]["asked"] for row in generate(made.task, 60)["train"]["original"]
        } == {1}


def test_an_answer_that_is_none_or_a_number(project) -> None:
    path = project.root / "causal_models/toy.py"
    text = path.read_text()
    text = text.replace("def answer(pointer, things) -> str:", "def answer(pointer, things):")
    text = text.replace("return things[pointer]", "return (None, 7)[pointer]")
    path.write_text(text.replace('contrast=["position", "token"]', 'contrast=["token"]'))
    made = recipe(project.load(), 40)
    assert_same(made, 0, 40)
    assert {pair.original.answer for pair in draw_pairs(made)} == {None, "7"}


def test_a_split_without_rows_has_no_pairs_to_draw(project) -> None:
    made = recipe(project.load(), 4, fractions={"train": 0.9999, "test": 0.0001})
    with pytest.raises(CfgenError, match="so small that it has no rows"):
        draw_pairs(made, split="test")
