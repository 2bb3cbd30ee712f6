"""Requirements in searches and proofs: what breaks one does not occur, and counts nowhere."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest

from cfgen import CausalModel, Design, Hypothesis, distinct, edits, integers, load_task
from cfgen.causal import Words
from cfgen.counterfactuals import Predictor, output_text
from cfgen.search import (
    Comparison,
    DesignRequest,
    case_table,
    design_shares,
    prove,
    recheck,
    sampled_search,
    search,
)
from tests.search.brute import every_pair
from tests.search.conftest import TASK, Make

COLOURS = Words("colours", ("red", "green", "blue", "grey"))
REQUIREMENTS: dict[str, Callable[..., bool]] = {
    "numbers": lambda asked, place: asked != place,
    "words": lambda pair, asked: pair[0] != "red" or asked == 0,
    "letters": lambda pair: len(pair[0]) < 5,
    "order": lambda pair: pair[0] < pair[1],
}
DESIGNS = [
    Design("fresh", counterfactual=[edits.resample("pair", disjoint=True)]),
    Design("other", counterfactual=[edits.resample("asked"), edits.resample("place")]),
    Design("both", counterfactual=[edits.reverse("pair"), edits.flip("asked")]),
]


def comparison_with(name: str) -> Comparison:
    model = CausalModel("drawn", output="out")
    model.input("pair", distinct(COLOURS, 2))
    model.input("asked", integers(0, 1))
    model.input("place", integers(0, 1))
    requirement = REQUIREMENTS[name]
    requirement.__name__ = "required"
    model.require(requirement)

    @model.variable
    def pointer(asked: int, place: int) -> int:
        return 1 - asked if place else asked

    @model.variable
    def out(pointer: int, pair: tuple[str, ...]) -> str:
        return pair[pointer]

    hypotheses = tuple(Hypothesis(n, interchange=[n]) for n in ("pointer", "out"))
    return Comparison(model.program, hypotheses, model.domains)


def _named(names: list[str], values: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(names, values, strict=True))


def concrete(comparison: Comparison, design: Design | None) -> list[tuple[Any, Any, Fraction]]:
    """Every pair of inputs that occurs, with its chance, by the plainest code there is."""
    names = list(comparison.domains)
    if design is not None:
        found = every_pair(design, comparison.domains)
        pairs = [(_named(names, a), _named(names, b), c) for (a, b), c in found.items()]
    else:
        sides = [_named(names, v) for v in itertools.product(*comparison.domains.values())]
        pairs = [(a, b, Fraction(1, len(sides) ** 2)) for a, b in itertools.product(sides, sides)]
    kept = [(a, b, c) for a, b, c in pairs if not any(map(comparison.program.broken, (a, b)))]
    total = sum((c for *_, c in kept), Fraction(0))
    return [(a, b, c / total) for a, b, c in kept]


@pytest.mark.parametrize("name", REQUIREMENTS)
@pytest.mark.parametrize("design", [None, *DESIGNS], ids=lambda d: d.name if d else "all pairs")
def test_what_differs_is_what_differs_for_pairs_that_occur(name: str, design: Any) -> None:
    comparison = comparison_with(name)
    table = case_table(comparison, design)
    program = comparison.program
    predict = Predictor(program, comparison.hypotheses)
    said = [
        {label: output_text(v) for label, v in predict(program.run(a), program.run(b)).items()}
        for a, b, _ in concrete(comparison, design)
    ]
    for one, other in itertools.combinations(comparison.labels, 2):
        found = (table.column(one) != table.column(other)) & table.predictions.shown
        assert bool(found.any()) == any(each[one] != each[other] for each in said)


@pytest.mark.parametrize("name", REQUIREMENTS)
@pytest.mark.parametrize("design", DESIGNS, ids=lambda d: d.name)
def test_shares_are_of_pairs_that_occur(name: str, design: Design) -> None:
    comparison = comparison_with(name)
    pairs = concrete(comparison, design)
    program = comparison.program
    predict = Predictor(program, comparison.hypotheses)
    expected = Fraction(0)
    for a, b, chance in pairs:
        said = predict(program.run(a), program.run(b))
        expected += chance * (said["pointer"] != said["out"])
    assert design_shares(comparison, design).differ("pointer", "out") == expected


def test_certificates_hold(make: Make, tmp_path: Any) -> None:
    required = """
@model.require
def asked_for_the_first_if_loud(asked, loud):
    return asked == 0 or not loud


@model.variable
def answer"""
    source = TASK.replace("\n@model.variable\ndef answer", required)
    assert source != TASK
    make()
    (tmp_path / "causal_models/lookup.py").write_text(source.replace("ANSWER", "payload"))
    task = load_task("lookup", tmp_path)
    for one, other in (("pointer", "none"), ("payload", "all"), ("pointer", "payload")):
        found = prove(task, one, other)
        assert found.answer == ("same" if other == "all" else "differ")
        assert "loud" in found.inputs
        assert recheck(found, task) == []


@pytest.mark.parametrize("name", ["words", "order"])
def test_a_search_counts_pairs_that_occur(name: str) -> None:
    comparison = comparison_with(name)
    best = search(comparison, DesignRequest(targets=("pointer",), against=("out",))).best[0]
    program = comparison.program
    predict = Predictor(program, comparison.hypotheses)
    expected = Fraction(0)
    for a, b, chance in concrete(comparison, best.design):
        said = predict(program.run(a), program.run(b))
        expected += chance * (len({said["none"], said["pointer"], said["out"]}) == 3)
    assert best.decisive == expected > 0


def test_mechanisms_need_not_know_of_what_breaks_it() -> None:
    model = CausalModel("partial", output="out")
    model.input("pair", distinct(COLOURS, 2))
    model.input("asked", integers(0, 3))
    model.input("giver", integers(0, 3))

    @model.require
    def apart(asked: int, giver: int) -> bool:
        return asked != giver

    @model.variable
    def turn(asked: int, giver: int) -> int:
        return 10 // (asked - giver)  # fails where it does not hold

    @model.variable
    def out(turn: int, pair: tuple[str, ...]) -> str:
        return pair[turn % 2]

    comparison = Comparison(model.program, (Hypothesis("turn", ["turn"]),), model.domains)
    assert case_table(comparison).symmetry.interchangeable == {"colours": 4}
    request = DesignRequest(targets=("turn",))
    assert search(comparison, request).best[0].decisive == 1
    assert sampled_search(comparison, request).best[0].pairs == 2_000


def test_a_sample_is_of_pairs_that_occur(make: Make, tmp_path: Any) -> None:
    make()
    rare = """
model.input("number", integers(0, 999_999))


@model.require
def low(number, asked):
    return number < 100_000 and number >= asked


@model.variable
def payload"""
    source = TASK.replace("ANSWER", "payload").replace("\n@model.variable\ndef payload", rare)
    (tmp_path / "causal_models/lookup.py").write_text(source)
    task = load_task("lookup", tmp_path)
    found = prove(task, "payload", "all", sampled=100)
    assert (found.answer, found.cases, found.pairs) == ("undecided", 100, 100)
    assert recheck(found, task) == []
