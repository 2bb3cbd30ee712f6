"""Designs: how pairs of inputs are drawn, and how many words that takes."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfgen import Design, choice, distinct, edits, integers
from cfgen.causal import Choice, Domain, Words
from cfgen.counterfactuals import draw_inputs, restrict_domains

COLOURS = Words("colours", ("red", "green", "blue", "pink", "grey"))
DOMAINS: dict[str, Domain] = {
    "pair": distinct(COLOURS, 2),
    "shade": COLOURS,
    "place": Words("places", ("here", "there")),
    "index": integers(0, 1),
    "other": integers(0, 1),
}

swap = Design(
    "swap",
    original=[edits.copy("other", of="index")],
    counterfactual=[edits.resample("pair", disjoint=True), edits.flip("index")],
)


@given(st.integers(0, 2**32))
def test_edits_of_the_original_come_first(seed: int) -> None:
    original, counterfactual = draw_inputs(swap, DOMAINS, random.Random(seed))
    assert original["other"] == original["index"] == counterfactual["other"]
    assert counterfactual["index"] == 1 - original["index"]
    assert not {*original["pair"]} & {*counterfactual["pair"]}
    assert (original["shade"], original["place"]) == (
        counterfactual["shade"],
        counterfactual["place"],
    )
    for name, domain in DOMAINS.items():
        assert domain.problem_with(original[name]) is None
        assert domain.problem_with(counterfactual[name]) is None
    again = draw_inputs(swap, DOMAINS, random.Random(seed))
    assert again == (original, counterfactual)


def test_lists_single_edits_and_single_names_become_tuples() -> None:
    one = Design("one", counterfactual=edits.flip("index"), contrast="h")  # type: ignore[arg-type]
    assert one == Design("one", counterfactual=[edits.flip("index")], contrast=["h"])  # type: ignore[arg-type]
    assert [str(edit) for edit in one.counterfactual] == ["flip(index)"]
    assert one.contrast == ("h",)
    assert one.original == ()


def test_knows_where_it_was_declared() -> None:
    assert swap.where.startswith(f"{__file__}:")
    line = int(swap.where.rpartition(":")[2])
    with open(__file__, encoding="utf-8") as file:
        assert file.readlines()[line - 1].startswith("swap = Design(")


@pytest.mark.parametrize(
    ("design", "needed"),
    [
        (Design("none", counterfactual=[]), {"colours": 2, "places": 1}),
        (Design("some", counterfactual=[edits.resample("pair")]), {"colours": 2, "places": 1}),
        (swap, {"colours": 4, "places": 1}),
        (
            Design("place", counterfactual=[edits.resample("place", disjoint=True)]),
            {"colours": 2, "places": 2},
        ),
        (
            Design("shade", counterfactual=[edits.resample("shade", disjoint=True)]),
            {"colours": 2, "places": 1},
        ),
        (
            Design("twice", counterfactual=[edits.resample("pair", disjoint=True)] * 2),
            {"colours": 4, "places": 1},
        ),
        (
            Design(
                "before",
                original=[edits.resample("pair", disjoint=True)],
                counterfactual=[edits.reverse("pair")],
            ),
            {"colours": 4, "places": 1},
        ),
    ],
    ids=lambda value: value.name if isinstance(value, Design) else "",
)
def test_words_needed_are_enough_and_no_fewer_would_do(
    design: Design, needed: dict[str, int]
) -> None:
    assert design.words_needed(DOMAINS) == needed
    pools = {
        pool: domain.pools[pool][: needed[pool]]
        for domain in DOMAINS.values()
        for pool in domain.pools
    }
    enough = restrict_domains(DOMAINS, pools, {})
    for seed in range(20):
        draw_inputs(design, enough, random.Random(seed))


def test_restricted_domains() -> None:
    allowed: dict[str, Domain] = {"index": Choice((1,)), "pair": distinct(choice(["x", "y"]), 2)}
    domains = restrict_domains(DOMAINS, {"colours": ("red", "blue")}, allowed)
    assert set(domains["shade"]) == {"red", "blue"}
    assert list(domains["index"]) == [1]
    assert set(domains["pair"]) == {("x", "y"), ("y", "x")}
    assert domains["place"] == DOMAINS["place"]
    assert list(restrict_domains(DOMAINS, {}, allowed)["index"]) == [1]
