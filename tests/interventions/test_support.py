"""Which LMs the packed engine takes, and what happens with others."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from cfgen.errors import CfgenError
from cfgen.interventions import choose_engine, run_branches, why_not_packed
from cfgen.lm import Place
from tests.families import ALL, tiny_model
from tests.interventions.branching import lm_of, swap, text


def with_config(name="llama", **entries):
    """An LM whose modules read other entries of the configuration than it was made with."""
    model = tiny_model(name)
    for key, value in entries.items():
        setattr(model.config, key, value)
    return replace(lm_of(name), model=model)


def with_odd_masks(name="llama", layer=1):
    """An LM one of whose layers sees pieces of four tokens and nothing beyond (chunked)."""
    model = tiny_model(name)

    def chunked(_module, given, named):
        count = given[0].shape[1] if given else named["hidden_states"].shape[1]
        piece = torch.arange(count) // 4
        seen = torch.ones(count, count, dtype=torch.bool).tril() & (piece == piece[:, None])
        return given, {**named, "attention_mask": seen[None, None]}

    attention = model.model.layers[layer].self_attn
    attention.register_forward_pre_hook(chunked, with_kwargs=True)
    return replace(lm_of(name), model=model)


def codes(caught):
    return [problem.code for problem in caught.value.problems]


@pytest.mark.parametrize("name", ALL)
def test_every_architecture_is_packed(name):
    assert why_not_packed(lm_of(name)) == ""
    engine = choose_engine(lm_of(name))
    assert (engine.name, engine.tally.engine, engine.tally.note) == ("packed", "packed", "")


IMPOSSIBLE = {
    "kernel": (lambda: with_config(_attn_implementation="cfgen_test_kernel"), "cfgen_test_kernel"),
    "chunked": (with_odd_masks, "masks of layer 1 are neither causal nor a window"),
    "experts": (lambda: lm_of("mixtral"), "mixture of experts"),
}


@pytest.mark.parametrize("kind", IMPOSSIBLE)
def test_what_cannot_be_packed_is_run_on_the_reference(kind):
    AttentionInterface.register("cfgen_test_kernel", sdpa_attention_forward)
    made, shown = IMPOSSIBLE[kind]
    lm = made()
    assert shown in why_not_packed(lm)
    engine = choose_engine(lm, "auto")
    assert engine.name == engine.tally.engine == "reference"
    assert engine.tally.note == f"not packed: {why_not_packed(lm)}"
    with pytest.raises(CfgenError) as caught:
        choose_engine(lm, "packed")
    assert codes(caught) == ["cannot-pack"]
    assert shown in str(caught.value)
    assert "reference" in caught.value.problems[0].hint
    wanted = choose_engine(lm, "reference")
    assert (wanted.name, wanted.tally.note) == ("reference", "")


def test_a_job_says_what_it_was_run_on():
    rng = Random(0)
    prompts = [text(rng, 5), text(rng, 5)]
    branches = [swap(Place("resid_pre", 2), 0, [3], 1, [3])]
    outcome = run_branches(with_odd_masks(), prompts, branches)
    assert outcome.tally.engine == "reference"
    assert "neither causal" in outcome.tally.note
    assert outcome.verified == 0


def test_what_a_configuration_says_and_no_module_obeys_is_no_obstacle():
    kinds = ["chunked_attention", "linear_attention"] * 2
    assert why_not_packed(with_config(layer_types=kinds, sliding_window=2)) == ""


def test_an_engine_that_there_is_not():
    with pytest.raises(CfgenError) as caught:
        choose_engine(lm_of("llama"), "pakced")
    assert codes(caught) == ["unknown-engine"]
    assert "packed" in caught.value.problems[0].hint


ROTATIONS = {
    "dynamic": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4},
    "longrope": {
        "rope_type": "longrope",
        "rope_theta": 1e4,
        "factor": 2.0,
        "original_max_position_embeddings": 16,
        "short_factor": [1.0] * 4,
        "long_factor": [2.0] * 4,
    },
}


@pytest.mark.parametrize(
    ("kind", "lengths", "steps", "refused"),
    [
        ("dynamic", (10, 16), 1, False),
        ("dynamic", (10, 16), 2, True),
        ("dynamic", (20, 24), 1, True),
        ("longrope", (10, 16), 1, False),
        ("longrope", (10, 17), 1, True),
        ("longrope", (16, 16), 2, True),
        ("longrope", (20, 24), 2, False),
    ],
)
@pytest.mark.parametrize("engine", ["packed", "reference"])
def test_prompts_whose_rotations_depend_on_their_neighbours(kind, lengths, steps, refused, engine):
    rng = Random(0)
    context = {"dynamic": 16, "longrope": 64}[kind]
    lm = tiny_lm_with(rope_parameters=ROTATIONS[kind], max_position_embeddings=context)
    prompts = [text(rng, length) for length in lengths]
    branches = [swap(Place("resid_post", 1), 0, [3], 1, [3])]
    options = {"engine": engine, "answer_tokens": steps, "keep_logits": True}
    if refused:
        with pytest.raises(CfgenError) as caught:
            run_branches(lm, prompts, branches, **options)
        assert codes(caught) == ["rotations-depend-on-length"]
        return
    together = run_branches(lm, prompts, branches, batch_size=2, **options)
    alone = run_branches(lm, prompts, branches, batch_size=1, **options)
    torch.testing.assert_close(together.logits, alone.logits, atol=1e-4, rtol=1e-4)


def tiny_lm_with(**config):
    lm = lm_of("llama")
    model = tiny_model("llama", vocabulary=96, head_dim=8, **config)
    return replace(lm, model=model)
