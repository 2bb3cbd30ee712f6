"""In which order runs are executed, which of them whole, and which not at all."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from cfgen.interventions import (
    OUT_OF_REACH,
    SAME_VALUES,
    Add,
    Copy,
    Edit,
    Read,
    Run,
    make_schedule,
)
from cfgen.interventions.reach import flow_of
from cfgen.lm import Place
from tests.interventions.tiny import engine_of, layout_of, lm_of, outcomes, swap

A = Run((10, 11, 12, 13, 14, 15))
B = Run((20, 21, 22, 23))
C = Run((30, 31))
POST = Place("resid_post", 0)


def schedule_of(runs, reads=(), **options):
    options = {"packed": True, **options}
    return make_schedule(flow_of(layout_of("llama"), (None,) * 4), runs, reads, **options)


def noised(run, place=POST, at=1):
    return run.with_(Edit(place, (at,), Add(torch.ones(1, 32))))


def test_runs_are_executed_after_what_they_are_made_from():
    source = swap(POST, B, [2], C, [1])
    run = swap(POST, A, [3], source, [2])
    schedule = schedule_of([run])
    order = [step.run for step in schedule.steps]
    assert set(order) == {A, B, C, source, run}
    stages = {step.run: step.stage for step in schedule.steps}
    assert [stages[each] for each in (A, B, C, source, run)] == [0, 0, 0, 1, 2]
    assert schedule.stages == 3
    assert [schedule.steps[schedule.number[each]].run for each in order] == order
    for step in schedule.steps:
        if step.base is not None:
            assert schedule.steps[step.base].stage < step.stage


def test_clean_runs_and_bases_are_whole_and_the_rest_is_upon_them():
    corrupted = noised(A)
    restored = swap(Place("resid_post", 1), corrupted, [1], A)
    other = swap(Place("v", 1), A, [2], B)
    schedule = schedule_of([restored, corrupted, other, B])
    base = {step.run: step.base for step in schedule.steps}
    assert base[A] is base[B] is base[corrupted] is None
    assert base[restored] == schedule.number[corrupted]
    assert base[other] == schedule.number[A]
    asked = {step.run for step in schedule.steps if step.asked}
    assert asked == {restored, corrupted, other, B}
    alone = schedule_of([corrupted])
    assert alone.steps[alone.number[corrupted]].base == alone.number[A]


def test_on_the_reference_everything_is_whole():
    corrupted = noised(A)
    restored = swap(Place("resid_post", 1), corrupted, [1], A)
    schedule = schedule_of([restored, swap(POST, A, [2], A)], packed=False)
    assert all(step.base is step.reach is None for step in schedule.steps)
    assert all(step.executed for step in schedule.steps)
    assert not schedule.tests
    assert not schedule.whole
    assert {step.run for step in schedule.steps} == {
        A,
        corrupted,
        restored,
        swap(POST, A, [2], A),
    }


def test_equal_runs_are_one_step():
    one, other = swap(POST, A, [3], B, [2]), swap(POST, Run(tuple(A.prompt)), [3], B, [2])
    schedule = schedule_of([one, other, one])
    assert len(schedule.steps) == 3
    assert schedule.number[one] == schedule.number[other]


def test_nothing_is_read_for_edits_that_are_not_made():
    same, away = swap(POST, A, [3], A), swap(Place("q", 3), A, [3], B)
    schedule = schedule_of([same, away])
    tried = set(schedule.tests.values())
    assert tried == {SAME_VALUES, OUT_OF_REACH}  # of each kind of reason, some are tried
    many = [swap(Place("q", 3), A, [p], B, [0]) for p in range(5)]
    many += [swap(POST, A, [p], A) for p in range(5)]
    schedule = schedule_of(many)
    assert len(schedule.tests) == 4
    executed = [
        n for n, step in enumerate(schedule.steps) if step.base is not None and step.executed
    ]
    assert sorted(schedule.tests) == executed
    assert schedule.steps[schedule.number[B]].wanted.keys() <= {("q", 3)}
    for number, step in enumerate(schedule.steps):
        if step.base is not None and number not in schedule.tests:
            assert step.reach is not None
            assert step.reach.enters == {}
            assert step.reach.reason in (SAME_VALUES, OUT_OF_REACH)


def test_what_is_tried_makes_all_its_edits():
    (run,) = [swap(POST, A, [3, 1], A)]
    schedule = schedule_of([run])
    step = schedule.steps[schedule.number[run]]
    assert step.makes(run.edits[0]) == (0, 1)
    assert step.reach is not None
    assert set(step.reach.enters) >= {1, 3}


def test_only_what_differs_is_written():
    like = Run((*A.prompt[:3], 40, *A.prompt[4:]))
    run = swap(POST, A, [5, 1, 3], like)
    schedule = schedule_of([run])
    step = schedule.steps[schedule.number[run]]
    assert step.makes(run.edits[0]) == (0, 2)  # by their order in the edit
    assert schedule.steps[schedule.number[like]].wanted == {("resid_post", 0): 1 << 5 | 1 << 3}
    unfilled = schedule_of([run], fill=False)
    assert unfilled.steps[unfilled.number[run]].makes(run.edits[0]) == (0, 1, 2)


def test_reads_alone_are_a_schedule_too():
    change = swap(POST, A, [3], B, [2])
    schedule = schedule_of(
        [], [Read(change, (4,), Place("v", 2)), Read(C, (0,), Place("resid_pre", 2))]
    )
    steps = {step.run: step for step in schedule.steps}
    assert set(steps) == {A, B, C, change}
    assert not any(step.asked for step in schedule.steps)
    assert steps[change].wanted == {("v", 2): 1 << 4}
    assert steps[C].wanted == {("resid_post", 1): 1}


def test_no_runs():
    schedule = schedule_of([])
    assert schedule.steps == ()
    assert schedule.stages == 0


RECOMPUTED = [row for row in layout_of("llama").components if Place(row).row.recomputed]


@pytest.mark.skipif(not RECOMPUTED, reason="no component is made again in whole runs")
@pytest.mark.parametrize("component", RECOMPUTED)
def test_what_can_only_be_done_in_whole_runs_is_whole_and_said(component):
    source = noised(B)
    run = swap(Place(component, 1), A, [3], source, [2])
    schedule = schedule_of([run])
    assert schedule.steps[schedule.number[run]].base is None
    assert schedule.steps[schedule.number[source]].base is None
    assert schedule.whole.total() == 2
    (reason,) = schedule.whole
    assert component in reason
    assert outcomes(lm_of("llama"), [run]).work.whole == schedule.whole


def test_runs_that_need_more_memory_together_are_executed_in_groups():
    """With the same outcomes, and every run in one group."""
    lm = lm_of("llama")
    runs = [
        swap(Place(name, layer), run, [1], other, [1])
        for layer in range(4)
        for name in ("resid_post", "v", "mlp_neuron")
        for run, other in ((A, B), (B, C), (C, noised(A)), (A, A))
    ]
    at_once = engine_of(lm)
    row = 32 * 4  # one token's state
    counts = []
    for room in (1, 3 * row, 12 * row, 1 << 30):
        split = replace(at_once, store_bytes=room)
        groups = list(split._groups(runs))
        assert [index for group in groups for index in group] == list(range(len(runs)))
        counts.append(len(groups))
        one, other = outcomes(lm, runs), outcomes(lm, runs, store_bytes=room)
        torch.testing.assert_close(one.vocabulary, other.vocabulary, atol=1e-4, rtol=1e-4)
        assert torch.equal(one.changed, other.changed)
        assert one.work.filled == other.work.filled
    assert counts[0] == len(runs)
    assert counts == sorted(set(counts), reverse=True)
    assert counts[-1] == 1


def test_copies_of_one_read_count_once():
    runs = [swap(Place("v", 2), A, [p], B, [1]) for p in range(1, 5)]
    engine = replace(engine_of(lm_of("llama")), store_bytes=2 * 12 * 4)
    assert list(engine._groups(runs)) == [[0, 1, 2, 3]]
    runs += [Run(A.prompt, (Edit(Place("v", 2), (1,), Copy(B, (2,))),))]
    assert list(engine._groups(runs)) == [[0, 1, 2, 3], [4]]
