"""Which architecture a model is of, and what places it has."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from cfgen.errors import CfgenError
from cfgen.lm import (
    COMPONENTS,
    FAMILIES,
    Place,
    check_places,
    check_sums,
    find_layout,
    load_lm,
)
from tests.families import ALL, EXPERTS, TINY
from tests.lm.families.by_hand import HEADWISE, LAYERS, block_of, family_of, model_of

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 96,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def untrained(kind, **sizes):
    config = AutoConfig.for_model(kind, **{**SIZES, **sizes})
    return AutoModelForCausalLM.from_config(config).eval()


@pytest.mark.parametrize("name", ALL)
def test_every_architecture_is_found_by_its_modules(name):
    layout = find_layout(model_of(name))
    assert layout.family.name == family_of(name)
    assert [*layout.blocks] == [block_of(layout.model, name, layer) for layer in range(LAYERS)]
    assert layout.factor == (0.6 if name == "granite" else 1)


def test_there_is_a_tiny_model_of_every_family():
    assert {*TINY, *EXPERTS} == {family.name for family in FAMILIES}
    assert len(TINY) == 18
    variants = [find_layout(model_of(name)).family for name in (*ALL, *EXPERTS)]
    assert set(variants) == set(FAMILIES)


@pytest.mark.parametrize("name", ALL)
def test_the_kind_that_the_configuration_names_does_not_matter(name):
    """Modules decide: a family with the same ones may be found, and is right."""
    model = copy.deepcopy(model_of(name))
    for module in model.modules():
        if hasattr(module, "config"):
            module.config.model_type = "unheard_of"
    layout = find_layout(model)
    known = find_layout(model_of(name))
    fields = ("attn_out", "mlp_out", "mid", "out_proj", "q", "down_proj", "fused", "norms")
    assert [getattr(layout.family, field) for field in fields] == [
        getattr(known.family, field) for field in fields
    ]
    assert (layout.kv_heads, layout.factor) == (known.kv_heads, known.factor)
    check_sums(layout)


@pytest.mark.parametrize(
    ("kind", "family"),
    [
        ("gemma", "llama"),
        ("olmo", "llama"),
        ("nemotron", "llama"),
        ("cohere2", "cohere"),
        ("exaone4", "olmo2"),
        ("gpt_bigcode", "gpt2"),
    ],
)
def test_an_architecture_of_known_parts_works_without_a_file_of_its_own(kind, family):
    sizes = {} if kind == "gpt_bigcode" else {"num_key_value_heads": 2, "head_dim": 8}
    layout = find_layout(untrained(kind, **sizes))
    assert layout.family.name == family
    check_sums(layout)


def refused(model):
    with pytest.raises(CfgenError) as caught:
        find_layout(model)
    (problem,) = caught.value.problems
    assert problem.code == "unsupported-architecture"
    return problem


def test_an_unknown_architecture_lists_what_is_supported_and_says_how_to_add_it():
    problem = refused(nn.Linear(2, 2))
    assert problem.message.startswith("the modules of Linear are not those")
    for name in TINY:
        assert f" {name}," in f"{problem.message},".replace("(", "( ").replace(")", ",")
    assert "docs/adapters.md" in problem.hint


@pytest.mark.parametrize("kind", ["bloom", "deepseek_v3", "mamba", "falcon"])
def test_architectures_of_other_parts_are_refused(kind):
    refused(untrained(kind))


def test_a_part_with_weights_that_no_field_names_is_refused():
    model = copy.deepcopy(model_of("llama"))
    model.model.layers[2].extra = nn.Dropout()
    find_layout(model)
    model.model.layers[2].extra = nn.Linear(2, 2)
    refused(model)


def test_layers_of_different_sizes_are_refused():
    model = copy.deepcopy(model_of("llama"))
    model.model.layers[2].mlp.down_proj = nn.Linear(20, 32)
    refused(model)


def test_an_encoder_decoder_is_refused_even_if_its_modules_fit():
    model = copy.deepcopy(model_of("llama"))
    model.config.is_encoder_decoder = True
    refused(model)


def test_gpt2_with_cross_attention_is_refused():
    refused(untrained("gpt2", add_cross_attention=True))


def test_all_that_is_wrong_with_places_is_said_at_once():
    layout = find_layout(model_of("cohere"))
    wrong = [
        Place("resid_pst", 1),
        Place("resid_mid", 0),
        Place("pos_embed"),
        Place("resid_post", 4),
        Place("embed", 1),
        Place("q", 1, 4),
        Place("k", -1, 2),
        Place("mlp_out", 1, 0),
        Place("mlp_neuron", 0, None, (47, 48, 99)),
        Place("head_out", 0, None, (1,)),
    ]
    with pytest.raises(CfgenError) as caught:
        check_places(layout, [*wrong, wrong[0], Place("q", 3, 3)])
    assert [(problem.code, problem.message, problem.hint) for problem in caught.value.problems] == [
        ("unknown-component", "no component 'resid_pst'", "did you mean 'resid_post'?"),
        (
            "no-such-component",
            "cohere has no resid_mid: its attention and MLP run side by side, with nothing in "
            "between",
            "choose another component",
        ),
        (
            "no-such-component",
            "cohere has no pos_embed: it has no learned position embedding",
            "choose another component",
        ),
        ("no-such-layer", "resid_post has no layer 4", "there are layers 0 to 3"),
        ("no-such-layer", "embed has no layer 1", "its layer is 0"),
        ("no-such-head", "q has no head 4", "there are heads 0 to 3"),
        ("no-such-layer", "k has no layer -1", "there are layers 0 to 3"),
        ("no-such-head", "k has no head 2", "there are heads 0 to 1"),
        ("no-such-head", "mlp_out has no head 0", "mlp_out has no heads"),
        ("no-such-neuron", "mlp_neuron has no neurons 48, 99", "there are neurons 0 to 47"),
        ("no-such-neuron", "head_out has no neuron 1", "head_out has no neurons"),
    ]


@pytest.mark.parametrize("name", ALL)
def test_what_there_is_is_accepted(name):
    layout = find_layout(model_of(name))
    heads = [
        Place(component, layout.layers - 1, layout.heads_of(component) - 1)
        for component in HEADWISE
    ]
    whole = [Place(component) for component in layout.components]
    some = [*whole, *heads, Place("mlp_neuron", 0, None, (layout.neurons - 1,))]
    check_places(layout, some, write=False)
    check_places(layout, [place for place in some if not place.row.read_only])
    for component in set(COMPONENTS) - set(layout.components):
        with pytest.raises(CfgenError, match="no-such-component"):
            check_places(layout, [Place(component)])


def test_a_place_says_what_it_is():
    assert str(Place("head_out", 3, 2)) == "head_out, layer 3, head 2"
    assert str(Place("embed")) == "embed"
    assert str(Place("mlp_neuron", 0, None, (1, 5))) == "mlp_neuron, layer 0, neurons 1, 5"


def test_what_enters_a_block_is_what_leaves_the_one_before():
    assert Place("resid_pre", 2).canonical == Place("resid_post", 1)
    same = [Place("resid_pre", 0), Place("resid_post", 2), Place("q_in", 2, 1), Place("embed")]
    assert [place.canonical for place in same] == same


@pytest.mark.parametrize(
    ("name", "component", "why"),
    [
        ("olmo2", "q_in", "a norm of its queries reaches over all heads"),
        ("olmo3", "k_in", "its attention can't give the heads of a group different keys"),
        ("gemma2", "head_result", "a norm follows its attention"),
        ("opt-post-norm", "head_result", "a norm follows its attention"),
    ],
)
def test_what_heads_do_not_have_alone_is_refused(name, component, why):
    with pytest.raises(CfgenError, match=why) as caught:
        check_places(find_layout(model_of(name)), [Place(component, 1)], write=False)
    assert [problem.code for problem in caught.value.problems] == ["no-such-component"]


def test_an_attention_that_does_not_say_how_it_counts_keys_has_no_inputs_of_single_heads():
    layout = find_layout(untrained("gpt_bigcode"))  # one key-value head, in one projection
    assert layout.grouped
    assert "q_in" in layout.components
    assert not {"k_in", "v_in"} & {*layout.components}


def test_the_builder_gives_an_lm_with_a_tokenizer(build_family_lm):
    lm = build_family_lm("gemma2", sliding_window=4)
    ids = lm.tokenizer("Ann puts tea into the mug.", return_tensors="pt").input_ids
    with torch.inference_mode():
        logits = lm.model(ids).logits
    assert logits.shape == (1, 7, len(lm.tokenizer))
    assert lm.model.config.sliding_window == 4


@pytest.mark.parametrize(
    ("name", "kernel"), [("gptj", "eager"), ("gemma2", "eager"), ("llama", "sdpa")]
)
def test_architectures_load_with_the_fastest_kernel_that_they_have(
    tmp_path, build_family_lm, name, kernel
):
    lm = build_family_lm(name)
    lm.model.save_pretrained(tmp_path)
    lm.tokenizer.save_pretrained(tmp_path)
    loaded = load_lm(str(tmp_path), device="cpu")
    assert loaded.model.config._attn_implementation == kernel
    check_sums(find_layout(loaded.model))
