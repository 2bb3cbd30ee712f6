"""Small GGUF files: a Llama in Q4_1 and a Gemma 3 in float32, both with their tokenizers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import dequantize, quantize
from tokenizers.pre_tokenizers import ByteLevel

WIDTH, HEADS, KV_HEADS, LAYERS, INNER = 64, 4, 2, 2, 96
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = ["Ġ t", "e a", "Ġt ea", "Ġ Ġ", "c u", "cu p"]
VOCABULARY = SPECIAL + sorted(ByteLevel.alphabet()) + ["".join(merge.split()) for merge in MERGES]

# Name in the file, name in transformers, how the rows of its heads are interleaved.
TENSORS = {
    "token_embd": ("embed_tokens", 0),
    "blk.{}.attn_q": ("layers.{}.self_attn.q_proj", HEADS),
    "blk.{}.attn_k": ("layers.{}.self_attn.k_proj", KV_HEADS),
    "blk.{}.attn_v": ("layers.{}.self_attn.v_proj", 0),
    "blk.{}.attn_output": ("layers.{}.self_attn.o_proj", 0),
    "blk.{}.ffn_gate": ("layers.{}.mlp.gate_proj", 0),
    "blk.{}.ffn_up": ("layers.{}.mlp.up_proj", 0),
    "blk.{}.ffn_down": ("layers.{}.mlp.down_proj", 0),
    "blk.{}.attn_norm": ("layers.{}.input_layernorm", 0),
    "blk.{}.ffn_norm": ("layers.{}.post_attention_layernorm", 0),
    "output_norm": ("norm", 0),
}


def interleaved(rows: np.ndarray, heads: int) -> np.ndarray:
    """Order the rows of a query or key matrix as GGUF has them: the two halves of a head mixed."""
    per_head = rows.reshape(heads, 2, -1, rows.shape[1])  # (heads, halves, half, width)
    return np.ascontiguousarray(per_head.swapaxes(1, 2).reshape(rows.shape))


def write_llama(
    path: Path,
    model: torch.nn.Module,
    *,
    cut: str = "smollm",
    architecture: str = "llama",
    tokenizer: bool = True,
    without: str = "",
    also: dict[str, np.ndarray] | None = None,
    fields: dict[str, str | int] | None = None,
) -> dict[str, np.ndarray]:
    """Write a model's weights in Q4_1; returns what they are after that rounding.

    Args:
        path: The file.
        model: A Llama of the shape above.
        cut: How its tokenizer cuts text into words.
        architecture: What the file says it is.
        tokenizer: Whether it has one.
        without: Name of a tensor to leave out.
        also: Further tensors.
        fields: Further fields.
    """
    writer = GGUFWriter(path, architecture)
    writer.add_name("A small Llama")
    for key, value in (fields or {}).items():
        writer.add_string(key, value) if isinstance(value, str) else writer.add_uint32(key, value)
    writer.add_block_count(LAYERS)
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(VOCABULARY))
    if tokenizer:
        _write_bytes_tokenizer(writer, cut)
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    rounded: dict[str, np.ndarray] = {}
    for in_file, (in_torch, heads) in TENSORS.items():
        for layer in range(LAYERS if "{}" in in_file else 1):
            key = f"model.{in_torch.format(layer)}.weight"
            values, name = state[key], f"{in_file.format(layer)}.weight"
            if name == without:
                continue
            if values.ndim == 1:
                writer.add_tensor(name, values)
                rounded[key] = values
                continue
            kind = GGMLQuantizationType.Q4_1
            packed = quantize(values, kind)
            rounded[key] = dequantize(packed, kind)
            stored = interleaved(packed, heads) if heads else packed  # rows keep their codes
            writer.add_tensor(name, stored, raw_dtype=kind)
    for name, values in (also or {}).items():
        writer.add_tensor(name, values)
    _close(writer)
    return rounded


def _write_bytes_tokenizer(writer: GGUFWriter, cut: str) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(cut)
    writer.add_token_list(VOCABULARY)
    writer.add_token_types([3] * len(SPECIAL) + [1] * (len(VOCABULARY) - len(SPECIAL)))
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(False)


def _close(writer: GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


GEMMA_LAYERS, GEMMA_WIDTH, GEMMA_HEAD = 7, 64, 256
GEMMA_VOCABULARY = [
    *("<pad>", "<eos>", "<bos>", "<unk>"),
    *(f"<0x{byte:02X}>" for byte in range(256)),
    *("  ", "\n\n", "▁", "t", "e", "a", "c", "u", "p", "▁t", "ea", "▁tea", "cu", "cup", "▁cup"),
]
GEMMA_TENSORS = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}


def small_gemma3(**changes: Any) -> torch.nn.Module:
    """A Gemma 3 with random weights, six of seven layers with a window of eight tokens."""
    from transformers import AutoConfig, AutoModelForCausalLM

    shape = {
        "vocab_size": len(GEMMA_VOCABULARY),
        "hidden_size": GEMMA_WIDTH,
        "intermediate_size": 96,
        "num_hidden_layers": GEMMA_LAYERS,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": GEMMA_HEAD,
        "sliding_window": 8,
        "max_position_embeddings": 128,
        "tie_word_embeddings": True,
    }
    config = AutoConfig.for_model("gemma3_text", **{**shape, **changes})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        for name, value in model.named_parameters():
            if "norm" in name:  # in steps that are still exact after adding one
                value.data = torch.randint(-512, 512, value.shape) / 1024
            else:
                value.data = torch.randn(value.shape) * 0.2
    return model.eval()


def write_gemma3(path: Path, model: torch.nn.Module) -> None:
    """Write a Gemma 3 as llama.cpp does: one added to every norm, no word about rotary halves."""
    config = model.config
    writer = GGUFWriter(path, "gemma3")
    writer.add_name("A small Gemma")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(1e6)
    writer.add_sliding_window(config.sliding_window)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(GEMMA_VOCABULARY)
    writer.add_token_scores([-1000.0] * len(GEMMA_VOCABULARY))
    writer.add_token_types([3] * 4 + [6] * 256 + [4] * 2 + [1] * (len(GEMMA_VOCABULARY) - 262))
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(1)
    writer.add_unk_token_id(3)
    writer.add_pad_token_id(0)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    writer.add_tensor("token_embd.weight", state["model.embed_tokens.weight"])
    writer.add_tensor("output_norm.weight", state["model.norm.weight"] + 1)
    for layer in range(config.num_hidden_layers):
        for in_file, in_torch in GEMMA_TENSORS.items():
            values = state[f"model.layers.{layer}.{in_torch}.weight"]
            stored = values + 1 if "norm" in in_file else values
            writer.add_tensor(f"blk.{layer}.{in_file}.weight", stored)
    _close(writer)
