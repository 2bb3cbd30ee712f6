"""Design search: exact shares, known answers, and what is required is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cfgen import (
    CausalModel,
    CfgenError,
    Hypothesis,
    boolean,
    distinct,
    edits,
    integers,
    load_task,
)
from cfgen.causal import Domain, Words
from cfgen.counterfactuals import ALL, NONE, Design, Predictor
from cfgen.search import (
    Assessment,
    Comparison,
    DesignRequest,
    SearchResult,
    TooManyCases,
    comparison_of,
    design_shares,
    sampled_search,
    search,
)
from tests.search.brute import every_pair
from tests.search.strategies import cartesian, designs, domains, models

COLOURS = Words("colours", ("red", "green", "blue", "pink", "grey", "teal"))
lookup = CausalModel("lookup", output="said")
lookup.input("colours", distinct(COLOURS, 2))
lookup.input("asked", integers(0, 1))


@lookup.variable
def pointer(asked: int) -> int:
    return asked


@lookup.variable
def said(pointer: int, colours: tuple[str, ...]) -> str:
    return colours[pointer]


LOOKUP = Comparison(
    lookup.program,
    (Hypothesis("pointer", interchange=["pointer"]), Hypothesis("said", interchange=["said"])),
    lookup.domains,
)


def edits_of(found: Assessment) -> tuple[list[str], list[str]]:
    design = found.design
    return [str(e) for e in design.original], [str(e) for e in design.counterfactual]


def test_known_answer() -> None:
    found = search(LOOKUP, DesignRequest())
    assert found.goal.classes == ((NONE,), ("said", ALL), ("pointer",))
    best = found.best[0]
    assert edits_of(best) == ([], ["resample(colours, disjoint)", "flip(asked)"])
    assert (best.decisive, best.changed) == (1, ("colours", "asked"))
    assert len(best.separates) == 3
    assert [edits_of(part) for part in found.cover] == [edits_of(best)]
    assert found.apart == ()


def test_shares_are_exact_fractions() -> None:
    found = search(LOOKUP, DesignRequest(top=20))
    shares = {tuple(edits_of(each)[1]): each.decisive for each in found.best}
    # of six words, the one that is asked for then must be none of the two there were
    assert shares[("resample(colours)", "flip(asked)")] == Fraction(2, 3)
    assert shares[("resample(colours, disjoint)", "set(asked, 0)")] == Fraction(1, 2)


def test_requirements_are_met() -> None:
    every = search(LOOKUP, DesignRequest(top=50, decisive=True)).best
    assert every
    assert all(each.decisive == 1 for each in every)
    only = search(LOOKUP, DesignRequest(top=50, separates=(("pointer", "none"),), share=1.0)).best
    assert only
    assert all(each.shares.differ("pointer", "none") == 1 for each in only)
    assert (
        search(LOOKUP, DesignRequest(max_edits=1, decisive=True, targets=("pointer",))).best == ()
    )
    assert search(LOOKUP, DesignRequest(separates=(("said", "all"),))).best == ()


@pytest.mark.parametrize("most", [1, 2])
def test_no_more_inputs_are_changed_than_allowed(most: int) -> None:
    found = search(LOOKUP, DesignRequest(max_edits=most, top=50)).best
    assert max(len(each.changed) for each in found) == most


def test_targets_and_rivals() -> None:
    def required(*targets: str, against: Sequence[str] = ()) -> set[frozenset[str]]:
        goal = search(LOOKUP, DesignRequest(targets, tuple(against), top=1)).goal
        return {frozenset(couple) for couple in goal.required}

    one, two, both = ({NONE, "pointer"}, {NONE, "said"}, {"pointer", "said"})
    assert required() == {frozenset(c) for c in (one, two, both)}
    assert required("pointer") == {frozenset(c) for c in (one, both)}
    assert required("pointer", against=["said"]) == {frozenset(c) for c in (one, two, both)}
    goal = search(LOOKUP, DesignRequest(("said",), ("all",), top=1)).goal
    assert goal.coinciding == (("said", "all"),)
    with pytest.raises(CfgenError, match="there is no hypothesis 'poiner'"):
        search(LOOKUP, DesignRequest(("poiner",)))


def two_ways() -> Comparison:
    """What is on the left is only used if the switch is on, what is on the right if it is off."""
    model = CausalModel("ways", output="out")
    for name in ("switch", "left", "right"):
        model.input(name, boolean())

    @model.variable
    def one(left: bool) -> bool:
        return left

    @model.variable
    def other(right: bool) -> bool:
        return right

    @model.variable
    def out(switch: bool, one: bool, other: bool) -> bool:
        return one if switch else other

    hypotheses = tuple(Hypothesis(name, interchange=[name]) for name in ("one", "other"))
    return Comparison(model.program, hypotheses, model.domains)


def test_several_designs_where_one_is_not_enough() -> None:
    found = search(two_ways(), DesignRequest(share=1.0))
    assert len(found.cover) == 2
    assert {*found.goal.required} == {("none", "one"), ("none", "other"), ("one", "other")}
    assert {*found.goal.required} <= {c for part in found.cover for c in part.separates}
    assert all(share == 1 for part in found.cover for share in part.separates.values())
    assert len(search(two_ways(), DesignRequest(share=0.5)).cover) == 1


def test_pairs_that_no_template_shows_do_not_count() -> None:
    def shown(original: Mapping[str, Any], counterfactual: Mapping[str, Any]) -> bool:
        return original["asked"] == 0 and "red" not in counterfactual["colours"]

    comparison = replace(LOOKUP, shown=shown, shown_by=("asked", "colours"))
    found = search(comparison, DesignRequest(top=30))
    assert found.table.symmetry.alone == ("red",)
    assert [each.decisive for each in found.best] == sorted(
        (each.decisive for each in found.best), reverse=True
    )
    for each in found.best:
        for couple in found.goal.required:
            kept = total = Fraction(0)
            for (one, other), chance in every_pair(each.design, LOOKUP.domains).items():
                sides = [dict(zip(LOOKUP.domains, side, strict=True)) for side in (one, other)]
                if shown(*sides):
                    runs = [lookup.run(side) for side in sides]
                    said = Predictor(lookup.program, LOOKUP.hypotheses)(*runs)
                    total += chance
                    kept += chance * (said[couple[0]] != said[couple[1]])
            assert each.shares.differ(*couple) == kept / total


def test_nothing_to_tell_apart() -> None:
    comparison = replace(LOOKUP, hypotheses=(Hypothesis("all_of_it", interchange=["colours"]),))
    found = search(comparison, DesignRequest(("all_of_it",), ("all_of_it",)))
    assert found.goal.required == (("none", "all_of_it"),)
    constant = CausalModel("constant", output="out")
    constant.input("asked", boolean())

    @constant.variable
    def out() -> str:
        return "same"

    same = Comparison(constant.program, (Hypothesis("h", interchange=["out"]),), constant.domains)
    result = search(same, DesignRequest())
    assert result.goal.classes == (("none", "h", "all"),)
    assert (result.goal.required, result.best, result.cover) == ((), (), ())


@pytest.mark.slow
def test_the_designs_of_the_paper_are_among_those_searched() -> None:
    task = load_task("belief_tracking")
    comparison = comparison_of(task)
    restate = task.designs["restate"]
    wanted = DesignRequest(("answer_pointer",), ("answer_payload",), top=1)
    result = search(comparison, wanted)
    assert result.best[0].decisive == 1
    assert len(result.best[0].changed) < 5
    every = replace(wanted, separates=_separated(comparison, result, restate), top=3, share=1.0)
    found = search(comparison, every).best
    judged = design_shares(comparison, restate, trials=0)
    shares = [judged.differ(*couple) for couple in result.goal.couples]
    assert shares in [
        [each.shares.differ(*couple) for couple in result.goal.couples] for each in found
    ]


def _separated(
    comparison: Comparison, result: SearchResult, design: Design
) -> tuple[tuple[str, str], ...]:
    judged = design_shares(comparison, design, trials=0)
    return tuple(couple for couple in result.goal.couples if judged.differ(*couple) == 1)


def brute_share(
    design: Design, comparison: Comparison, given_domains: dict[str, Domain], one: str, other: str
) -> Fraction:
    predict = Predictor(comparison.program, comparison.hypotheses)
    share = Fraction(0)
    for (before, after), chance in every_pair(design, given_domains).items():
        sides = [dict(zip(given_domains, side, strict=True)) for side in (before, after)]
        made = predict(*(comparison.program.run(side) for side in sides))
        share += chance * (str(made[one]) != str(made[other]))
    return share


@st.composite
def comparisons(draw: Any) -> tuple[Comparison, dict[str, Domain]]:
    given_domains = draw(domains())
    assume(len(cartesian(given_domains)) <= 60)
    model, hypotheses = draw(models(given_domains))
    return Comparison(model.program, tuple(hypotheses), given_domains), given_domains


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_shares_are_those_of_all_concrete_pairs(data: st.DataObject) -> None:
    comparison, given_domains = data.draw(comparisons())
    design = data.draw(designs(given_domains))
    brute = every_pair(design, given_domains)
    assume(sum(brute.values()) == 1)
    judged = design_shares(comparison, design, trials=2)
    for one, other in ((NONE, ALL), ("h_same", "h_picked"), ("h_input", NONE), ("h_picked", ALL)):
        assert judged.differ(one, other) == brute_share(
            design, comparison, given_domains, one, other
        )


@pytest.mark.slow
@settings(deadline=None, max_examples=15)
@given(st.data())
def test_all_compositions_at_once_are_judged_as_each_alone(data: st.DataObject) -> None:
    comparison, given_domains = data.draw(comparisons())
    found: SearchResult = search(comparison, DesignRequest(top=4, share=0.3))
    for each in (*found.best, *found.cover):
        design = each.design
        for one, other in found.goal.required:
            brute = brute_share(design, comparison, given_domains, one, other)
            assert each.shares.differ(one, other) == brute
    # classes coincide on all pairs that there are, and no others do
    everything = Design("all", [edits.resample(name) for name in given_domains])
    labels = comparison.labels
    for k, one in enumerate(labels):
        for other in labels[k + 1 :]:
            same = found.goal.speaker(one) == found.goal.speaker(other)
            assert same == (brute_share(everything, comparison, given_domains, one, other) == 0)


def test_the_best_is_the_best_of_all_compositions() -> None:
    """Against judging one by one every composition of a few edits."""
    found = search(LOOKUP, DesignRequest(top=1, max_edits=2)).best[0]
    words = [
        *([edits.resample("colours", disjoint=d)] for d in (True, False)),
        [edits.reverse("colours")],
        [],
    ]
    index = [[edits.flip("asked")], [edits.resample("asked")], [edits.set("asked", 1)], []]
    required = [(NONE, "pointer"), (NONE, ALL), (ALL, "pointer")]
    shares = [
        design_shares(LOOKUP, Design("", [*one, *two]), trials=0).decisive(required)
        for one in words
        for two in index
    ]
    assert found.decisive == max(shares)


# Too many pairs to look at all of them.


def big() -> Comparison:
    model = CausalModel("big", output="out")
    model.input("n", integers(0, 10**6))
    model.input("asked", boolean())

    @model.variable
    def half(n: int) -> int:
        return n // 2

    @model.variable
    def out(half: int, asked: bool) -> str:
        return f"{half}" if asked else "no"

    return Comparison(model.program, (Hypothesis("half", interchange=["half"]),), model.domains)


def test_what_cannot_be_enumerated_is_sampled() -> None:
    with pytest.raises(CfgenError, match="too many values to be enumerated"):
        search(big(), DesignRequest())
    found = sampled_search(big(), DesignRequest(max_edits=2))
    best = found.best[0]
    assert [str(e) for e in best.design.original] == ["set(asked, True)"]
    assert "resample(n, disjoint)" in [str(e) for e in best.design.counterfactual]
    assert best.low < best.decisive / best.pairs <= best.high
    assert best.decisive / best.pairs > 0.99


def test_words_that_are_told_apart_can_be_too_many() -> None:
    many = Words("many", tuple(f"w{k}" for k in range(60)))
    model = CausalModel("long", output="out")
    model.input("words", distinct(many, 2))

    @model.variable
    def out(words: tuple[str, ...]) -> str:
        return words[0][::-1]

    comparison = Comparison(model.program, (Hypothesis("h", interchange=["out"]),), model.domains)
    with pytest.raises(TooManyCases):
        search(comparison, DesignRequest())
