"""Hand-made prompts and pairs, and tiny LMs of some families."""

from __future__ import annotations

import dataclasses

import pytest

from tests.stories import Make, with_answers


@pytest.fixture(scope="session")
def make():
    return Make


SHAPES = {
    "llama": None,
    "gpt2": None,
    "gpt_neox": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4},
    "opt": {
        "hidden_size": 32,
        "ffn_dim": 64,
        "num_hidden_layers": 4,
        "word_embed_proj_dim": 32,
        "init_std": 0.3,
    },
}


@pytest.fixture(scope="session", params=list(SHAPES))
def family_lm(request, build_tiny_lm):
    """A tiny LM of each supported family, with outputs that differ from prompt to prompt."""
    return build_family(request.param, build_tiny_lm)


def build_family(family, build_tiny_lm):
    shape = SHAPES[family]
    if shape is None:
        return build_tiny_lm(family=family)
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    lm = build_tiny_lm()
    config = AutoConfig.for_model(
        family,
        vocab_size=len(lm.tokenizer),
        num_attention_heads=4,
        max_position_embeddings=512,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=3,
        **{"initializer_range": 0.3, **shape},
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.eval().requires_grad_(False)
    return dataclasses.replace(lm, model=model)


@pytest.fixture(scope="session")
def answer():
    return with_answers
