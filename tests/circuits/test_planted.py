"""On LMs whose edges are set by hand, what is found is what was put there."""

from __future__ import annotations

import numpy as np
import pytest

from cfgen.circuits import (
    CircuitPair,
    PairBatch,
    connected,
    edge_scores,
    exact_effects,
    faithfulness,
    select,
    wire,
    without,
)
from cfgen.interventions import choose_engine
from tests.circuits.planted import (
    PLANTED,
    RELAYED,
    backup,
    induction,
    induction_pairs,
    linear,
    relay,
)

RELAY_PAIRS = [
    CircuitPair("one", (1, 2, 3), (4, 2, 3), (1,), (4,)),
    CircuitPair("two", (5, 0, 1, 2), (6, 0, 1, 2), (5,), (6,)),
]


def wired(lm):
    engine = choose_engine(lm, "reference")
    return engine, wire(engine)


def names(graph, numbers) -> set[str]:
    return {str(graph.edge(int(number))) for number in numbers}


def test_the_induction_circuit_says_what_it_should():
    _, wiring = wired(induction())
    batch = PairBatch(wiring, induction_pairs())
    assert (batch.plain(batch.clean) > 2).all()
    assert (abs(batch.plain(batch.corrupted)) < 1).all()


@pytest.mark.parametrize("steps", [0, 1, 5])
@pytest.mark.parametrize(
    ("made", "pairs", "planted"),
    [(induction, induction_pairs(), PLANTED), (relay, RELAY_PAIRS, RELAYED)],
)
def test_exactly_the_planted_edges_are_found(made, pairs, planted, steps):
    """By exact patching (0 steps), by gradients of the clean run (1), and by integrated ones."""
    engine, wiring = wired(made())
    graph = wiring.graph
    if steps:
        scores = edge_scores(wiring, pairs, steps).astype(float)
    else:
        scores = exact_effects(engine, graph, pairs, list(graph.edges()))
    for row in (*scores, scores.mean(axis=0)):
        assert names(graph, np.flatnonzero(abs(row) > 1e-4)) == planted
        assert (row[abs(row) > 1e-4] > 0).all()
    mean = scores.mean(axis=0)
    for how in ("top", "greedy"):
        mask = select(graph, mean, len(planted), how=how)
        assert names(graph, np.flatnonzero(mask)) == planted
        assert (connected(graph, mask) == mask).all()


@pytest.mark.parametrize(
    ("made", "pairs", "planted"),
    [(induction, induction_pairs(), PLANTED), (relay, RELAY_PAIRS, RELAYED)],
)
def test_the_planted_edges_are_faithful_and_fewer_are_not(made, pairs, planted):
    _, wiring = wired(made())
    graph, batch = wiring.graph, PairBatch(wiring, pairs)
    corrupted = batch.sent(batch.corrupted)
    edges = [edge for edge in graph.edges() if str(edge) in planted]
    none = batch.mixed(graph.mask([]), corrupted)
    every = batch.mixed(~graph.mask([]), corrupted)
    assert faithfulness(batch.mixed(graph.mask(edges), corrupted), none, every) == pytest.approx(1)
    assert faithfulness(batch.mixed(~graph.mask(edges), corrupted), none, every) == pytest.approx(
        0, abs=1e-5
    )
    for edge in edges:
        fewer = [one for one in edges if one != edge]
        found = batch.mixed(graph.mask(fewer), corrupted)
        assert faithfulness(found, none, every) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("seed", [0, 1])
def test_in_a_linear_network_estimates_are_exact(seed):
    engine, wiring = wired(linear(seed))
    rng = np.random.default_rng(seed)
    pairs = []
    for number in range(3):
        one, other = rng.integers(0, 8, (2, 4 + number)).tolist()
        pairs.append(CircuitPair(str(number), tuple(one), tuple(other), (1,), (2,)))
    exact = exact_effects(engine, wiring.graph, pairs, list(wiring.graph.edges()))
    assert np.abs(exact).max() > 0.1
    for steps in (1, 3):
        found = edge_scores(wiring, pairs, steps)
        np.testing.assert_allclose(found, exact, atol=2e-5 * np.abs(exact).max())


def test_effects_on_the_logits_add_up_in_a_linear_network():
    """All edges into the logits together are the whole difference between the two prompts."""
    _, wiring = wired(linear())
    graph, pair = wiring.graph, CircuitPair("one", (1, 2, 3, 4), (4, 3, 1, 2), (1,), (2,))
    batch = PairBatch(wiring, [pair])
    whole = batch.plain(batch.clean) - batch.plain(batch.corrupted)
    (scores,) = edge_scores(wiring, [pair], 1)
    into = scores[graph.starts[-2] :]
    assert into.sum() == pytest.approx(whole[0], rel=1e-4)


def gaps(made, pairs, planted, sets):
    """Faithfulness of a circuit, and of the LM, without sets of nodes."""
    _, wiring = wired(made())
    graph, batch = wiring.graph, PairBatch(wiring, pairs)
    corrupted = batch.sent(batch.corrupted)
    circuit = graph.mask([edge for edge in graph.edges() if str(edge) in planted])
    every = ~graph.mask([])
    assert circuit.sum() == len(planted)
    ends = [batch.mixed(mask, corrupted) for mask in (~every, every)]
    return [
        tuple(
            faithfulness(batch.mixed(without(graph, mask, nodes), corrupted), *ends)
            for mask in (circuit, every)
        )
        for nodes in sets
    ]


@pytest.mark.parametrize(
    ("made", "pairs", "planted", "nodes"),
    [
        (induction, induction_pairs(), PLANTED, ("a0.h0", "a1.h1")),
        (relay, RELAY_PAIRS, RELAYED, ("a0.h0", "a1.h0")),
    ],
)
def test_a_planted_circuit_is_complete(made, pairs, planted, nodes):
    sets = [(), nodes[:1], nodes[1:], nodes]
    for number, (circuit, model) in enumerate(gaps(made, pairs, planted, sets)):
        assert circuit == pytest.approx(model, abs=1e-5)
        assert circuit == pytest.approx(float(number == 0), abs=1e-5)


def test_a_circuit_without_a_backup_is_faithful_but_not_complete():
    pairs = [CircuitPair("one", (1, 2, 3), (7, 2, 3), (1,), (7,))]
    one = {"input->a0.h0.v", "a0.h0->m1", "m1->logits"}
    both = {*one, "input->a0.h1.v", "a0.h1->m1"}
    sets = [(), ("a0.h0",), ("a0.h0", "a0.h1"), ("m1",)]
    found = gaps(backup, pairs, one, sets)
    # without the one, the LM has the other
    assert np.array(found) == pytest.approx(np.array([(1, 1), (0, 1), (0, 0), (0, 0)]), abs=1e-3)
    found = gaps(backup, pairs, both, [*sets, ("a0.h1",)])
    assert [circuit for circuit, _ in found] == pytest.approx(
        [model for _, model in found], abs=1e-5
    )
