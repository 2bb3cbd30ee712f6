"""Predictions: known answers, and agreement with interchanging on the causal model."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfgen import CausalModel, Hypothesis, distinct, integers
from cfgen.causal import Words
from cfgen.counterfactuals import ALL, NONE, is_decisive, kinds_of, predictor

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
predict = predictor(model.program, HYPOTHESES)

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
        ({"none": [1], "h": [2]}, ["h"], True),
        ({"none": "a", "h": "b"}, [], False),
    ],
)
def test_decisive(predictions: dict[str, Any], contrast: list[str], decisive: bool) -> None:
    assert is_decisive(predictions, contrast) is decisive


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
    predictions = {NONE: original, ALL: counterfactual, "h": prediction}
    assert kinds_of(predictions)["h"] == kind
