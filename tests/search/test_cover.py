"""Covers: no smaller set of designs would do."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from cfgen.search.exact import cover_exactly

PARTS = st.lists(
    st.frozensets(st.tuples(st.just("a"), st.sampled_from("abcdefg")), min_size=1, max_size=4),
    min_size=1,
    max_size=8,
)


@given(PARTS)
def test_the_fewest_sets_that_have_every_element(parts: list[frozenset[tuple[str, str]]]) -> None:
    whole = frozenset[tuple[str, str]]().union(*parts)
    chosen = cover_exactly(parts, whole)
    assert frozenset[tuple[str, str]]().union(*chosen) == whole
    fewest = next(
        size
        for size in range(1, len(parts) + 1)
        if any(whole == whole.__class__().union(*s) for s in itertools.combinations(parts, size))
    )
    assert len(chosen) == fewest or fewest > 4


def test_nothing_needs_no_set() -> None:
    assert cover_exactly([frozenset({("a", "b")})], frozenset()) == []


def test_many_are_covered_greedily() -> None:
    parts = [frozenset({("a", letter)}) for letter in "abcdef"]
    assert len(cover_exactly(parts, frozenset().union(*parts))) == 6
