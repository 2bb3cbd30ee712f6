"""What is left out before anything is run, and why."""

from __future__ import annotations

from random import Random

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cfgen.interventions import (
    OUT_OF_REACH,
    SAME_VALUES,
    Branch,
    Constant,
    Edit,
    FromPrompt,
    NoReach,
    Reach,
    find_reach,
)
from cfgen.lm import COMPONENTS, Place
from tests.families import ALL
from tests.interventions.branching import (
    layout_of,
    lm_of,
    off,
    random_branches,
    random_prompts,
    run,
    swap,
)
from tests.lm.families.by_hand import BEFORE_BLOCKS

LAYERS = 4
LATE = ("resid_mid", "resid_post", "attn_out", "head_out", "q", "mlp_out", "mlp_neuron")
PROMPTS = [
    (10, 11, 12, 13, 14, 15),
    (10, 11, 12, 23, 14, 15),  # as the first, but for the fourth token
    (30, 31, 32),
    (10, 11, 12, 13, 14, 15),  # the first again
    (10, 11, 12, 13, 14, 15, 16),  # the first, and one token more
    (10,),
]


def reduced(branch, **options):
    """What becomes of one branch."""
    run_, known = find_reach(PROMPTS, {7: branch}, LAYERS, **options)
    (found,) = (*run_, *known)
    assert found.index == 7
    assert found.prompt == branch.prompt
    return found


def reason(branch):
    found = reduced(branch)
    return found.reason if isinstance(found, NoReach) else ""


def edit(component, layer, to, source, of=None):
    return Edit(Place(component, layer), tuple(to), FromPrompt(source, tuple(of or to)))


# What is filled


def test_a_branch_without_edits_is_filled():
    assert reason(Branch(0, ())) == SAME_VALUES


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_prompt_with_itself_is_filled(component):
    for source in (0, 3):
        assert reason(swap(Place(component, 0), 0, [1, 4, 5], source, [1, 4, 5])) == SAME_VALUES


@pytest.mark.parametrize("component", COMPONENTS)
def test_what_comes_before_the_first_other_token_is_filled(component):
    place = Place(component, 0)
    assert reason(swap(place, 0, [0, 2], 1, [0, 2])) == SAME_VALUES
    assert reason(swap(place, 0, [0, 5], 4, [0, 5])) == SAME_VALUES
    assert reason(swap(place, 0, [0], 5, [0])) == SAME_VALUES
    if component not in BEFORE_BLOCKS:
        for to in (3, 4, 5):  # the other token, and those behind it that are the same
            assert reason(swap(place, 0, [to], 1, [to])) == ""
        assert reason(swap(place, 0, [2], 1, [1])) == ""
    assert reason(swap(place, 0, [2], 2, [0])) == ""


def test_embeddings_are_told_apart_by_token_ids_and_positions():
    assert reason(swap(Place("embed"), 0, [4, 5], 1, [4, 5])) == SAME_VALUES
    assert reason(swap(Place("embed"), 0, [3], 1, [3])) == ""
    assert reason(swap(Place("embed"), 0, [4], 1, [5])) == ""
    prompts = [(10, 10, 11), (12, 10, 10)]
    moved = swap(Place("embed"), 0, [0, 1], 1, [1, 2])
    assert find_reach(prompts, {0: moved}, LAYERS)[1] == [NoReach(0, 0, SAME_VALUES)]
    assert reason(swap(Place("pos_embed"), 0, [3, 5], 1, [3, 5])) == SAME_VALUES
    assert reason(swap(Place("pos_embed"), 0, [1], 2, [1])) == SAME_VALUES
    assert reason(swap(Place("pos_embed"), 0, [1], 0, [2])) == ""


@pytest.mark.parametrize("component", LATE)
def test_the_last_block_has_no_other_token_than_the_last(component):
    last = LAYERS - 1
    assert reason(swap(Place(component, last), 0, [3, 4], 1, [3, 4])) == OUT_OF_REACH
    assert reason(swap(Place(component, last), 0, [5], 1, [5])) == ""
    assert reason(swap(Place(component, last - 1), 0, [3], 1, [3])) == ""
    numbers = Constant(torch.zeros(1, 6))
    assert reason(Branch(0, (Edit(Place(component, last), (0,), numbers),))) == OUT_OF_REACH
    mixed = reduced(swap(Place(component, last), 0, [3, 5], 1, [3, 5]))
    assert isinstance(mixed, Reach)
    assert mixed.edits == (edit(component, last, [5], 1),)
    assert mixed.tokens == (5,)


@pytest.mark.parametrize("component", ["resid_pre", "k", "v"])
def test_keys_and_values_of_the_last_block_do_reach_the_answer(component):
    found = reduced(swap(Place(component, LAYERS - 1), 0, [3], 1, [3]))
    assert isinstance(found, Reach)
    assert (found.level, found.tokens) == (LAYERS - 1, (3, 4, 5))


def test_a_pattern_of_the_last_block_is_out_of_reach_but_for_the_last_token():
    numbers = Constant(torch.zeros(1, 4, 6))
    last = Place("attn_pattern", LAYERS - 1)
    assert reason(Branch(0, (Edit(last, (4,), numbers),))) == OUT_OF_REACH
    assert reason(Branch(0, (Edit(last, (5,), numbers),))) == ""


def test_given_numbers_are_never_taken_to_be_what_is_there():
    for component in ("resid_pre", "embed", "k"):
        assert (
            reason(Branch(0, (Edit(Place(component, 0), (0,), Constant(torch.zeros(1, 6))),))) == ""
        )


# What is run


@pytest.mark.parametrize(
    ("component", "layer", "level"),
    [
        ("embed", 0, 0),
        ("pos_embed", 0, 0),
        ("resid_pre", 0, 0),
        ("resid_pre", 2, 2),
        ("resid_mid", 2, 2),
        ("attn_out", 2, 2),
        ("q", 2, 2),
        ("mlp_neuron", 2, 2),
        ("resid_post", 2, 3),
        ("resid_post", 3, 4),
    ],
)
def test_a_branch_enters_where_it_first_differs(component, layer, level):
    at = 5 if level == LAYERS else 3
    found = reduced(swap(Place(component, layer), 0, [at], 2, [2]))
    assert isinstance(found, Reach)
    assert found.level == level
    assert found.tokens == tuple(range(at, 6))


def test_the_first_of_several_edits_decides():
    edits = (edit("v", 2, [4], 2, [0]), edit("resid_post", 2, [1], 2, [0]), edit("q", 3, [5], 1))
    found = reduced(Branch(0, edits))
    assert (found.level, found.tokens, found.edits) == (2, (1, 2, 3, 4, 5), edits)


def test_edits_are_dropped_before_anything_has_changed():
    change = edit("resid_post", 1, [3], 1)
    same = [edit("resid_post", layer, [4], 0) for layer in range(LAYERS)]
    found = reduced(Branch(0, (change, *same)))
    assert change in found.edits
    assert edit("resid_post", 0, [4], 0) not in found.edits
    earlier = edit("attn_out", 0, [5], 3)
    assert reduced(Branch(0, (earlier, change))).edits == (change,)
    before = edit("v", 3, [0, 2], 2, [0, 1])  # positions before the change are kept, and start it
    assert reduced(Branch(0, (before, change))).tokens == (0, 1, 2, 3, 4, 5)


def test_edits_at_tokens_before_the_first_change_are_dropped():
    change, same = edit("resid_post", 0, [3], 1), edit("v", 2, [0, 1, 2], 0)
    assert reduced(Branch(0, (change, same))).edits == (change,)
    partly = edit("v", 2, [1, 4, 2], 0, [1, 4, 2])
    assert reduced(Branch(0, (partly, change))).edits == (edit("v", 2, [4], 0), change)


def test_given_values_stay_with_their_positions():
    values = torch.arange(12.0).view(3, 4)
    branch = Branch(0, (Edit(Place("resid_post", 3), (5, 2, 1), Constant(values)),))
    (kept,) = reduced(branch).edits
    assert kept.positions == (5,)
    assert torch.equal(kept.value.values, values[:1])


@pytest.mark.parametrize(
    ("change", "restore"),
    [
        (edit("resid_post", 1, [3], 1), edit("resid_pre", 2, [3], 0)),
        (edit("embed", 0, [3], 1), edit("resid_pre", 0, [3], 0)),
        (edit("attn_out", 1, [3], 1), edit("resid_mid", 1, [3], 0)),
        (edit("q", 1, [3], 1), edit("head_out", 1, [3], 0)),
    ],
)
def test_what_undoes_a_change_is_kept(change, restore):
    for edits in ((change, restore), (restore, change)):
        assert set(reduced(Branch(0, edits)).edits) == {change, restore}


def held(positions, layers=range(LAYERS), component="resid_post", prompt=0):
    own = FromPrompt(prompt, tuple(positions))
    return tuple(Edit(Place(component, layer), tuple(positions), own) for layer in layers)


def test_held_positions_are_left_out():
    change = edit("resid_post", 0, [2], 2, [0])
    found = reduced(Branch(0, (change, *held((3, 4)))))
    assert (found.level, found.tokens) == (1, (2, 5))
    assert found.edits == (change,)


def test_positions_are_held_from_the_first_block_that_differs():
    change = edit("v", 1, [2], 2, [0])
    for layers, tokens in (
        (range(LAYERS), (2, 5)),
        ((1, 2), (2, 5)),  # what leaves blocks 1 and 2 enters 2 and 3
        ((1,), (2, 3, 4, 5)),
        ((0, 2), (2, 3, 4, 5)),
        ((2, 3), (2, 3, 4, 5)),
    ):
        assert reduced(Branch(0, (change, *held((3, 4), layers)))).tokens == tokens
        entering = [layer + 1 for layer in layers if layer + 1 < LAYERS]
        again = Branch(0, (change, *held((3, 4), entering, "resid_pre")))
        assert reduced(again).tokens == tokens


@pytest.mark.parametrize(
    "other",
    [
        edit("attn_out", 2, [4], 2, [1]),
        edit("k", 3, [4], 2, [1]),
        edit("resid_pre", 2, [4], 2, [1]),
    ],
)
def test_positions_with_other_edits_are_not_left_out(other):
    change = edit("resid_post", 0, [2], 2, [0])
    assert reduced(Branch(0, (change, other, *held((3, 4))))).tokens == (2, 4, 5)


def test_the_last_token_is_never_left_out():
    change = edit("resid_post", 0, [2], 2, [0])
    found = reduced(Branch(0, (change, *held((3, 4, 5)))))
    assert found.tokens == (2, 5)
    assert {e.place.layer for e in found.edits if e.positions == (5,)} >= {1, 2, 3}


def test_without_filling_every_edit_is_made():
    edits = (edit("resid_post", 2, [1, 4], 0), *held((3,)), edit("q", 3, [2], 1))
    found = reduced(Branch(0, edits), fill=False)
    assert found.edits == edits
    assert (found.level, found.tokens) == (1, (1, 2, 3, 4, 5))
    nothing = reduced(Branch(0, ()), fill=False)
    assert (nothing.level, nothing.tokens, nothing.edits) == (LAYERS, (5,), ())


# Against the LM


@given(st.randoms(use_true_random=False), st.sampled_from(ALL))
@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=25)
def test_what_is_filled_changes_nothing_in_the_reference(rng, name):
    check_filled(rng, name)


@pytest.mark.slow
@given(st.randoms(use_true_random=False), st.sampled_from(ALL))
@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=150)
def test_what_is_filled_changes_nothing_in_the_reference_at_length(rng, name):
    check_filled(rng, name)


def check_filled(rng, name):
    """Prompts are likely to be alike here, and there are few, so that much is filled."""
    layout = layout_of(name)
    prompts = random_prompts(rng, 3, 8)
    prompts.append(prompts[0][:-1] + random_prompts(rng, 1, 3)[0])
    branches = random_branches(rng, layout, prompts, 40)
    run_, known = find_reach(prompts, dict(enumerate(branches)), layout.layers)
    indices = [found.index for found in (*run_, *known)]
    assert sorted(indices) == list(range(len(branches)))
    if known:
        some = [branches[filled.index] for filled in known]
        expected, tally, clean = run(lm_of(name), prompts, some, "reference", batch_size=64)
        assert tally.run == len(some)
        assert float(off(clean, expected).max()) < 1e-4


def test_random_branches_are_filled_for_both_reasons():
    """Or the tests above would show nothing."""
    rng, reasons = Random(0), []
    for _ in range(20):
        prompts = random_prompts(rng, 3, 8)
        branches = dict(enumerate(random_branches(rng, layout_of("gpt2"), prompts, 40)))
        reasons += [filled.reason for filled in find_reach(prompts, branches, LAYERS)[1]]
    assert reasons.count(SAME_VALUES) > 100
    assert reasons.count(OUT_OF_REACH) > 5
