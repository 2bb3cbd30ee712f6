"""LMs of all families from folders, in the variations that their configurations allow.

What is loaded says what transformers' own says, on both engines, and swaps of a prompt with itself
change nothing; or there is an error that names what is wrong. A wrong number there never is.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from cfgen.errors import CfgenError
from cfgen.interventions import Copy, Edit, Question, Run, agree, choose_engine
from cfgen.lm import Place, check_sums, load_lm
from tests.conftest import TINY_WORDS, tiny_tokenizer
from tests.families import ALL, EXPERTS, MIXED, tiny_model
from tests.sampling import one_in

TOKENIZER = tiny_tokenizer(TINY_WORDS.split())
PROMPTS = (
    (5, 9, 17),
    (8, 30, 31, 7, 60, 61, 12, 50, 4),
    tuple(range(20, 34)),
    tuple(range(40, 54)),
)
EVERYTHING = Question(vocabulary=True)


def rotated(**entries: Any) -> dict[str, Any]:
    return {"rope_parameters": {"rope_theta": 10000.0, **entries}}


LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
VARIATIONS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in (*ALL, *EXPERTS)),
    ("llama", {"tie_word_embeddings": True}),
    ("llama", {"attention_bias": True, "mlp_bias": True}),
    ("llama", {"num_key_value_heads": 1}),
    ("llama", {"num_key_value_heads": 4}),
    ("llama", {"sliding_window": 4}),
    ("llama", {"hidden_act": "gelu"}),
    ("llama", {"attention_dropout": 0.5, "use_cache": False}),
    ("llama", {"output_hidden_states": True}),
    ("llama", rotated(rope_type="linear", factor=4.0)),
    (
        "llama",
        rotated(rope_type="llama3", factor=8.0, original_max_position_embeddings=64, **LLAMA3),
    ),
    ("llama", rotated(rope_type="yarn", factor=4.0, original_max_position_embeddings=64)),
    ("llama", rotated(rope_type="dynamic", factor=4.0)),
    ("mistral", {"sliding_window": None}),
    ("mistral", {"sliding_window": 2}),
    ("qwen2", {"use_sliding_window": True, "sliding_window": 6, "max_window_layers": 2}),
    ("qwen2", {"use_sliding_window": False, "sliding_window": 6}),
    ("qwen3", {"use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1}),
    ("qwen3", {"attention_bias": True}),
    ("gemma2", {"final_logit_softcapping": 1.5, "attn_logit_softcapping": None}),
    ("gemma2", {"final_logit_softcapping": None}),
    ("gemma3", {"layer_types": MIXED[::-1]}),
    ("gemma3", {"tie_word_embeddings": False}),
    ("gemma3", {"use_bidirectional_attention": True}),
    ("gpt_neox", {"use_parallel_residual": False, "rotary_pct": 1.0}),
    ("gpt_neox", {"attention_bias": False}),
    ("gpt_neox", {"tie_word_embeddings": True}),
    ("gpt2", {"scale_attn_by_inverse_layer_idx": True}),
    ("gpt2", {"reorder_and_upcast_attn": True}),
    ("gpt2", {"scale_attn_weights": False}),
    ("gpt2", {"activation_function": "relu", "tie_word_embeddings": False}),
    ("gptj", {"rotary_dim": 6}),
    ("opt", {"word_embed_proj_dim": 16}),
    ("opt", {"enable_bias": False}),
    ("opt", {"layer_norm_elementwise_affine": False}),
    ("opt", {"_remove_final_layer_norm": True, "layerdrop": 1.0}),
    ("phi3", {"partial_rotary_factor": 0.5}),
    ("phi3", {"sliding_window": None}),
    ("stablelm", {"use_qkv_bias": True, "partial_rotary_factor": 0.5}),
    ("stablelm", {"qk_layernorm": True}),
    ("stablelm", {"use_parallel_residual": True, "qk_layernorm": False}),
    ("cohere", {"use_qk_norm": False}),
    ("cohere", {"logit_scale": 0.1, "attention_bias": True}),
    ("starcoder2", {"use_bias": False}),
    ("starcoder2", {"sliding_window": None}),
    ("smollm3", {"no_rope_layers": [1, 1, 0, 0]}),
    ("smollm3", {"use_sliding_window": True, "sliding_window": 5}),
    ("granite", {"residual_multiplier": 1.0}),
    ("granite", {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}),
    ("olmo2", {"num_key_value_heads": 4, "attention_bias": True}),
    ("mixtral", {"sliding_window": None, "num_experts_per_tok": 1}),
    ("gpt_oss", {"layer_types": MIXED}),
]


def saved(folder: Path, name: str, config: dict[str, Any]) -> Any:
    model = tiny_model(name, vocabulary=len(TOKENIZER), **config)
    model.save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    return model


def said_by(model: Any) -> torch.Tensor:
    """What a model of transformers says after every prompt, alone."""
    with torch.inference_mode():
        rows = [model(torch.tensor([ids]), use_cache=False).logits[0, -1] for ids in PROMPTS]
    return torch.stack(rows).float()


def assert_as_transformers(folder: Path, expected: torch.Tensor, dtype: str = "float32") -> None:
    """An LM from a folder says what is expected, and passes all checks on the way."""
    lm = load_lm(str(folder), device="cpu", dtype=dtype)
    engine = choose_engine(lm)
    check_sums(engine.layout)
    clean = [Run(ids) for ids in PROMPTS]
    places = [
        Place(n, k) for n in ("resid_post", "attn_out", "q") for k in range(engine.layout.layers)
    ]
    selves = [clean[2].with_(Edit(place, (12,), Copy(clean[2], (12,)))) for place in places]
    swaps = [clean[2].with_(Edit(place, (12,), Copy(clean[3], (12,)))) for place in places]
    for one in (engine, choose_engine(lm, "reference")):
        runs = [*clean, *selves, *swaps]
        found = one.outcomes(runs, question=EVERYTHING, verified=len(swaps)).vocabulary
        assert found is not None
        own, same, other = found.split([len(clean), len(selves), len(swaps)])
        assert agree(expected, own, lm.dtype).all()
        assert agree(own[2:3].expand_as(same), same, lm.dtype).all()
        assert not torch.equal(own[2:3].expand_as(other), other)


@pytest.mark.parametrize(("name", "config"), one_in(6, VARIATIONS), ids=str)
def test_what_is_loaded_says_what_transformers_says(tmp_path, name, config):
    model = saved(tmp_path, name, config)
    own = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    expected = said_by(own)
    assert agree(said_by(model), expected, torch.float32).all()
    assert_as_transformers(tmp_path, expected)


@pytest.mark.parametrize("name", one_in(3, ["llama", "gpt2", "gemma2"]))
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("kept", ["bfloat16", "float16", "float64"])
def test_whatever_weights_are_kept_in(tmp_path, name, dtype, kept):
    saved(tmp_path, name, {})
    change(tmp_path, weights=lambda key, value: {key: value.to(getattr(torch, kept))})
    for run_in in ("float32", dtype):
        own = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=getattr(torch, run_in)).eval()
        assert_as_transformers(tmp_path, said_by(own), run_in)


def change(folder: Path, weights: Any = None, **config: Any) -> None:
    """Change weights one by one, and entries of the configuration; ... leaves one out."""
    file = folder / "config.json"
    entries = {**json.loads(file.read_text()), **config}
    file.write_text(json.dumps({key: value for key, value in entries.items() if value is not ...}))
    if weights is not None:
        file = folder / "model.safetensors"
        state = load_file(file)
        changed = {k: v for key, value in state.items() for k, v in weights(key, value).items()}
        save_file(changed, file, metadata={"format": "pt"})


def without(part: str) -> Any:
    return lambda key, value: {} if part in key else {key: value}


def beside(name: str, more: torch.Tensor) -> Any:
    return lambda key, value: {key: value, name: more}


def of(part: str, make: Any) -> Any:
    return lambda key, value: {key: make(value).contiguous() if part in key else value}


WRONG: list[tuple[str, dict[str, Any], dict[str, Any], str, str]] = [
    ("llama", {}, {"num_hidden_layers": 2}, "lm-leftover", "model.layers.2"),
    ("llama", {}, {"num_hidden_layers": 6}, "lm-incomplete", "model.layers.4"),
    ("llama", {"attention_bias": True}, {"attention_bias": False}, "lm-leftover", "k_proj.bias"),
    ("llama", {}, {"attention_bias": True}, "lm-incomplete", "k_proj.bias"),
    (
        "llama",
        {"tie_word_embeddings": True},
        {"tie_word_embeddings": False},
        "lm-incomplete",
        "head",
    ),
    ("llama", {}, {"tie_word_embeddings": True}, "lm-leftover", "another head"),
    ("llama", {}, {"num_key_value_heads": ...}, "lm-incomplete", "[24, 32], not [48, 32]"),
    ("llama", {}, {"head_dim": ...}, "lm-incomplete", "k_proj.weight"),
    ("llama", {}, {"vocab_size": 50}, "lm-incomplete", "not [50, 32]"),
    ("llama", {}, {"model_type": "qwen3"}, "lm-incomplete", "k_norm"),
    ("qwen3", {}, {"model_type": "llama"}, "lm-leftover", "k_norm"),
    ("qwen2", {}, {"model_type": "llama"}, "lm-leftover", "k_proj.bias"),
    ("llama", {}, {"model_type": "gemma2"}, "lm-incomplete", "post_feedforward_layernorm"),
    ("olmo2", {}, {"model_type": "llama"}, "lm-incomplete", "input_layernorm"),
    ("cohere", {}, {"use_qk_norm": False}, "lm-leftover", "k_norm"),
    ("opt", {}, {"max_position_embeddings": 100}, "lm-incomplete", "embed_positions"),
    ("mixtral", {}, {"num_local_experts": 2}, "lm-incomplete", "experts"),
    ("gpt2", {"add_cross_attention": True}, {}, "unsupported-architecture", "GPT2LMHeadModel"),
    ("qwen2_moe", {"decoder_sparse_step": 2}, {}, "unsupported-architecture", "Qwen2Moe"),
    ("olmoe", {}, {"clip_qkv": 0.5}, "sites-dont-add-up", "head_out"),
    ("mistral", {}, {"sliding_window": 0}, "sites-dont-add-up", "head_out"),
    ("llama", {}, {"is_causal": False}, "sites-dont-add-up", "head_out"),
    ("llama", {}, {"hidden_act": "nonsense"}, "lm-unreadable", "KeyError: 'nonsense'"),
    ("llama", {}, {"rope_parameters": {"rope_type": "linear"}}, "lm-unreadable", "factor"),
    ("gpt2", {}, {"n_head": 3}, "lm-unreadable", "divisible"),
    ("gemma3", {}, {"sliding_window": None}, "lm-cannot-run", "sliding_window"),
    ("mixtral", {}, {"num_experts_per_tok": 9}, "lm-cannot-run", "index k out of range"),
    ("gptj", {}, {"rotary_dim": 64}, "lm-cannot-run", "size of tensor"),
    ("cohere", {}, {"logit_scale": None}, "lm-cannot-run", "NoneType"),
    ("llama", {}, {"return_dict": False}, "lm-cannot-run", "tuple"),
    ("gemma2", {}, {"final_logit_softcapping": 0.0}, "logits-not-finite", "what its modules give"),
    ("llama", {}, {"weights": without("1.mlp.up_proj")}, "lm-incomplete", "1.mlp.up_proj"),
    ("llama", {}, {"weights": beside("score.weight", torch.ones(2, 32))}, "lm-leftover", "score"),
    ("llama", {}, {"weights": of("q_proj", lambda w: w.T)}, "lm-incomplete", "q_proj.weight"),
    (
        "llama",
        {},
        {"weights": of("q_proj", lambda w: (w * 50).to(torch.int8))},
        "lm-quantised",
        "q_",
    ),
    ("gpt2", {}, {"weights": of("c_fc.weight", lambda w: w.int())}, "lm-quantised", "c_fc"),
    ("llama", {}, {"weights": of("norm", lambda w: w * float("nan"))}, "logits-not-finite", "norm"),
]


@pytest.mark.parametrize(("name", "config", "changes", "code", "part"), one_in(2, WRONG))
def test_what_is_wrong_is_named(tmp_path, name, config, changes, code, part):
    saved(tmp_path, name, config)
    change(tmp_path, **changes)
    with pytest.raises(CfgenError) as caught:
        check_sums(choose_engine(load_lm(str(tmp_path), device="cpu")).layout)
    (problem,) = caught.value.problems
    assert problem.code == code
    assert problem.hint
    assert part in f"{problem.message}\n{problem.detail}"


def test_buffers_may_be_whole_numbers(tmp_path):
    """The masks of old files are."""
    saved(tmp_path, "gpt2", {})
    mask = torch.ones(1, 1, 8, 8, dtype=torch.uint8)
    change(tmp_path, weights=beside("transformer.h.0.attn.bias", mask))
    own = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    assert_as_transformers(tmp_path, said_by(own))
