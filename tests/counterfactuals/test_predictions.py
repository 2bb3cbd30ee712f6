"""Predictions: known answers, and agreement with interchanging on the causal model."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfgen import CausalModel, CfgenError, Hypothesis, distinct, integers, load_task
from cfgen.causal import Choice, Words
from cfgen.counterfactuals import ALL, NONE, Predictor, is_decisive, kind_of
from cfgen.tasks import list_tasks

COLOURS = Words("colours", ("red", "green", "blue", "pink"))
model = CausalModel("lookup", output="said")
model.input("colours", distinct(COLOURS, 2))
model.input("asked", integers(0, 1))
model.input("times", integers(1, 2))


@model.variable
def pointer(asked: int) -> int:
    return asked


@model.variable
def copy_of_pointer(pointer: int) -> int:
    return pointer


@model.variable
def payload(copy_of_pointer: int, colours: tuple[str, ...]) -> str:
    return colours[copy_of_pointer]


@model.variable
def said(payload: str, times: int) -> str:
    return payload * times


HYPOTHESES = (
    Hypothesis("pointer", interchange=["pointer"]),
    Hypothesis("payload", interchange=["payload"]),
    Hypothesis("held", interchange=["pointer"], hold=("copy_of_pointer",)),
    Hypothesis("crossed", interchange={"asked": "copy_of_pointer", "times": "times"}),
    Hypothesis("output", interchange=["said"]),
    Hypothesis("everything", interchange=["colours", "asked", "times"]),
)
predict = Predictor(model.program, HYPOTHESES)

inputs = st.fixed_dictionaries(
    {
        "colours": st.permutations(COLOURS.values).map(lambda words: tuple(words[:2])),
        "asked": st.integers(0, 1),
        "times": st.integers(1, 2),
    }
)


def test_known_answers() -> None:
    original = model.run({"colours": ("red", "green"), "asked": 0, "times": 1})
    counterfactual = model.run({"colours": ("blue", "pink"), "asked": 1, "times": 2})
    assert predict(original, counterfactual) == {
        "none": "red",
        "all": "pinkpink",
        "pointer": "green",
        "payload": "pink",
        "held": "red",
        "crossed": "greengreen",
        "output": "pinkpink",
        "everything": "pinkpink",
    }
    assert list(predict(original, counterfactual))[:2] == [NONE, ALL]


@given(inputs, inputs)
def test_agrees_with_interchanging(
    original: dict[str, Any], counterfactual: dict[str, Any]
) -> None:
    before, after = model.run(original), model.run(counterfactual)
    made = predict(before, after)
    assert made.pop(NONE) == before["said"]
    assert made.pop(ALL) == after["said"]
    assert made == {
        hypothesis.name: model.interchange(
            original,
            {name: (counterfactual, source) for name, source in hypothesis.sources.items()},
            hold=hypothesis.hold,
        )["said"]
        for hypothesis in HYPOTHESES
    }


@given(inputs)
def test_a_pair_of_equals_changes_nothing(original: dict[str, Any]) -> None:
    setting = model.run(original)
    assert {*predict(setting, setting).values()} == {setting["said"]}


def chain(calls: list[str]) -> CausalModel:
    model = CausalModel("chain", output="last")
    model.input("start", Choice(range(10)))

    @model.variable
    def middle(start: int) -> int:
        calls.append("middle")
        return start + 1

    @model.variable
    def side(start: int) -> int:
        calls.append("side")
        return 100 * start

    @model.variable
    def last(middle: int, side: int) -> int:
        calls.append("last")
        return middle + side

    return model


def test_what_two_hypotheses_compute_from_the_same_values_is_computed_once() -> None:
    calls: list[str] = []
    model = chain(calls)
    hypotheses = [
        Hypothesis("middle", ["middle"]),
        Hypothesis("again", ["middle"], hold=["side"]),
        Hypothesis("start", ["start"]),
        Hypothesis("held", ["start"], hold=["side"]),
        Hypothesis("crossed", {"middle": "side"}),
    ]
    original, counterfactual = model.program.run({"start": 1}), model.program.run({"start": 7})
    predictions = Predictor(model.program, hypotheses)(original, counterfactual)
    assert predictions == {
        "none": 102,
        "all": 708,
        "middle": 108,
        "again": 108,
        "start": 708,
        "held": 108,
        "crossed": 800,
    }
    assert sorted(calls) == ["last"] * 4 + ["middle"] * 2 + ["side"] * 2


def test_holding_wins_where_a_variable_is_both() -> None:
    model = chain([])
    both = [Hypothesis("both", ["middle", "side"], hold=["side"])]
    runs = [model.program.run({"start": start}) for start in (1, 7)]
    assert Predictor(model.program, both)(*runs)["both"] == 108


@pytest.mark.parametrize("name", sorted(list_tasks()))
def test_many_pairs_of_builtin_tasks_agree_with_interchanging(name: str) -> None:
    task = load_task(name)
    model, rng, rows = task.causal_model, random.Random(name), 40
    sides = [[model.sample(rng) for _ in range(rows)] for _ in range(2)]
    settings = [
        model.program.run_columns({x: [row[x] for row in side] for x in model.domains}, rows)
        for side in sides
    ]
    made = Predictor(model.program, task.hypotheses.values()).columns(*settings)
    assert list(made) == [NONE, ALL, *task.hypotheses]
    for row, (original, counterfactual) in enumerate(zip(*sides, strict=True)):
        for setting, inputs in zip(settings, (original, counterfactual), strict=True):
            assert {x: column[row] for x, column in setting.items()} == model.run(inputs)
        for hypothesis in task.hypotheses.values():
            crossed = {x: (counterfactual, taken) for x, taken in hypothesis.sources.items()}
            setting = model.interchange(original, crossed, hold=hypothesis.hold)
            assert made[hypothesis.name][row] == setting[model.output]


def test_what_a_mechanism_is_given_when_it_fails_is_said() -> None:
    model = chain([])

    @model.variable
    def careful(last: int) -> int:
        if last > 800:
            raise ValueError("too much")
        return last

    model.output = "careful"
    columns = model.program.run_columns({"start": [1, 2, 7, 3]}, 4)
    predictor = Predictor(model.program, [Hypothesis("crossed", {"middle": "side"})])
    other = model.program.run_columns({"start": [1, 2, 7, 7]}, 4)
    with pytest.raises(CfgenError) as caught:
        predictor.columns(columns, other)
    assert caught.value.problems[0].code == "mechanism-failed"
    assert "failed for last=1400: ValueError: too much" in str(caught.value)


@pytest.mark.parametrize(
    ("predictions", "contrast", "decisive"),
    [
        ({"none": "a", "h": "b"}, ["h"], True),
        ({"none": "a", "h": "a"}, ["h"], False),
        ({"none": "a", "h": "b", "i": "c"}, ["h", "i"], True),
        ({"none": "a", "h": "b", "i": "b"}, ["h", "i"], False),
        ({"none": "a", "h": "b", "i": "b"}, ["i"], True),
        ({"none": "a", "all": "a", "h": "b"}, ["h", "all"], False),
        ({"none": None, "h": "b"}, ["h"], True),
        ({"none": None, "h": None}, ["h"], False),
        ({"none": "1", "h": "2"}, ["h"], True),
        ({"none": "a", "h": "b"}, [], False),
    ],
)
def test_decisive(predictions: dict[str, Any], contrast: list[str], decisive: bool) -> None:
    outputs = [predictions[name] for name in (NONE, *contrast)]
    assert is_decisive(outputs) is decisive


@pytest.mark.parametrize(
    ("prediction", "original", "counterfactual", "kind"),
    [
        ("a", "a", "b", "original"),
        ("b", "a", "b", "counterfactual"),
        ("c", "a", "b", "third"),
        ("a", "a", "a", "original"),
        ("c", "a", "a", "third"),
        (None, None, "b", "original"),
        (None, "a", "b", "third"),
    ],
)
def test_kinds(prediction: Any, original: Any, counterfactual: Any, kind: str) -> None:
    assert kind_of(prediction, original, counterfactual) == kind
