"""The packed engine against the reference: every architecture, every component, any branches."""

from __future__ import annotations

from random import Random

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cfgen.errors import CfgenError
from cfgen.interventions import (
    Branch,
    Constant,
    Edit,
    FromPrompt,
    agree,
    find_reach,
    pack,
    stepping,
)
from cfgen.lm import Place, find_layout
from tests.families import ALL
from tests.interventions.branching import (
    PATTERN,
    WINDOW,
    assert_equal,
    compare,
    components_of,
    layout_of,
    lm_of,
    off,
    places_of,
    random_branches,
    random_prompts,
    run,
    swap,
    text,
)

LENGTHS = (10, 24, 17, 17, 1, 12)
SLIDING = ("mistral", "gemma2", "gemma3", "phi3", "olmo3", "starcoder2")
quick = settings(deadline=None, suppress_health_check=list(HealthCheck))


def ragged(seed=1):
    """Prompts with and without a beginning in common, longer and shorter than the windows."""
    rng = Random(seed)
    prompts = [text(rng, length) for length in LENGTHS]
    prompts[3] = prompts[2][:6] + prompts[3][6:]
    return prompts


def single_edits(layout, prompts):
    """Every place, swapped at the last token, before it, at several at once, at the only one."""
    cases = (
        (2, [16], 3, [16]),
        (0, [4], 1, [7]),
        (3, [9, 7], 2, [7, 9]),
        (1, [1, 2, 23], 0, [3, 9, 0]),
        (4, [0], 5, [3]),
    )
    return [
        swap(place, prompt, to, source, of)
        for place in places_of(layout)
        for prompt, to, source, of in cases
        if place.component != PATTERN or len(prompts[prompt]) == len(prompts[source])
    ]


@pytest.mark.parametrize("name", ALL)
def test_every_place_of_every_architecture(name):
    prompts = ragged()
    branches = single_edits(layout_of(name), prompts)
    changed, tally = compare(lm_of(name), prompts, branches)
    assert changed > 0.8 * len(branches)
    assert tally.run + tally.filled.total() == len(branches)
    assert tally.self_tested > 0


@pytest.mark.parametrize("name", ALL)
def test_small_batches_with_padding_and_nothing_filled(name):
    prompts = ragged()
    branches = single_edits(layout_of(name), prompts)[::7]
    options = {"padding": 3, "batch_size": 2, "token_budget": 64, "fill": False}
    changed, tally = compare(lm_of(name), prompts, branches, **options)
    assert changed > 0.8 * len(branches)
    assert tally.run == len(branches)


@pytest.mark.parametrize("name", ALL)
def test_bfloat16_agrees_within_its_tolerance(name):
    prompts = ragged()
    branches = single_edits(layout_of(name), prompts)[::4]
    lm = lm_of(name, torch.bfloat16)
    expected, _, clean = run(lm, prompts, branches, "reference", batch_size=64)
    got, tally, _ = run(lm, prompts, branches, "packed")
    assert tally.engine == "packed"
    assert bool(agree(expected, got, torch.bfloat16).all())
    # the tolerance tells a wrong number from a rounded one
    assert int((~agree(clean, expected, torch.bfloat16)).sum()) > len(branches) / 8


VARIANTS = {
    "gemma2, eager": ("gemma2", {"attn_implementation": "eager"}),
    "gpt2, eager": ("gpt2", {"attn_implementation": "eager"}),
    "llama, eager": ("llama", {"attn_implementation": "eager"}),
    "qwen2, sliding": ("qwen2", {"use_sliding_window": True, "sliding_window": 8}),
    "qwen3, some sliding": (
        "qwen3",
        {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 2},
    ),
    "smollm3, sliding": ("smollm3", {"use_sliding_window": True, "sliding_window": 8}),
    "mistral, all seen": ("mistral", {"sliding_window": None}),
    "mistral, one seen": ("mistral", {"sliding_window": 1}),
    "llama, one key head": ("llama", {"num_key_value_heads": 1}),
    "llama, one block": ("llama", {"num_hidden_layers": 1}),
    "llama, stretched": (
        "llama",
        {"rope_parameters": (("rope_type", "linear"), ("factor", 4.0), ("rope_theta", 10000.0))},
    ),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_of_architectures(variant):
    name, config = VARIANTS[variant]
    config = dict(config)
    layers = config.get("num_hidden_layers", 4)
    lm, layout = lm_of(name, **config), layout_of(name)
    prompts = ragged()
    branches = [b for b in single_edits(layout, prompts)[::6] if _fits(b, layers, config)]
    changed, _ = compare(lm, prompts, branches)
    assert changed > len(branches) / 3
    rng = Random(3)
    more = [b for b in random_branches(rng, layout, prompts, 30) if _fits(b, layers, config)]
    compare(lm, prompts, more, batch_size=2)


def _fits(branch, layers, config):
    heads = config.get("num_key_value_heads", 99)
    return all(
        edit.place.layer < layers
        and not (
            edit.place.component in "kv" and (edit.place.head is None or edit.place.head >= heads)
        )
        for edit in branch.edits
    )


def test_windows_matter_in_these_tests():
    """Prompts are so long that a sliding window, ignored, would show."""
    prompts = ragged()
    branches = [Branch(prompt, ()) for prompt in range(4)]
    for name in SLIDING:
        got, *_ = run(lm_of(name), prompts, branches, "packed")
        all_seen, *_ = run(lm_of(name, sliding_window=512), prompts, branches, "reference")
        assert len(prompts[0]) > WINDOW
        assert bool((off(all_seen, got) > 0.01).all()), name


# Random branches


@given(st.randoms(use_true_random=False), st.sampled_from(ALL))
@settings(quick, max_examples=25)
def test_any_branches(rng, name):
    check_any_branches(rng, name)


@pytest.mark.slow
@given(st.randoms(use_true_random=False), st.sampled_from(ALL))
@settings(quick, max_examples=150)
def test_any_branches_at_length(rng, name):
    check_any_branches(rng, name)


def check_any_branches(rng, name):
    layout = layout_of(name)
    prompts = random_prompts(rng)
    compare(
        lm_of(name),
        prompts,
        random_branches(rng, layout, prompts),
        padding=rng.choice((0, 0, 2)),
        batch_size=rng.randint(1, 4),
        token_budget=rng.choice((1, 16, 20, 40, 128, 2048)),
        fill=rng.random() < 0.8,
    )


@pytest.mark.slow
def test_a_real_lm(smollm):
    """Random interventions in sentences of several lengths."""
    layout = find_layout(smollm.model)
    sentences = [
        "The capital of France is",
        "The capital of the country that lies to the south of Italy, across the sea, is",
        "Two and three make",
        "Ann filled the cup with tea. Then Ben filled the jar with milk. In the jar there is",
    ]
    prompts = [tuple(smollm.tokenizer(each)["input_ids"]) for each in sentences]
    rng = Random(0)
    branches = [swap(Place("resid_post", layer), 0, [4], 2, [3]) for layer in range(0, 30, 7)]
    branches += random_branches(rng, layout, prompts, 40)
    changed, tally = compare(smollm, prompts, branches)
    assert changed > 20
    assert tally.run > 20


# Where it could go wrong


def own(prompt, positions):
    return FromPrompt(prompt, tuple(positions))


def test_what_enters_a_block_is_written_after_what_left_the_one_before():
    rng = Random(0)
    prompts = [text(rng, 9), text(rng, 9), text(rng, 9)]
    for to in (3, 8):
        for layer in range(3):
            left = Edit(Place("resid_post", layer), (to,), FromPrompt(1, (to,)))
            enters = Edit(Place("resid_pre", layer + 1), (to,), FromPrompt(2, (to,)))
            restored = Edit(Place("resid_pre", layer + 1), (to,), own(0, (to,)))
            pairs = [(left, enters), (enters, left), (left, restored), (restored, left)]
            branches = [Branch(0, pair) for pair in pairs]
            branches += [Branch(0, (enters,)), Branch(0, ())]
            compare(lm_of("llama"), prompts, branches, fill=False)
            compare(lm_of("llama"), prompts, branches)
            got, *_ = run(lm_of("llama"), prompts, branches, "packed")
            assert_equal(branches[:2], got[[4, 4]], got[:2])
            assert_equal(branches[2:4], got[[5, 5]], got[2:4])


def test_a_restored_block_input_undoes_a_change_of_the_embedding():
    rng = Random(0)
    prompts = [text(rng, 9), text(rng, 9)]
    for name in ("llama", "gpt2"):
        edits = (
            Edit(Place("embed"), (2, 8), FromPrompt(1, (2, 8))),
            Edit(Place("resid_pre", 0), (2, 8), own(0, (2, 8))),
        )
        branches = [Branch(0, edits), Branch(0, edits[::-1]), Branch(0, edits[:1]), Branch(0, ())]
        compare(lm_of(name), prompts, branches)
        got, *_ = run(lm_of(name), prompts, branches, "packed")
        assert_equal(branches[:2], got[[3, 3]], got[:2])
        assert off(got[3:], got[2:3]).item() > 0.01


@pytest.mark.parametrize("name", ["llama", "gpt2", "gptj", "opt", "gemma3", "olmo2"])
def test_edits_within_one_block_at_one_token(name):
    """Each has to see what the others before it wrote, and to replace what comes before it."""
    rng = Random(4)
    prompts = [text(rng, 11), text(rng, 11), text(rng, 11)]
    layout, branches = layout_of(name), []
    inside = [c for c in components_of(layout) if c not in ("embed", "pos_embed")]
    for layer in (0, 2, 3):
        for to in (5, 10):
            some = [
                Edit(Place(c, layer), (to,), FromPrompt(1 + i % 2, (to,)))
                for i, c in enumerate(inside)
            ]
            for _ in range(6):
                chosen = rng.sample(some, rng.randint(2, len(some)))
                restored = [Edit(e.place, e.positions, own(0, e.positions)) for e in chosen[::2]]
                branches.append(Branch(0, tuple(chosen)))
                branches.append(Branch(0, (*restored, *chosen[1::2])))
    compare(lm_of(name), prompts, branches)
    compare(lm_of(name), prompts, branches, fill=False)


def test_levels_from_the_first_to_behind_the_last_in_one_forward():
    rng = Random(2)
    prompts = [text(rng, 6), text(rng, 12)]
    branches = []
    for prompt in (0, 1):
        for to in (0, 3, 5):
            branches += [
                swap(Place("embed"), prompt, [to], 1 - prompt, [to]),
                swap(Place("resid_pre", 2), prompt, [to], 1 - prompt, [to]),
                swap(Place("resid_post", 3), prompt, [to], 1 - prompt, [to]),
                swap(Place("k", 3), prompt, [to], 1 - prompt, [to]),
                Branch(prompt, ()),
            ]
    for name in ALL:
        run_, known = find_reach(prompts, dict(enumerate(branches)), 4)
        assert {branch.level for branch in run_} == {0, 2, 3, 4}
        (forward,) = pack(run_, {0: 6, 1: 12}, 4, 2048)
        assert len(known) > 0
        assert len(forward) == 2
        compare(lm_of(name), prompts, branches)


def test_a_forward_with_nothing_but_edits_behind_the_last_block():
    rng = Random(2)
    prompts = [text(rng, 6), text(rng, 12), text(rng, 1)]
    branches = [
        swap(Place("resid_post", 3), i, [len(p) - 1], (i + 1) % 3, [0])
        for i, p in enumerate(prompts)
    ]
    for name in ALL:
        changed, tally = compare(lm_of(name), prompts, branches)
        assert changed == 3
        assert tally.cost.required == 0


def test_many_rows_of_one_prompt_beside_rows_of_others():
    rng = Random(6)
    prompts = [text(rng, 30), text(rng, 30), text(rng, 9)]
    branches = [
        swap(Place(name, layer), prompt, [to], 1 - prompt, [to])
        for prompt in (0, 1)
        for name in ("resid_post", "v", "attn_out")
        for layer in range(3)
        for to in (0, 7, 13, 29)
    ]
    branches += [swap(Place("q", 1), 2, [3], 0, [3])]
    lengths = {index: len(prompt) for index, prompt in enumerate(prompts)}
    run_, _ = find_reach(prompts, dict(enumerate(branches)), 4)
    first, *_ = pack(run_, lengths, 4, 2048)
    assert [row.prompt for row in first].count(0) > 2
    assert {row.prompt for row in first} == {0, 1, 2}
    for name in ("llama", "gptj", "opt", "gemma3"):
        changed, _ = compare(lm_of(name), prompts, branches)
        assert changed > 0.9 * len(branches)


def test_patterns_over_keys_of_which_only_some_are_in_the_branch():
    """Also one that looks ahead, and one whose branch holds positions in between."""
    rng = Random(8)
    prompts = [text(rng, 14), text(rng, 14), text(rng, 20)]
    generator = torch.Generator().manual_seed(1)
    branches = []
    for layer in (0, 2, 3):
        for head in (None, 0, 3):
            place = Place(PATTERN, layer, head=head)
            shape = (2, 14) if head is not None else (2, 4, 14)
            anything = Constant(torch.rand(shape, generator=generator))
            branches += [
                swap(place, 0, [4, 13], 1, [4, 13]),
                swap(place, 0, [4], 1, [11]),
                Branch(0, (Edit(place, (6, 13), anything),)),
                Branch(
                    0,
                    (
                        Edit(place, (6, 13), anything),
                        Edit(Place("resid_post", 0), (2,), FromPrompt(2, (2,))),
                        *(Edit(Place("resid_post", k), (8, 9), own(0, (8, 9))) for k in range(4)),
                    ),
                ),
            ]
    for name in ("llama", "gptj", "gemma2"):
        for options in ({}, {"padding": 2}, {"fill": False}):
            changed, _ = compare(lm_of(name), prompts, branches, **options)
            assert changed > 0.7 * len(branches)


def test_frozen_tokens_need_no_run():
    """Positions that are held in every layer are not computed, and the outcome is the same."""
    rng = Random(9)
    prompts = [text(rng, 12), text(rng, 12)]
    held = (3, 5, 6, 7)
    branches = []
    for layer in range(3):
        edits = [Edit(Place("resid_post", layer), (2,), FromPrompt(1, (2,)))]
        edits += [Edit(Place("resid_post", k), held, own(0, held)) for k in range(4)]
        branches.append(Branch(0, tuple(edits)))
    for name in ALL:
        _, tally = compare(lm_of(name), prompts, branches)
        assert tally.cost.required == (10 - 4) * (
            3 + 2 + 1
        )  # tokens that are not held x blocks behind the swap


def test_prompts_that_are_the_same_need_no_run_and_prompts_of_one_token_do():
    rng = Random(10)
    one, other = text(rng, 1), text(rng, 1)
    prompts = [one, other, one]
    branches = [
        swap(Place("resid_pre", 1), 0, [0], 1, [0]),
        swap(Place("resid_pre", 1), 0, [0], 2, [0]),
        swap(Place("resid_pre", 1), 0, [0], 0, [0]),
        Branch(1, ()),
    ]
    for name in ALL:
        changed, tally = compare(lm_of(name), prompts, branches)
        assert changed == 1
        assert (tally.run, tally.filled.total()) == (1, 3)


def test_widths_that_other_sizes_have_too():
    """A batch may be as wide as the vocabulary, the heads or the neurons."""
    for width in (2, 4, 8, 12, 32, 48):
        rng = Random(width)
        prompts = [text(rng, width), text(rng, width)]
        branches = [
            swap(Place("v", 1), 0, [0], 1, [0]),
            swap(Place("resid_pre", 2), 1, [width - 1], 0, [width - 1]),
        ]
        for name in ("llama", "gptj", "gpt2"):
            compare(lm_of(name), prompts, branches)


def test_a_model_whose_blocks_get_no_mask_is_an_error(monkeypatch):
    former = stepping.Stepping

    def with_another_mask(**fields):
        return former(**{**fields, "mask": fields["mask"].clone()})

    monkeypatch.setattr("cfgen.interventions.packed_forward.Stepping", with_another_mask)
    rng = Random(0)
    prompts = [text(rng, 5), text(rng, 5)]
    with pytest.raises(CfgenError) as caught:
        run(lm_of("llama"), prompts, [swap(Place("v", 1), 0, [2], 1, [2])], "packed")
    assert [problem.code for problem in caught.value.problems] == ["mask-not-handed-on"]


def test_what_is_left_of_hooks_after_a_run():
    lm = lm_of("llama")
    prompts = ragged()
    compare(lm, prompts, single_edits(layout_of("llama"), prompts)[::7])
    for module in lm.model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
