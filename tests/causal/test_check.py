"""Checks of a definition: every problem alone, and many of them in one error."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from cfgen import CausalModel, CfgenError, choice, integers
from cfgen.errors import Problem

HERE = __file__


def line_of(text: str) -> int:
    """The line of this file that contains a text (itself written in two parts)."""
    with open(HERE, encoding="utf-8") as file:
        found = [number for number, line in enumerate(file, start=1) if text in line]
    assert len(found) == 1, (text, found)
    return found[0]


def problems_of(model: CausalModel) -> tuple[Problem, ...]:
    with pytest.raises(CfgenError) as caught:
        _ = model.program
    return caught.value.problems


def model_of(*mechanisms: Callable[..., Any], output: str = "y") -> CausalModel:
    model = CausalModel("m", output=output)
    model.input("x", integers(0, 1))
    for mechanism in mechanisms:
        model.variable(mechanism)
    return model


def y(x: int) -> int:
    return x


def test_unknown_parent_word_for_word() -> None:
    def middle(xx: int) -> int:  # line of middle
        return xx

    def out(middel: int) -> int:  # line of out
        return middel

    with pytest.raises(CfgenError) as caught:
        model_of(middle, out, output="out").run({"x": 0})
    assert str(caught.value) == (
        f"{HERE}:{line_of('# line of ' + 'middle')}: variable 'middle' depends on 'xx', which is "
        "not declared [unknown-parent]\n"
        "    -> did you mean 'x'?\n"
        f"{HERE}:{line_of('# line of ' + 'out')}: variable 'out' depends on 'middel', which is "
        "not declared [unknown-parent]\n"
        "    -> did you mean 'middle'?"
    )


def test_a_slip_that_resembles_its_own_variable_is_reported_once() -> None:
    def total_1(total_l: int) -> int:
        return total_l

    [problem] = problems_of(model_of(total_1, output="total_1"))
    assert problem.code == "unknown-parent"
    assert problem.hint == "there is: x"


def test_unknown_parent_that_resembles_nothing_lists_what_there_is() -> None:
    def z(something: int, x: int) -> int:
        return x

    [problem] = problems_of(model_of(z, output="z"))
    assert problem.hint == "there is: x"


def test_cycle_word_for_word() -> None:
    def a(c: int, x: int) -> int:  # line of a
        return c

    def b(a: int) -> int:
        return a

    def c(b: int) -> int:
        return b

    [problem] = problems_of(model_of(a, b, c, output="c"))
    assert str(problem) == (
        f"{HERE}:{line_of('# line of ' + 'a')}: variables depend on each other in a circle: "
        "a -> b -> c -> a [cycle]\n    -> drop one of these parents, or split a variable in two"
    )


def test_variable_that_is_its_own_parent() -> None:
    def z(z: int) -> int:
        return z

    [problem] = problems_of(model_of(z, output="z"))
    assert "in a circle: z -> z" in problem.message


def test_missing_output() -> None:
    model = model_of(y, output="yy")
    [problem] = problems_of(model)
    assert problem.code == "missing-output"
    assert problem.message == "causal model 'm' has no variable 'yy', its declared output"
    assert problem.hint == "did you mean 'y'?"
    assert problem.where.startswith(f"{HERE}:")


def test_variables_may_be_there_for_the_wording_alone() -> None:
    def spare(x: int) -> int:
        return x

    assert model_of(y, spare).run({"x": 1})["spare"] == 1


def test_default_argument() -> None:
    def z(x: int = 3) -> int:
        return x

    [problem] = problems_of(model_of(z, output="z"))
    assert problem.code == "default-argument"
    assert problem.message == "variable 'z' gives its parent 'x' a default value"
    assert problem.hint == "drop the default: a parent's value always comes from the model"


def test_variadic_parents() -> None:
    def z(x: int, *rest: int, **others: int) -> int:
        return x

    one, two = problems_of(model_of(z, output="z"))
    assert one.code == two.code == "variadic-parent"
    assert "takes *rest: 'int', which names no parent" in one.message
    assert "takes **others: 'int', which names no parent" in two.message


def test_special_parameters() -> None:
    def z(x: int, /, *, w: int) -> int:
        return x + w

    model = model_of(z, output="z")
    model.input("w", integers(0, 1))
    assert [(p.code, p.message) for p in problems_of(model)] == [
        ("special-parameter", f"variable 'z' has a positional-only or keyword-only parameter {n!r}")
        for n in ("x", "w")
    ]


def test_declared_twice_says_where_first() -> None:
    def x(y: int) -> int:  # line of the second x
        return y

    model = CausalModel("m", output="y")
    model.input("x", integers(0, 1))  # line of the first x
    model.variable(y)
    model.variable(x)
    first, *_ = problems_of(model)
    assert first.code == "duplicate-variable"
    assert first.where == f"{HERE}:{line_of('# line of the second ' + 'x')}"
    assert first.message == (
        f"'x' is declared twice, first at {HERE}:{line_of('# line of the first ' + 'x')}"
    )


@pytest.mark.parametrize("name", ["two words", "2nd", "class", ""])
def test_bad_names(name: str) -> None:
    model = model_of(y)
    model.input(name, integers(0, 1))
    [problem] = problems_of(model)
    assert problem.code == "bad-variable-name"
    assert problem.message == f"{name!r} cannot be the name of a variable"


def test_lambda_has_no_name() -> None:
    model = model_of(y)
    model.variable(lambda x: x)
    assert [p.code for p in problems_of(model)] == ["bad-variable-name"]


@pytest.mark.parametrize("value", [3, "y", int, functools.partial(y, 1), len])
def test_not_a_function(value: Any) -> None:
    model = model_of(y)
    model.variable(value)
    [problem] = problems_of(model)
    assert problem.code == "not-a-function"
    assert problem.message == f"{value!r} was declared as a variable, but it is not a function"


def test_wrapped_functions_are_functions() -> None:
    @functools.cache
    def z(x: int) -> int:
        return x + 1

    assert model_of(z, output="z").run({"x": 1})["z"] == 2


def test_annotation_that_names_nothing() -> None:
    namespace: dict[str, Any] = {}
    exec("def z(x) -> 'Missing': return x", namespace)
    [problem] = problems_of(model_of(namespace["z"], output="z"))
    assert problem.code == "bad-annotation"
    assert "name 'Missing' is not defined" in problem.message


def test_not_a_domain_and_bad_default() -> None:
    model = model_of(y)
    model.input("colours", ["red"])  # type: ignore[arg-type]
    model.input("mode", choice(["on", "off"]), default="of")
    one, two = problems_of(model)
    assert (one.code, one.message) == (
        "not-a-domain",
        "input 'colours' was given a list, not a domain",
    )
    assert (two.code, two.message) == (
        "bad-default",
        "the default of input 'mode' is 'of', but it must be one of 'on', 'off'",
    )
    assert one.where.startswith(HERE)
    assert two.where.startswith(HERE)


def test_every_problem_is_in_one_error() -> None:
    model = CausalModel("broken", output="answer")
    model.input("x", integers(0, 1))
    model.input("x", integers(0, 2))
    model.input("not a name", integers(0, 1))
    model.input("mode", 7)  # type: ignore[arg-type]
    model.variable(len)

    @model.variable
    def a(b: int, x: int = 1) -> int:
        return b

    @model.variable
    def b(a: int, *rest: int) -> int:
        return a

    @model.variable
    def c(x: int, *, unheard_of: int) -> int:
        return x

    found = problems_of(model)
    assert [problem.code for problem in found] == [
        "not-a-domain",
        "not-a-function",
        "duplicate-variable",
        "bad-variable-name",
        "default-argument",
        "variadic-parent",
        "special-parameter",
        "unknown-parent",
        "cycle",
        "missing-output",
    ]
    assert all(problem.where.startswith(f"{HERE}:") for problem in found)
    assert all(problem.hint for problem in found)
    for use in (
        lambda: model.run({}),
        lambda: model.intervene({}, {}),
        lambda: model.interchange({}, {}),
        lambda: model.sample(None),  # type: ignore[arg-type]
        model.count,
        model.enumerate,
        model.graph,
    ):
        with pytest.raises(CfgenError) as caught:
            use()
        assert caught.value.problems == found


def test_a_mended_model_is_checked_again() -> None:
    model = CausalModel("m", output="y")
    model.variable(y)
    assert [problem.code for problem in problems_of(model)] == ["unknown-parent"]
    model.input("x", integers(0, 1))
    assert model.run({"x": 1})["y"] == 1
