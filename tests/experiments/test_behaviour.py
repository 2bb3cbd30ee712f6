from __future__ import annotations

import dataclasses

import pytest

from cfgen.errors import CfgenError
from cfgen.experiments import NO_ANSWER, check_any_kept, grade, wrong_sides
from cfgen.interventions import Reply
from cfgen.lm import encode_pairs


def graded(lm, make, answers, designs=None):
    """Pairs with these answers (original's, counterfactual's), tokenised."""
    pairs = []
    for index, (first, second) in enumerate(answers):
        sides = [
            dataclasses.replace(
                make.story(("Ann", "Ben"), ("mug", "jar"), ("tea", "milk"), 0),
                answer=answer,
                answer_prefix=" ",
            )
            for answer in (first, second)
        ]
        pair = make.pair(*sides, index)
        pairs.append(dataclasses.replace(pair, design=designs[index] if designs else "d"))
    return encode_pairs(lm.tokenizer, pairs)


def replies(lm, encoded, said):
    """Per pair what the LM answers if it says these words after the original and the other."""
    ids = lm.tokenizer.get_vocab()
    return [
        tuple(
            Reply(path, tree.label(path) or frozenset(), {}, {}, None, changed=False)
            for tree, path in (
                (pair.original_tree, (ids[f" {first}"],)),
                (pair.counterfactual_tree, (ids[f" {second}"],)),
            )
        )
        for pair, (first, second) in zip(encoded, said, strict=True)
    ]


def counted(share):
    return share.k, share.n


def test_counts(tiny_lm, make):
    answers = [("tea", "milk"), ("tea", "milk"), ("milk", "tea"), ("tea", "milk"), ("tea", None)]
    said = [("tea", "milk"), ("tea", "juice"), ("juice", "tea"), ("juice", "juice"), ("tea", "box")]
    encoded = graded(tiny_lm, make, answers, ["a", "a", "b", "b", "b"])
    found = grade(encoded, replies(tiny_lm, encoded, said))
    assert found.kept == (0, 4)
    assert found.dropped == {
        "counterfactual answered wrongly": 1,
        "original and counterfactual answered wrongly": 1,
        "original answered wrongly": 1,
    }
    assert counted(found.clean_original) == (3, 5)
    assert counted(found.clean_counterfactual) == (2, 4)
    assert counted(found.clean) == (5, 9)
    assert counted(found.keep) == (2, 5)
    assert {k: counted(v) for k, v in found.keep_by_design.items()} == {"a": (1, 2), "b": (1, 3)}
    by_answer = {answer: counted(share) for answer, share in found.keep_by_answer.items()}
    assert by_answer == {"milk": (0, 1), "tea": (2, 4)}


def test_sides_without_answers_are_not_filtered_on(tiny_lm, make):
    encoded = graded(tiny_lm, make, [(None, None), (None, "tea")])
    found = grade(encoded, replies(tiny_lm, encoded, [("mug", "jar"), ("mug", "jar")]))
    assert found.kept == (0,)
    assert found.clean_original is None
    assert found.clean == found.clean_counterfactual
    assert counted(found.clean) == (0, 1)
    assert counted(found.keep_by_answer[NO_ANSWER]) == (1, 2)


def test_no_pair_kept_says_what_the_lm_says_instead(tiny_lm, make):
    encoded = graded(tiny_lm, make, [("tea", "milk")] * 5)
    said = replies(tiny_lm, encoded, [("juice", "milk")] * 5)
    with pytest.raises(CfgenError) as caught:
        check_any_kept(grade(encoded, said), encoded, said, tiny_lm.tokenizer)
    (problem,) = caught.value.problems
    assert problem.code == "no-pair-kept"
    assert "expected 'tea', the LM says ' juice'" in problem.detail
    assert "of 5 pairs" in problem.message


def test_only_sides_with_an_answer_are_graded(tiny_lm, make):
    encoded = graded(tiny_lm, make, [("tea", "milk"), (None, "milk")])

    def wrong(index, *said):
        return wrong_sides(encoded[index], replies(tiny_lm, [encoded[index]], [said])[0])

    assert wrong(0, "tea", "milk") == ()
    assert wrong(0, "milk", "milk") == ("original",)
    assert wrong(0, "milk", "tea") == ("original", "counterfactual")
    assert wrong(1, "milk", "milk") == ()
    assert wrong(1, "milk", "tea") == ("counterfactual",)
