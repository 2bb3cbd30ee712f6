from __future__ import annotations

import pytest

from cfgen.counterfactuals import Site
from cfgen.errors import CfgenError
from cfgen.interventions import align
from cfgen.lm import encode_pairs

WORDS = (
    "Ann Ben Cid Dora mug jar-let pot box tea milk juice water fills the with Then What does think "
    "is in Answer Story"
)


@pytest.fixture(scope="module")
def lm(build_tiny_lm):
    return build_tiny_lm(WORDS, kind="bytes")


def story(make, names=("Ann", "Ben"), drinks=("tea", "milk"), asked=0):
    return make.story(names, ("mug", "pot"), drinks, asked)


def test_pairs_with_other_token_counts_are_dropped_with_the_reason(lm, make):
    pairs = [
        make.pair(story(make), story(make, drinks=("tea", "milk"))),
        make.pair(story(make), story(make, drinks=("juice", "milk"))),
    ]
    encoded = encode_pairs(lm.tokenizer, pairs)
    for whole in ("drink_1.all", "drink_1[0].all"):
        aligned = align(encoded, Site((whole,)))
        assert list(aligned.swaps) == [0]
        assert aligned.dropped == {1: f"{whole}: not the same number of tokens on both sides"}
    assert list(align(encoded, Site(("drink_1", "drink_2.first"))).swaps) == [0, 1]


def test_pairs_with_other_mentions_are_dropped_with_the_reason(lm, make):
    pairs = [
        make.pair(story(make), story(make, asked=1)),
        make.pair(story(make), story(make)),
    ]
    encoded = encode_pairs(lm.tokenizer, pairs)
    aligned = align(encoded, Site(("name_1",)))
    assert aligned.dropped == {0: "name_1: not the same number of mentions on both sides"}
    aligned = align(encoded, Site(("name_1[1]",)))
    assert list(aligned.swaps) == [1]
    assert "mention 1 of 'name_1'" in aligned.dropped[0]


def test_no_pair_left_is_an_error_with_reasons(lm, make):
    pairs = [make.pair(story(make), story(make, drinks=("juice", "milk")))]
    encoded = encode_pairs(lm.tokenizer, pairs)
    with pytest.raises(CfgenError, match=r"1 pairs: drink_1.all: not the same.*no-pair-aligned"):
        align(encoded, Site(("drink_1.all",)))


def test_a_misspelt_position_is_an_error_with_a_suggestion(lm, make):
    encoded = encode_pairs(lm.tokenizer, [make.pair(story(make), story(make))])
    with pytest.raises(CfgenError, match="did you mean 'drink_1'"):
        align(encoded, Site(("drnk_1",)))
    with pytest.raises(CfgenError, match="did you mean 'drink_1'"):
        align(encoded, Site(frozen=("drnk_1",)))


def test_positions_that_meet_are_an_error(lm, make):
    encoded = encode_pairs(lm.tokenizer, [make.pair(story(make), story(make))])
    with pytest.raises(CfgenError, match=r"both swapped and frozen.*positions-overlap"):
        align(encoded, Site(("drink_1",), frozen=("sentence_1",)))
    with pytest.raises(CfgenError, match=r"swapped twice.*positions-overlap"):
        align(encoded, Site(("drink_1", "sentence_1.all")))
    swap = align(encoded, Site(("last",), frozen=("drink_1", "sentence_1"))).swaps[0]
    assert set(swap.held) >= {token for token in swap.held if token}


def test_what_is_frozen_is_frozen_whole(lm, make):
    encoded = encode_pairs(lm.tokenizer, [make.pair(story(make), story(make))])
    site = Site(("last",), frozen=("drink_1[0]", "drink_2[0].last"))
    swap = align(encoded, site).swaps[0]
    assert site.frozen == ("drink_1[0].all", "drink_2[0].last")
    assert len(swap.held) == len("tea") + 1


def test_a_phrase_cannot_be_swapped_by_word(lm, make):
    encoded = encode_pairs(lm.tokenizer, [make.pair(story(make), story(make))])
    with pytest.raises(CfgenError, match="position-not-a-slot"):
        align(encoded, Site(("sentence_1",), align="word"))


def test_words_that_the_counterfactual_lacks_drop_the_pair(lm, make):
    pairs = [
        make.pair(story(make), story(make, drinks=("milk", "tea"))),
        make.pair(story(make), story(make, drinks=("milk", "box"))),
        make.pair(story(make), story(make, drinks=("tea", "tea"))),
        make.pair(story(make, drinks=("box", "tea")), story(make, drinks=("tea", "tea"))),
    ]
    aligned = align(encode_pairs(lm.tokenizer, pairs), Site(("drink_1.all",), align="word"))
    assert list(aligned.swaps) == [0, 2]
    missing = "drink_1.all: in the counterfactual no slot holds the original's word"
    assert aligned.dropped == {1: missing, 3: missing}
    assert aligned.swaps[2].to == aligned.swaps[2].of


def test_several_slots_with_the_word_drop_the_pair(lm, make):
    pairs = [
        make.pair(story(make), story(make, names=("tea", "Ben"), drinks=("milk", "tea"))),
        make.pair(story(make), story(make, drinks=("milk", "tea"))),
    ]
    aligned = align(encode_pairs(lm.tokenizer, pairs), Site(("drink_1",), align="word"))
    assert aligned.dropped == {
        0: "drink_1: in the counterfactual several slots hold the original's word"
    }


def test_last_is_last_also_by_word(lm, make):
    pairs = [make.pair(story(make), story(make, drinks=("juice", "milk")))]
    swap = align(encode_pairs(lm.tokenizer, pairs), Site(align="word")).swaps[0]
    assert swap.moves == ((len(swap.original) - 1, len(swap.source) - 1),)
