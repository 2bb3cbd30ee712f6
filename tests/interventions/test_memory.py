"""Fewer tokens at once as soon as memory does not suffice; no more memory for longer runs."""

from __future__ import annotations

import gc
import weakref
from random import Random

import pytest
import torch

from cfgen.errors import CfgenError
from cfgen.interventions import (
    LEAST,
    TOKEN_BUDGETS,
    Branch,
    Budget,
    clean,
    packed,
    reference,
    run_branches,
    within_memory,
)
from cfgen.lm import Place
from tests.interventions.branching import assert_equal, lm_of, swap, text

FAILURES = {
    "of the accelerator": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    "of the processor": RuntimeError(
        "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate "
        "memory: you tried to allocate 68719476736 bytes. Error code 12 (Cannot allocate memory)"
    ),
    "of Windows": RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9"),
    "of Python": MemoryError(),
}


def codes(caught):
    return [problem.code for problem in caught.value.problems]


@pytest.mark.parametrize("kind", FAILURES)
def test_the_budget_is_halved_until_it_suffices(kind):
    budget, tried = Budget(1000), []

    def attempt(tokens):
        tried.append(tokens)
        if tokens > 200:
            raise FAILURES[kind]
        return "done"

    assert within_memory(budget, attempt) == "done"
    assert tried == [1000, 500, 250, 125]
    assert (budget.tokens, budget.shrunk) == (125, 3)
    assert within_memory(budget, attempt) == "done"  # for good
    assert tried[4:] == [125]


def test_it_gives_up_when_the_fewest_tokens_are_too_many():
    tried = []

    def attempt(tokens):
        tried.append(tokens)
        raise FAILURES["of the accelerator"]

    with pytest.raises(CfgenError) as caught:
        within_memory(Budget(100), attempt)
    assert codes(caught) == ["lm-memory-run"]
    assert tried == [100, 50, 25]
    assert min(tried) >= LEAST


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("no"), KeyError(3)])
def test_other_errors_are_not_about_memory(error):
    budget, tried = Budget(100), []

    def attempt(tokens):
        tried.append(tokens)
        raise error

    with pytest.raises(type(error)) as caught:
        within_memory(budget, attempt)
    assert caught.value is error
    assert tried == [100]
    assert budget == Budget(100)


def test_what_a_failed_attempt_held_is_gone_before_the_next():
    held = []

    class Big:
        """Stands for tensors."""

    def attempt(tokens):
        assert [reference() for reference in held] == [None] * len(held)
        big = Big()
        held.append(weakref.ref(big))
        if tokens > 30:
            raise torch.OutOfMemoryError

    within_memory(Budget(64), attempt)
    assert len(held) == 3


# In a run


def job(pairs=3):
    rng = Random(1)
    prompts = [text(rng, 20) for _ in range(2 * pairs)]
    branches = [
        swap(Place(name, layer), 2 * pair, [to], 2 * pair + 1, [to])
        for pair in range(pairs)
        for name in ("resid_post", "k")
        for layer in range(4)
        for to in (5, 19)
    ]
    return prompts, branches


def failing_above(monkeypatch, name, size_of, limit, error):
    """Let a function of the engine run out of memory for more than some tokens."""
    former, sizes = getattr(packed, name), []

    def limited(*arguments, **keywords):
        size = size_of(*arguments)
        if size > limit:
            raise error
        sizes.append(size)
        return former(*arguments, **keywords)

    monkeypatch.setattr(packed, name, limited)
    return sizes


def forward_size(engine, prompts, original, values, rows, answer_tokens):
    return len(rows) * max(row.width for row in rows)


def originals_size(lm, layout, batch, prompts, branches, reads):
    return batch.input_ids.numel()


@pytest.mark.parametrize("kind", FAILURES)
@pytest.mark.parametrize("steps", [1, 2])
def test_a_run_with_too_large_forwards_gives_the_same(monkeypatch, kind, steps):
    lm, (prompts, branches) = lm_of("llama"), job()
    options = {"engine": "packed", "answer_tokens": steps, "keep_logits": True}
    expected = run_branches(lm, prompts, branches, **options)
    assert expected.tally.budget == Budget(TOKEN_BUDGETS["cpu"])
    sizes = failing_above(monkeypatch, "run_forward", forward_size, 50, FAILURES[kind])
    got = run_branches(lm, prompts, branches, **options)
    assert_equal(branches, expected.logits, got.logits)
    assert torch.equal(expected.tokens, got.tokens)
    assert max(sizes) <= 50
    shrunk = got.tally.budget.shrunk
    assert shrunk > 0
    assert got.tally.budget.tokens == TOKEN_BUDGETS["cpu"] // 2**shrunk < 64
    assert got.tally.run == expected.tally.run
    assert got.tally.filled == expected.tally.filled


@pytest.mark.parametrize("kind", FAILURES)
def test_a_run_with_too_many_originals_gives_the_same(monkeypatch, kind):
    lm, (prompts, branches) = lm_of("gpt2"), job(5)
    expected = run_branches(lm, prompts, branches, keep_logits=True)
    sizes = failing_above(monkeypatch, "run_originals", originals_size, 45, FAILURES[kind])
    got = run_branches(lm, prompts, branches, keep_logits=True)
    assert_equal(branches, expected.logits, got.logits)
    assert set(sizes) <= {20, 40}
    assert got.tally.budget.shrunk > 0


@pytest.mark.parametrize(
    ("name", "size_of"), [("run_forward", forward_size), ("run_originals", originals_size)]
)
def test_a_run_that_never_fits_is_an_error(monkeypatch, name, size_of):
    prompts, branches = job()
    failing_above(monkeypatch, name, size_of, 0, FAILURES["of the accelerator"])
    with pytest.raises(CfgenError) as caught:
        run_branches(lm_of("llama"), prompts, branches)
    assert codes(caught) == ["lm-memory-run"]
    for module in lm_of("llama").model.modules():  # and the LM is left as it was
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


@pytest.mark.parametrize("kind", FAILURES)
def test_the_reference_runs_fewer_prompts_at_once_too(monkeypatch, kind):
    lm, (prompts, branches) = lm_of("llama"), job()
    options = {"engine": "reference", "keep_logits": True}
    expected = run_branches(lm, prompts, branches, **options)
    sizes = []
    for module in (clean, reference):
        former = module.forward

        def limited(lm, batch, former=former, **more):
            if batch.input_ids.numel() > 50:
                raise FAILURES[kind]
            sizes.append(batch.input_ids.numel())
            return former(lm, batch, **more)

        monkeypatch.setattr(module, "forward", limited)
    got = run_branches(lm, prompts, branches, **options)
    assert_equal(branches, expected.logits, got.logits)
    assert max(sizes) <= 50
    assert got.tally.budget.tokens <= 64


def test_verifying_that_never_fits_is_an_error(monkeypatch):
    prompts, branches = job()

    def failing(lm, batch, **more):
        raise FAILURES["of the accelerator"]

    monkeypatch.setattr(reference, "forward", failing)
    with pytest.raises(CfgenError) as caught:
        run_branches(lm_of("llama"), prompts, branches, engine="packed")
    assert codes(caught) == ["lm-memory-run"]


def test_other_errors_of_a_run_pass_through(monkeypatch):
    prompts, branches = job()
    error = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    failing_above(monkeypatch, "run_forward", forward_size, 0, error)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        run_branches(lm_of("llama"), prompts, branches)


# Over time


def tensors_alive():
    gc.collect()
    return sum(issubclass(type(found), torch.Tensor) for found in gc.get_objects())


@pytest.mark.parametrize("engine", ["packed", "reference"])
def test_no_tensor_is_left_of_80_chunks(engine, monkeypatch):
    """As many tensors are alive in the 80th chunk as in the 20th."""
    monkeypatch.setattr("cfgen.interventions.engine.CHUNK", 1)
    lm, rng = lm_of("llama", num_hidden_layers=2), Random(3)
    prompts = [text(rng, 4) for _ in range(81)]
    branches = []
    for index in range(80):
        branches += [
            swap(Place("resid_post", 0), index, [2], index + 1, [2]),
            swap(Place("v", 1), index, [1], index + 1, [0]),
            Branch(index, ()),
        ]
    alive = {}

    def progress(done, total):
        assert total == len(branches)
        if done in (60, 150, len(branches)):
            alive[done] = tensors_alive()

    run_branches(lm, prompts, branches, engine=engine, batch_size=1, progress=progress)
    assert sorted(alive) == [60, 150, 240]
    assert len(set(alive.values())) == 1
