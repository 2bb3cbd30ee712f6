"""Splits: rows by share, words disjoint, the same for every design and seed."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfgen import CfgenError, load_task
from cfgen.datasets import FRACTIONS, make_splits

TASK = load_task("belief_tracking")


@given(
    n=st.integers(1, 10_000),
    weights=st.lists(st.floats(0.01, 1), min_size=1, max_size=3),
)
def test_rows_add_up_and_follow_the_shares(n: int, weights: list[float]) -> None:
    total = sum(weights)
    shares = {name: weight / total for name, weight in zip(FRACTIONS, weights, strict=False)}
    rows = {split.name: split.rows for split in make_splits(TASK, n, shares)}
    assert sum(rows.values()) == n
    for name, share in shares.items():
        assert abs(rows.get(name, 0) - n * share) < 1 + 1e-6


def test_eighty_ten_ten() -> None:
    assert {split.name: split.rows for split in make_splits(TASK, 1000)} == {
        "train": 800,
        "validation": 100,
        "test": 100,
    }


@pytest.mark.parametrize("task", ["belief_tracking", "ioi"])
def test_no_word_is_in_two_splits_and_none_is_lost(task: str) -> None:
    loaded = load_task(task)
    splits = make_splits(loaded, 1000)
    everything = {
        pool: words
        for domain in loaded.causal_model.domains.values()
        for pool, words in domain.pools.items()
    }
    for pool, words in everything.items():
        for one, other in itertools.combinations(splits, 2):
            assert not set(one.pools[pool]) & set(other.pools[pool])
        assert sorted(word for split in splits for word in split.pools[pool]) == sorted(words)


def test_small_splits_get_twice_their_share_of_words_and_at_least_eight() -> None:
    counts = {
        split.name: {pool: len(words) for pool, words in split.pools.items()}
        for split in make_splits(TASK, 1000)
    }
    assert counts == {
        "train": {"characters": 60, "containers": 14, "drinks": 14},
        "validation": {"characters": 20, "containers": 8, "drinks": 8},
        "test": {"characters": 20, "containers": 8, "drinks": 8},
    }


def test_equal_shares_get_equally_many_words(project) -> None:
    halves = make_splits(project.load(), 100, {"train": 0.5, "test": 0.5})
    assert [len(split.pools["things"]) for split in halves] == [30, 30]


def test_the_words_of_a_split_do_not_depend_on_the_number_of_rows() -> None:
    few, many = make_splits(TASK, 10), make_splits(TASK, 100_000)
    assert [split.pools for split in few] == [split.pools for split in many]


def test_splits_without_rows_are_left_out() -> None:
    assert [split.name for split in make_splits(TASK, 1)] == ["train"]
    only = make_splits(TASK, 50, {"test": 1.0})
    assert [(split.name, split.rows) for split in only] == [("test", 50)]


@pytest.mark.parametrize(
    ("n", "fractions", "code"),
    [
        (0, {"train": 1.0}, "bad-count"),
        (5, {"dev": 1.0}, "bad-splits"),
        (5, {"train": -1.0, "test": 2.0}, "bad-splits"),
        (5, {"train": 0.0}, "bad-splits"),
    ],
)
def test_nonsense_is_refused(n: int, fractions: dict[str, float], code: str) -> None:
    with pytest.raises(CfgenError) as caught:
        make_splits(TASK, n, fractions)
    assert [problem.code for problem in caught.value.problems] == [code]


def test_a_lexicon_that_is_too_small_is_named(project) -> None:
    project.lexicon("things", list("abcdefghij"))
    task = project.load()
    with pytest.raises(CfgenError, match=r"lexicon 'things' has 10 words, but 3 disjoint splits"):
        make_splits(task, 100)
    assert [split.rows for split in make_splits(task, 100, {"train": 0.5, "test": 0.5})] == [50, 50]
