"""A new operation is one class: all that is done with edits is then done with it as well."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from cfgen import CfgenError, generate, load_task
from cfgen.counterfactuals import edits
from cfgen.search import (
    DesignRequest,
    comparison_of,
    design_shares,
    prove,
    recheck,
    search,
)
from cfgen.tasks import Task
from tests.projects import put_files

TASK = '''
"""Queue: the first of three words is called."""

from cfgen import CausalModel, Design, Hypothesis, TaskDefinition, distinct, lexicon
from cfgen.counterfactuals.operation import CERTAIN, InputEdit


class Next(InputEdit):
    """Everybody moves up by one, and somebody new comes last."""

    verb = "next"

    def redrawn(self, domain):
        return frozenset([0])

    def problem(self, domains):
        return "" if domains[self.input].arity else "it is no queue"

    def apply(self, inputs, domains, rng):
        old = inputs[self.input]
        return (*old[1:], domains[self.input].of.sample(rng, old))

    def outcomes(self, inputs):
        old = inputs.now(self.input)
        for new, chance in inputs.drawn(self.input, 1, old):
            yield (*old[1:], *new), chance

    @classmethod
    def tried(cls, name, domain, sources, palette):
        if domain.arity:
            yield (cls(name),)


model = CausalModel("queue", output="called")
model.input("words", distinct(lexicon("names"), 3))


@model.variable
def called(words):
    return words[0]


task = TaskDefinition(
    causal_model=model,
    designs=[Design("next", counterfactual=Next(INPUT), contrast=["called"])],
    hypotheses=[Hypothesis("called", interchange=["called"])],
    version="1",
    default_design="next",
    default_model="no-such-lm",
)
'''
TEMPLATE = """\
---
id: plain
description: One line.
shows: [words]
---
{{ word_1 }}, {{ word_2 }} and {{ word_3 }} wait. The next one is
"""


def queue(folder: Path, name: str = '"words"') -> Task:
    files = {
        "causal_models/queue.py": TASK.replace("INPUT", name),
        "templates/queue/plain.jinja": TEMPLATE,
        "data/lexicons/names.txt": "\n".join(f"Name{chr(65 + k)}" for k in range(24)) + "\n",
    }
    put_files(folder, files)
    return load_task("queue", folder)


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return queue(tmp_path)


def test_it_is_written_and_checked(task: Task, tmp_path: Path) -> None:
    [edit] = task.designs["next"].counterfactual
    assert (str(edit), edit.code) == ("next(words)", 'edits.next("words")')
    assert task.designs["next"].words_needed(task.causal_model.domains) == {"names": 4}
    with pytest.raises(CfgenError, match=r"next\(word\) names an input 'word'"):
        queue(tmp_path, '"word"')


@pytest.mark.parametrize("balance", [False, True])
def test_pairs_are_made_with_it(task: Task, balance: bool) -> None:
    rows = [row for split in generate(task, 20, balance=balance).values() for row in split]
    assert len(rows) == 20
    for row in rows:
        before, after = (row[side]["variables"]["words"] for side in ("original", "counterfactual"))
        assert after[:2] == before[1:]
        assert after[2] not in before


def test_all_that_it_can_draw_is_enumerated(task: Task) -> None:
    comparison = comparison_of(task)
    assert design_shares(comparison, task.designs["next"]).differ("called", "none") == 1
    proof = prove(task, "called", "all", design="next")
    assert (proof.answer, proof.cases, proof.pairs) == ("same", 1, 24 * 23 * 22 * 21)
    assert recheck(proof, task) == []
    witness = prove(task, "called", "none", design="next")
    assert (witness.answer, recheck(witness, task)) == ("differ", [])


def test_a_search_tries_it(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    [edit] = task.designs["next"].counterfactual
    operations = (*edits.OPERATIONS[:-2], type(edit), *edits.OPERATIONS[-2:])
    monkeypatch.setattr(edits, "OPERATIONS", operations)
    found = search(comparison_of(task), DesignRequest(top=20))
    tried = [each.design for each in found.best]
    assert any(edit in design.counterfactual for design in tried) or found.best[0].alike
    assert found.compositions > search_without(task, monkeypatch)


def search_without(task: Task, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.undo()
    return search(comparison_of(task), DesignRequest()).compositions


def test_its_draws_are_as_random_as_it_says(task: Task) -> None:
    """The probabilities of a search are those of what is drawn."""
    [edit] = task.designs["next"].counterfactual
    domains = task.causal_model.domains
    old = ("NameA", "NameB", "NameC")
    drawn = {edit.apply({"words": old}, domains, random.Random(k))[2] for k in range(900)}
    assert drawn == {f"Name{chr(65 + k)}" for k in range(3, 24)}
