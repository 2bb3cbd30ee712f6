"""Domains: what they hold, draw and count; known answers and random ones."""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfgen import CfgenError, boolean, choice, distinct, integers
from cfgen.causal import Choice, Distinct, Domain, Words

COLOURS = Words("colours", ("red", "green", "blue", "pink"))


def problem_of(call: Any, *arguments: Any) -> str:
    with pytest.raises(CfgenError) as caught:
        call(*arguments)
    [problem] = caught.value.problems
    assert problem.where.startswith(__file__)
    return f"{problem.code}: {problem.message} -> {problem.hint}"


@pytest.mark.parametrize(
    ("domain", "values", "kind", "arity"),
    [
        (integers(-1, 2), [-1, 0, 1, 2], int, None),
        (choice(["a", "b"]), ["a", "b"], str, None),
        (choice([1, "a"]), [1, "a"], object, None),
        (choice([["a", "b"], ["c"]]), [("a", "b"), ("c",)], tuple, None),
        (boolean(), [False, True], bool, None),
        (COLOURS, ["red", "green", "blue", "pink"], str, None),
        (
            distinct(integers(0, 2), 2),
            [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)],
            tuple[int, ...],
            2,
        ),
    ],
)
def test_values_count_type_and_arity(
    domain: Domain, values: list[Any], kind: Any, arity: int | None
) -> None:
    assert list(domain) == values
    assert domain.count() == len(values)
    assert domain.type == kind
    assert domain.arity == arity
    assert [value for value in values if domain.problem_with(value)] == []
    assert isinstance(domain, Domain)
    rng = random.Random(0)
    assert {domain.sample(rng) for _ in range(200)} == set(values)


@pytest.mark.parametrize(
    ("domain", "value", "problem"),
    [
        (integers(0, 1), True, "must be a whole number from 0 to 1"),
        (integers(0, 1), 2, "must be a whole number from 0 to 1"),
        (integers(0, 1), 1.0, "must be a whole number from 0 to 1"),
        (integers(0, 1), "1", "must be a whole number from 0 to 1"),
        (boolean(), 1, "must be one of False, True"),
        (choice(["a", "b"]), "c", "must be one of 'a', 'b'"),
        (choice(["a", "b"]), [], "must be one of 'a', 'b'"),
        (choice([f"w{k}" for k in range(13)]), "c", "must be one of 13 values from 'w0' on"),
        (COLOURS, 3, "must be a word (text), not int"),
        (COLOURS, " red", "must be text without leading or trailing whitespace, and not empty"),
        (COLOURS, "", "must be text without leading or trailing whitespace, and not empty"),
        (distinct(COLOURS, 2), "red", "must be a list of 2 values"),
        (distinct(COLOURS, 2), ("red",), "must be a list of 2 values"),
        (distinct(COLOURS, 2), ("red", "red"), "must be all different"),
        (distinct(COLOURS, 2), ("red", 5), "5 must be a word (text), not int"),
        (distinct(integers(0, 3), 2), (0, 9), "9 must be a whole number from 0 to 3"),
    ],
)
def test_what_is_wrong_with_a_value(domain: Domain, value: Any, problem: str) -> None:
    assert domain.problem_with(value) == problem


def test_words_that_no_lexicon_lists_may_be_given() -> None:
    assert COLOURS.problem_with("beige") is None
    assert distinct(COLOURS, 2).problem_with(("beige", "red")) is None


def test_huge_domains_are_counted_and_drawn_from_at_once() -> None:
    start = time.perf_counter()
    huge = integers(0, 10**30)
    assert huge.count() == 10**30 + 1
    assert distinct(integers(1, 10**9), 3).count() == 10**9 * (10**9 - 1) * (10**9 - 2)
    assert huge.problem_with(10**29) is None
    assert 0 <= huge.sample(random.Random(0)) <= 10**30
    assert len(set(distinct(huge, 4).sample(random.Random(0)))) == 4
    assert list(itertools.islice(huge, 3)) == [0, 1, 2]
    assert time.perf_counter() - start < 1


def test_restricting_changes_only_the_named_lexicon() -> None:
    two = distinct(COLOURS, 2)
    small = two.restrict({"colours": ("red", "blue"), "other": ("x",)})
    assert set(small) == {("red", "blue"), ("blue", "red")}
    assert small.pools == {"colours": ("red", "blue")}
    assert two.restrict({"other": ("x",)}) == two
    assert integers(0, 1).restrict({"colours": ("red",)}) == integers(0, 1)
    assert integers(0, 1).pools == {}


@pytest.mark.parametrize(
    ("call", "arguments", "expected"),
    [
        (integers, (3, 2), "empty-domain: integers(3, 2) is empty -> swap the two bounds"),
        (choice, ([],), "empty-domain: choice([]) is empty -> name at least one value"),
        (
            choice,
            (["a", "a"],),
            "repeated-value: choice(['a', 'a']) names a value twice -> drop one",
        ),
        (
            choice,
            ({"a", "b"},),
            "not-a-list: choice() was given a set, which is not a list of values -> "
            "write the values, in a fixed order, as choice([...])",
        ),
        (
            choice,
            ("yes",),
            "not-a-list: choice() was given a str, which is not a list of values -> "
            "write the values, in a fixed order, as choice([...])",
        ),
        (
            choice,
            ([{}, {"a": 1}],),
            "changeable-value: choice([{}, {'a': 1}]) has a value that can be changed: "
            "unhashable type: 'dict' -> use text, numbers, None, or tuples of these",
        ),
        (
            distinct,
            (COLOURS, 5),
            "empty-domain: 5 distinct values were asked of a domain that has 4 -> "
            "ask for fewer, or add values",
        ),
        (
            distinct,
            (COLOURS, 0),
            "empty-domain: 0 distinct values were asked of a domain that has 4 -> "
            "ask for at least one",
        ),
        (
            distinct,
            (Distinct(COLOURS, 2), 2),
            "not-a-domain: distinct() was given a Distinct, not a domain of single values -> "
            "use choice([...]), integers(...) or lexicon(...)",
        ),
    ],
)
def test_domains_that_cannot_be(call: Any, arguments: tuple[Any, ...], expected: str) -> None:
    assert problem_of(call, *arguments) == expected


def test_draws_are_uniform_and_avoid_what_they_are_told() -> None:
    rng = random.Random(1)
    pairs = Counter(distinct(integers(0, 3), 2).sample(rng, avoid=(2,)) for _ in range(6000))
    assert set(pairs) == set(itertools.permutations((0, 1, 3), 2))
    assert all(850 < count < 1150 for count in pairs.values())


def test_too_few_values_to_avoid_some() -> None:
    with pytest.raises(CfgenError) as caught:
        distinct(COLOURS, 2).sample(random.Random(0), avoid=("red", "blue", "pink"))
    assert str(caught.value) == (
        "2 new values are needed, but only 1 of 4 are left besides 'red', 'blue', 'pink' "
        "[too-few-values]\n    -> add entries to the lexicon, or use a design that resamples less"
    )


def test_words_to_avoid_that_are_not_in_the_lexicon_cost_nothing() -> None:
    drawn = distinct(COLOURS, 3).sample(random.Random(0), avoid=("x", "y", "red"))
    assert set(drawn) == {"green", "blue", "pink"}


def test_draws_are_the_same_on_every_platform() -> None:
    rng = random.Random(2025)
    drawn = [integers(0, 99).sample(rng), distinct(COLOURS, 2).sample(rng), boolean().sample(rng)]
    assert drawn == [71, ("red", "pink"), False]


@given(
    st.lists(st.integers(-5, 5), min_size=1, max_size=8, unique=True),
    st.integers(1, 4),
    st.integers(0, 2**32),
)
def test_samples_are_members(values: list[int], size: int, seed: int) -> None:
    one = choice(values)
    assert one.sample(random.Random(seed)) in values
    if size <= len(values):
        several = distinct(one, size)
        drawn = several.sample(random.Random(seed))
        assert several.problem_with(drawn) is None
        assert several.count() == len(list(several))
        assert drawn == several.sample(random.Random(seed))


def test_integers_are_a_choice_of_numbers() -> None:
    assert isinstance(integers(0, 1), Choice)
    assert hash(integers(0, 1)) == hash(integers(0, 1))
