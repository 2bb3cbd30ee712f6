"""Faults planted in every step of the engine are found by the checks that there are."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
import torch

from cfgen.errors import CfgenError
from cfgen.interventions import (
    OUT_OF_REACH,
    SAME_VALUES,
    Add,
    Constant,
    Copy,
    Edit,
    Question,
    Run,
    packed,
    reach,
    schedule,
    stepping,
    store,
    whole,
)
from cfgen.interventions.verification import draw
from cfgen.lm import Place
from tests.interventions.tiny import (
    FIRST_WORD,
    codes,
    engine_of,
    hooks_of,
    lm_of,
    logits_of,
    off,
    swap,
    text,
)

ENGINES = pytest.mark.parametrize("engine", ["packed", "reference"])


def job(prefix=0):
    """Runs that have to be executed; with a prefix, prompts begin alike."""
    rng = Random(1)
    start = text(rng, prefix)
    cleans = [Run((*start, FIRST_WORD + i, *text(rng, 8 + i % 3))) for i in range(8)]
    runs = [
        swap(Place(name, layer), clean, [to], cleans[(index + 3) % 8])
        for index, clean in enumerate(cleans)
        for name, layer in (("resid_post", 0), ("resid_pre", 2), ("v", 1), ("attn_out", 2))
        for to in (prefix + 2, prefix + 5)
    ]
    source = runs[0]
    runs += [swap(Place("resid_post", 1), clean, [prefix + 4], source) for clean in cleans[2:]]
    # tokens of one run enter at several blocks
    runs += [
        run.with_(Edit(Place("resid_post", 2), (prefix + 1,), Copy(source))) for run in runs[8:16]
    ]
    return runs


# Faults


def no_branch_is_told_from_another(monkeypatch):
    former = packed.find_owners

    def owners(placement, *more):
        found = former(placement, *more)
        count = len(placement.branches)
        return replace(found, owner=torch.where(found.owner < count, 0, count))

    monkeypatch.setattr(packed, "find_owners", owners)


def the_base_is_seen_beside_the_run(monkeypatch):
    former = packed.find_owners

    def owners(*given):
        found = former(*given)
        replaces = torch.full_like(found.replaces, found.never)
        replaces[-1] = 0
        return replace(found, replaces=replaces)

    monkeypatch.setattr(packed, "find_owners", owners)


def what_comes_later_is_seen(monkeypatch):
    former = packed.block_mask

    def mask(owners, batch, *more):
        ahead = replace(owners, positions=torch.where(owners.positions > 0, 99, 0))
        return former(ahead, batch, *more)

    monkeypatch.setattr(packed, "block_mask", mask)


def states_are_those_of_the_next_token(monkeypatch):
    former = whole._keep

    def keep(states, level):
        inner = former(states, level)
        return lambda view: inner(view.roll(-1, dims=1))

    monkeypatch.setattr(whole, "_keep", keep)


def states_are_those_of_another_prompt(monkeypatch):
    former = whole._keep

    def keep(states, level):
        inner = former(states, level)
        return lambda view: inner(view.roll(1, dims=0))

    monkeypatch.setattr(whole, "_keep", keep)


def states_are_those_of_another_block(monkeypatch):
    former = packed._entries

    def entries(placement, foundation, *more):
        states = dict(foundation.states)
        levels = sorted(states)
        moved = {level: states[levels[i - 1]] for i, level in enumerate(levels)}
        return former(placement, replace(foundation, states=moved), *more)

    monkeypatch.setattr(packed, "_entries", entries)


def positions_are_off_by_one(monkeypatch):
    former = packed.forward_upon

    def forward(machine, ids, mask, positions, cache):
        # the mask is made of the right ones
        return former(machine, ids, mask, (positions - 1).clamp(min=0), cache)

    monkeypatch.setattr(packed, "forward_upon", forward)


def logits_are_those_of_another_column(monkeypatch):
    former = packed._answers_at

    def answers(*given):
        rows, columns = former(*given)
        return rows, (columns - 1).clamp(min=0)

    monkeypatch.setattr(packed, "_answers_at", answers)


def nothing_enters(monkeypatch):
    former = packed.Stepping
    monkeypatch.setattr(packed, "Stepping", lambda **fields: former(**{**fields, "entries": {}}))


def keys_of_the_base_are_those_of_another(monkeypatch):
    former = packed.cache_of

    def cache(foundation, owners):
        keys = tuple(k.roll(1, dims=0) for k in foundation.keys)
        return former(replace(foundation, keys=keys), owners)

    monkeypatch.setattr(packed, "cache_of", cache)


def too_few_tokens_are_computed(monkeypatch):
    former = schedule.find_reach

    def find(flow, run, *more, **keywords):
        found = former(flow, run, *more, **keywords)
        edited = {p for edit in run.edits for p in edit.positions} | {len(run.prompt) - 1}
        enters = {p: level for p, level in found.enters.items() if p in edited}
        return replace(found, enters=enters)

    monkeypatch.setattr(schedule, "find_reach", find)


FAULTS = [
    no_branch_is_told_from_another,
    the_base_is_seen_beside_the_run,
    what_comes_later_is_seen,
    states_are_those_of_the_next_token,
    states_are_those_of_another_prompt,
    states_are_those_of_another_block,
    positions_are_off_by_one,
    logits_are_those_of_another_column,
    keys_of_the_base_are_those_of_another,
    too_few_tokens_are_computed,
]


@pytest.mark.parametrize("plant", FAULTS)
def test_a_planted_fault_is_found_by_executing_a_few_again(monkeypatch, plant):
    lm, runs = lm_of("llama"), job()
    engine = engine_of(lm)
    good = engine.outcomes(runs, question=Question(vocabulary=True), verified=8)
    assert not good.work.filled
    assert good.work.verified == 8
    with monkeypatch.context() as patch:
        plant(patch)
        wrong = engine.outcomes(runs, question=Question(vocabulary=True))
        assert float(off(good.vocabulary, wrong.vocabulary).max()) > 0.01
        with pytest.raises(CfgenError) as caught:
            engine.outcomes(runs, verified=12)
        assert codes(caught) == ["engines-disagree"]
        with pytest.raises(CfgenError) as caught:
            engine.outcomes(
                runs, [[5, 6]] * len(runs), Question(said=False, normaliser=False), verified=12
            )
        assert codes(caught) == ["engines-disagree"]
    assert hooks_of(lm) == 0


def test_tokens_that_do_not_enter_are_edits_that_are_not_made(monkeypatch):
    nothing_enters(monkeypatch)
    with pytest.raises(CfgenError) as caught:
        engine_of(lm_of("llama")).outcomes(job())
    assert codes(caught) == ["edit-did-not-fire"]


def test_the_message_says_which_run_it_was(monkeypatch):
    lm, runs = lm_of("llama"), job()
    logits_are_those_of_another_column(monkeypatch)
    with pytest.raises(CfgenError) as caught:
        engine_of(lm).outcomes(runs[:1], verified=1)
    (problem,) = caught.value.problems
    assert "Copy at resid_post, layer 0, positions 2" in problem.message
    assert problem.detail == lm.tokenizer.decode(list(runs[0].prompt))
    assert "reference" in problem.hint


def test_what_is_verified_is_drawn_from_the_runs_with_edits_and_always_the_same():
    runs = job()
    cleans = [Run(run.prompt) for run in runs]
    both = [run for pair in zip(cleans, runs, strict=True) for run in pair]
    drawn = draw(both, 8)
    assert drawn == draw(both, 8)
    assert len(set(drawn)) == 8
    assert all(both[index].edits for index in drawn)
    assert draw(both, 1000) == list(range(1, len(both), 2))
    assert draw(both, 0) == draw(cleans, 5) == draw([], 5) == []
    assert drawn != draw(both[2:], 8)


# What is filled


def filled_job():
    runs = job(prefix=6)
    cleans = list(dict.fromkeys(Run(run.prompt) for run in runs))
    found = [
        swap(Place("resid_post", 1), clean, [to], cleans[(index + 3) % 8])
        for index, clean in enumerate(cleans)
        for to in (2, 5, 6, 7)
    ]
    return found + [swap(Place("resid_post", 3), cleans[i], [7], cleans[i + 3]) for i in (0, 1)]


def test_what_is_filled_is_tried():
    found = engine_of(lm_of("llama")).outcomes(filled_job())
    assert found.work.filled == {SAME_VALUES: 16, OUT_OF_REACH: 2}
    assert found.work.self_tested == 2 * schedule.SELF_TESTS
    assert found.work.run == 16 + found.work.self_tested
    assert found.changed.tolist() == [False, False, True, True] * 8 + [True, True]


def too_long_a_prefix(monkeypatch):
    former = reach.DirtFinder._beginning
    monkeypatch.setattr(
        reach.DirtFinder, "_beginning", lambda self, *prompts: former(self, *prompts) + 1
    )


def answers_out_of_reach(monkeypatch):
    former = reach.DirtFinder.spread

    def spread(self, run, base):
        found = former(self, run, base)
        last = 1 << len(run.prompt) - 1
        return replace(found, states=tuple(mask & ~last for mask in found.states))

    monkeypatch.setattr(reach.DirtFinder, "spread", spread)


@pytest.mark.parametrize("plant", [too_long_a_prefix, answers_out_of_reach])
def test_what_is_filled_by_mistake_is_found(monkeypatch, plant):
    monkeypatch.setattr(schedule, "SELF_TESTS", 100)
    engine, runs = engine_of(lm_of("llama")), filled_job()
    assert engine.outcomes(runs).work.self_tested == 18
    plant(monkeypatch)
    with pytest.raises(CfgenError) as caught:
        engine.outcomes(runs)
    assert codes(caught) == ["filled-cell-differs"]


def test_what_an_edited_base_is_taken_to_say_is_tried_too(monkeypatch):
    monkeypatch.setattr(schedule, "SELF_TESTS", 100)
    run = filled_job()[0]
    clean = Run(run.prompt)
    noised = clean.with_(Edit(Place("resid_pre", 1), (7,), Add(torch.ones(1, 32))))
    restored = [swap(Place("v", 0), noised, [7], clean), swap(Place("v", 2), noised, [3], clean)]
    found = engine_of(lm_of("llama")).outcomes(restored)
    assert found.work.self_tested == found.work.filled[SAME_VALUES] == 2


# Hooks and tokens


@ENGINES
def test_an_edit_that_does_not_fire_is_an_error(monkeypatch, engine):
    """A block that is skipped."""
    lm = lm_of("llama")
    runs, chosen = job()[:1], engine_of(lm_of("llama"), engine)
    block = lm.model.model.layers[0]
    run_as_it_is = type(block).__call__
    monkeypatch.setattr(
        type(block),
        "__call__",
        lambda self, hidden, *a, **k: (
            hidden if self is block else run_as_it_is(self, hidden, *a, **k)
        ),
    )
    with pytest.raises(CfgenError) as caught:
        chosen.outcomes(runs)
    assert codes(caught) == ["edit-did-not-fire"]
    assert "resid_post of layer 0: 0 times" in caught.value.problems[0].message


@ENGINES
def test_an_edit_that_fires_twice_is_an_error(monkeypatch, engine):
    """A block that is computed twice."""
    lm = lm_of("llama")
    block = lm.model.model.layers[0]
    run_as_it_is = type(block).__call__

    def twice(self, *a, **k):
        if self is block:
            run_as_it_is(self, *a, **{**k, "past_key_values": None})
        return run_as_it_is(self, *a, **k)

    monkeypatch.setattr(type(block), "__call__", twice)
    with pytest.raises(CfgenError) as caught:
        engine_of(lm, engine).outcomes(job()[:1])
    assert codes(caught) == ["edit-did-not-fire"]
    assert "2 times" in caught.value.problems[0].message
    assert hooks_of(lm) == 0


def test_an_edit_that_is_left_out_is_an_error(monkeypatch):
    former = packed._split

    def split(*given):
        return former(*given)[0], {}

    monkeypatch.setattr(packed, "_split", split)
    with pytest.raises(CfgenError) as caught:
        engine_of(lm_of("llama")).outcomes(job()[:1])
    assert codes(caught) == ["edit-did-not-fire"]
    assert "1 positions were to be written in a forward, but 0 were" in str(caught.value)


@pytest.mark.parametrize(("module", "engine"), [(whole, "reference"), (packed, "packed")])
def test_an_edit_at_another_column_is_an_error(monkeypatch, module, engine):
    former = module.plan_traffic

    def shifted(steps, lanes, *more, **keywords):
        lanes = [
            replace(
                lane, columns=dict(zip(lane.columns, reversed(lane.columns.values()), strict=True))
            )
            for lane in lanes
        ]
        return former(steps, lanes, *more, **keywords)

    monkeypatch.setattr(module, "plan_traffic", shifted)
    with pytest.raises(CfgenError) as caught:
        engine_of(lm_of("llama"), engine).outcomes(job()[:1])
    assert codes(caught) == ["edit-off-target"]


@ENGINES
def test_an_edit_in_another_row_is_an_error(monkeypatch, engine):
    module = packed if engine == "packed" else whole
    former = module.plan_traffic

    def mixed(steps, lanes, *more, **keywords):
        rows = [lane.row for lane in lanes]
        lanes = [replace(lane, row=row) for lane, row in zip(lanes, rows[::-1], strict=True)]
        return former(steps, lanes, *more, **keywords)

    monkeypatch.setattr(module, "plan_traffic", mixed)
    runs = [run for run in job() if len(run.prompt) == 9][:12]
    with pytest.raises(CfgenError) as caught:
        engine_of(lm_of("llama"), engine).outcomes(runs)
    assert codes(caught) == ["edit-off-target"]


# Numbers that are none


@ENGINES
def test_weights_that_are_no_numbers_are_an_error(build_family_lm, engine):
    lm = build_family_lm("llama", seed=5)
    lm.model.model.layers[2].mlp.down_proj.weight[3, 4] = torch.nan
    runs = [Run(run.prompt) for run in job()[:1]]
    for some in (runs, job()[:2]):
        with pytest.raises(CfgenError) as caught:
            engine_of(lm, engine).outcomes(some)
        assert codes(caught) == ["logits-not-finite"]
    assert hooks_of(lm) == 0


@ENGINES
@pytest.mark.parametrize("number", [torch.nan, torch.inf])
def test_values_that_are_no_numbers_are_an_error(engine, number):
    run = job()[0]
    edit = Edit(Place("resid_post", 1), (3,), Constant(torch.full((1, 32), number)))
    with pytest.raises(CfgenError) as caught:
        engine_of(lm_of("llama"), engine).outcomes([Run(run.prompt).with_(edit)])
    assert codes(caught) == ["logits-not-finite"]


# Masks of the LM's own


def test_a_model_whose_blocks_get_no_mask_is_an_error(monkeypatch):
    former = stepping.Stepping
    monkeypatch.setattr(packed, "Stepping", lambda **f: former(**{**f, "mask": f["mask"].clone()}))
    with pytest.raises(CfgenError) as caught:
        engine_of(lm_of("llama")).outcomes(job()[:1])
    assert codes(caught) == ["mask-not-handed-on"]
    assert hooks_of(lm_of("llama")) == 0


def test_nothing_is_left_on_the_model():
    lm = lm_of("llama")
    for engine in ("packed", "reference"):
        logits_of(lm, job()[:5], engine)
        assert hooks_of(lm) == 0
    assert lm.model.get_output_embeddings().__dict__.get("forward") is None


# Rows of the store


def test_rows_of_a_store():
    kept = store.Store()
    kept.add(("v", 1), [(0, 3), (2, 1)], torch.tensor([[1.0], [2.0]]))
    kept.add(("v", 1), [(1, 0)], torch.tensor([[3.0]]))
    assert kept.all(("v", 1)).tolist() == [[1.0], [2.0], [3.0]]
    assert kept.rows[("v", 1)] == {(0, 3): 0, (2, 1): 1, (1, 0): 2}
    pattern = ("attn_pattern", 0)
    kept.add(pattern, [(0, 0)], torch.ones(1, 2, 3))
    kept.add(pattern, [(1, 0)], torch.ones(1, 2, 5))
    assert kept.all(pattern).shape == (2, 2, 5)
    assert kept.all(pattern)[0, 0].tolist() == [1.0, 1.0, 1.0, 0.0, 0.0]


def test_keys_are_gathered_and_spread_back():
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(2, 3, 7, generator=generator)
    keys = torch.tensor([[6, 0, 3], [2, -1, -1]])
    found = store.gather_keys(values, keys)
    assert torch.equal(found[0], values[0][:, [6, 0, 3]])
    assert torch.equal(found[1, :, 0], values[1, :, 2])
    assert not found[1, :, 1:].any()
    back = store.spread_keys(found, keys, 7)
    assert torch.equal(back[0][:, [6, 0, 3]], found[0])
    assert not back[0][:, [1, 2, 4, 5]].any()
    assert int((back[1] != 0).sum()) == 3
    assert torch.equal(store.gather_keys(values[:, 0], keys), found[:, 0])
    assert torch.equal(store.spread_keys(found[:, 0], keys, 7), back[:, 0])
