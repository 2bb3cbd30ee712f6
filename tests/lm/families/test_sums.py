"""The equations of every architecture, and models that only look like one."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from transformers import BitNetConfig, BitNetForCausalLM

from cfgen.errors import CfgenError
from cfgen.lm import FAMILIES, Place, check_sums, find_layout, hook
from tests.families import ALL
from tests.lm.families.by_hand import LAYERS, PARALLEL, block_of, model_of, text

FAMILIES_OF = {
    name: [family for family in FAMILIES if family.name == name] for name in ("llama", "gpt_neox")
}


def read(model, layer):
    """The components of a layer, by name."""
    layout, seen = find_layout(model), {}
    names = ("resid_pre", "attn_out", "resid_mid", "mlp_out", "resid_post")
    handles = [
        hook(layout, Place(name, layer), lambda t, n=name: seen.update({n: t.clone()}), write=False)
        for name in names
        if name in layout.components
    ]
    with torch.inference_mode():
        model(text(), use_cache=False)
    for handle in handles:
        handle.remove()
    return seen


@pytest.mark.parametrize("name", ALL)
def test_the_residual_stream_is_the_sum_of_its_parts(name):
    model = model_of(name)
    factor = 0.6 if name == "granite" else 1
    for layer in range(LAYERS):
        now = read(model, layer)
        attn, mlp = factor * now["attn_out"], factor * now["mlp_out"]
        if name in PARALLEL:
            torch.testing.assert_close(now["resid_post"], now["resid_pre"] + attn + mlp)
            continue
        mid, post = now["resid_pre"] + attn, now["resid_mid"] + mlp
        if name == "opt-post-norm":
            block = block_of(model, name, layer)
            mid, post = block.self_attn_layer_norm(mid), block.final_layer_norm(post)
        torch.testing.assert_close(now["resid_mid"], mid)
        torch.testing.assert_close(now["resid_post"], post)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_every_architecture_adds_up_in_every_dtype(name, dtype):
    model = model_of(name)
    if dtype != torch.float32:
        model = copy.deepcopy(model).to(dtype)
    check_sums(find_layout(model))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def complaints(layout):
    """What is said of a model that does not add up; it is left without hooks."""
    with pytest.raises(CfgenError) as caught:
        check_sums(layout)
    assert {problem.code for problem in caught.value.problems} == {"sites-dont-add-up"}
    return [problem.message for problem in caught.value.problems]


def test_a_block_that_does_more_is_found_with_its_layers():
    model = copy.deepcopy(model_of("llama"))
    for layer in (1, 3):
        model.model.layers[layer].register_forward_hook(lambda module, given, output: output * 1.01)
    (message,) = complaints(find_layout(model))
    assert "LlamaForCausalLM has the modules of llama" in message
    assert "resid_post = resid_mid + mlp_out (layers 1, 3)" in message


def test_a_residual_multiplier_that_is_not_known_of_is_found():
    model = model_of("granite")
    (llama,) = FAMILIES_OF["llama"]
    layout = find_layout(model, [replace(llama, lacks=())])
    messages = complaints(layout)
    assert [message.partition(" (layers")[0].partition("not: ")[2] for message in messages] == [
        "resid_mid = resid_pre + attn_out",
        "resid_post = resid_mid + mlp_out",
    ]


def test_parallel_blocks_taken_for_others_are_found():
    model = model_of("gpt_neox")
    _, sequential = FAMILIES_OF["gpt_neox"]
    has = (*sequential.has, "use_parallel_residual")
    layout = find_layout(model, [replace(sequential, has=has, lacks=())])
    assert len(complaints(layout)) == 2
    assert find_layout(model).family.mid == ""


def test_a_middle_that_the_residual_stream_does_not_share_is_found():
    """Sums hold there as long as nothing is written."""
    model = copy.deepcopy(model_of("qwen2"))
    norm = model.model.layers[2].post_attention_layernorm
    norm.register_forward_pre_hook(lambda module, given: (given[0].clone(),))
    (message,) = complaints(find_layout(model))
    assert "resid_post = resid_mid + mlp_out (layer 2)" in message


def test_a_block_that_runs_twice_is_found():
    model = copy.deepcopy(model_of("llama"))
    model.model.layers[3] = model.model.layers[2]
    messages = complaints(find_layout(model))
    assert any("mlp_out computed once per forward (layers 2, 3)" in message for message in messages)


def test_attention_with_more_than_weights_and_values_is_found():
    """BitNet has a norm in front of the output projection, so heads are not what they seem."""
    sizes = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    config = BitNetConfig(vocab_size=96, hidden_size=32, intermediate_size=48, **sizes)
    (message,) = complaints(find_layout(BitNetForCausalLM(config).eval()))
    assert "has the modules of llama, but not: head_out = attn_pattern @ v" in message


def test_a_norm_that_the_attention_does_not_read_is_found():
    (llama,) = FAMILIES_OF["llama"]
    layout = find_layout(model_of("llama"), [replace(llama, norm="", has=("input_layernorm",))])
    assert any("q_in = resid_pre (layers 0, 1, 2, 3)" in message for message in complaints(layout))


def test_a_norm_that_counts_the_heads_that_share_keys_is_found():
    model = model_of("cohere")
    layout = find_layout(model, [replace(find_layout(model).family, key_norm=None)])
    (message,) = complaints(layout)
    assert "heads can be given inputs of their own" in message
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    check_sums(find_layout(model))
