"""Running a causal model, and intervening on it: known answers and every way to ask wrongly."""

from __future__ import annotations

import itertools
import random
import time
from typing import Any

import pytest

from cfgen import CausalModel, CfgenError, Setting, boolean, choice, distinct, integers
from cfgen.causal import Words
from cfgen.errors import Problem

COLOURS = Words("colours", ("red", "green", "blue"))


def arithmetic() -> CausalModel:
    """total = 10 * (a + b) + double, where double = 2 * c."""
    model = CausalModel("arithmetic", output="total")
    model.input("a", integers(0, 9))
    model.input("b", integers(0, 9))
    model.input("c", integers(0, 9), default=0)

    @model.variable
    def added(a: int, b: int) -> int:
        return a + b

    @model.variable
    def double(c: int) -> int:
        return 2 * c

    @model.variable
    def total(added: int, double: int) -> int:
        return 10 * added + double

    return model


def pick() -> CausalModel:
    model = CausalModel("pick", output="chosen")
    model.input("colours", distinct(COLOURS, 2))
    model.input("index", integers(0, 1))
    model.input("loud", boolean(), default=False)

    @model.variable
    def chosen(colours: tuple[str, ...], index: int, loud: bool) -> str:
        return colours[index].upper() if loud else colours[index]

    return model


O = {"a": 1, "b": 2, "c": 3}  # noqa: E741
CF1 = {"a": 4, "b": 4, "c": 4}
CF2 = {"a": 0, "b": 1, "c": 9}


def problems_of(call: Any, *arguments: Any, **named: Any) -> list[Problem]:
    with pytest.raises(CfgenError) as caught:
        call(*arguments, **named)
    return list(caught.value.problems)


# Running.


def test_run() -> None:
    setting = arithmetic().run(O)
    assert isinstance(setting, Setting)
    assert dict(setting) == {"a": 1, "b": 2, "c": 3, "added": 3, "double": 6, "total": 36}
    assert list(setting) == ["a", "b", "c", "added", "double", "total"]
    assert setting.intervened == frozenset()


def test_run_fills_in_defaults_and_makes_lists_tuples() -> None:
    assert arithmetic().run({"a": 1, "b": 1})["total"] == 20
    setting = pick().run({"colours": ["red", "blue"], "index": 1})
    assert setting["colours"] == ("red", "blue")
    assert setting["chosen"] == "blue"


def test_run_leaves_the_inputs_alone() -> None:
    inputs = {"colours": ["red", "blue"], "index": 1}
    pick().run(inputs)
    assert inputs == {"colours": ["red", "blue"], "index": 1}


def test_every_wrong_input_is_reported_together() -> None:
    found = problems_of(
        pick().run, {"colour": ("red", "blue"), "index": True, "loud": 1, "extra": 0}
    )
    assert [str(problem) for problem in found] == [
        "causal model 'pick' has no input 'colour' [unknown-input]\n    -> did you mean 'colours'?",
        "causal model 'pick' has no input 'extra' [unknown-input]\n"
        "    -> there is: colours, index, loud",
        "input 'colours' of causal model 'pick' is not given [missing-input]\n"
        "    -> give a value for 'colours'",
        "input 'index' is True, but it must be a whole number from 0 to 1 [bad-input]\n"
        "    -> give it such a value",
        "input 'loud' is 1, but it must be one of False, True [bad-input]\n"
        "    -> give it such a value",
    ]


@pytest.mark.parametrize("given", [3, "a", [("a", 1)], None])
def test_inputs_that_are_no_mapping(given: Any) -> None:
    [problem] = problems_of(arithmetic().run, given)
    assert problem.code == "not-inputs"
    assert problem.message == f"inputs of causal model 'arithmetic' are needed, not {given!r}"


def test_mechanism_that_fails_is_reported_with_all_there_is_to_know() -> None:
    model = CausalModel("fragile", output="y")
    model.input("x", integers(0, 3))

    @model.variable
    def inverse(x: int) -> float:
        return 1 / x

    @model.variable
    def y(inverse: float) -> float:
        return inverse

    assert model.run({"x": 2})["y"] == 0.5
    [problem] = problems_of(model.run, {"x": 0})
    assert problem.code == "mechanism-failed"
    assert problem.message == (
        "variable 'inverse' of causal model 'fragile' failed for x=0: "
        "ZeroDivisionError: division by zero"
    )
    line = inverse.__code__.co_firstlineno
    assert problem.where == f"{__file__}:{line}"
    first, *frames, last = problem.detail.splitlines()
    assert first == "Traceback (most recent call last):"
    assert frames[0].strip() == f'File "{__file__}", line {line + 2}, in inverse'
    assert frames[1].strip() == "return 1 / x"
    assert last == "ZeroDivisionError: division by zero"
    assert problem.detail.splitlines()[-1].strip() in str(problem)


def test_mechanism_that_fails_under_an_intervention_says_what_it_was_given() -> None:
    model = pick()

    @model.variable
    def lookup(index: int) -> int:
        return (10, 20)[index]

    model.output = "both"

    @model.variable
    def both(chosen: str, lookup: int) -> str:
        return chosen + "!" * len([lookup])

    inputs = {"colours": ("red", "blue"), "index": 0}
    [problem] = problems_of(model.intervene, inputs, {"chosen": 5})
    assert "failed for chosen=5, lookup=10: TypeError" in problem.message


def test_mechanism_with_a_memory_is_found_out() -> None:
    model = CausalModel("moody", output="y")
    model.input("x", integers(0, 3))
    calls = itertools.count()

    @model.variable
    def y(x: int) -> int:
        if next(calls) == 0:
            raise ValueError("not yet")
        return x

    [problem] = problems_of(model.run, {"x": 0})
    assert problem.code == "unsteady-mechanism"
    assert "ValueError: not yet" in problem.detail


# Intervening.


def test_intervene_computes_again_only_what_depends_on_it() -> None:
    setting = arithmetic().intervene(O, {"added": 7})
    assert dict(setting) == {"a": 1, "b": 2, "c": 3, "added": 7, "double": 6, "total": 76}
    assert setting.intervened == {"added"}
    assert arithmetic().intervene(O, {"a": 9})["total"] == 116
    assert arithmetic().intervene(O, {"total": "anything"})["total"] == "anything"
    assert arithmetic().intervene(O, {}) == arithmetic().run(O)


def test_interventions_stay_in_force() -> None:
    model = arithmetic()
    first = model.intervene(O, {"added": 7})
    second = model.intervene(first, {"a": 9, "double": 1})
    assert second["total"] == 71
    assert second.intervened == {"added", "a", "double"}
    assert model.intervene(second, {"added": 0})["total"] == 1
    assert first["total"] == 76


def test_intervening_on_inputs_checks_them_as_running_does() -> None:
    model = pick()
    inputs = {"colours": ("red", "blue"), "index": 0}
    assert model.intervene(inputs, {"colours": ["blue", "green"]})["chosen"] == "blue"
    found = problems_of(model.intervene, inputs, {"index": 2, "loud": 0})
    assert [problem.message for problem in found] == [
        "input 'index' is 2, but it must be a whole number from 0 to 1",
        "input 'loud' is 0, but it must be one of False, True",
    ]


# Interchanging.


def test_interchange() -> None:
    setting = arithmetic().interchange(O, {"added": CF1})
    assert dict(setting) == {"a": 1, "b": 2, "c": 3, "added": 8, "double": 6, "total": 86}
    assert setting.intervened == {"added"}


def test_interchange_from_several_counterfactuals_at_once() -> None:
    model = arithmetic()
    assert model.interchange(O, {"added": CF1, "double": CF2})["total"] == 98
    assert model.interchange(O, {"a": CF1, "b": CF2, "c": CF2})["total"] == 68


def test_interchange_across_variables() -> None:
    model = arithmetic()
    assert model.interchange(O, {"added": (CF1, "double")})["total"] == 86
    assert model.interchange(O, {"added": (O, "c"), "double": (O, "added")})["total"] == 33


def test_interchange_with_some_variables_held() -> None:
    model = arithmetic()
    setting = model.interchange(O, {"a": CF1, "c": CF1}, hold=["added"])
    assert dict(setting) == {"a": 4, "b": 2, "c": 4, "added": 3, "double": 8, "total": 38}
    assert setting.intervened == {"a", "c", "added"}
    assert model.interchange(O, {"a": CF1}, hold="added")["total"] == 36


def test_interchange_takes_settings_with_their_interventions() -> None:
    model = arithmetic()
    changed = model.intervene(CF1, {"added": 5})
    assert model.interchange(O, {"total": changed})["total"] == 58
    original = model.intervene(O, {"double": 0})
    setting = model.interchange(original, {"added": changed}, hold=["c"])
    assert setting["total"] == 50
    assert setting.intervened == {"double", "added", "c"}


def test_unknown_names_of_an_interchange_are_reported_together() -> None:
    found = problems_of(
        arithmetic().interchange, O, {"aded": CF1, "double": (CF1, "dubble")}, hold=["tota"]
    )
    assert [(problem.message, problem.hint) for problem in found] == [
        (f"causal model 'arithmetic' has no variable {wrong!r}", f"did you mean {right!r}?")
        for wrong, right in (("aded", "added"), ("tota", "total"), ("dubble", "double"))
    ]
    [problem] = problems_of(arithmetic().intervene, O, {"aded": 1})
    assert problem.code == "unknown-variable"


def test_held_and_interchanged_at_once() -> None:
    [problem] = problems_of(arithmetic().interchange, O, {"added": CF1}, hold=["added"])
    assert problem.code == "held-and-interchanged"
    assert problem.message == "added cannot be held and interchanged at once"


@pytest.mark.parametrize(
    "source", [5, "b", None, (), (CF1,), (5, "a"), (CF1, "a", "b"), [CF1, "a"]]
)
def test_sources_that_are_no_counterfactuals(source: Any) -> None:
    [problem] = problems_of(arithmetic().interchange, O, {"added": source})
    assert problem.code == "bad-source"
    assert problem.message == f"variable 'added' was given {source!r} to take its value from"
    assert "intervene()" in problem.hint


def test_sources_that_are_no_mapping() -> None:
    [problem] = problems_of(arithmetic().interchange, O, ["added"])
    assert problem.code == "bad-source"
    assert problem.message == ("a mapping from variable to counterfactual is needed, not ['added']")


def test_a_wrong_counterfactual_is_reported_like_wrong_inputs() -> None:
    found = problems_of(arithmetic().interchange, O, {"added": {"a": 10}})
    assert [problem.code for problem in found] == ["bad-input", "missing-input"]


def test_settings_of_another_model_are_refused() -> None:
    foreign = pick().run({"colours": ("red", "blue"), "index": 0})
    model = arithmetic()
    for call in (
        lambda: model.intervene(foreign, {"added": 1}),
        lambda: model.interchange(foreign, {"added": O}),
        lambda: model.interchange(O, {"added": foreign}),
    ):
        [problem] = problems_of(call)
        assert problem.code == "foreign-setting"


# Sampling and counting.


def test_samples_depend_on_the_generator_alone() -> None:
    model = pick()
    first, again = random.Random(3), random.Random(3)
    drawn = [model.sample(first) for _ in range(20)]
    assert drawn == [model.sample(again) for _ in range(20)]
    assert drawn != [model.sample(random.Random(4)) for _ in range(20)]
    for inputs in drawn:
        model.run(inputs)
    assert len({str(inputs) for inputs in drawn}) > 5


def test_samples_from_part_of_a_lexicon() -> None:
    rng = random.Random(0)
    drawn = {pick().sample(rng, {"colours": ("red", "blue")})["colours"] for _ in range(50)}
    assert drawn == {("red", "blue"), ("blue", "red")}


def test_enumerate_yields_every_input_once() -> None:
    model = pick()
    every = list(model.enumerate())
    assert len(every) == model.count() == 24
    assert len({tuple(inputs.items()) for inputs in every}) == 24
    assert every[:3] == [
        {"colours": ("red", "green"), "index": 0, "loud": False},
        {"colours": ("red", "green"), "index": 0, "loud": True},
        {"colours": ("red", "green"), "index": 1, "loud": False},
    ]


def test_enumerate_refuses_too_many_at_once() -> None:
    assert len(list(arithmetic().enumerate(limit=1000))) == 1000
    [problem] = problems_of(arithmetic().enumerate, limit=999)
    assert str(problem) == (
        "causal model 'arithmetic' has 1,000 inputs, more than the limit of 999 "
        "[too-many-inputs]\n    -> raise limit=, or give the inputs smaller domains"
    )


def test_count_of_a_huge_model_is_instant() -> None:
    start = time.perf_counter()
    model = CausalModel("huge", output="y")
    model.input("x", integers(1, 10**12))
    model.input("pair", distinct(integers(1, 10**9), 2))
    model.input("word", choice(["a", "b"]))

    @model.variable
    def y(x: int) -> int:
        return x

    assert model.count() == 10**12 * 10**9 * (10**9 - 1) * 2
    assert [problem.code for problem in problems_of(model.enumerate)] == ["too-many-inputs"]
    assert model.run(model.sample(random.Random(0)))["y"] >= 1
    assert time.perf_counter() - start < 1


# What templates and datasets are told.


def test_slots() -> None:
    model = pick()
    model.input("boxes", distinct(COLOURS, 3), each="box")
    model.input("sheep", distinct(COLOURS, 1))
    assert model.slots == {
        "colours": ("colour_1", "colour_2"),
        "index": ("index",),
        "loud": ("loud",),
        "boxes": ("box_1", "box_2", "box_3"),
        "sheep": ("sheep_1",),
    }


def test_types_names_and_defaults() -> None:
    model = pick()

    @model.variable
    def untyped(chosen):  # type: ignore[no-untyped-def]
        return chosen

    model.output = "untyped"
    assert model.types == {
        "colours": tuple[str, ...],
        "index": int,
        "loud": bool,
        "chosen": str,
        "untyped": object,
    }
    assert model.names == ("colours", "index", "loud", "chosen", "untyped")
    assert model.defaults == {"loud": False}
