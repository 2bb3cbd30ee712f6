"""Requirements: what inputs must meet, in whatever draws, lists or is given them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfgen import CausalModel, CfgenError, choice, integers


def asked_is_not_the_giver(asked: int, giver: int) -> bool:
    return asked != giver


def model_with(*requirements: Callable[..., Any]) -> CausalModel:
    model = CausalModel("gift", output="y")
    for name in ("asked", "giver", "place"):
        model.input(name, integers(0, 2))
    for requirement in requirements:
        model.require(requirement)

    @model.variable
    def y(asked: int, giver: int) -> int:
        return 10 // (asked - giver)  # fails where the requirement is broken

    return model


def codes(model: CausalModel) -> list[str]:
    with pytest.raises(CfgenError) as caught:
        _ = model.program
    return [problem.code for problem in caught.value.problems]


@given(st.integers(0, 10**6))
def test_what_is_drawn_meets_it(seed: int) -> None:
    inputs = model_with(asked_is_not_the_giver).sample(random.Random(seed))
    assert inputs["asked"] != inputs["giver"]


def test_all_that_are_left_are_as_likely_as_before() -> None:
    model, rng = model_with(asked_is_not_the_giver), random.Random(0)
    drawn = [tuple(model.sample(rng).values()) for _ in range(18_000)]
    counts = [drawn.count(each) for each in set(drawn)]
    assert len(counts) == 18
    assert 850 < min(counts) <= max(counts) < 1_150


def test_what_is_listed_meets_it() -> None:
    model = model_with(asked_is_not_the_giver)
    every = list(model_with().enumerate())
    assert list(model.enumerate()) == [each for each in every if each["asked"] != each["giver"]]
    assert len(every) == 27


def test_what_is_given_has_to_meet_it() -> None:
    model = model_with(asked_is_not_the_giver)
    assert model.run({"asked": 2, "giver": 0, "place": 0})["y"] == 5
    broken = {"asked": 1, "giver": 1, "place": 0}
    for use in (
        lambda: model.run(broken),
        lambda: model.complete(broken),
        lambda: model.interchange(broken, {}),
        lambda: model.interchange({**broken, "asked": 0}, {"asked": broken}),
    ):
        with pytest.raises(CfgenError, match="broken-requirement") as caught:
            use()
        (problem,) = caught.value.problems
        assert "'asked_is_not_the_giver'" in problem.message
        assert "asked=1, giver=1" in problem.message
        assert problem.where.startswith(__file__)


def test_an_intervention_may_break_it() -> None:
    model = model_with(asked_is_not_the_giver)
    inputs = {"asked": 2, "giver": 0, "place": 0}
    assert model.intervene(inputs, {"giver": 1})["y"] == 10
    with pytest.raises(CfgenError, match="mechanism-failed"):
        model.intervene(inputs, {"giver": 2})


def of_nothing() -> bool:
    return True


def of_a_variable(y: int) -> bool:
    return y > 0


def of_a_mistyped_input(aksed: int) -> bool:
    return aksed > 0


def with_a_default(asked: int = 1) -> bool:
    return asked > 0


def giver(asked: int) -> bool:
    return asked > 0


def badly_annotated(asked: Nmber) -> bool:  # type: ignore[name-defined]  # noqa: F821
    return asked > 0


@pytest.mark.parametrize(
    ("requirement", "code"),
    [
        (of_nothing, "empty-requirement"),
        (of_a_variable, "requirement-of-variable"),
        (of_a_mistyped_input, "unknown-parent"),
        (with_a_default, "default-argument"),
        (giver, "duplicate-variable"),
        (badly_annotated, "bad-annotation"),
        (lambda asked: asked > 0, "bad-variable-name"),
        (3, "not-a-function"),
        (len, "not-a-function"),
    ],
)
def test_declarations_that_are_wrong(requirement: Any, code: str) -> None:
    assert codes(model_with(requirement)) == [code]


def test_two_of_one_name() -> None:
    assert codes(model_with(*[asked_is_not_the_giver] * 2)) == ["duplicate-variable"]


@pytest.mark.parametrize("found", [None, 1, "yes", (), 0.0])
def test_it_says_yes_or_no(found: Any) -> None:
    def always(asked: int) -> Any:
        return found

    with pytest.raises(CfgenError, match="requirement-not-bool"):
        model_with(always).sample(random.Random(0))


def test_it_may_fail() -> None:
    def divides(asked: int) -> bool:
        return 1 // asked > 0

    with pytest.raises(CfgenError, match=r"requirement 'divides'.*asked=0.*ZeroDivisionError"):
        model_with(divides).run({"asked": 0, "giver": 1, "place": 0})


def test_nothing_meets_it() -> None:
    def impossible(asked: int) -> bool:
        return asked > 2

    model = model_with(impossible)
    with pytest.raises(CfgenError, match=r"met each by itself: .impossible. 0\.0%"):
        model.sample(random.Random(0))
    assert list(model.enumerate()) == []


def test_values_are_told_apart_by_type() -> None:
    model = CausalModel("typed", output="y")
    model.input("x", choice([1, "1"]))

    @model.require
    def x_is_a_text(x: Any) -> bool:
        return isinstance(x, str)

    @model.variable
    def y(x: Any) -> Any:
        return x

    assert list(model.enumerate()) == [{"x": "1"}]
