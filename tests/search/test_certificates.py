"""Certificates: known answers, agreement with brute force, and what cannot be decided."""

from __future__ import annotations

import itertools
import math

import pytest

from cfgen import CfgenError, load_task
from cfgen.counterfactuals import Predictor
from cfgen.search import Certificate, prove, recheck
from cfgen.tasks import Task
from tests.search.brute import every_pair
from tests.search.conftest import Make

NAMES = ("none", "all", "pointer", "payload")


def brute_differ(task: Task, one: str, other: str, design: str | None) -> tuple[bool, int]:
    """Whether two hypotheses differ on some pair, and how many pairs there are."""
    model = task.causal_model
    program, names = model.program, [*model.domains]
    predict = Predictor(program, task.hypotheses.values())
    everything = list(itertools.product(*model.domains.values()))
    pairs = list(itertools.product(everything, everything))
    if design is not None:
        pairs = list(every_pair(task.designs[design], model.domains))
    made = (
        predict(*(program.run(dict(zip(names, side, strict=True))) for side in pair))
        for pair in pairs
    )
    return any(str(said[one]) != str(said[other]) for said in made), len(pairs)


@pytest.mark.parametrize("design", [None, "swap", "fresh", "fixed"])
def test_agrees_with_looking_at_every_pair(make: Make, design: str | None) -> None:
    task = make(words=("ball", "bear", "boat", "drum"))
    for one, other in itertools.combinations(NAMES, 2):
        found = prove(task, one, other, design=design)
        differ, pairs = brute_differ(task, one, other, design)
        assert found.answer == ("differ" if differ else "same")
        assert recheck(found, task) == []
        assert found.wording == ["loud"]
        # the input that only changes the wording has two values on each side that may differ
        assert found.pairs * (4 if design is None else 2) == pairs


def test_words_that_differ_in_how_they_are_spelled(make: Make) -> None:
    task = make("'long' if len(payload) > 4 else 'short'", words=("ball", "bear", "boat"))
    found = prove(task, "pointer", "none")
    assert found.answer == "same"  # all words are equally long
    assert found.interchangeable == {"toys": 3}
    assert found.looked_at == ["len()"]
    assert found.evidence == "every pair up to renaming"
    assert (found.cases, found.pairs) == (24, math.perm(3, 2) ** 2 * 4)
    assert recheck(found, task) == []
    other = make("'long' if len(payload) > 4 else 'short'", words=("ball", "bear", "boats"))
    assert prove(other, "pointer", "none").answer == "differ"


def test_a_word_that_the_task_names(make: Make) -> None:
    task = make("'yes' if payload == 'kite' else 'no'")
    found = prove(task, "pointer", "all")
    assert found.answer == "differ"
    assert found.alone == ["kite"]
    assert found.interchangeable == {"toys": 5}
    assert recheck(found, task) == []
    assert recheck(prove(task, "payload", "all"), task) == []


def test_only_pairs_that_a_template_shows_count(make: Make) -> None:
    assert prove(make(), "pointer", "none").answer == "differ"
    task = make(supports="{asked: [0]}")
    found = prove(task, "pointer", "none")
    assert (found.answer, found.cases) == ("same", 7)
    assert recheck(found, task) == []


def test_undecided_is_another_answer(make: Make) -> None:
    many = tuple(f"w{index:02}" for index in range(40))
    task = make("payload[1:]", words=many)
    found = prove(task, "payload", "all", sampled=50)
    assert (found.answer, found.cases, found.digest) == ("undecided", 50, None)
    assert recheck(found, task) == []
    seen = prove(make("payload[1:]", words=many), "payload", "none", sampled=50)
    assert (seen.answer, seen.witness is not None) == ("differ", True)
    assert recheck(seen, make("payload[1:]", words=many)) == []


def test_names_that_do_not_exist(make: Make) -> None:
    with pytest.raises(CfgenError, match="no hypothesis 'poiner'") as caught:
        prove(make(), "poiner", "none")
    assert caught.value.problems[0].hint == "did you mean 'pointer'?"
    with pytest.raises(CfgenError, match="no design 'frsh'"):
        prove(make(), "pointer", "none", design="frsh")


@pytest.mark.parametrize(
    ("one", "other", "design", "answer", "cases"),
    [
        ("answer_payload", "none", "reorder", "same", 2),
        ("answer_payload", "none", "restate", "differ", 2),
        ("answer_pointer", "answer_payload", "restate", "differ", 2),
        ("answer_pointer", "answer_payload", "matched", "same", 2),
        ("answer_payload", "all", "fresh", "same", 2),
    ],
)
def test_belief_tracking(one: str, other: str, design: str, answer: str, cases: int) -> None:
    task = load_task("belief_tracking")
    found: Certificate = prove(task, one, other, design=design)
    assert (found.answer, found.cases) == (answer, cases)
    assert found.interchangeable == {"characters": 100, "containers": 30, "drinks": 30}
    assert found.wording == ["template"]
    assert recheck(found, task) == []


def test_ioi() -> None:
    task = load_task("ioi")
    assert prove(task, "output_token", "all").answer == "same"
    assert prove(task, "output_position", "output_token", design="fresh_names").answer == "differ"
    same = prove(task, "output_position", "all", design="swap_subject")
    assert (same.answer, same.cases) == ("same", 2)
    assert same.pairs == 2 * 71 * 70
    assert same.wording == ["template", "place", "object"]
    assert recheck(same, task) == []
