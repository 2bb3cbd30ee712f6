"""A plain forward of four architectures from their weights: one prompt, no batch, no hooks.

It knows nothing of the language, of the table of components or of the engines. A dictionary says
what becomes of a component, and what every component was comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

Changes = Mapping[tuple[str, int], Callable[[Tensor], Tensor]]
"""Component and layer -> what becomes of it (tokens, *shape)."""

FAMILIES = ("llama", "gpt2", "gemma2", "gpt_neox")


@dataclass(frozen=True)
class Weights:
    """One block: its norms as functions, everything else as matrices.

    Attributes:
        qkv: For queries, keys, values: (width, heads * head width) and biases, head by head.
        out: (heads * head width, width) and biases.
        up: For what goes into the neurons.
        down: (neurons, width) and biases.
    """

    norm: Callable[[Tensor], Tensor]
    mlp_norm: Callable[[Tensor], Tensor]
    attn_post: Callable[[Tensor], Tensor]
    mlp_post: Callable[[Tensor], Tensor]
    qkv: tuple[tuple[Tensor, Any], ...]
    out: tuple[Tensor, Any]
    neurons: Callable[[Tensor], Tensor]
    down: tuple[Tensor, Any]


def same(tensor: Tensor) -> Tensor:
    return tensor


def linear(module: Any) -> tuple[Tensor, Any]:
    """Weights (inputs, outputs) and biases."""
    return module.weight.T, module.bias


def llama_block(block: Any) -> Weights:
    a, m = block.self_attn, block.mlp
    return Weights(
        norm=block.input_layernorm,
        mlp_norm=block.post_attention_layernorm,
        attn_post=same,
        mlp_post=same,
        qkv=(linear(a.q_proj), linear(a.k_proj), linear(a.v_proj)),
        out=linear(a.o_proj),
        neurons=lambda x: functional.silu(m.gate_proj(x)) * m.up_proj(x),
        down=linear(m.down_proj),
    )


def gemma2_block(block: Any) -> Weights:
    a, m = block.self_attn, block.mlp
    return Weights(
        norm=block.input_layernorm,
        mlp_norm=block.pre_feedforward_layernorm,
        attn_post=block.post_attention_layernorm,
        mlp_post=block.post_feedforward_layernorm,
        qkv=(linear(a.q_proj), linear(a.k_proj), linear(a.v_proj)),
        out=linear(a.o_proj),
        neurons=lambda x: functional.gelu(m.gate_proj(x), approximate="tanh") * m.up_proj(x),
        down=linear(m.down_proj),
    )


def gpt2_block(block: Any) -> Weights:
    weights, biases = block.attn.c_attn.weight.split(32, 1), block.attn.c_attn.bias.split(32)
    return Weights(
        norm=block.ln_1,
        mlp_norm=block.ln_2,
        attn_post=same,
        mlp_post=same,
        qkv=tuple(zip(weights, biases, strict=True)),
        out=(block.attn.c_proj.weight, block.attn.c_proj.bias),
        neurons=lambda x: functional.gelu(block.mlp.c_fc(x), approximate="tanh"),
        down=(block.mlp.c_proj.weight, block.mlp.c_proj.bias),
    )


def gpt_neox_block(block: Any) -> Weights:
    fused = block.attention.query_key_value  # head by head: its query, its key, its value
    weights, biases = fused.weight.view(4, 3, 8, 32), fused.bias.view(4, 3, 8)
    return Weights(
        norm=block.input_layernorm,
        mlp_norm=block.post_attention_layernorm,
        attn_post=same,
        mlp_post=same,
        qkv=tuple((weights[:, i].reshape(32, 32).T, biases[:, i].flatten()) for i in range(3)),
        out=linear(block.attention.dense),
        neurons=lambda x: functional.gelu(block.mlp.dense_h_to_4h(x)),
        down=linear(block.mlp.dense_4h_to_h),
    )


@dataclass(frozen=True)
class Plain:
    """What came out.

    Attributes:
        logits: Of the token after the prompt (vocabulary,).
        seen: Component and layer -> what it was, changes included (tokens, *shape).
    """

    logits: Tensor
    seen: dict[tuple[str, int], Tensor]


def plain(
    family: str,
    model: Any,
    prompt: Sequence[int],
    changes: Changes | None = None,
    seen: dict[tuple[str, int], Tensor] | None = None,
) -> Plain:
    """Compute a prompt's logits, with changes, which may look into ``seen`` as it is filled."""
    loop = _Loop(family, model, prompt, changes or {})
    loop.seen = {} if seen is None else seen
    return loop.run()


class _Loop:
    def __init__(self, family: str, model: Any, prompt: Sequence[int], changes: Changes) -> None:
        self.family, self.model, self.prompt, self.changes = family, model, prompt, changes
        self.seen: dict[tuple[str, int], Tensor] = {}

    def at(self, component: str, layer: int, tensor: Tensor) -> Tensor:
        change = self.changes.get((component, layer))
        tensor = tensor if change is None else change(tensor)
        self.seen[component, layer] = tensor.clone()
        return tensor

    def run(self) -> Plain:
        model, ids = self.model, torch.tensor(self.prompt)
        if self.family == "gpt2":
            body = model.transformer
            x = self.at("embed", 0, body.wte.weight[ids])
            x = x + self.at("pos_embed", 0, body.wpe.weight[: len(ids)])
            blocks, norm, make = body.h, body.ln_f, gpt2_block
        elif self.family == "gpt_neox":
            body = model.gpt_neox
            x = self.at("embed", 0, body.embed_in.weight[ids])
            blocks, norm, make = body.layers, body.final_layer_norm, gpt_neox_block
        else:
            body = model.model
            scale = 32**0.5 if self.family == "gemma2" else 1.0
            x = self.at("embed", 0, body.embed_tokens.weight[ids] * scale)
            blocks, norm = body.layers, body.norm
            make = gemma2_block if self.family == "gemma2" else llama_block
        for layer, block in enumerate(blocks):
            x = self.block(layer, make(block), x)
        logits = model.get_output_embeddings()(norm(x[-1]))
        if self.family == "gemma2":
            logits = 30 * torch.tanh(logits / 30)
        return Plain(logits, self.seen)

    def block(self, layer: int, w: Weights, x: Tensor) -> Tensor:
        x = self.at("resid_pre", layer, x)
        heads = self.attention(layer, w, x)  # (tokens, heads, head width)
        heads = self.at("head_out", layer, heads)
        matrix, bias = w.out
        parts = matrix.view(4, heads.shape[-1], 32)  # (heads, head width, width)
        results = torch.einsum("thd,hdw->thw", heads, parts)
        self.at("head_result", layer, results)
        attn = results.sum(dim=1) + (0 if bias is None else bias)
        attn = self.at("attn_out", layer, w.attn_post(attn))
        side_by_side = self.family == "gpt_neox"
        middle = x if side_by_side else self.at("resid_mid", layer, x + attn)
        inner = self.at(
            "mlp_neuron", layer, w.neurons(w.mlp_norm(self.at("mlp_in", layer, middle)))
        )
        matrix, bias = w.down
        mlp = self.at("mlp_out", layer, w.mlp_post(inner @ matrix + (0 if bias is None else bias)))
        x = x + attn + mlp if side_by_side else middle + mlp
        return self.at("resid_post", layer, x)

    def attention(self, layer: int, w: Weights, x: Tensor) -> Tensor:
        """Outputs of the heads (tokens, heads, head width)."""
        q, k, v = (self.projected(name, layer, w, x) for name in "qkv")
        q, k = self.rotated(q), self.rotated(k)
        scores = torch.einsum("qhd,khd->hqk", q, k) / q.shape[-1] ** 0.5
        if self.family == "gemma2":
            scores = 2 * torch.tanh(scores / 2)
        place = torch.arange(len(x))
        distance = place[:, None] - place[None]
        hidden = distance < 0
        if self.family == "gemma2" and layer % 2 == 0:
            hidden = hidden | (distance >= 8)
        weights = scores.masked_fill(hidden, -torch.inf).softmax(-1)
        weights = self.at("attn_pattern", layer, weights.transpose(0, 1))  # (queries, heads, keys)
        return torch.einsum("qhk,khd->qhd", weights, v)

    def projected(self, name: str, layer: int, w: Weights, x: Tensor) -> Tensor:
        """Queries, keys or values as every query head has them (tokens, heads, head width)."""
        matrix, bias = w.qkv["qkv".index(name)]
        width = w.out[0].shape[0] // 4
        inputs = self.at(f"{name}_in", layer, x[:, None].repeat(1, 4, 1))  # (tokens, heads, width)
        group = 4 * width // matrix.shape[1]  # query heads for each of its heads
        made = w.norm(x) @ matrix + (0 if bias is None else bias)
        made = self.at(name, layer, made.view(len(x), -1, width))
        made = made.repeat_interleave(group, dim=1)
        if (f"{name}_in", layer) in self.changes:
            own = torch.stack([w.norm(inputs[:, h]) @ matrix for h in range(4)], 1)
            own = own + (0 if bias is None else bias)
            own = own.view(len(x), 4, -1, width)
            made = torch.stack([own[:, h, h // group] for h in range(4)], 1)
        return made

    def rotated(self, x: Tensor) -> Tensor:
        """Rotary positions (tokens, heads, head width): halves of what turns go together."""
        if self.family == "gpt2":
            return x
        turning = x.shape[-1] // 2 if self.family == "gpt_neox" else x.shape[-1]
        half = turning // 2
        speeds = 10000.0 ** (-torch.arange(half) * 2 / turning)
        angles = torch.arange(len(x))[:, None, None] * speeds  # (tokens, 1, half)
        a, b, rest = x[..., :half], x[..., half:turning], x[..., turning:]
        return torch.cat(
            [a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin(), rest], -1
        )
