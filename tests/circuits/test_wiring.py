"""Circuits in one forward, and gradients without copies, against the language edge by edge."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from cfgen.circuits import (
    INPUT,
    CircuitPair,
    Edge,
    PairBatch,
    connected,
    corrupted_run,
    edge_scores,
    exact_effects,
    faithfulness,
    measured_runs,
    outside_run,
    wire,
)
from cfgen.circuits.attribution import gradients
from cfgen.circuits.wiring import receiving
from cfgen.errors import CfgenError
from cfgen.interventions import choose_engine, logits_after
from cfgen.lm import find_layout
from tests.interventions.tiny import hooks_of, lm_of

FAMILIES = ("llama", "gpt2", "gpt_neox", "gptj", "granite", "phi3", "stablelm-parallel", "opt")
"""Grouped keys, learned positions, parallel blocks with one norm or two, factors, fused parts."""
CLOSE = 1e-4


@cache
def wired(name: str):
    engine = choose_engine(lm_of(name), "reference")
    return engine, wire(engine)


def some_pairs(seed: int = 0) -> list[CircuitPair]:
    """Pairs of several lengths, in which two tokens differ; one with answers of several texts."""
    rng = np.random.default_rng(seed)
    pairs = []
    for number, length in enumerate((8, 10, 8)):
        one = rng.integers(4, 96, length)
        other = one.copy()
        other[[2, 5]] = rng.integers(4, 96, 2)
        right = (10, 11) if number else (10,)
        pairs.append(
            CircuitPair(str(number), tuple(one.tolist()), tuple(other.tolist()), right, (20, 30))
        )
    return pairs


@pytest.mark.parametrize("name", FAMILIES)
def test_all_edges_are_the_original_and_none_the_counterfactual(name):
    engine, wiring = wired(name)
    pairs, empty = some_pairs(), np.zeros(len(wiring.graph), dtype=bool)
    batch = PairBatch(wiring, pairs)
    corrupted = batch.sent(batch.corrupted)
    clean, other = batch.plain(batch.clean), batch.plain(batch.corrupted)
    assert abs(clean - other).max() > 0.05
    for everywhere in (False, True):
        every = batch.mixed(~empty, corrupted, everywhere=everywhere)
        none = batch.mixed(empty, corrupted, everywhere=everywhere)
        np.testing.assert_array_equal(every, clean)
        np.testing.assert_allclose(none, other, atol=CLOSE)
        assert faithfulness(none, none, every) == 0
        assert faithfulness(every, none, every) == 1
    assert hooks_of(wiring.lm) == 0
    runs = [corrupted_run(wiring.graph, pairs[0], ())]
    assert measured_runs(engine, runs, pairs[:1])[0] == pytest.approx(clean[0], abs=CLOSE)


@pytest.mark.parametrize("name", FAMILIES)
def test_circuits_in_one_forward_are_edits_edge_by_edge(name):
    engine, wiring = wired(name)
    graph, pairs = wiring.graph, some_pairs(1)
    batch, rng = PairBatch(wiring, pairs), np.random.default_rng(2)
    corrupted = batch.sent(batch.corrupted)
    for share in (0.1, 0.5, 0.9):
        mask = rng.random(len(graph)) < share
        found = batch.mixed(mask, corrupted)
        runs = [outside_run(graph, pair, mask) for pair in pairs]
        np.testing.assert_allclose(found, measured_runs(engine, runs, pairs), atol=CLOSE)
        np.testing.assert_allclose(batch.mixed(mask, corrupted, everywhere=True), found, atol=CLOSE)
        np.testing.assert_array_equal(batch.mixed(connected(graph, mask), corrupted), found)


@pytest.mark.parametrize("name", FAMILIES)
def test_gradients_are_those_of_inputs_of_their_own(name):
    """Every receiver is given a copy of its input, and autograd does the rest."""
    _, wiring = wired(name)
    batch = PairBatch(wiring, some_pairs(3))
    leaves: dict[int, torch.Tensor] = {}

    def leaf(numbers, given):
        leaves[numbers[0]] = torch.zeros_like(given).requires_grad_()
        given += leaves[numbers[0]]

    with receiving(wiring, leaf, np.ones(len(wiring.graph.receivers), dtype=bool)):
        logits = logits_after(wiring.lm, batch.clean, batch.head, gradients=True)
    expected = torch.autograd.grad(batch.measured(logits).sum(), list(leaves.values()))
    embedded = batch.sent(batch.clean)[0]
    found = dict(gradients(batch, embedded))
    assert found.keys() == leaves.keys()
    for number, gradient in zip(leaves, expected, strict=True):
        scale = gradient.abs().max()
        torch.testing.assert_close(
            found[number], gradient, atol=float(2e-5 * scale) + 1e-7, rtol=1e-3
        )
    assert sum(float(each.abs().max()) > 0 for each in expected) > len(expected) / 2
    assert hooks_of(wiring.lm) == 0


@pytest.mark.parametrize("name", ["llama", "gpt2", "gptj"])
def test_scores_are_slopes(name):
    """Half as much of an edge does half as much, where it is little: finite differences."""
    _, wiring = wired(name)
    graph, (pair, *_) = wiring.graph, some_pairs(4)
    near = CircuitPair("near", pair.clean, pair.corrupted, pair.right, pair.wrong)
    (scores,) = edge_scores(wiring, [near], 1)
    batch = PairBatch(wiring, [near])
    clean, corrupted = batch.sent(batch.clean), batch.sent(batch.corrupted)
    rng, size = np.random.default_rng(5), 1e-2
    for number in rng.choice(np.flatnonzero(abs(scores) > 0.02), 12, replace=False):
        edge = graph.edge(int(number))
        mask = ~graph.mask([edge])
        ends = [
            batch.mixed(mask, clean + sign * size * (corrupted - clean), everywhere=True)[0]
            for sign in (1, -1)
        ]
        slope = (ends[1] - ends[0]) / (2 * size)
        assert slope == pytest.approx(scores[number], rel=0.05, abs=2e-3)


@pytest.mark.parametrize("name", ["llama", "gpt_neox"])
def test_an_edge_whose_sender_does_not_differ_scores_nothing(name):
    engine, wiring = wired(name)
    graph = wiring.graph
    (one, *_) = some_pairs()
    pair = CircuitPair("same", one.clean, one.clean, one.right, one.wrong)
    assert not edge_scores(wiring, [pair], 3).any()
    same_start = CircuitPair("late", one.clean, (*one.clean[:-1], 50), one.right, one.wrong)
    (scores,) = edge_scores(wiring, [same_start], 1)
    assert scores.any()
    edges = [Edge(INPUT, "a0.h0.q"), Edge("a0.h0", "a0.h0.q")]
    assert exact_effects(engine, graph, [pair], edges[:1])[0, 0] == 0
    with pytest.raises(CfgenError, match="no-such-edge"):
        graph.mask(edges)


def test_pairs_of_other_lengths_do_not_see_each_other():
    """A pair's scores are the same alone and among longer ones."""
    _, wiring = wired("llama")
    pairs = some_pairs()
    together = edge_scores(wiring, pairs, 2)
    for row, pair in zip(together, pairs, strict=True):
        (alone,) = edge_scores(wiring, [pair], 2)
        np.testing.assert_allclose(row, alone, atol=1e-4 * abs(alone).max())


def test_what_goes_through_the_lm_together_makes_no_difference():
    _, wiring = wired("gpt2")
    pairs = some_pairs() * 3
    small = wire(choose_engine(lm_of("gpt2"), "reference", batch_size=2))
    assert [len(part) for part in small.portions(pairs)] == [2, 2, 2, 2, 1]
    assert [len(part) for part in wiring.portions(pairs)] == [9]
    few = replace(wiring, tokens=25)
    assert [len(part) for part in few.portions(pairs)] == [2, 2, 2, 2, 1]
    np.testing.assert_allclose(
        edge_scores(small, pairs, 1), edge_scores(wiring, pairs, 1), atol=1e-5
    )


@pytest.mark.parametrize("name", ["gemma2", "olmo2", "opt-post-norm"])
def test_heads_behind_a_norm_have_no_edges(name):
    with pytest.raises(CfgenError, match="no-such-component"):
        wire(choose_engine(lm_of(name), "reference"))


def test_a_mixture_of_experts_has_edges():
    engine = choose_engine(lm_of("mixtral"), "reference")
    wiring = wire(engine)
    batch = PairBatch(wiring, some_pairs())
    none = np.zeros(len(wiring.graph), dtype=bool)
    found = batch.mixed(none, batch.sent(batch.corrupted), everywhere=True)
    np.testing.assert_allclose(found, batch.plain(batch.corrupted), atol=CLOSE)


def test_the_graph_is_that_of_the_lm():
    for name, parallel in (("llama", False), ("gptj", True), ("gpt_neox", True)):
        layout, graph = find_layout(lm_of(name).model), wired(name)[1].graph
        assert (graph.layers, graph.heads) == (layout.layers, layout.heads)
        assert graph.parallel == parallel
