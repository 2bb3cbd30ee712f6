"""The parts of each architecture, found by hand: names of modules and slices of their weights."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from tests.families import TINY, VARIANTS, tiny_model

LAYERS, ROWS, COLUMNS = 4, 2, 12
BEFORE_BLOCKS = ("embed", "pos_embed")
"""Components that there is one of, before the first block; their layer is 0."""
HEADWISE = ("head_out", "q", "k", "v", "attn_pattern")
"""Components that every head has its own part of."""
OWN = ("q_in", "k_in", "v_in")
"""What single query heads are given."""
JOINT_NORM = ("olmo2", "olmo3")
"""Queries and keys pass through a norm across all heads, so no head has an input of its own."""
NORM_BEHIND = (*JOINT_NORM, "gemma2", "gemma3", "opt-post-norm")
"""A norm follows the attention, so what heads give does not add up."""
PARALLEL = ("gpt_neox", "gptj", "cohere", "stablelm-parallel")
LEARNED_POSITIONS = ("gpt2", "opt", "opt-post-norm")
WINDOW = 8
SLIDING = {
    "mistral": (0, 1, 2, 3),
    "phi3": (0, 1, 2, 3),
    "starcoder2": (0, 1, 2, 3),
    "gemma2": (0, 2),
    "gemma3": (0, 2),
    "olmo3": (0, 2),
}
"""Family -> its layers that see a sliding window."""


@cache
def model_of(name: str) -> Any:
    """A model that all tests share: it must be left as it is."""
    return tiny_model(name)


def text(columns: int = COLUMNS) -> Tensor:
    """Token ids (rows, columns)."""
    return torch.randint(4, 96, (ROWS, columns), generator=torch.Generator().manual_seed(5))


def family_of(name: str) -> str:
    return VARIANTS[name][0] if name in VARIANTS else name


def heads_of(name: str) -> tuple[int, int, int]:
    """Query heads, key-value heads, width of a head."""
    kind, sizes = TINY[family_of(name)]
    grouped = kind not in ("gpt2", "gptj", "gpt_neox", "opt")
    return 4, 2 if grouped else 4, sizes.get("head_dim", 8)


def block_of(model: Any, name: str, layer: int) -> Any:
    match family_of(name):
        case "gpt2" | "gptj":
            return model.transformer.h[layer]
        case "gpt_neox":
            return model.gpt_neox.layers[layer]
        case "opt":
            return model.model.decoder.layers[layer]
    return model.model.layers[layer]


def attention_of(block: Any, name: str) -> Any:
    match family_of(name):
        case "gpt2" | "gptj":
            return block.attn
        case "gpt_neox":
            return block.attention
    return block.self_attn


def norm(block: Any, name: str, hidden: Tensor) -> Tensor:
    """What the attention projects of a residual stream."""
    match name:
        case "opt-post-norm":
            return hidden
        case "opt":
            return block.self_attn_layer_norm(hidden)
        case "gpt2" | "gptj":
            return block.ln_1(hidden)
    return block.input_layernorm(hidden)


def projection(block: Any, name: str, part: str) -> Any:
    """The module that gives ``q``, ``k`` or ``v``."""
    attention = attention_of(block, name)
    match family_of(name):
        case "gpt2":
            return attention.c_attn
        case "gpt_neox":
            return attention.query_key_value
        case "phi3":
            return attention.qkv_proj
    return getattr(attention, f"{part}_proj")


def rows_of(block: Any, name: str, part: str) -> tuple[Tensor, Tensor | None]:
    """Views of a part's weights (heads, head width, width) and biases (heads, head width)."""
    heads, kv_heads, width = heads_of(name)
    module, index = projection(block, name, part), "qkv".index(part)
    weight, bias = module.weight, module.bias
    count = heads if part == "q" else kv_heads
    match family_of(name):
        case "gpt2":  # transposed; all queries, all keys, all values
            weight, bias = weight.T.view(3, 4, 8, 32)[index], bias.view(3, 4, 8)[index]
        case "gpt_neox":  # head by head
            weight, bias = weight.view(4, 3, 8, 32)[:, index], bias.view(4, 3, 8)[:, index]
        case "phi3":
            start = (0, heads, heads + kv_heads)[index] * width
            weight = weight[start : start + count * width].view(count, width, -1)
        case _:
            weight = weight.view(count, width, -1)
            bias = None if bias is None else bias.view(count, width)
    return weight, bias


def output_projection(block: Any, name: str) -> Any:
    attention = attention_of(block, name)
    match family_of(name):
        case "gpt2":
            return attention.c_proj
        case "gptj" | "opt":
            return attention.out_proj
        case "gpt_neox":
            return attention.dense
    return attention.o_proj


def down_projection(block: Any, name: str) -> Any:
    match family_of(name):
        case "gpt2" | "starcoder2":
            return block.mlp.c_proj
        case "gptj":
            return block.mlp.fc_out
        case "gpt_neox":
            return block.mlp.dense_4h_to_h
        case "opt":
            return block.fc2
    return block.mlp.down_proj


def columns_of(module: Any, name: str) -> Tensor:
    """A view of the weights of an output projection (width, inputs)."""
    return module.weight.T if family_of(name) == "gpt2" else module.weight


def mlp(block: Any, name: str, hidden: Tensor) -> Tensor:
    """What the MLP adds to a residual stream (rows, columns, width), norms included."""
    match name:
        case "gemma2" | "gemma3":
            return block.post_feedforward_layernorm(
                block.mlp(block.pre_feedforward_layernorm(hidden))
            )
        case "olmo2" | "olmo3":
            return block.post_feedforward_layernorm(block.mlp(hidden))
        case "gpt2":
            return block.mlp(block.ln_2(hidden))
        case "opt":
            return block.fc2(block.activation_fn(block.fc1(block.final_layer_norm(hidden))))
        case "opt-post-norm":
            return block.fc2(block.activation_fn(block.fc1(hidden)))
        case "gptj":
            return block.mlp(block.ln_1(hidden))
        case "cohere" | "stablelm-parallel":
            return block.mlp(block.input_layernorm(hidden))
    return block.mlp(block.post_attention_layernorm(hidden))


def masks(name: str, queries: int, keys: int) -> Any:
    """Additive masks (1, 1, queries, keys) as the model takes them, the last query seeing all."""
    place = torch.arange(keys)
    distance = place[keys - queries :, None] - place[None]  # (queries, keys)

    def additive(seen: Tensor) -> Tensor:
        lowest = torch.finfo(torch.float32).min
        return torch.zeros(seen.shape).masked_fill(~seen, lowest)[None, None]

    full = additive(distance >= 0)
    if name not in SLIDING:
        return full
    sliding = additive((distance >= 0) & (distance < WINDOW))
    if len(SLIDING[name]) == LAYERS:
        return sliding
    return {"full_attention": full, "sliding_attention": sliding}
