"""The graph of an LM, selection of edges, and circuits as files; no LM is needed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfgen.circuits import (
    INPUT,
    LOGITS,
    Circuit,
    CircuitGraph,
    Edge,
    connected,
    count_of,
    jaccard,
    node_of,
    nodes_of,
    read_circuit,
    select,
)
from cfgen.errors import CfgenError

GRAPHS = st.builds(CircuitGraph, st.integers(1, 4), st.integers(1, 4), st.booleans())


def by_hand(layers: int, heads: int, parallel: bool) -> list[tuple[str, str]]:
    """Every edge, from the definition."""
    edges = []
    sent = [INPUT]
    for layer in range(layers):
        own = [f"a{layer}.h{head}" for head in range(heads)]
        edges += [(s, f"{node}.{part}") for part in "qkv" for node in own for s in sent]
        edges += [(s, f"m{layer}") for s in (sent if parallel else [*sent, *own])]
        sent += [*own, f"m{layer}"]
    return edges + [(s, LOGITS) for s in sent]


@given(GRAPHS)
def test_the_edges_are_those_of_the_definition(graph):
    edges = list(graph.edges())
    assert edges == by_hand(graph.layers, graph.heads, graph.parallel)
    assert len(edges) == len(graph)
    assert graph.chosen(list(range(len(graph)))) == edges
    assert [graph.number(edge) for edge in edges] == list(range(len(graph)))
    assert {edge.node for edge in edges} | {edge.sender for edge in edges} == {*graph.nodes}


def test_the_size_of_known_graphs():
    """GPT-2 small has 32,491 edges (Hanna et al. 2024, section 4); queries, keys, values apart."""
    assert len(CircuitGraph(12, 12)) == 32491
    assert len(CircuitGraph(30, 9)) == 123211


@pytest.mark.parametrize(
    "edge",
    [("a1.h0", "a1.h0.q"), ("m1", "m1"), ("a0.h0", "a1.h0"), ("logits", "m1"), ("a0.h9", "m1")],
)
def test_edges_that_there_are_not(edge):
    with pytest.raises(CfgenError, match="no-such-edge"):
        CircuitGraph(2, 2).number(Edge(*edge))


def test_the_own_heads_of_a_parallel_block_are_no_senders_to_its_mlp():
    edges = {*map(tuple, CircuitGraph(2, 2, parallel=True).edges())}
    assert ("a1.h0", "m1") not in edges
    assert ("a0.h0", "m1") in edges
    assert ("a1.h0", "m1") in {*map(tuple, CircuitGraph(2, 2).edges())}


@given(GRAPHS, st.integers(0, 100), st.floats(0.1, 100))
def test_the_best_are_chosen(graph, seed, percent):
    scores = np.random.default_rng(seed).normal(size=len(graph))
    count = count_of(graph, percent)
    mask = select(graph, scores, count, ranking="signed")
    assert mask.sum() == count
    assert count == len(graph) or scores[mask].min() >= scores[~mask].max()
    by_size = select(graph, scores, count)
    assert count == len(graph) or abs(scores)[by_size].min() >= abs(scores)[~by_size].max()


@given(GRAPHS, st.integers(0, 100), st.integers(1, 30))
def test_greedy_takes_the_best_that_leads_on(graph, seed, count):
    """Against a search that looks through all edges in every step."""
    scores = np.random.default_rng(seed).normal(size=len(graph))
    edges, there, chosen = list(graph.edges()), {LOGITS}, []
    for _ in range(min(count, len(graph))):
        open_ = [n for n, e in enumerate(edges) if e.node in there and n not in chosen]
        best = max(open_, key=lambda n: abs(scores[n]))
        chosen.append(best)
        there.add(edges[best].sender)
    mask = select(graph, scores, count, how="greedy")
    assert {*np.flatnonzero(mask)} == {*chosen}


@given(GRAPHS, st.integers(0, 100), st.floats(0, 1))
def test_what_is_connected_lies_on_a_way(graph, seed, share):
    mask = np.random.default_rng(seed).random(len(graph)) < share
    kept = connected(graph, mask)
    assert not (kept & ~mask).any()
    ways = nx.DiGraph()
    ways.add_nodes_from([INPUT, LOGITS])
    ways.add_edges_from((e.sender, e.node) for e in graph.chosen(np.flatnonzero(mask)))
    for number, edge in enumerate(graph.edges()):
        on_way = nx.has_path(ways, INPUT, edge.sender) if edge.sender in ways else False
        on_way = on_way and edge.node in ways and nx.has_path(ways, edge.node, LOGITS)
        assert kept[number] == (mask[number] and on_way)


def test_what_two_circuits_share():
    one, other = np.array([1, 1, 0, 0], bool), np.array([1, 0, 1, 0], bool)
    assert jaccard(one, other) == pytest.approx(1 / 3)
    assert jaccard(one, one) == 1
    assert jaccard(one & False, one & False) == 1


# Files


def a_circuit(**changes) -> Circuit:
    edges = (
        Edge("m0", LOGITS),
        Edge(INPUT, "a0.h1.v"),
        Edge("a0.h1", "m0"),
        Edge(INPUT, "a1.h0.q"),
        Edge("a1.h0", LOGITS),
    )
    given = {
        "model": "tiny",
        "revision": "seed:0",
        "task": "t",
        "design": "d",
        "layers": 2,
        "heads": 2,
        "parallel": False,
        "factor": 1.0,
        "measure": "logit_difference",
        "steps": 5,
        "ranking": "absolute",
        "selection": "top",
        "percent": 1.0,
        "pairs": ("a", "b"),
        "edges": edges,
        "scores": (3.0, -2.0, 1.0, 0.5, 0.25),
    }
    return Circuit(**{**given, **changes})


def test_a_circuit_reads_back(tmp_path: Path):
    circuit = a_circuit()
    circuit.save(tmp_path / "c.json")
    circuit.save(tmp_path / "c.json")  # the same again is no change
    assert read_circuit(tmp_path / "c.json") == circuit
    assert circuit.nodes == (INPUT, "a0.h1", "m0", "a1.h0", LOGITS)
    assert nodes_of(circuit.graph.chosen(np.flatnonzero(circuit.mask())))
    assert {*map(node_of, ("a0.h1.v", "m0", LOGITS))} == {"a0.h1", "m0", LOGITS}
    with pytest.raises(CfgenError, match="file-exists"):
        a_circuit(percent=2.0).save(tmp_path / "c.json")
    assert "5 edges" in repr(circuit)


@pytest.mark.parametrize(
    "change",
    [
        {"edges": [["a1.h0", "a0.h0.q"]]},
        {"layers": 10**9},
        {"format": "other"},
        {"edges": 3},
        {"more": 1},
        {"edges": [["m0", "logits"]] * 2},
    ],
)
def test_a_file_that_cfgen_does_not_write_is_refused(tmp_path: Path, change):
    content = json.loads(a_circuit().text()) | change
    (tmp_path / "c.json").write_text(json.dumps(content))
    with pytest.raises(CfgenError, match="no-circuit"):
        read_circuit(tmp_path / "c.json")
    with pytest.raises(CfgenError, match="no-circuit"):
        read_circuit(tmp_path)


def test_a_circuit_is_not_judged_by_pairs_that_chose_it():
    a_circuit().check_unseen(["c", "d"])
    with pytest.raises(CfgenError, match="circuit-saw-pair"):
        a_circuit().check_unseen(["c", "b"])


def test_as_graphviz():
    text = a_circuit().dot()
    assert '"input" -> "a0.h1" [label="v", color="#D55E00"' in text
    assert '"m0" -> "logits" [color="#0072B2"' in text
    assert text.startswith("digraph circuit {")
    assert text.endswith("}\n")


def test_as_a_picture():
    figure = a_circuit().plot()
    drawn = {text.get_text() for text in figure.axes[0].texts}
    assert {INPUT, "a0.h1", "m0", "a1.h0", LOGITS} <= drawn
    assert a_circuit()._repr_html_().lstrip().startswith("<?xml")


def test_circuits_that_were_found_are_read_without_torch():
    code = "from cfgen.circuits import find_circuits, read_circuit_results; import sys; "
    code += "print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "transformers", "networkx", "scipy"} & {*done.stdout.split()}
