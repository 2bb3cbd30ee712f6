"""Requirements in datasets: every row of every split meets them, on both sides."""

from __future__ import annotations

from pathlib import Path

import pytest

from cfgen import CfgenError, load_task
from cfgen.datasets import Candidates, Split, candidate_pairs, recipe, write_dataset
from cfgen.tasks import Task
from tests.projects import put_files

TASK = '''
"""Gift: one of two people gives away what they have."""

from cfgen import CausalModel, Design, Hypothesis, TaskDefinition
from cfgen import distinct, edits, integers, lexicon

model = CausalModel("gift", output="answer")
model.input("people", distinct(lexicon("names"), 3), each="person")
model.input("giver", integers(0, 2))
model.input("receiver", integers(0, 2))


@model.require
def giver_is_not_receiver(giver, receiver):
    """Nobody gives something to themselves."""
    return giver != receiver


@model.variable
def pointer(receiver):
    return receiver


@model.variable
def answer(pointer, people):
    return people[pointer]


task = TaskDefinition(
    model,
    [
        Design("other", counterfactual=[edits.resample("receiver", disjoint=True)]),
        Design("all_new", counterfactual=[
            edits.resample("people", disjoint=True), edits.resample("giver"),
            edits.resample("receiver"),
        ]),
        Design("broken", counterfactual=[edits.copy("receiver", of="giver")]),
    ],
    [Hypothesis("pointer", ["pointer"])],
    version="1",
    default_design="other",
    default_model="smollm2-135m",
)
'''  # fmt: skip
TEMPLATE = """---
id: plain
description: One sentence.
shows: [people, giver, receiver]
---
{{ person_1 }}, {{ person_2 }} and {{ person_3 }} meet. {{ people[giver] }} gives a key to \
{{ people[receiver] }}. Now the key is with
"""


@pytest.fixture
def task(tmp_path: Path) -> Task:
    files = {"causal_models/gift.py": TASK, "templates/gift/plain.jinja": TEMPLATE}
    put_files(tmp_path, files)
    return load_task("gift", tmp_path)


@pytest.mark.parametrize("balance", [False, True])
@pytest.mark.parametrize("design", ["other", "all_new"])
def test_both_sides_of_all_pairs_meet_it(task: Task, design: str, balance: bool) -> None:
    domains = task.causal_model.domains
    chosen = task.design(design)
    candidates = Candidates(task, chosen, domains, split=Split("all"), balance=balance)
    pairs = list(candidate_pairs(candidates, 200))
    for pair in pairs:
        for side in (pair.original, pair.counterfactual):
            assert side.variables["giver"] != side.variables["receiver"]
    assert [p.id for p in candidate_pairs(candidates, 50)] == [p.id for p in pairs[:50]]
    receivers = [pair.counterfactual.variables["receiver"] for pair in pairs]
    assert {*receivers} == {0, 1, 2}


@pytest.mark.parametrize("tied", [False, True])
def test_coverage_is_exact_where_no_requirement_is_about_words(
    task: Task, tmp_path: Path, tied: bool
) -> None:
    if tied:
        file = tmp_path / "causal_models/gift.py"
        text = file.read_text(encoding="utf-8").replace("(giver, receiver):", "(giver, people):", 1)
        text = text.replace(
            "return giver != receiver", "return giver != 0 or people[0] < people[1]"
        )
        file.write_text(text, encoding="utf-8")
        task = load_task("gift", tmp_path)
    manifest = write_dataset(recipe(task, 24, design="all_new"), tmp_path / "out")
    assert {each.exact for each in manifest.coverage.values()} == {not tied}


def test_a_design_that_breaks_it_is_named(task: Task) -> None:
    candidates = Candidates(
        task, task.design("broken"), task.causal_model.domains, split=Split("all")
    )
    with pytest.raises(CfgenError, match="design-breaks-requirement") as caught:
        list(candidate_pairs(candidates, 1))
    (problem,) = caught.value.problems
    assert "'giver_is_not_receiver' holds for 6" in problem.message
    assert "of originals and 0.0% of counterfactuals" in problem.message
    assert problem.where == task.design("broken").where


def test_the_card_names_it(task: Task, tmp_path: Path) -> None:
    write_dataset(recipe(task, 24, design="all_new"), tmp_path / "out")
    card = (tmp_path / "out/README.md").read_text(encoding="utf-8")
    assert "required of all inputs: `giver_is_not_receiver`" in card
