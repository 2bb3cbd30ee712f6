"""Answers as trees of tokens: cases known by hand, and properties against plain scans."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cfgen.errors import CfgenError
from cfgen.lm import NOT_AN_ANSWER, AnswerTree, TokenPath, build_tree

Paths = dict[str, list[TokenPath]]


def only(*answers: str) -> frozenset[str]:
    return frozenset(answers)


# Cases known by hand.


def log_probabilities(tree, at):
    return {one: tree.log_probability(tree.tracked(one), at) for one in tree.answers}


def test_answers_that_differ_at_once_are_told_by_one_token():
    tree = build_tree({"tea": [(5, 1)], "milk": [(6,)]})
    assert (tree.fed, tuple(tree.children), tree.depth) == ((), ((),), 1)
    assert tree.leaves == {(5,): only("tea"), (6,): only("milk")}
    assert tree.label([5]) == only("tea")
    assert tree.label([7]) == NOT_AN_ANSWER
    assert tree.label([]) is None
    assert tree.tracked("milk") == ((6,),)


def test_what_all_answers_begin_with_is_fed():
    tree = build_tree({"1": [(9, 1)], "2": [(9, 2)], "12": [(9, 1, 2)], "3": [(9, 3, 0)]})
    assert tree.fed == (9,)
    assert tree.leaves == {(2,): only("2"), (1, 2): only("12"), (3,): only("3")}
    assert tree.ends == {(1,): only("1")}
    assert tree.children == {(): (1, 2, 3), (1,): (2,)}
    assert tree.label([1]) is None
    assert tree.label([1, 2]) == only("12")
    assert tree.label([1, 7]) == only("1")
    assert tree.label([4, 2]) == NOT_AN_ANSWER


def test_the_shorter_of_two_answers_is_told_by_the_token_that_follows():
    tree = build_tree({"Ann": [(1,)], "Anna": [(1, 2)]})
    assert tree.fed == ()  # something of every text is left to be said
    at = {(): {1: math.log(0.8)}, (1,): {2: math.log(0.25)}}
    found = log_probabilities(tree, at)
    assert found["Ann"] == pytest.approx(math.log(0.8 * 0.75))
    assert found["Anna"] == pytest.approx(math.log(0.8 * 0.25))
    assert tree.tracked("Ann") == ((1,),)


def test_a_single_answer_has_to_be_said():
    tree = build_tree({"yes": [(4, 5, 6)]})
    assert (tree.fed, tree.leaves) == ((4, 5), {(6,): only("yes")})
    assert tree.label([7]) == NOT_AN_ANSWER


def test_several_texts_of_one_answer_need_not_be_told_apart():
    tree = build_tree({"Beijing": [(1, 2), (3,), (1, 4)], "Bonn": [(1, 5)]})
    assert tree.leaves == {
        (1, 2): only("Beijing"),
        (1, 4): only("Beijing"),
        (3,): only("Beijing"),
        (1, 5): only("Bonn"),
    }
    alone = build_tree({"Ann": [(1,), (1, 2)], "Ben": [(3,)]})
    assert alone.leaves == {(1,): only("Ann"), (3,): only("Ben")}
    at = {(): {1: math.log(0.3), 3: math.log(0.1)}, (1,): {k: math.log(0.2) for k in (2, 4, 5)}}
    assert log_probabilities(tree, at)["Beijing"] == pytest.approx(math.log(0.3 * 0.4 + 0.1))


def test_a_text_may_be_right_for_several_answers():
    paths = {str(year): [(later,) for later in range(year + 1, 60)] for year in (56, 57, 58)}
    tree = build_tree(paths)
    assert tree.label([57]) == only("56")
    assert tree.label([58]) == only("56", "57")
    assert tree.label([59]) == only("56", "57", "58")
    assert tree.tracked("57") == ((58,), (59,))
    at = {(): {57: math.log(0.1), 58: math.log(0.2), 59: math.log(0.4)}}
    found = log_probabilities(tree, at)
    assert [math.exp(found[year]) for year in ("56", "57", "58")] == pytest.approx([0.7, 0.6, 0.4])


def test_what_is_impossible_has_probability_zero():
    tree = build_tree({"Ann": [(1,)], "Anna": [(1, 2)], "Ben": [(3,)]})
    at = {(): {1: 0.0, 3: -math.inf}, (1,): {2: 0.0}}
    assert log_probabilities(tree, at) == {"Ann": -math.inf, "Anna": 0.0, "Ben": -math.inf}


def test_answers_with_the_same_tokens_are_named():
    with pytest.raises(
        CfgenError, match=r"'a', 'b' are the same tokens.*answers-collide"
    ) as caught:
        build_tree({"a": [(1,), (2,)], "c": [(1,)], "b": [(2,), (1,)]})
    assert len(caught.value.problems) == 1


# Against plain scans over all texts.

TOKENS = (0, 1, 2)
LABELS = ("a", "b", "c", "d")


@st.composite
def some_paths(draw: st.DrawFn) -> Paths:
    text = st.lists(st.sampled_from(TOKENS), min_size=1, max_size=4).map(tuple)
    start = draw(st.lists(st.sampled_from(TOKENS), max_size=2).map(tuple))
    answers = draw(
        st.lists(
            st.lists(text, min_size=1, max_size=4), min_size=1, max_size=4, unique_by=frozenset
        )
    )
    return {
        label: [start + path for path in texts]
        for label, texts in zip(LABELS, answers, strict=False)
    }


def plain_label(paths: Paths, fed: TokenPath, said: TokenPath) -> frozenset[str] | None:
    """The same by looking through all texts at every step."""
    texts = {path[len(fed) :] for of in paths.values() for path in of}
    right = {text: only(*(a for a in paths if fed + text in paths[a])) for text in texts}
    for step in range(1, len(said) + 1):
        left = [right[text] for text in texts if text[:step] == said[:step]]
        if not left:
            return right.get(said[: step - 1], frozenset())
        if len(set(left)) == 1:
            return left[0]
    return None


@settings(max_examples=60, deadline=None)
@given(some_paths())
def test_labels_are_those_of_a_plain_scan(paths: Paths):
    tree = build_tree(paths)
    for length in range(6):
        for said in itertools.product((*TOKENS, 3), repeat=length):
            assert tree.label(said) == plain_label(paths, tree.fed, said)
            if length >= tree.depth:
                assert tree.label(said) is not None


@given(some_paths())
def test_the_fed_tokens_are_the_longest_that_all_share_and_leave_one(paths: Paths):
    fed = build_tree(paths).fed
    texts = [path for of in paths.values() for path in of]
    assert all(path[: len(fed)] == fed and len(path) > len(fed) for path in texts)
    longer = {path[: len(fed) + 1] for path in texts}
    assert len(longer) > 1 or any(len(path) == len(fed) + 1 for path in texts)


@given(some_paths())
def test_the_parts_of_a_tree_fit_together(paths: Paths):
    tree = build_tree(paths)
    assert next(iter(tree.children)) == tree.root
    assert not set(tree.leaves) & set(tree.children)
    assert set(tree.ends) <= set(tree.children)
    for answer in tree.answers:
        assert tree.tracked(answer)
    for node, tokens in tree.children.items():
        assert tokens
        below = {(*node, token) for token in tokens}
        assert below <= {*tuple(tree.children), *tree.leaves}


def random_lm(tree: AnswerTree, seed: int) -> dict[TokenPath, list[float]]:
    """Probabilities of four tokens after everything that may be said up to the tree's depth."""
    rng, found = random.Random(seed), {}
    for length in range(tree.depth):
        for said in itertools.product((*TOKENS, 3), repeat=length):
            weights = [rng.random() + 1e-3 for _ in range(4)]
            found[said] = [weight / sum(weights) for weight in weights]
    return found


@settings(max_examples=100, deadline=None)
@given(some_paths(), st.integers(0, 1000))
def test_probabilities_are_those_of_all_that_may_be_said(paths: Paths, seed: int):
    tree = build_tree(paths)
    lm = random_lm(tree, seed)
    expected = dict.fromkeys(paths, 0.0)
    for said in itertools.product((*TOKENS, 3), repeat=tree.depth):
        chance = math.prod(lm[said[:step]][token] for step, token in enumerate(said))
        for answer in plain_label(paths, tree.fed, said) or ():
            expected[answer] += chance
    at = {
        node: {token: math.log(lm[node][token]) for token in tokens}
        for node, tokens in tree.children.items()
    }
    found = {answer: math.exp(value) for answer, value in log_probabilities(tree, at).items()}
    assert found == pytest.approx(expected)
