"""Tiny models of every architecture, with random weights."""

from __future__ import annotations

from typing import Any

SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.3,
}
"""The sizes of most; heads are wider than ``hidden_size / num_attention_heads`` where they can."""

MIXED = ["sliding_attention", "full_attention"] * 2
GPT = {"n_embd": 32, "n_layer": 4, "n_head": 4, "n_positions": 512, "initializer_range": 0.3}

TINY: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {**SMALL, "head_dim": 12}),
    "mistral": ("mistral", {**SMALL, "sliding_window": 8}),
    "qwen2": ("qwen2", SMALL),
    "qwen3": ("qwen3", {**SMALL, "head_dim": 12}),
    "gemma2": (
        "gemma2",
        {
            **SMALL,
            "head_dim": 12,
            "query_pre_attn_scalar": 12,
            "sliding_window": 8,
            "layer_types": MIXED,
            "attn_logit_softcapping": 2.0,
        },
    ),
    "gemma3": (
        "gemma3_text",
        {
            **SMALL,
            "head_dim": 12,
            "query_pre_attn_scalar": 12,
            "sliding_window": 8,
            "layer_types": MIXED,
        },
    ),
    "gpt2": ("gpt2", GPT),
    "gpt_neox": ("gpt_neox", {**SMALL, "rotary_pct": 0.5}),
    "gptj": ("gptj", {**GPT, "rotary_dim": 4}),
    "opt": (
        "opt",
        {
            "hidden_size": 32,
            "ffn_dim": 48,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "word_embed_proj_dim": 32,
            "max_position_embeddings": 512,
            "init_std": 0.3,
        },
    ),
    "phi3": ("phi3", {**SMALL, "sliding_window": 8}),
    "olmo2": ("olmo2", SMALL),
    "olmo3": ("olmo3", {**SMALL, "sliding_window": 8, "layer_types": MIXED}),
    "granite": (
        "granite",
        {
            **SMALL,
            "residual_multiplier": 0.6,
            "embedding_multiplier": 3.0,
            "attention_multiplier": 0.4,
            "logits_scaling": 0.7,
        },
    ),
    "stablelm": ("stablelm", SMALL),
    "cohere": ("cohere", {**SMALL, "use_qk_norm": True, "logit_scale": 1.5}),
    "starcoder2": ("starcoder2", {**SMALL, "sliding_window": 8}),
    "smollm3": ("smollm3", {**SMALL, "no_rope_layer_interval": 2}),
}
"""Family -> its ``config.model_type`` and the configuration of a tiny model."""

ROUTED: dict[str, Any] = {**SMALL, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
EXPERTS: dict[str, tuple[str, dict[str, Any]]] = {
    "mixtral": ("mixtral", {**ROUTED, "num_local_experts": 4, "sliding_window": 8}),
    "qwen2_moe": (
        "qwen2_moe",
        {**ROUTED, "num_experts": 4, "shared_expert_intermediate_size": 24},
    ),
    "qwen3_moe": ("qwen3_moe", {**ROUTED, "num_experts": 4, "head_dim": 12}),
    "olmoe": ("olmoe", {**ROUTED, "num_experts": 4}),
    "gpt_oss": (
        "gpt_oss",
        {**ROUTED, "num_local_experts": 4, "head_dim": 12, "sliding_window": 8},
    ),
}
"""The same for mixtures of experts, which are not packed."""

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt_neox-sequential": ("gpt_neox", {"use_parallel_residual": False}),
    "stablelm-parallel": ("stablelm", {"use_parallel_residual": True, "qk_layernorm": True}),
    "opt-post-norm": ("opt", {"do_layer_norm_before": False, "word_embed_proj_dim": 16}),
}
"""Variant -> its family, and what its configuration has beyond that of the family."""

ALL = (*TINY, *VARIANTS)
"""Every family, then the variants that compute differently."""

QUICK = ("llama", "gpt2", "gemma2", "gpt_neox", "qwen2_moe")
"""Those that are built most differently: learned positions, norms behind, attention beside the MLP,
experts. What is tried on all others as well is a slow test there."""

SLOW = tuple(name for name in (*ALL, *EXPERTS) if name not in QUICK)


def tiny_model(name: str, *, seed: int = 0, vocabulary: int = 96, **config: Any) -> Any:
    """Make a tiny model with random weights, large enough that its outputs vary.

    Biases and norms, which transformers starts at 0 and 1, are random too.

    Args:
        name: One of :data:`ALL` or :data:`EXPERTS`.
        seed: Of the weights.
        vocabulary: How many tokens it knows.
        **config: Further entries of the configuration.

    Returns:
        A causal LM of transformers, float32, on the CPU, in evaluation mode.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    family, extra = VARIANTS.get(name, (name, {}))
    kind, sizes = {**TINY, **EXPERTS}[family]
    tokens = {"vocab_size": vocabulary, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3}
    settings = AutoConfig.for_model(kind, **{**sizes, **tokens, **extra, **config})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(settings, dtype=torch.float32)
        for parameter in model.parameters():
            if parameter.dim() == 1:
                torch.nn.init.normal_(parameter, parameter.detach().mean().item(), 0.3)
    return model.eval().requires_grad_(False)
