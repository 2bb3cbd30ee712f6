"""Fewer tokens at once as soon as memory does not suffice; no more memory for longer work."""

from __future__ import annotations

import gc
import weakref
from random import Random

import pytest
import torch

from cfgen.errors import CfgenError
from cfgen.interventions import LEAST, TOKEN_BUDGETS, Budget, Run, execution, within_memory
from cfgen.lm import Place
from tests.interventions.tiny import (
    assert_equal,
    codes,
    engine_of,
    hooks_of,
    lm_of,
    outcomes,
    swap,
    text,
)
from tests.sampling import one_in

FAILURES = {
    "of the accelerator": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    "of the processor": RuntimeError(
        "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate "
        "memory: you tried to allocate 68719476736 bytes. Error code 12 (Cannot allocate memory)"
    ),
    "of Windows": RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9"),
    "of Python": MemoryError(),
}


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


# In an execution


def job(pairs=3):
    """Runs with edited sources and bases among them, which read in several stages."""
    rng = Random(1)
    runs = []
    for _ in range(pairs):
        a, b = Run(text(rng, 20)), Run(text(rng, 20))
        source = swap(Place("resid_post", 0), b, [3], a)
        runs += [
            swap(Place(name, layer), a, [to], other)
            for name in ("resid_post", "k")
            for layer in range(4)
            for to in (5, 19)
            for other in (b, source)
        ]
        runs.append(swap(Place("v", 2), source, [7], a))
    return runs


def packed_size(machine, schedule, foundation, store, rows):
    return len(rows) * max(row.width for row in rows)


def whole_size(machine, schedule, numbers, store, levels=None):
    return len(numbers) * max(len(schedule.steps[n].run.prompt) for n in numbers)


SIZES = {"run_rows": packed_size, "run_whole": whole_size}


def failing_above(monkeypatch, name, limit, error):
    """Let a function of the engine run out of memory for more than some tokens."""
    former, sizes = getattr(execution, name), []

    def limited(*arguments, **keywords):
        size = SIZES[name](*arguments, **keywords)
        if size > limit:
            raise error
        sizes.append(size)
        return former(*arguments, **keywords)

    monkeypatch.setattr(execution, name, limited)
    return sizes


@pytest.mark.parametrize("kind", one_in(2, FAILURES))
@pytest.mark.parametrize(
    ("engine", "name"),
    [("packed", "run_rows"), ("packed", "run_whole"), ("reference", "run_whole")],
)
def test_forwards_that_are_too_large_are_made_smaller_with_the_same_outcomes(
    monkeypatch, kind, engine, name
):
    lm, runs = lm_of("llama"), job()
    expected = outcomes(lm, runs, engine)
    assert expected.work.shrunk == 0
    sizes = failing_above(monkeypatch, name, 50, FAILURES[kind])
    chosen = engine_of(lm, engine)
    assert chosen.budget == Budget(TOKEN_BUDGETS["cpu"])
    got = outcomes(lm, runs, engine, budget=TOKEN_BUDGETS["cpu"])
    assert_equal(runs, expected.vocabulary, got.vocabulary)
    assert torch.equal(expected.changed, got.changed)
    assert max(sizes) <= 50
    assert got.work.shrunk == 5
    assert got.work.run == expected.work.run
    assert got.work.filled == expected.work.filled
    assert got.work.edited.required == expected.work.edited.required


def test_a_budget_stays_halved_for_good(monkeypatch):
    lm, engine = lm_of("llama"), engine_of(lm_of("llama"))
    failing_above(monkeypatch, "run_rows", 50, FAILURES["of Python"])
    runs = job()
    assert engine.outcomes(runs).work.shrunk == 5
    assert engine.outcomes(runs).work.shrunk == 0
    assert engine.budget == Budget(TOKEN_BUDGETS["cpu"] // 32, 5)
    assert hooks_of(lm) == 0


@pytest.mark.parametrize(
    ("engine", "name"),
    [("packed", "run_rows"), ("packed", "run_whole"), ("reference", "run_whole")],
)
def test_what_never_fits_is_an_error(monkeypatch, engine, name):
    failing_above(monkeypatch, name, 0, FAILURES["of the accelerator"])
    with pytest.raises(CfgenError) as caught:
        engine_of(lm_of("llama"), engine).outcomes(job())
    assert codes(caught) == ["lm-memory-run"]
    assert hooks_of(lm_of("llama")) == 0


def test_other_errors_pass_through(monkeypatch):
    error = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    failing_above(monkeypatch, "run_rows", 0, error)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        engine_of(lm_of("llama")).outcomes(job())
    assert hooks_of(lm_of("llama")) == 0


# Over time


def tensors_alive():
    gc.collect()
    return sum(issubclass(type(found), torch.Tensor) for found in gc.get_objects())


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["packed", "reference"])
def test_no_tensor_is_left_of_200_units(engine):
    """As many tensors are alive behind the 200th unit as behind the 20th."""
    lm, rng = lm_of("llama", num_hidden_layers=2), Random(3)
    chosen = engine_of(lm, engine, batch_size=1)
    alive = {}
    for unit in range(200):
        a, b = Run(text(rng, 4)), Run(text(rng, 4))
        source = swap(Place("resid_post", 0), b, [2], a)
        runs = [source, swap(Place("v", 1), a, [1], source), swap(Place("v", 1), source, [1], a)]
        found = chosen.outcomes(runs, [[5]] * 3, verified=unit % 20 == 0)
        assert len(found) == 3
        if unit in (20, 199):
            del found
            alive[unit] = tensors_alive()
    assert len(set(alive.values())) == 1, alive


@pytest.mark.slow
def test_no_tensor_is_left_of_groups():
    """What a group read is gone when the next begins."""
    lm, rng = lm_of("llama", num_hidden_layers=2), Random(3)
    runs = [
        swap(Place("resid_post", 0), Run(text(rng, 4)), [2], Run(text(rng, 4))) for _ in range(60)
    ]
    alive = []
    engine = engine_of(lm, store_bytes=1)
    done = []

    def progress(count):
        done.append(count)
        if len(done) in (20, 40, 60):
            alive.append(tensors_alive())

    engine.outcomes(runs, progress=progress)
    assert len(done) == 60
    # each leaves its outcomes, and nothing else
    assert alive[2] - alive[1] == alive[1] - alive[0] < 20 * 8
