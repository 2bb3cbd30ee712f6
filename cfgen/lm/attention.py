"""Which kernels of the attention take masks, and attention with its weights in the open.

Weights are open in single layers and only while somebody looks.

An attention module of transformers picks its kernel by a name in its configuration. While a hook is
on a layer, that layer's module has a copy of the configuration with our name in it; the other
layers, and the masks that the model makes, stay as they are.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

NAME = "cfgen_open"
"""What our attention function is called in the attention interface of transformers."""

MASKED_KERNELS = ("eager", "sdpa")
"""Implementations that take a mask for every query and key, which is understood here."""

Use = Callable[[Tensor], None]


@dataclass(frozen=True, slots=True)
class WeightsHook:
    """A function that sees the attention weights of one layer.

    Attributes:
        module: The attention module.
        former: The configuration that it has without hooks.
        use: The function.
    """

    module: Any
    former: Any
    use: Use

    def remove(self) -> None:
        """Take it off; the last one gives the module its own configuration back."""
        uses: list[Use] = getattr(self.module.config, "open_uses", [])
        uses[:] = [use for use in uses if use is not self.use]
        if not uses:
            self.module.config = self.former


def hook_weights(module: nn.Module, use: Use) -> WeightsHook:
    """Compute a layer's attention with explicit weights, and show them before they are applied.

    Args:
        module: One that :func:`shows_weights` and uses transformers' attention interface.
        use: Called with the weights (rows, heads, queries, keys) in float32, which it may change in
            place; they take on the dtype of the queries after that.

    """
    owner: Any = module
    if owner.config._attn_implementation == NAME:
        former = owner.config.open_former
    else:
        AttentionInterface.register(NAME, open_attention)
        former = owner.config
        owner.config = copy.copy(former)
        owner.config._attn_implementation = NAME
        owner.config.open_former, owner.config.open_uses = former, []
    owner.config.open_uses.append(use)
    return WeightsHook(owner, former, use)


def kernel_of(module: nn.Module) -> str | None:
    """The implementation of the attention that a module asks for, hooks on its weights aside."""
    config: Any = getattr(module, "config", None)
    used: str | None = getattr(config, "_attn_implementation", None)
    return config.open_former._attn_implementation if used == NAME else used


def shows_weights(module: nn.Module) -> bool:
    """Whether the weights of an attention module can be had."""
    return kernel_of(module) in MASKED_KERNELS


def open_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **_others: Any,
) -> tuple[Tensor, Tensor]:
    """Softmax attention (Vaswani et al., 2017, section 3.2.1), as transformers' eager functions.

    Args:
        module: The attention module; the functions of its hooks are called.
        query: (rows, heads, queries, width).
        key: (rows, key-value heads, keys, width); each serves a run of neighbouring query heads.
        value: The same shape.
        attention_mask: (rows or 1, heads or 1, queries, keys), added to the scores, or what may be
            seen if it is boolean; None for a causal one whose last query sees every key.
        scaling: What scores are multiplied by; 1 / sqrt(width) if None.
        softcap: Bound of the scores (Gemma 2; Gemma Team, 2024, section 2).
        s_aux: Scores of the heads' sinks (heads,), which take their share of the weights away from
            all tokens (gpt-oss; OpenAI, 2025, section 2.3); None for none.
        **_others: What other kernels need, such as dropout, which is for training.

    Returns:
        The heads' outputs (rows, queries, heads, width) and the weights.
    """
    rows, heads, queries, width = query.shape
    kv_heads, keys = key.shape[1], key.shape[2]
    # query heads that share a key head go below each other, so that no key is copied
    folded = query.reshape(rows, kv_heads, -1, width)  # (rows, kv heads, group * queries, width)
    scores = folded @ key.transpose(2, 3)  # (rows, kv heads, group * queries, keys)
    scores = scores.view(rows, heads, queries, keys) * (width**-0.5 if scaling is None else scaling)
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    scores = _masked(scores, attention_mask)
    if s_aux is not None:
        sinks = s_aux.to(scores.dtype).view(1, heads, 1, 1).expand(rows, heads, queries, 1)
        scores = torch.cat([scores, sinks], dim=-1)  # (rows, heads, queries, keys + 1)
    # a copy, since the softmax needs its own result to be differentiated; without the sinks' share
    weights = scores.softmax(dim=-1, dtype=torch.float32)[..., :keys].clone(
        memory_format=torch.contiguous_format
    )
    for use in tuple(module.config.open_uses):
        use(weights)
    weights = weights.to(query.dtype)
    outputs = weights.view(rows, kv_heads, -1, keys) @ value  # (rows, kv heads, group * queries, w)
    outputs = outputs.view(rows, heads, queries, -1).transpose(1, 2).contiguous()
    return outputs, weights


def _masked(scores: Tensor, mask: Tensor | None) -> Tensor:
    """Scores (rows, heads, queries, keys), very low where a key must not be seen."""
    queries, keys = scores.shape[-2:]
    if mask is None:
        seen = torch.ones(queries, keys, dtype=torch.bool, device=scores.device)
        mask = seen.tril(keys - queries)
    if mask.dtype == torch.bool:
        return scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return scores + mask
