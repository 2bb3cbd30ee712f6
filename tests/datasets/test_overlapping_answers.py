"""Answers that share a text that is right for both do not tell hypotheses apart."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cfgen import CfgenError, load_task
from cfgen.counterfactuals import is_decisive
from cfgen.datasets import candidate_pairs, recipe

ACCEPTED = {"map or key": ("map", "key"), "key": ("key",), "cup": ("cup", "Cup"), "?": ("cup",)}
CASES = [
    (("map or key", "cup"), True),
    (("map or key", "key"), False),
    (("key", "cup"), True),
    (("cup", "?"), False),
    (("key", "cup", "map or key"), False),
    (("key", None), True),
    ((None, None), False),
    (("key",), False),
]


@pytest.mark.parametrize(("predictions", "decisive"), CASES)
def test_answers_that_share_a_text(predictions: tuple[str | None, ...], decisive: bool) -> None:
    assert is_decisive(predictions, ACCEPTED.__getitem__) is decisive


@pytest.mark.parametrize("predictions", [case for case, _ in CASES])
def test_without_other_texts_answers_are_compared(predictions: tuple[str | None, ...]) -> None:
    assert is_decisive(predictions) is (len({*predictions}) == len(predictions) > 1)


def test_pairs_of_a_task() -> None:
    task = load_task("ioi")
    design = next(name for name, each in task.designs.items() if each.contrast)
    plain, same, other = (
        candidate_pairs(recipe(replace(task, accept=accept), 20, design=design).candidates()[0], 20)
        for accept in (None, lambda answer: [answer, "somebody"], lambda a: [a, a.lower()])
    )
    assert any(pair.decisive for pair in plain)
    assert not any(pair.decisive for pair in same)
    assert [pair.decisive for pair in other] == [pair.decisive for pair in plain]
    assert [pair.id for pair in other] == [pair.id for pair in plain]


def test_an_accept_that_fails_is_named() -> None:
    task = replace(load_task("ioi"), accept=lambda answer: [answer][1])  # type: ignore[arg-type]
    candidates = recipe(task, 8).candidates()[0]
    with pytest.raises(CfgenError, match="bad-accept"):
        candidate_pairs(candidates, 8)
