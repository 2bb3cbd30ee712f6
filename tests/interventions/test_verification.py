"""Faults planted in the packed engine are found by running a few interventions again."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random
from types import SimpleNamespace

import pytest
import torch

from cfgen.errors import CfgenError
from cfgen.interventions import (
    Answers,
    Branch,
    Constant,
    Cost,
    Edit,
    FromPrompt,
    Reservoir,
    jobs,
    original,
    packed,
    packed_forward,
    reach,
    run_branches,
)
from cfgen.interventions.stepping import Stepping
from cfgen.lm import Place
from tests.interventions.branching import FIRST_WORD, swap


def codes(caught):
    return [problem.code for problem in caught.value.problems]


@pytest.fixture(scope="module")
def lm(build_family_lm):
    return build_family_lm("llama")


def text(rng, length):
    return tuple(rng.randrange(FIRST_WORD, 60) for _ in range(length))


def job(prefix=0):
    """Interventions that have to be run; with a prefix, prompts begin alike."""
    rng = Random(1)
    start = text(rng, prefix)
    prompts = [(*start, FIRST_WORD + index, *text(rng, 8 + index % 3)) for index in range(8)]
    branches = [
        swap(Place(name, layer), index, [to], (index + 3) % 8, [to])
        for index in range(8)
        for name, layer in (("resid_post", 0), ("resid_pre", 2), ("v", 1), ("attn_out", 2))
        for to in (prefix + 2, prefix + 5)
    ]
    return prompts, branches


# Faults


def no_branch_is_told_from_another(monkeypatch):
    former = packed_forward.prompt_mask

    def mask(owners, batch, window, dtype):
        count = len(owners.last[0])
        one = torch.where(owners.owner < count, 0, count)
        return former(replace(owners, owner=one), batch, window, dtype)

    monkeypatch.setattr(packed_forward, "prompt_mask", mask)


def the_original_is_seen_beside_the_branch(monkeypatch):
    former = packed_forward.prompt_mask

    def mask(owners, *more):
        replaced = owners.replaced.clone()
        replaced[:-1] = False
        return former(replace(owners, replaced=replaced), *more)

    monkeypatch.setattr(packed_forward, "prompt_mask", mask)


def states_are_those_of_the_next_token(monkeypatch):
    former = original._keeper

    def keeper(states, level, first):
        keep = former(states, level, first)
        return lambda view: keep(view.roll(-1, dims=1))

    monkeypatch.setattr(original, "_keeper", keeper)


def states_are_those_of_another_prompt(monkeypatch):
    former = original._keeper

    def keeper(states, level, first):
        keep = former(states, level, first)
        return lambda view: keep(view.roll(1, dims=0))

    monkeypatch.setattr(original, "_keeper", keeper)


def positions_are_off_by_one(monkeypatch):
    former = packed_forward.find_owners

    def owners(*arguments):
        found = former(*arguments)
        # late enough for rotations to differ; the mask is made of the right ones
        return replace(found, positions=(found.positions - 1).clamp(min=0))

    monkeypatch.setattr(packed_forward, "find_owners", owners)


def logits_are_those_of_the_column_before(monkeypatch):
    former = packed_forward.Stepping

    def plan(*arguments, **fields) -> Stepping:
        made = former(*arguments, **fields)
        rows, columns = made.answers
        return replace(made, answers=(rows, (columns - 1).clamp(min=0)))

    monkeypatch.setattr(packed_forward, "Stepping", plan)


def nothing_enters(monkeypatch):
    former = packed_forward.Stepping
    monkeypatch.setattr(
        packed_forward, "Stepping", lambda *a, **k: replace(former(*a, **k), entries={})
    )


def edits_are_left_out(monkeypatch):
    monkeypatch.setattr(packed_forward, "make_writes", lambda *given: [])


def keys_of_the_original_are_those_of_another(monkeypatch):
    former = packed_forward._prefix

    def prefix(kept, owners):
        keys = tuple(k.roll(1, dims=0) for k in kept.keys)
        return former(replace(kept, keys=keys), owners)

    monkeypatch.setattr(packed_forward, "_prefix", prefix)


def tokens_begin_too_late(monkeypatch):
    former = reach.find_reach

    def reduce(prompts, branches, layers, **more):
        run, known = former(prompts, branches, layers, **more)
        short = []
        for branch in run:
            edited = max(p for edit in branch.edits for p in edit.positions)
            tokens = tuple(p for p in branch.tokens if p <= edited) + branch.tokens[-1:]
            short.append(replace(branch, tokens=tuple(dict.fromkeys(tokens))))
        return short, known

    monkeypatch.setattr(packed, "find_reach", reduce)


def logits_are_no_numbers(monkeypatch):
    former = packed.run_forward

    def run(*arguments):
        answered = former(*arguments)
        logits = torch.full_like(answered.logits, torch.nan)
        return replace(answered, logits=logits, tokens=logits.argmax(-1, keepdim=True))

    monkeypatch.setattr(packed, "run_forward", run)


FAULTS = [
    no_branch_is_told_from_another,
    the_original_is_seen_beside_the_branch,
    states_are_those_of_the_next_token,
    states_are_those_of_another_prompt,
    positions_are_off_by_one,
    logits_are_those_of_the_column_before,
    nothing_enters,
    edits_are_left_out,
    keys_of_the_original_are_those_of_another,
    tokens_begin_too_late,
    logits_are_no_numbers,
]


@pytest.mark.parametrize("plant", FAULTS)
def test_a_planted_fault_is_found(lm, monkeypatch, plant):
    prompts, branches = job()
    expected = run_branches(lm, prompts, branches, verified=0, keep_logits=True)
    assert not expected.tally.filled
    assert run_branches(lm, prompts, branches).verified == 8
    plant(monkeypatch)
    wrong = run_branches(lm, prompts, branches, verified=0, keep_logits=True)
    assert not torch.allclose(expected.logits, wrong.logits, atol=0.01)
    with pytest.raises(CfgenError) as caught:
        run_branches(lm, prompts, branches)
    assert codes(caught) == ["engines-disagree"]
    assert run_branches(lm, prompts, branches, engine="reference").verified == 0


def test_the_message_says_which_intervention_it_was(lm, monkeypatch):
    prompts, branches = job()
    logits_are_those_of_the_column_before(monkeypatch)
    with pytest.raises(CfgenError) as caught:
        run_branches(lm, prompts, [branches[0]])
    (problem,) = caught.value.problems
    assert "resid_post of layer 0 at 2" in problem.message
    assert problem.detail == lm.tokenizer.decode(list(prompts[0]))
    assert "reference" in problem.hint


@pytest.mark.parametrize("steps", [2, 4])
def test_a_fault_in_later_tokens_of_an_answer_is_found(lm, monkeypatch, steps):
    prompts, branches = job()
    options = {"answer_tokens": steps, "verified": len(branches)}
    expected = run_branches(lm, prompts, branches, **options)
    former = packed_forward.answer_mask

    def mask(*arguments):
        return former(*arguments).flip(-1)

    monkeypatch.setattr(packed_forward, "answer_mask", mask)
    wrong = run_branches(lm, prompts, branches, answer_tokens=steps, verified=0)
    assert torch.equal(expected.tokens[:, 0], wrong.tokens[:, 0])
    assert not torch.equal(expected.tokens, wrong.tokens)
    with pytest.raises(CfgenError) as caught:
        run_branches(lm, prompts, branches, **options)
    assert codes(caught) == ["engines-disagree"]


def test_what_is_verified_may_be_any_branch(lm):
    """Sources of other chunks, numbers that are given, prompts that there are twice, no edits."""
    prompts, branches = job()
    prompts += [prompts[0], (5,)]
    branches += [
        Branch(8, branches[0].edits),
        Branch(9, (Edit(Place("resid_pre", 1), (0,), Constant(torch.ones(1, 32))),)),
        Branch(9, ()),
        Branch(1, (Edit(Place("v", 2, head=1), (3,), FromPrompt(9, (0,))),)),
    ]
    outcome = run_branches(lm, prompts, branches, verified=100, batch_size=2)
    assert outcome.verified == len(branches)


# What is filled


def filled_job():
    prompts, branches = job(prefix=6)
    branches = [
        swap(Place("resid_post", 1), index, [to], (index + 3) % 8, [to])
        for index in range(8)
        for to in (2, 5, 6, 7)
    ]
    branches += [swap(Place("resid_post", 3), index, [7], (index + 3) % 8, [7]) for index in (0, 1)]
    return prompts, branches


def test_what_is_filled_is_tried(lm):
    prompts, branches = filled_job()
    outcome = run_branches(lm, prompts, branches)
    assert outcome.tally.filled.total() == 18
    assert outcome.tally.run == 16
    assert outcome.tally.self_tested == 2 * packed.SELF_TESTS


def too_long_a_prefix(monkeypatch):
    former = reach._common
    monkeypatch.setattr(reach, "_common", lambda *prompts: former(*prompts) + 2)


def too_many_late_edits(monkeypatch):
    former = reach._late
    monkeypatch.setattr(reach, "_late", lambda edit, layers: former(edit, layers - 2))


@pytest.mark.parametrize("plant", [too_long_a_prefix, too_many_late_edits])
def test_what_is_filled_by_mistake_is_found(lm, monkeypatch, plant):
    monkeypatch.setattr(packed, "SELF_TESTS", 100)
    prompts, branches = filled_job()
    run_branches(lm, prompts, branches)
    plant(monkeypatch)
    with pytest.raises(CfgenError) as caught:
        run_branches(lm, prompts, branches)
    assert codes(caught) == ["filled-cell-differs"]


def test_a_fault_in_what_tries_it_is_found(lm, monkeypatch):
    prompts, branches = filled_job()
    logits_are_those_of_the_column_before(monkeypatch)
    with pytest.raises(CfgenError) as caught:
        run_branches(lm, prompts, branches, verified=0)
    assert codes(caught) == ["filled-cell-differs"]


# The sample


def draw(size, count, seed, together=1):
    """Which of some interventions a sample has."""
    sample = Reservoir(size, Random(seed))
    chunk = SimpleNamespace(prompts=(), branches=range(count))
    for start in range(0, count, together):
        indices = tuple(range(start, min(start + together, count)))
        logits = torch.zeros(len(indices), 2)
        tokens = torch.zeros(len(indices), 1, dtype=torch.long)
        sample.add(chunk, Answers(indices, logits, tokens, Cost()))
    assert sample.seen == count
    return [tried.branch for tried in sample.drawn]


def test_every_intervention_is_as_likely_to_be_drawn():
    times, seeds = Counter(), 3000
    for seed in range(seeds):
        drawn = draw(3, 12, seed)
        assert len(set(drawn)) == len(drawn) == 3
        times.update(drawn)
    expected = seeds * 3 / 12
    deviation = (expected * (1 - 3 / 12)) ** 0.5
    assert sorted(times) == list(range(12))
    assert max(abs(count - expected) for count in times.values()) < 4 * deviation


def test_the_draw_hangs_on_the_seed_alone():
    assert draw(4, 100, 7) == draw(4, 100, 7) == draw(4, 100, 7, together=9)
    assert draw(4, 100, 7) != draw(4, 100, 8)


def test_few_interventions_are_all_drawn_and_none_if_none_is_wanted():
    assert draw(8, 5, 0) == [0, 1, 2, 3, 4]
    assert draw(0, 5, 0) == []


def test_the_seed_of_a_job_decides_what_is_verified(lm, monkeypatch):
    prompts, branches = job()
    drawn = []
    monkeypatch.setattr(
        "cfgen.interventions.jobs.verify",
        lambda engine, sample: drawn.append([tried.branch for tried in sample.drawn]) or 0,
    )
    for seed in (1, 1, 2):
        run_branches(lm, prompts, branches, seed=seed)
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(drawn[0]) == jobs.VERIFIED
