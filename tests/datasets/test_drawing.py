"""Balance by construction: every value equally often, whatever stretch of examples is taken."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cfgen import Design, edits
from cfgen.causal import Words, boolean, choice, distinct, integers
from cfgen.datasets import recipe
from cfgen.datasets.drawing import balanced_draw, shuffled
from tests.datasets.plain import all_pairs

NOTHING = Design("nothing", counterfactual=())
WORDS = Words("words", tuple(f"w{k}" for k in range(11)))
DOMAINS = {
    "kind": choice(["a", "b", "c"]),
    "flag": boolean(),
    "side": integers(0, 1),
    "words": distinct(WORDS, 3),
    "one": WORDS,
    "year": integers(0, 999),
}


def drawn(n: int, *, start: int = 0, key: str = "k", design: Design = NOTHING) -> list[dict]:
    draw = balanced_draw(design, DOMAINS, key)
    return [draw(index, random.Random(index))[0] for index in range(start, start + n)]


@given(key=st.text(max_size=5), block=st.integers(0, 50))
@settings(max_examples=30, deadline=None)
def test_each_block_has_every_cell_once(key: str, block: int) -> None:
    rows = drawn(12, start=12 * block, key=key)
    cells = [(row["kind"], row["flag"], row["side"]) for row in rows]
    assert sorted(cells) == sorted(itertools.product("abc", (False, True), (0, 1)))


@given(key=st.text(max_size=5), block=st.integers(0, 50))
@settings(max_examples=30, deadline=None)
def test_each_block_has_every_word_once_per_slot(key: str, block: int) -> None:
    rows = drawn(11, start=11 * block, key=key)
    for column in zip(*(row["words"] for row in rows), strict=True):
        assert sorted(column) == sorted(WORDS)
    assert sorted(row["one"] for row in rows) == sorted(WORDS)
    for row in rows:
        assert DOMAINS["words"].problem_with(row["words"]) is None


@given(start=st.integers(0, 300), n=st.integers(1, 60))
@settings(max_examples=50, deadline=None)
def test_any_stretch_is_nearly_balanced(start: int, n: int) -> None:
    rows = drawn(n, start=start)
    for name, most in (("kind", 2), ("flag", 4), ("side", 4)):
        counts = Counter(row[name] for row in rows)
        spread = max(counts.values()) - min(counts[value] for value in DOMAINS[name])
        assert spread <= most, name


def test_an_example_depends_on_its_number_and_the_key_alone() -> None:
    rows = drawn(200)
    assert drawn(30, start=90) == rows[90:120]
    draw = balanced_draw(NOTHING, DOMAINS, "k")
    numbers = [150, 3, 77, 3, 199]
    assert [draw(k, random.Random(k))[0] for k in numbers] == [rows[k] for k in numbers]
    assert drawn(200, key="other") != rows


def test_the_order_is_not_the_same_in_every_block() -> None:
    rows = drawn(120)
    blocks = [
        [(r["kind"], r["flag"], r["side"]) for r in rows[k : k + 12]] for k in range(0, 120, 12)
    ]
    assert len({tuple(block) for block in blocks}) > 8


def test_every_tuple_of_words_comes_up() -> None:
    pairs = Counter(row["words"][:2] for row in drawn(11 * 400))
    assert len(pairs) == 110
    assert max(pairs.values()) < 90  # 40 expected of each


def test_what_the_design_sets_is_left_to_it() -> None:
    design = Design("d", original=[edits.set("kind", "b")], counterfactual=[edits.flip("flag")])
    draw = balanced_draw(design, DOMAINS, "k")
    rows = [draw(index, random.Random(index)) for index in range(4)]
    assert {original["kind"] for original, _ in rows} == {"b"}
    assert all(original["flag"] != other["flag"] for original, other in rows)
    assert len({(original["flag"], original["side"]) for original, _ in rows}) == 4


def test_shuffled_is_the_same_everywhere() -> None:
    assert shuffled(6, "a key") == [3, 1, 0, 2, 4, 5]
    assert shuffled(0, "") == []


@pytest.mark.parametrize("task", ["ioi", "belief_tracking"])
def test_datasets_are_balanced(task: str) -> None:
    def counts(balance: bool) -> tuple[Counter, Counter]:
        made = recipe(task, 240, templates=["all"], balance=balance, fractions={"train": 1})
        pairs = [pair for _, some in all_pairs(made) for pair in some]
        ids = [pair.id for pair in pairs]
        assert len(set(ids)) == 240
        inputs = [pair.original.inputs for pair in pairs]
        positions = Counter(row.get("subject", row.get("asked_character")) for row in inputs)
        templates = Counter(row["template"] for row in inputs)
        return positions, templates

    positions, templates = counts(True)
    assert max(positions.values()) - min(positions.values()) <= 2
    assert max(templates.values()) - min(templates.values()) <= 2
    loose_positions, loose_templates = counts(False)
    assert (loose_positions, loose_templates) != (positions, templates)


def test_unsupported_cells_are_drawn_anew(project) -> None:
    project.template(
        "---\nid: plain\ndescription: One case only.\nshows: [things, asked]\n"
        "supports: {asked: [0]}\n---\n{{ thing_1 }} and {{ thing_2 }}, {{ asked }} is\n"
    )
    project.design('Design("fresh", counterfactual=[edits.resample("things", disjoint=True)])')
    made = recipe(project.load(), 40, balance=True)
    pairs = [pair for _, some in all_pairs(made) for pair in some]
    assert {pair.original.inputs["asked"] for pair in pairs} == {0}
