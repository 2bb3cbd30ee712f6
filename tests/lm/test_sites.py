from __future__ import annotations

import pytest
import torch
from torch import nn

from cfgen.errors import CfgenError
from cfgen.lm.sites import (
    check_component,
    check_layers,
    decoder_blocks,
    read_residual,
    replace_residual,
)


def tiny(family, **shape):
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(family, vocab_size=16, **shape)
    return AutoModelForCausalLM.from_config(config)


LLAMA_LIKE = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "pad_token_id": 0,
}
FAMILIES = {
    "llama": LLAMA_LIKE,
    "mistral": LLAMA_LIKE,
    "qwen2": LLAMA_LIKE,
    "gemma2": {**LLAMA_LIKE, "head_dim": 8},
    "gpt2": {"n_embd": 16, "n_layer": 3, "n_head": 2},
    "gpt_neox": {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
    },
    "opt": {
        "hidden_size": 16,
        "ffn_dim": 16,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "word_embed_proj_dim": 16,
    },
}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_last_blocks_output_is_what_the_head_reads(family):
    """After the last block there is nothing but the final norm and the head."""
    model = tiny(family, **FAMILIES[family]).eval()
    blocks = decoder_blocks(model)
    assert len(blocks) == 3
    seen = []
    hook = blocks[-1].register_forward_hook(lambda m, a, o: seen.append(read_residual(o)))
    ids = torch.tensor([[1, 2, 3]])
    output = model(ids, output_hidden_states=True)
    hook.remove()
    (residual,) = seen
    norms = [m for n, m in model.named_modules() if n.split(".")[-1] in NORMS and "layers" not in n]
    norm = norms[-1]
    torch.testing.assert_close(norm(residual), output.hidden_states[-1])


NORMS = {"norm", "ln_f", "final_layer_norm"}


def test_an_unknown_architecture_lists_what_is_supported():
    with pytest.raises(CfgenError) as caught:
        decoder_blocks(nn.Linear(2, 2))
    (problem,) = caught.value.problems
    assert problem.code == "unsupported-architecture"
    for path in ("model.layers", "transformer.h", "gpt_neox.layers", "model.decoder.layers"):
        assert path in problem.message


def test_an_encoder_decoder_is_refused_even_if_the_path_fits():
    from transformers import BartConfig, BartForConditionalGeneration

    sizes = {
        f"{part}_{what}": 1
        for part in ("encoder", "decoder")
        for what in ("layers", "attention_heads")
    }
    config = BartConfig(vocab_size=16, d_model=8, encoder_ffn_dim=8, decoder_ffn_dim=8, **sizes)
    model = BartForConditionalGeneration(config)
    assert isinstance(model.model.decoder.layers, nn.ModuleList)
    with pytest.raises(CfgenError, match="unsupported-architecture"):
        decoder_blocks(model)


def test_layers_are_sorted_and_checked(tiny_lm):
    assert check_layers(tiny_lm.model, None) == (0, 1, 2, 3)
    assert check_layers(tiny_lm.model, [3, 1, 1]) == (1, 3)
    for wrong in ([4], [-1], []):
        with pytest.raises(CfgenError, match=r"layers 0 to 3"):
            check_layers(tiny_lm.model, wrong)


def test_an_unknown_component_is_an_error():
    check_component("resid_post")
    with pytest.raises(CfgenError, match=r"did you mean 'resid_post'"):
        check_component("resid_pst")


def test_a_block_may_return_a_tensor_or_a_tuple():
    old, new = torch.zeros(1, 2, 3), torch.ones(1, 2, 3)
    assert read_residual(old) is read_residual((old, "cache")) is old
    assert replace_residual(old, new) is new
    assert replace_residual((old, "cache"), new) == (new, "cache")
