"""Answers of several tokens: every branch goes on greedily, on both engines alike."""

from __future__ import annotations

from random import Random

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cfgen.interventions import Branch, Edit, FromPrompt, find_reach, pack, run_branches
from cfgen.lm import Place
from tests.families import ALL
from tests.interventions.branching import (
    PATTERN,
    assert_same_answers,
    layout_of,
    lm_of,
    random_branches,
    random_prompts,
    say,
    swap,
    text,
)

quick = settings(deadline=None, suppress_health_check=list(HealthCheck))


def compare(lm, prompts, branches, steps, **options):
    """Both engines; also what the LM says greedily after prompts in which nothing is changed."""
    expected = say(lm, prompts, branches, "reference", steps)
    got = say(lm, prompts, branches, "packed", steps, **options)
    compared = assert_same_answers(expected, got, steps)
    assert compared > 0.9 * steps * len(branches)
    for index, branch in enumerate(branches):
        if not branch.edits:
            assert expected[index][0] == greedy(lm, prompts[branch.prompt], steps)
    return expected


def greedy(lm, ids, steps):
    said = []
    for _ in range(steps):
        said.append(int(lm.model(torch.tensor([[*ids, *said]])).logits[0, -1].argmax()))
    return said


def some_branches():
    rng = Random(3)
    prompts = [text(rng, n) for n in (11, 11, 19, 1, 6)]
    branches = [Branch(0, ()), Branch(3, ())]
    for name in ("embed", "resid_pre", "resid_post", "k", "attn_out", "mlp_neuron", PATTERN):
        for layer in (0,) if name == "embed" else (0, 2, 3):
            place = Place(name, layer)
            branches += [
                swap(place, 0, [3], 1, [3]),
                swap(place, 1, [10, 2], 0, [10, 4]),
            ]
            if name != PATTERN:
                branches += [swap(place, 2, [18], 4, [5]), swap(place, 3, [0], 2, [1])]
    held = (5, 7, 8)
    frozen = [Edit(Place("resid_post", k), held, FromPrompt(2, held)) for k in range(4)]
    branches.append(Branch(2, (Edit(Place("v", 1), (2,), FromPrompt(0, (2,))), *frozen)))
    return prompts, branches


@pytest.mark.parametrize("name", ALL)
def test_three_tokens_on_every_architecture(name):
    prompts, branches = some_branches()
    expected = compare(lm_of(name), prompts, branches, 3)
    assert len({round(float(logits[2].max()), 3) for _, logits in expected.values()}) > 20


@pytest.mark.parametrize("name", ["mistral", "gemma3", "gptj"])
def test_answers_longer_than_the_window(name):
    prompts, branches = some_branches()
    compare(lm_of(name), prompts, branches[:24:2], 12)
    compare(lm_of(name), prompts, branches[:24:2], 12, batch_size=2, token_budget=20)


def test_several_rows_of_a_prompt_in_one_forward():
    rng = Random(5)
    prompts = [text(rng, 40), text(rng, 40), text(rng, 5)]
    branches = [
        swap(Place(name, layer), prompt, [to], 1 - prompt, [to])
        for prompt in (0, 1)
        for name in ("resid_pre", "v")
        for layer in (0, 2, 3)
        for to in (1, 20, 39)
    ]
    branches += [swap(Place("resid_post", 3), 2, [4], 0, [4]), Branch(2, ())]
    run, _ = find_reach(prompts, dict(enumerate(branches)), 4)
    first, *_ = pack(run, {0: 40, 1: 40, 2: 5}, 4, 4096)
    assert [row.prompt for row in first].count(0) > 1
    for name in ("llama", "gpt2", "gemma2"):
        compare(lm_of(name), prompts, branches, 3, token_budget=4096)


@given(st.randoms(use_true_random=False), st.sampled_from(ALL), st.integers(2, 3))
@settings(quick, max_examples=12)
def test_any_branches(rng, name, steps):
    check_any_branches(rng, name, steps)


@pytest.mark.slow
@given(st.randoms(use_true_random=False), st.sampled_from(ALL), st.integers(2, 12))
@settings(quick, max_examples=60)
def test_any_branches_at_length(rng, name, steps):
    check_any_branches(rng, name, steps)


def check_any_branches(rng, name, steps):
    lm, prompts = lm_of(name), random_prompts(rng)
    branches = random_branches(rng, layout_of(name), prompts, 8)
    expected = say(lm, prompts, branches, "reference", steps)
    options = {"batch_size": rng.randint(1, 4), "token_budget": rng.choice((1, 20, 128, 2048))}
    assert_same_answers(expected, say(lm, prompts, branches, "packed", steps, **options), steps)


def test_the_tokens_of_a_job_are_those_of_each_branch():
    """Also where an answer is not run but filled: its first token is known, the rest is not."""
    lm = lm_of("llama")
    prompts, branches = some_branches()
    branches.append(swap(Place("resid_post", 3), 0, [4], 1, [4]))  # can't reach the answer
    expected = say(lm, prompts, branches, "reference", 3)
    for engine in ("packed", "reference"):
        outcome = run_branches(lm, prompts, branches, engine=engine, answer_tokens=3)
        assert outcome.tokens.tolist() == [expected[i][0] for i in range(len(branches))]
        firsts = torch.stack([expected[i][1][0].max() for i in range(len(branches))])
        torch.testing.assert_close(outcome.logit, firsts, atol=1e-3, rtol=1e-4)
