"""Slopes against differences of runs, in which edits are made by a small share."""

from __future__ import annotations

from random import Random

import pytest
import torch

from cfgen.interventions import (
    HERE,
    Add,
    Block,
    Copy,
    Departure,
    Edit,
    Mix,
    Question,
    Read,
    Run,
    Score,
    choose_engine,
    find_slopes,
)
from cfgen.lm import COMPONENTS, Place
from tests.interventions.tiny import lm_of, text
from tests.sampling import one_in

FAMILIES = ("llama", "qwen3", "gemma2", "gemma3", "gpt2", "gpt_neox", "gptj", "opt")


def difference(right, wrong):
    return right - wrong


def probability(right, wrong):
    return right.exp()


ODDS = Score((7, 9), (11,), difference)
LIKELY = Score((11,), (), probability)


def engine_of(family):
    return choose_engine(lm_of(family, torch.float64), "reference")


def value_of(engine, run, score):
    tracked = sorted({*score.right, *score.wrong})
    outcomes = engine.outcomes([run], [tracked], Question(normaliser=True))
    logs = dict(zip(tracked, outcomes.log_probabilities[0].double(), strict=True))
    sides = [
        torch.stack([logs[t] for t in side]).logsumexp(0) if side else torch.tensor(-torch.inf)
        for side in (score.right, score.wrong)
    ]
    return float(score.of(*sides))


def by_share(edit, share, start):
    """An edit that is made by a share, of what is written and what is there."""
    if isinstance(edit.value, Block):  # what the pattern would be
        blocked = Run(start.prompt, (*start.edits, edit))
        return Edit(edit.place, edit.positions, Mix(((1 - share, HERE), (share, Read(blocked)))))
    if isinstance(edit.value, Add):
        return Edit(edit.place, edit.positions, Add(share * edit.value.numbers))
    (read,) = edit.value.reads or (None,)
    terms = ((1 - share, HERE), *(((share, read),) if read else ()))
    return Edit(edit.place, edit.positions, Mix(terms))


def expected(engine, departure, score, share):
    """The derivative, from runs to either side."""
    start = departure.start
    ends = [
        Run(
            start.prompt,
            (
                *start.edits,
                *departure.held,
                *(by_share(edit, sign * share, start) for edit in departure.made),
            ),
        )
        for sign in (1, -1)
    ]
    if departure.into is not None:
        every = tuple(range(len(start.prompt)))
        ends = [start.with_(Edit(departure.into, every, Copy(end))) for end in ends]
    above, below = (value_of(engine, run, score) for run in ends)
    return (above - below) / (2 * share)


def check(engine, departures, score):
    found = find_slopes(engine, departures, [[score]] * len(departures))
    for departure, (slope,) in zip(departures, found, strict=True):
        assert slope.at == pytest.approx(value_of(engine, departure.start, score), abs=1e-5)
        # logits come as float32, so that small differences of them are rough
        shares = (
            (0.001, 0.002) if engine.lm.name == "opt" else (0.01, 0.02)
        )  # whose ReLUs have kinks
        near, far = (expected(engine, departure, score, share) for share in shares)
        wanted = (4 * near - far) / 3  # without what is of third order
        assert slope.change == pytest.approx(wanted, rel=0.01, abs=2e-3)


@pytest.mark.parametrize("family", one_in(2, FAMILIES))
def test_a_slope_is_the_derivative_by_the_share_of_an_edit(family):
    engine, rng = engine_of(family), Random(1)
    one, other = Run(text(rng, 9)), Run(text(rng, 9))
    for component in engine.layout.components:
        row = COMPONENTS[component]
        if row.read_only:
            continue
        layer = 0 if row.before_blocks else 1
        place = Place(component, layer, 1 if row.by_head else None)
        swap = Edit(place, (4, 8), Copy(other, (5, 8)))
        zero = Edit(place, (6,), Mix(((0.0, HERE),)))
        departures = [Departure(one, one.with_(edit)) for edit in (swap, zero)]
        check(engine, departures, ODDS)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_slope_of_a_knockout_is_that_of_the_weights_that_are_left(family):
    engine, rng = engine_of(family), Random(2)
    one = Run(text(rng, 8))
    departures = [
        Departure(
            one,
            one.with_(
                *(
                    Edit(Place("attn_pattern", layer, head), (6, 7), Block((2, 4)))
                    for layer in layers
                )
            ),
        )
        for layers in ((1,), (0, 1, 2))
        for head in (None, 2)
    ]
    check(engine, departures, ODDS)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_slope_is_taken_in_the_run_that_is_departed_from(family):
    """As in tracing: a place is restored where some tokens have noise."""
    engine, rng = engine_of(family), Random(3)
    clean = Run(text(rng, 8))
    width = engine.layout.embed_width
    noise = torch.randn(2, width, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    noisy = Run(clean.prompt, (Edit(Place("embed"), (2, 3), Add(0.3 * noise)),))
    departures = [
        Departure(noisy, noisy.with_(Edit(Place(component, layer), (at,), Copy(clean))))
        for component, layer, at in (
            ("resid_post", 0, 3),
            ("mlp_out", 1, 3),
            ("attn_out", 2, 7),
            ("embed", 0, 3),
        )
    ]
    check(engine, departures, LIKELY)


def test_what_is_held_lets_nothing_past():
    engine, rng = engine_of("llama"), Random(4)
    one, other = Run(text(rng, 8)), Run(text(rng, 8))
    held = [Edit(Place("resid_post", layer), (6, 7), Copy(one)) for layer in range(4)]
    swap = Edit(Place("resid_post", 1), (3,), Copy(other))
    (nothing,) = find_slopes(engine, [Departure(one, one.with_(swap, *held))], [[ODDS]])
    assert nothing[0].change == 0  # all that leads from it is held
    some = Departure(one, one.with_(swap, *held[:2]))
    assert some.held == tuple(held[:2])
    assert some.made == (swap,)
    check(engine, [some, Departure(one, one.with_(swap))], ODDS)


@pytest.mark.parametrize("family", one_in(2, FAMILIES))
def test_a_slope_of_what_is_given_on_at_one_place(family):
    """As paths lead to receivers: attention between is held, by its queries, keys and values."""
    engine, rng = engine_of(family), Random(6)
    one, other = Run(text(rng, 8)), Run(text(rng, 8))
    every = tuple(range(8))
    held = [
        Edit(Place(part, layer), every, Copy(one)) for layer in (0, 1) for part in ("q", "k", "v")
    ]
    sender = Edit(Place("head_out", 0, 1), every, Copy(other))
    receivers = [Place("q", 2, 1), Place("v", 2), Place("mlp_out", 1), Place("mlp_neuron", 2)]
    receivers = [place for place in receivers if place.component in engine.layout.components]
    departures = [
        Departure(one, one.with_(sender, *some), receiver)
        for receiver in receivers
        for some in ((), held)
    ]
    check(engine, departures, ODDS)
    check(engine, [*departures[:2], Departure(one, one.with_(sender))], LIKELY)


def test_several_scores_of_several_runs_are_kept_apart():
    engine, rng = engine_of("gpt2"), Random(5)
    runs = [Run(text(rng, length)) for length in (6, 9, 7)]
    other = Run(text(rng, 9))
    departures = [
        Departure(run, run.with_(Edit(Place("resid_post", layer), (5,), Copy(other))))
        for layer in (0, 2)
        for run in runs
    ]
    together = find_slopes(engine, departures, [[ODDS, LIKELY]] * 6)
    for departure, both in zip(departures, together, strict=True):
        for score, slope in zip((ODDS, LIKELY), both, strict=True):
            ((alone,),) = find_slopes(engine, [departure], [[score]])
            assert slope.change == pytest.approx(alone.change, abs=1e-6)
            assert slope.at == pytest.approx(alone.at, abs=1e-6)
