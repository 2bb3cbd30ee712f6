"""What may be answered in a task, and the texts that count as each answer."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any, Literal

import pytest

from cfgen import CausalModel, choice, integers
from cfgen.counterfactuals import answers_of
from cfgen.datasets import draw_pairs, recipe
from cfgen.errors import CfgenError
from cfgen.tasks import accepted_texts, candidates_of, load_task, output_texts


def model_of(kind: Any) -> CausalModel:
    """A model whose output is annotated so."""
    model = CausalModel("toy", output="answer")
    model.input("number", integers(0, 3))

    def answer(number: int) -> Any:
        return number

    answer.__annotations__["return"] = kind
    model.variable(answer)
    return model


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        (str, ()),
        (bool, ("True", "False")),
        (Literal["yes", "no"], ("yes", "no")),
        (Literal["yes", "no"] | None, ("yes", "no")),
        (Literal[1, 2], ("1", "2")),
        (str | None, ()),
        (tuple[str, ...], ()),
    ],
)
def test_outputs_that_their_type_lists(kind: Any, texts: tuple[str, ...]) -> None:
    assert output_texts(model_of(kind)) == texts


def test_outputs_of_a_domain() -> None:
    model = CausalModel("toy", output="word")
    model.input("word", choice(("tea", "milk")))
    assert output_texts(model) == ("tea", "milk")


def test_candidates_are_declared_or_listed_or_those_of_the_pairs() -> None:
    task = load_task("mcqa")
    pairs = draw_pairs(recipe("mcqa", 6))
    assert candidates_of(task, pairs) == {answer: (answer,) for answer in answers_of(pairs)}
    declared = replace(task, candidates=("A", "B"))
    assert candidates_of(declared, pairs) == {"A": ("A",), "B": ("B",)}
    lower = replace(declared, accept=lambda answer: [answer, answer.lower(), answer])
    assert candidates_of(lower, pairs) == {"A": ("A", "a"), "B": ("B", "b")}


def test_answers_of_pairs_are_theirs_and_what_is_predicted() -> None:
    pairs = draw_pairs(recipe("ioi", 4))
    found = answers_of(pairs)
    texts = [text for pair in pairs for text in pair.predictions.values()]
    assert list(found) == list(dict.fromkeys(texts)) or set(found) == {*texts}
    assert all("in pair" in where for where in found.values())


COUNTER = itertools.count()


@pytest.mark.parametrize(
    ("accept", "said"),
    [
        (lambda answer: answer, "gives a str, not a list"),
        (lambda answer: [], "gives no text"),
        (lambda answer: [answer, 3], "gives 3, which is not a text"),
        (lambda answer: [""], "gives '', which is not a text"),
        (lambda answer: {answer}, "gives a set, not a list"),
        (lambda answer: [str(next(COUNTER))], "gives other texts when it is called again"),
        (lambda answer: [int(answer)], "raises ValueError"),
    ],
)
def test_what_accept_may_not_give(accept: Any, said: str) -> None:
    with pytest.raises(CfgenError, match="bad-accept") as caught:
        accepted_texts(accept, ["tea"], "toy.py:3")
    (problem,) = caught.value.problems
    assert said in problem.message
    assert problem.where == "toy.py:3"


def test_every_answer_that_accept_is_wrong_about_is_named() -> None:
    with pytest.raises(CfgenError) as caught:
        accepted_texts(lambda answer: [], ["tea", "milk", "tea"], "")
    assert [p.message[:14] for p in caught.value.problems] == ["accept('tea') ", "accept('milk')"]
