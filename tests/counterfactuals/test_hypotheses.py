"""Hypotheses and sites: the short forms in which they can be written."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from cfgen import Hypothesis, Site


@pytest.mark.parametrize(
    ("given", "pairs"),
    [
        (["a", "b"], (("a", "a"), ("b", "b"))),
        ("a", (("a", "a"),)),
        ({"a": "b", "b": "a"}, (("a", "b"), ("b", "a"))),
        ([("a", "b"), "c"], (("a", "b"), ("c", "c"))),
        ((("a", "b"),), (("a", "b"),)),
    ],
)
def test_ways_to_say_what_is_interchanged(given: Any, pairs: tuple[tuple[str, str], ...]) -> None:
    hypothesis = Hypothesis("h", interchange=given)
    assert hypothesis.interchange == pairs
    assert hypothesis.sources == dict(pairs)
    assert hypothesis == Hypothesis("h", interchange=pairs)


def test_a_single_name_is_a_list_of_one() -> None:
    hypothesis = Hypothesis("h", interchange="a", hold="bc")  # type: ignore[arg-type]
    assert hypothesis.hold == ("bc",)
    site = Site("item_1", frozen="item_2")  # type: ignore[arg-type]
    assert site.positions == ("item_1",)
    assert site.frozen == ("item_2.all",)


def test_defaults() -> None:
    assert Hypothesis("h", interchange=["a"]).site == Site(("last",), (), "slot", "each")
    assert Site().component == "resid_post"


def test_knows_where_it_was_declared() -> None:
    hypothesis = Hypothesis("h", interchange=["a"])  # this line
    line = int(hypothesis.where.removeprefix(f"{__file__}:"))
    with open(__file__, encoding="utf-8") as file:
        assert "# this line" in file.readlines()[line - 1]


@pytest.mark.parametrize(
    ("site", "label"),
    [
        (Site(), "last"),
        (Site(("a[0]", "b")), "a[0]+b"),
        (Site(("a",), align="word", layers="up_to"), "a by word up to"),
        (Site(("a",), frozen=("c", "d")), "a, frozen c.all+d.all"),
        (Site(("a", "b"), component="head_out", head=3), "a+b of head 3"),
        (Site(component="mlp_neuron", neurons=[5, 17]), "last of neurons 5+17"),
    ],
)
def test_labels(site: Site, label: str) -> None:
    assert site.label == label


def test_records_pickle() -> None:
    hypothesis = Hypothesis("h", interchange={"a": "b"}, site=Site(("a",), align="word"))
    back = pickle.loads(pickle.dumps(hypothesis))
    assert back == hypothesis
    assert back.where == hypothesis.where
