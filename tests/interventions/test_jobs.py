"""Any number of interventions, chunk by chunk."""

from __future__ import annotations

from random import Random

import pytest
import torch

from cfgen.interventions import TOKEN_BUDGETS, Branch, run_branches
from cfgen.lm import Place
from tests.interventions.branching import (
    assert_equal,
    layout_of,
    lm_of,
    off,
    random_branches,
    random_prompts,
    run,
    swap,
    text,
)


@pytest.fixture(scope="module")
def job():
    rng = Random(5)
    prompts = random_prompts(rng, 9, 14)
    return prompts, random_branches(rng, layout_of("gpt2"), prompts, 60)


@pytest.fixture(scope="module")
def expected(job):
    """Each intervention in a batch of its own."""
    prompts, branches = job
    return torch.cat([run(lm_of("gpt2"), prompts, [b], "reference")[0] for b in branches])


@pytest.mark.parametrize("engine", ["auto", "packed", "reference"])
@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_outcomes_are_in_the_order_of_the_branches(job, expected, engine, batch_size):
    prompts, branches = job
    outcome = run_branches(
        lm_of("gpt2"), prompts, branches, engine=engine, batch_size=batch_size, keep_logits=True
    )
    assert_equal(branches, expected, outcome.logits)
    assert torch.equal(outcome.tokens[:, 0], outcome.logits.argmax(-1))
    assert torch.equal(outcome.logit, outcome.logits.amax(-1))
    tally = outcome.tally
    assert tally.engine == ("reference" if engine == "reference" else "packed")
    assert tally.run + tally.filled.total() == len(branches)
    assert outcome.verified == (0 if engine == "reference" else 8)


def test_the_order_of_branches_makes_no_difference(job):
    prompts, branches = job
    order = Random(1).sample(range(len(branches)), len(branches))
    lm = lm_of("gpt2")
    one = run_branches(lm, prompts, branches, keep_logits=True, batch_size=3)
    other = run_branches(lm, prompts, [branches[i] for i in order], keep_logits=True, batch_size=3)
    assert float(off(one.logits[order], other.logits).max()) < 1e-4
    assert one.tally.filled == other.tally.filled


def test_logits_are_kept_only_if_asked_for(job):
    prompts, branches = job
    one = run_branches(lm_of("gpt2"), prompts, branches)
    two = run_branches(lm_of("gpt2"), prompts, branches, keep_logits=True)
    assert one.logits is None
    assert torch.equal(one.tokens, two.tokens)
    assert torch.equal(one.logit, two.logit)


@pytest.mark.parametrize("engine", ["packed", "reference"])
def test_a_run_again_gives_the_same_numbers(job, engine):
    prompts, branches = job
    one, two = (
        run_branches(lm_of("gpt2"), prompts, branches, engine=engine, keep_logits=True)
        for _ in range(2)
    )
    assert torch.equal(one.logits, two.logits)
    assert one.tally == two.tally


@pytest.mark.parametrize("engine", ["packed", "reference"])
def test_progress_goes_up_to_all(job, engine):
    prompts, branches = job
    calls = []
    run_branches(
        lm_of("gpt2"),
        prompts,
        branches,
        engine=engine,
        batch_size=2,
        progress=lambda *call: calls.append(call),
    )
    assert {total for _, total in calls} == {len(branches)}
    done = [each for each, _ in calls]
    assert done == sorted(set(done))
    assert done[-1] == len(branches)
    assert len(done) > 1


@pytest.mark.parametrize("engine", ["packed", "reference"])
def test_no_branches(engine):
    outcome = run_branches(lm_of("llama"), [(5, 6)], [], engine=engine, answer_tokens=2)
    assert outcome.tokens.shape == (0, 2)
    assert outcome.logit.shape == (0,)
    assert outcome.verified == 0


def test_all_filled():
    rng = Random(0)
    prompts = [text(rng, 4), text(rng, 6)]
    branches = [Branch(0, ()), swap(Place("v", 1), 1, [2], 1, [2]), Branch(1, ())]
    outcome = run_branches(lm_of("llama"), prompts, branches, keep_logits=True)
    expected = [lm_of("llama").model(torch.tensor([prompts[i]])).logits[0, -1] for i in (0, 1, 1)]
    assert float(off(torch.stack(expected), outcome.logits).max()) < 1e-4
    assert outcome.tally.run == 0
    assert outcome.tally.filled.total() == 3
    assert outcome.verified == 3


def test_prompts_that_no_branch_needs_are_not_run():
    rng = Random(0)
    prompts = [text(rng, 4), (10**6,), text(rng, 4)]  # the second is in no vocabulary
    branches = [swap(Place("v", 1), 0, [2], 2, [2])]
    for engine in ("packed", "reference"):
        assert run_branches(lm_of("llama"), prompts, branches, engine=engine).tokens.shape == (1, 1)


def test_the_token_budget_is_that_of_the_device_or_the_one_given(job):
    prompts, branches = job
    tally = run_branches(lm_of("gpt2"), prompts, branches).tally
    assert (tally.budget.tokens, tally.budget.shrunk) == (TOKEN_BUDGETS["cpu"], 0)
    small = run_branches(lm_of("gpt2"), prompts, branches, token_budget=30).tally
    assert small.budget.tokens == 30
    assert small.cost.forwards > tally.cost.forwards
    assert small.cost.required == tally.cost.required


def test_the_packed_engine_does_less():
    rng = Random(0)
    prompts = [text(rng, 30) for _ in range(8)]
    branches = [
        swap(Place("resid_post", layer), index, [29], (index + 1) % 8, [29])
        for index in range(8)
        for layer in range(4)
    ]
    lm = lm_of("llama")
    packed = run_branches(lm, prompts, branches, engine="packed").tally
    reference = run_branches(lm, prompts, branches, engine="reference").tally
    assert reference.cost.passes == reference.cost.required == 8 * 4 * 30 * 4
    assert packed.cost.required == 8 * (3 + 2 + 1 + 0)
    assert packed.cost.passes <= 2 * 8 * (4 + 3 + 2 + 1)
    assert packed.cost.edits == reference.cost.edits == len(branches)
    assert packed.clean.required == 8 * 30 * 4
