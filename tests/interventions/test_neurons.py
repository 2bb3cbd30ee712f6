"""Swaps of single neurons behind their block, beside the same swaps run whole, one by one."""

from __future__ import annotations

import pytest
import torch

from cfgen import CfgenError
from cfgen.interventions import (
    NOTHING,
    Copy,
    Edit,
    NeuronSwap,
    Run,
    choose_engine,
    neurons_obstacle,
    swap_neurons,
)
from cfgen.lm import Place, find_layout
from tests.families import ALL, EXPERTS

ORIGINAL = (5, 9, 30, 7, 41, 12, 33, 8, 19, 25, 6, 14)
COUNTERFACTUAL = (5, 9, 31, 7, 40, 44, 12, 33, 8, 20, 25, 6, 15)
RIGHT, WRONG = (10, 11), (20,)
MOVES = {
    "one": ((4, 5),),
    "several": ((2, 2), (4, 4), (7, 9)),
    "the first": ((0, 2),),
    "the last": ((11, 12),),
}


def plain(lm, asked: NeuronSwap) -> torch.Tensor:
    """One whole run for each neuron."""
    engine = choose_engine(lm, "reference")
    to, of = (tuple(side) for side in zip(*asked.moves, strict=True))
    copy = Copy(Run(asked.counterfactual), of)
    runs = [Run(asked.original)] + [
        Run(asked.original, (Edit(Place("mlp_neuron", layer, neurons=(n,)), to, copy),))
        for layer in asked.layers
        for n in asked.neurons
    ]
    tracked = (*asked.right, *asked.wrong)
    logits = engine.outcomes(runs, [tracked] * len(runs), NOTHING).logits.double()
    count = len(asked.right)
    odds = logits[:, :count].logsumexp(-1) - logits[:, count:].logsumexp(-1)
    return (odds[1:] - odds[0]).view(len(asked.layers), len(asked.neurons))


def swap(moves, neurons=(0, 3, 17, 40), layers=(0, 1, 2, 3)) -> NeuronSwap:
    return NeuronSwap(ORIGINAL, COUNTERFACTUAL, moves, neurons, layers, RIGHT, WRONG)


@pytest.mark.parametrize("name", ALL)
def test_every_architecture_gives_what_whole_runs_give(name, build_family_lm):
    lm = build_family_lm(name)
    if obstacle := neurons_obstacle(find_layout(lm.model)):
        with pytest.raises(CfgenError, match=obstacle):
            swap_neurons(choose_engine(lm), swap(MOVES["one"]))
        return
    asked = swap(MOVES["several"])
    expected, got = plain(lm, asked), swap_neurons(choose_engine(lm), asked, verified=3)
    assert got.abs().max() > 1e-3
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize("moves", MOVES)
@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2", "mistral", "gpt_neox", "olmo2"])
def test_any_token_may_change(name, moves, build_family_lm):
    lm = build_family_lm(name)
    asked = swap(MOVES[moves], layers=(1, 3))
    got = swap_neurons(choose_engine(lm), asked)
    torch.testing.assert_close(got, plain(lm, asked), rtol=1e-3, atol=2e-4)


def test_in_the_last_layer_only_the_last_token_matters(build_family_lm):
    lm = build_family_lm("llama")
    got = swap_neurons(choose_engine(lm), swap(MOVES["one"], layers=(3,)))
    assert got.abs().max() == 0


def test_all_neurons_in_forwards_of_any_size(build_family_lm):
    lm = build_family_lm("llama")
    asked = swap(MOVES["several"], neurons=tuple(range(48)), layers=(2, 0))
    expected = plain(lm, asked)
    for budget in (16, 50, 1024):
        got = swap_neurons(choose_engine(lm, token_budget=budget), asked)
        torch.testing.assert_close(got, expected, rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize("name", EXPERTS)
def test_experts_are_refused(name, build_family_lm):
    with pytest.raises(CfgenError, match="mixture of experts"):
        swap_neurons(choose_engine(build_family_lm(name)), swap(MOVES["one"]))


def test_what_a_row_does_not_say_is_noticed(build_family_lm, monkeypatch):
    lm = build_family_lm("llama")
    engine = choose_engine(lm)
    down = find_layout(lm.model).module("mlp.down_proj", 2)
    kept = down.forward
    monkeypatch.setattr(down, "forward", lambda given: kept(given) * 2)
    with pytest.raises(CfgenError, match="engines-disagree"):
        swap_neurons(engine, swap(MOVES["one"]), verified=16)
