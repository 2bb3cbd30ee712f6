"""Random graphs of runs: what is packed comes to what the reference does."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cfgen.interventions import Add, Block, Constant, Copy, Edit, Read, Run, choose_engine
from cfgen.lm import Place
from tests.interventions.graphs import FAMILIES, agree_on, make_graph
from tests.interventions.tiny import assert_equal, lm_of, logits_of
from tests.sampling import one_in

PROMPT, OTHER = (6, 7, 8, 11, 6, 9, 11, 11, 8), (6, 8, 10, 8, 11, 4, 10, 8, 9)
EVERY = tuple(range(9))


@pytest.mark.parametrize("name", one_in(2, FAMILIES))
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_graphs(name: str, data: st.DataObject) -> None:
    runs, reads = make_graph(name, lambda things: data.draw(st.sampled_from(things)), 4)
    lm = lm_of(name)
    packed = choose_engine(lm, "packed", token_budget=data.draw(st.sampled_from((8, None))))
    packed = replace(packed, fill=data.draw(st.booleans()))
    agree_on(choose_engine(lm, "reference"), packed, runs, reads)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_many_graphs(name: str) -> None:
    """The same without shrinking, many times over, in forwards of every size."""
    lm, done = lm_of(name), 0
    reference = choose_engine(lm, "reference")
    for seed in range(12):
        rng = Random(f"{name} {seed}")
        runs, reads = make_graph(name, rng.choice, 6)
        packed = choose_engine(
            lm,
            "packed",
            batch_size=rng.choice((1, 3, 16)),
            token_budget=rng.choice((8, 60, None)),
        )
        packed = replace(
            packed, fill=rng.random() < 0.8, store_bytes=rng.choice((2000, packed.store_bytes))
        )
        _, got = agree_on(reference, packed, runs, reads)
        done += got.work.run
    assert done > 50


# What random graphs have found


@pytest.mark.parametrize("name", ["llama", "mistral", "gpt_neox"])
def test_weights_that_look_at_what_comes_behind(name: str) -> None:
    """Written weights may look ahead or beyond a window: what they look at has to be computed."""
    seed = torch.Generator().manual_seed(1)
    ahead = Constant(torch.randn(1, 4, 9, generator=seed).softmax(-1))
    pattern, clean = Place("attn_pattern", 1), Run(PROMPT)
    later = Edit(Place("resid_post", 0), (7,), Copy(Run(OTHER)))
    base = clean.with_(Edit(pattern, (3,), ahead))
    runs = [
        clean.with_(Edit(pattern, (3,), ahead), later),
        clean.with_(Edit(pattern, (3,), Copy(Run(OTHER), (8,))), later),
        clean.with_(Edit(pattern, (3,), Copy(base)), later),
        base.with_(later),
    ]
    expected = logits_of(lm_of(name), runs, "reference")
    assert_equal(runs, expected, logits_of(lm_of(name), runs, "packed"))
    reads = [Read(run, (3,), Place("resid_post", 1)) for run in runs]
    engines = (choose_engine(lm_of(name), engine) for engine in ("reference", "packed"))
    for one, other in zip(*(engine.values(reads) for engine in engines), strict=True):
        assert torch.allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_the_edits_of_a_base_need_not_come_first(name: str) -> None:
    """What is copied from the base has its edit made already, and has it made once more."""
    place, seed = Place("resid_post", 1), torch.Generator().manual_seed(2)
    noise = Edit(place, (5,), Add(torch.randn(1, 32, generator=seed)))
    base = Run(PROMPT).with_(noise)
    copy = Edit(place, (5,), Copy(base))
    runs = [Run(PROMPT, edits, base) for edits in ((copy, noise), (noise, copy))]
    runs.append(base)
    expected = logits_of(lm_of(name), runs, "reference")
    assert_equal(runs, expected, logits_of(lm_of(name), runs, "packed"))
    assert_equal(["the base's own"], expected[2:], expected[1:2])
    assert float((expected[0] - expected[2]).abs().max()) > 1e-2


@pytest.mark.parametrize("name", ["gemma2", "opt-post-norm"])
@pytest.mark.parametrize("fill", [False, True])
def test_a_run_need_not_have_the_edits_of_its_base(name: str, fill: bool) -> None:
    base = Run(PROMPT).with_(Edit(Place("k", 1, 1), EVERY, Copy(Run(OTHER))))
    run = Run(PROMPT, (Edit(Place("attn_pattern", 3, 3), (1,), Block((0,))),), base)
    expected = logits_of(lm_of(name), [run], "reference")
    assert_equal([run], expected, logits_of(lm_of(name), [run], "packed", fill=fill))


@pytest.mark.parametrize("name", ["stablelm-parallel", "llama"])
def test_an_edit_that_leads_nowhere_counts_as_a_change(name: str) -> None:
    """Beside one that leads to the answer, but writes what is there."""
    nowhere = Edit(Place("mlp_neuron", 3), (0, 1, 3), Constant(torch.zeros(3, 48)))
    same = Edit(Place("resid_post", 3), (3, 8), Copy(Run(PROMPT)))
    runs = [Run(PROMPT, edits) for edits in ((same,), (same, nowhere), (nowhere,))]
    for engine in ("reference", "packed"):
        found = choose_engine(lm_of(name), engine).outcomes(runs)
        assert found.changed.tolist() == [False, True, True]
