"""What is true of an LM as it runs, whatever its configuration says."""

from __future__ import annotations

import copy
from dataclasses import replace
from random import Random

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from cfgen.errors import CfgenError
from cfgen.interventions import Constant, Edit, Run, choose_engine
from cfgen.lm import (
    FAMILIES,
    Place,
    check_sums,
    device_of,
    find_facts,
    find_layout,
    input_device,
    packing_obstacle,
    wrap_lm,
)
from tests.conftest import TINY_WORDS, tiny_tokenizer
from tests.families import ALL, EXPERTS, MIXED, SMALL, tiny_model
from tests.interventions.tiny import engine_of, lm_of, outcomes, swap, text
from tests.lm.families.by_hand import SLIDING, WINDOW, attention_of, block_of, family_of


def facts_of(model, families=FAMILIES):
    return find_facts(find_layout(model, families))


def reach_of(model, name, layer, columns=14):
    """How many tokens before the last one its attention depends on, by changing one after another.

    Blocks are run alone as far as that goes: what enters the layer is what is changed.
    """
    attention = attention_of(block_of(model, name, layer), name)
    outputs = []

    def run(changed):
        def disturb(_module, given, named):
            hidden = named["hidden_states"] if "hidden_states" in named else given[0]
            hidden = hidden.clone()
            if changed is not None:
                hidden[:, changed] += 1.0
            if "hidden_states" in named:
                return given, {**named, "hidden_states": hidden}
            return (hidden, *given[1:]), named

        def keep(_module, _given, output):
            outputs.append(output[0][0, -1].clone())

        hooks = [
            attention.register_forward_pre_hook(disturb, with_kwargs=True),
            attention.register_forward_hook(keep),
        ]
        model(torch.arange(4, 4 + columns)[None], use_cache=False)
        for hook in hooks:
            hook.remove()
        return outputs.pop()

    plain = run(None)
    return sum(not torch.equal(run(column), plain) for column in range(columns))


@pytest.mark.parametrize("name", [*ALL, *EXPERTS])
def test_windows_are_how_far_attention_depends_on_what_is_before(name):
    model = tiny_model(name)
    facts = facts_of(model)
    assert facts.odd == ()
    sliding = {**SLIDING, "mixtral": (0, 1, 2, 3), "gpt_oss": (0, 2)}.get(family_of(name), ())
    assert facts.windows == tuple(WINDOW if n in sliding else None for n in range(4))
    for layer in (0, 1):
        assert reach_of(model, name, layer) == (facts.windows[layer] or 14)


@pytest.mark.parametrize(
    ("name", "config", "expected"),
    [
        ("mistral", {"sliding_window": 4096}, (4096,) * 4),
        ("mistral", {"sliding_window": 2}, (2,) * 4),
        ("mistral", {"sliding_window": None}, (None,) * 4),
        ("llama", {"sliding_window": 4}, (None,) * 4),
        ("llama", {"sliding_window": 4, "layer_types": MIXED}, (None,) * 4),
        ("gemma3", {"layer_types": MIXED[::-1]}, (None, 8, None, 8)),
        ("qwen3", {"sliding_window": 4096, "use_sliding_window": False}, (None,) * 4),
    ],
)
@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
def test_a_window_counts_if_the_masks_have_it(name, config, expected, kernel):
    model = tiny_model(name, **config, attn_implementation=kernel)
    before = [copy.deepcopy(module.config.to_dict()) for module in configured(model)]
    facts = facts_of(model)
    assert (facts.windows, facts.odd, facts.kernel) == (expected, (), kernel)
    assert before == [module.config.to_dict() for module in configured(model)]
    assert not any(module._forward_pre_hooks for module in model.modules())


def configured(model):
    return [module for module in model.modules() if hasattr(module, "config")]


def test_a_stray_window_makes_no_difference_to_what_is_packed():
    rng = Random(0)
    lm = replace(lm_of("llama"), model=tiny_model("llama", sliding_window=3))
    a, b = Run(text(rng, 12)), Run(text(rng, 12))
    runs = [swap(Place("resid_post", layer), a, [4], b) for layer in range(4)]
    assert engine_of(lm, "packed").outcomes(runs, verified=4).work.verified == 4


def wrapped_gemma3():
    """A language model inside one that sees pictures; its sizes are one level down."""
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    sizes = {**SMALL, "head_dim": 12, "query_pre_attn_scalar": 12, "sliding_window": 8}
    entries = {**sizes, "layer_types": MIXED, "vocab_size": 96, "pad_token_id": 0}
    seen = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    seen |= {"num_attention_heads": 2, "image_size": 28, "patch_size": 14}
    config = Gemma3Config(
        text_config=entries, vision_config=seen, mm_tokens_per_image=4, image_token_index=95
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Gemma3ForConditionalGeneration(config).eval().requires_grad_(False)


def test_a_wrapper_has_the_facts_of_the_part_that_runs():
    family = replace(
        next(family for family in FAMILIES if family.name == "gemma3"),
        blocks="model.language_model.layers",
        embed="model.language_model.embed_tokens",
    )
    layout = find_layout(wrapped_gemma3(), [family])
    assert (layout.heads, layout.kv_heads, layout.head_width) == (4, 2, 12)
    facts = find_facts(layout)
    assert facts.windows == (8, None, 8, None)
    assert (facts.positions, facts.vocabulary, facts.odd) == (512, 96, ())
    check_sums(layout)


@pytest.mark.parametrize(
    ("name", "config", "positions"),
    [
        ("llama", {}, 512),
        ("gpt2", {}, 512),
        ("opt", {}, 512),
        ("llama", {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}}, 1024),
    ],
)
def test_how_long_a_prompt_may_be(name, config, positions):
    if config:
        config["rope_parameters"]["rope_theta"] = 1e4
    assert facts_of(tiny_model(name, **config)).positions == positions


def test_rotations_are_those_of_the_rotary_modules():
    scaled = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
    found = facts_of(tiny_model("llama", rope_parameters=scaled)).rotations
    assert [(one.kind, one.limit) for one in found] == [("dynamic", 512)]
    stray = tiny_model("gpt2")
    stray.config.rope_parameters = scaled
    assert facts_of(stray).rotations == ()
    assert {one.kind for one in facts_of(tiny_model("gemma3")).rotations} == {"default"}


# Mixtures of experts, and sinks


@pytest.mark.parametrize("name", EXPERTS)
def test_mixtures_of_experts_run_on_the_reference(name):
    lm = lm_of(name)
    layout = find_layout(lm.model)
    facts = find_facts(layout)
    assert facts.experts == (0, 1, 2, 3)
    assert facts.sinks == ((0, 1, 2, 3) if name == "gpt_oss" else ())
    assert "mlp_neuron" not in layout.components
    check_sums(layout)
    assert choose_engine(lm).name == "reference"
    with pytest.raises(CfgenError, match=r"every layer is a mixture of experts.*cannot-pack"):
        choose_engine(lm, "packed")
    with pytest.raises(CfgenError, match=r"mixture of experts.*no-such-component"):
        outcomes(
            lm, [swap(Place("mlp_neuron", 1), Run((5, 6)), [1], Run((5, 6)), [0])], "reference"
        )


@pytest.mark.parametrize("name", EXPERTS)
@pytest.mark.parametrize("component", ["mlp_out", "resid_mid", "head_out", "attn_pattern"])
def test_what_is_written_in_a_mixture_of_experts_is_what_the_next_block_reads(name, component):
    """Written by hand: a hook on the module against the engine."""
    lm, rng = lm_of(name), Random(1)
    prompt, layer = text(rng, 9), 2
    layout = find_layout(lm.model)
    shape = layout.shape_of(Place(component, layer), len(prompt))
    given = torch.rand(1, *shape, generator=torch.Generator().manual_seed(3))
    edit = Edit(Place(component, layer), (5,), Constant(given))
    logits = outcomes(lm, [Run(prompt, (edit,))], "reference").vocabulary
    block = lm.model.model.layers[layer]

    def put(tensor):
        tensor = tensor.clone()
        tensor[0, 5] = given[0].reshape(-1)
        return tensor

    def second(_module, _given, output):
        several = isinstance(output, tuple)
        return (put(output[0]), *output[1:]) if several else put(output)

    if component == "mlp_out":
        hook = block.mlp.register_forward_hook(second)
    elif component == "head_out":
        hook = block.self_attn.o_proj.register_forward_pre_hook(lambda _m, a: (put(a[0]),))
    elif component == "resid_mid":

        def middle(_module, args):
            args[0][0, 5] = given[0]

        hook = block.post_attention_layernorm.register_forward_pre_hook(middle)
    else:
        values = []
        seen = block.self_attn.v_proj.register_forward_hook(lambda _m, _a, o: values.append(o))

        def attended(_module, args):
            heads = values[-1].view(1, 9, layout.kv_heads, layout.head_width)
            heads = heads.repeat_interleave(layout.heads // layout.kv_heads, dim=2)
            rows = torch.einsum("hk,khw->hw", given[0], heads[0])  # (heads, head width)
            tensor = args[0].clone()
            tensor[0, 5] = rows.reshape(-1)
            return (tensor,)

        hook = block.self_attn.o_proj.register_forward_pre_hook(attended)
    expected = lm.model(torch.tensor([prompt]), use_cache=False).logits[0, -1]
    hook.remove()
    if component == "attn_pattern":
        seen.remove()
    torch.testing.assert_close(logits[0], expected, atol=1e-4, rtol=1e-4)


def test_attention_that_leaves_out_the_sinks_is_found(monkeypatch):
    from cfgen.lm import attention

    real = attention.open_attention
    monkeypatch.setattr(
        attention, "open_attention", lambda *args, **more: real(*args, **{**more, "s_aux": None})
    )
    with pytest.raises(CfgenError, match=r"attn_pattern @ v.*sites-dont-add-up"):
        check_sums(find_layout(tiny_model("gpt_oss")))


# Quantised weights


class EightBits(nn.Module):
    """A projection whose weights are whole numbers and a scale."""

    def __init__(self, plain):
        super().__init__()
        self.in_features, self.out_features = plain.in_features, plain.out_features
        scale = plain.weight.abs().amax() / 127
        self.register_buffer("weight", (plain.weight / scale).round().to(torch.int8))
        self.register_buffer("scale", scale)

    def forward(self, hidden):
        return hidden @ (self.weight * self.scale).T


def quantised_lm():
    model = tiny_model("llama")
    for block in model.model.layers:
        block.mlp.down_proj = EightBits(block.mlp.down_proj)
        block.self_attn.q_proj = EightBits(block.self_attn.q_proj)
    return replace(lm_of("llama"), model=model.eval())


def test_quantised_weights_run_on_the_reference_only():
    lm, rng = quantised_lm(), Random(0)
    facts = facts_of(lm.model)
    assert facts.quantised == "EightBits"
    assert packing_obstacle(facts) == "its weights are quantised (EightBits)"
    assert facts_of(tiny_model("llama")).quantised == ""
    lm.model.config.quantization_config = {"quant_method": "gptq"}
    assert facts_of(lm.model).quantised == "gptq"
    engine = choose_engine(lm)
    assert engine.name == "reference"
    a, b = Run(text(rng, 6)), Run(text(rng, 6))
    runs = [swap(Place("mlp_neuron", layer), a, [3], b) for layer in range(4)]
    assert engine.outcomes(runs).work.run == 4


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_plain_weights_are_not_quantised(name, dtype):
    assert facts_of(tiny_model(name).to(dtype)).quantised == ""


# Devices


def test_an_lm_whose_weights_are_elsewhere_between_forwards():
    """accelerate's offloading: outside a forward, weights are on no device at all."""
    from accelerate import cpu_offload

    rng = Random(0)
    plain, away = tiny_model("llama"), tiny_model("llama")
    tokenizer = tiny_tokenizer(TINY_WORDS.split())
    cpu_offload(away, execution_device=torch.device("cpu"))
    assert away.model.layers[0].mlp.down_proj.weight.device.type == "meta"
    assert input_device(away) == torch.device("cpu")
    facts = facts_of(away)
    assert facts.devices == (torch.device("cpu"),) * 4
    assert facts == facts_of(plain)
    a, b = Run(text(rng, 8)), Run(text(rng, 8))
    runs = [swap(Place("resid_post", layer), a, [4], b) for layer in range(4)]
    runs += [swap(Place("head_out", 1, 2), a, [4], b, [5])]
    for engine in ("reference", "packed"):
        one, two = (
            outcomes(wrap_lm(model, tokenizer, name="away", revision="seed:0"), runs, engine)
            for model in (plain, away)
        )
        torch.testing.assert_close(one.vocabulary, two.vocabulary)


def test_where_a_module_computes():
    linear = nn.Linear(2, 2)
    assert device_of(linear) == torch.device("cpu")
    assert device_of(nn.Linear(2, 2, device="meta")) == torch.device("cpu")
    for given, expected in ((1, "cuda:1"), ("cuda:0", "cuda:0"), (torch.device("cpu"), "cpu")):
        linear._hf_hook = type("Hook", (), {"execution_device": given})()
        assert device_of(linear) == torch.device(expected)
    linear._hf_hook = type("Hooks", (), {"hooks": (linear._hf_hook,)})()
    assert device_of(linear) == torch.device("cpu")


def test_unknown_kinds_of_experts_are_no_family():
    config = AutoConfig.for_model(
        "qwen2_moe",
        **{**EXPERTS["qwen2_moe"][1], "vocab_size": 96, "mlp_only_layers": [1]},
    )
    with pytest.raises(CfgenError, match="unsupported-architecture"):
        find_layout(AutoModelForCausalLM.from_config(config))
