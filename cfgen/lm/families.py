"""The architectures whose components are known: names of modules, and how they add up.

A record says where things are in one architecture, :data:`FAMILIES` lists them all, and most are
a Llama with a difference or two. Which component needs which field is said by the table in
:mod:`cfgen.lm.components`. See ``docs/adapters.md`` on how to add one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Family:
    """Where the components of an architecture are, as paths in its module tree.

    Two variants that compute differently (parallel blocks or not) are two records. A model is of a
    family if, in each of its blocks, every path leads to a module, ``has`` is there, ``lacks`` is
    not, and no part with weights is left that none of them names. What ``config.model_type`` says
    only decides between families that fit equally well.

    Attributes:
        name: Of the family, as messages show it.
        model_types: What ``config.model_type`` is in models of the family.
        blocks: Path of the list of blocks.
        embed: Path of the token embedding.
        attn: The attention module (paths from here on start at a block).
        attn_out: Its output, a tensor or the first of a tuple, is added to the residual stream.
        out_proj: The attention's output projection; its input holds the heads, one after another.
        q: The projection to queries.
        k: To keys.
        v: To values.
        mlp_out: Its output is added to the residual stream.
        down_proj: The MLP's down projection; its input holds the neurons. Empty for a mixture of
            experts, whose neurons are those of the experts that a token was given to.
        mid: The first module that reads the residual stream between attention and MLP. Empty for
            parallel blocks, whose attention and MLP both read the block's input.
        norm: The norm that the block's input passes through on its way to the attention; empty
            without one.
        mlp_norm: For parallel blocks, the norm in front of the MLP; empty if the MLP reads what
            comes out of ``norm``, as the attention does.
        key_norm: Where a norm has weights of its own for every key-value head, its path and the
            axis that counts these heads in what it is given. A model may lack it.
        joint_norm: Whether queries and keys pass through a norm across all heads.
        pos_embed: Path, from the model, of the learned position embedding; empty without one.
        fused: How one projection gives queries, keys and values: ``""`` (it doesn't), ``stacked``
            (all queries, then all keys, then all values) or ``interleaved`` (head by head).
        pattern: A module whose output is the attention's weights (rows, heads, queries, keys).
            Empty if the attention goes through the attention interface of transformers.
        factor: Name of the block's attribute that attention and MLP are multiplied by before they
            are added; empty for 1.
        norms: For post-norm blocks, the modules that the two sums pass through.
        flat: Fields whose modules see (rows * columns, width) instead of (rows, columns, width).
        has: What else a block must have: modules, or attributes that are neither None nor False.
        lacks: Attributes that a block must not have, or that must be None or False.
    """

    name: str
    model_types: tuple[str, ...]
    blocks: str
    embed: str
    attn: str
    attn_out: str
    out_proj: str
    q: str
    k: str
    v: str
    mlp_out: str
    down_proj: str
    mid: str
    norm: str = ""
    mlp_norm: str = ""
    key_norm: tuple[str, int] | None = None
    joint_norm: bool = False
    pos_embed: str = ""
    fused: Literal["", "stacked", "interleaved"] = ""
    pattern: str = ""
    factor: str = ""
    norms: tuple[str, str] | None = None
    flat: tuple[str, ...] = ()
    has: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths of all modules inside a block that are named here, but for ``has``."""
        named = (self.attn, self.attn_out, self.out_proj, self.q, self.k, self.v, self.mlp_out)
        named += (self.down_proj, self.mid, self.pattern, *(self.norms or ()))
        return tuple(dict.fromkeys(filter(None, (*named, self.norm, self.mlp_norm))))

    @property
    def mlp_in(self) -> str:
        """The first module that reads, for the MLP alone, what the MLP is given."""
        return self.mid or self.mlp_norm or self.mlp_out

    @property
    def mlp_shares_norm(self) -> bool:
        """Whether that module reads the norm of the residual stream, which the attention reads."""
        return not (self.mid or self.mlp_norm)


def llama_like(name: str, *model_types: str, **changes: Any) -> Family:
    """A family with the parts of a Llama, under the names that most architectures use.

    Args:
        name: Of the family.
        *model_types: Its ``config.model_type``; the name if left out.
        **changes: Fields of :class:`Family` that differ.
    """
    parts: dict[str, Any] = {
        "blocks": "model.layers",
        "embed": "model.embed_tokens",
        "attn": "self_attn",
        "attn_out": "self_attn",
        "out_proj": "self_attn.o_proj",
        "q": "self_attn.q_proj",
        "k": "self_attn.k_proj",
        "v": "self_attn.v_proj",
        "mlp_out": "mlp",
        "down_proj": "mlp.down_proj",
        "mid": "post_attention_layernorm",
        "norm": "input_layernorm",
        # A scaled or a parallel block has the same modules, but other sums.
        "lacks": ("residual_multiplier", "use_parallel_residual"),
    }
    return Family(name=name, model_types=model_types or (name,), **{**parts, **changes})


# Norms before and after attention and MLP. What is added is behind the second norm of each, and so
# are attn_out and mlp_out. The embedding is scaled by the square root of the width inside its own
# module, so embed is after the scaling.
_GEMMA2 = llama_like(
    "gemma2",
    attn_out="post_attention_layernorm",
    mid="pre_feedforward_layernorm",
    mlp_out="post_feedforward_layernorm",
)

# Norms after attention and MLP only, so the MLP itself is the first to read the middle, and
# nothing stands before the attention. attn_out and mlp_out are what is added: after the norm.
# Queries and keys have a norm across all heads; q and k are before it.
_OLMO2 = llama_like(
    "olmo2",
    attn_out="post_attention_layernorm",
    mid="mlp",
    mlp_out="post_feedforward_layernorm",
    norm="",
    joint_norm=True,
)

# Learned positions: embed and pos_embed are the two summands of the first block's input. With cross
# attention there would be another sum in each block, so models that have it are not supported.
_GPT2 = Family(
    name="gpt2",
    model_types=("gpt2",),
    blocks="transformer.h",
    embed="transformer.wte",
    pos_embed="transformer.wpe",
    attn="attn",
    attn_out="attn",
    out_proj="attn.c_proj",
    q="attn.c_attn",
    k="attn.c_attn",
    v="attn.c_attn",
    fused="stacked",
    mid="ln_2",
    norm="ln_1",
    mlp_out="mlp",
    down_proj="mlp.c_proj",
    lacks=("crossattention",),
)

# Pythia. Parallel blocks, whose attention and MLP each have a norm of their own, unless the
# configuration says otherwise; the modules are the same then, and the attribute tells.
_GPT_NEOX = Family(
    name="gpt_neox",
    model_types=("gpt_neox",),
    blocks="gpt_neox.layers",
    embed="gpt_neox.embed_in",
    attn="attention",
    attn_out="attention",
    out_proj="attention.dense",
    q="attention.query_key_value",
    k="attention.query_key_value",
    v="attention.query_key_value",
    fused="interleaved",
    mlp_out="mlp",
    down_proj="mlp.dense_4h_to_h",
    mid="",
    norm="input_layernorm",
    mlp_norm="post_attention_layernorm",
    has=("use_parallel_residual",),
)

# Parallel blocks, whose attention and MLP read the same norm. The attention does not use the
# attention interface of transformers, so it can't be replaced by one that shows its weights; but
# the weights are what goes through its dropout, which does nothing in evaluation mode.
_GPTJ = Family(
    name="gptj",
    model_types=("gptj",),
    blocks="transformer.h",
    embed="transformer.wte",
    attn="attn",
    attn_out="attn",
    out_proj="attn.out_proj",
    q="attn.q_proj",
    k="attn.k_proj",
    v="attn.v_proj",
    pattern="attn.attn_dropout",
    mlp_out="mlp",
    down_proj="mlp.fc_out",
    mid="",
    norm="ln_1",
)

# Learned positions. The MLP is three modules of the block and sees all tokens of all rows in one.
# In the size of 350M the embedding has another width, and embed is before it is projected.
_OPT = Family(
    name="opt",
    model_types=("opt",),
    blocks="model.decoder.layers",
    embed="model.decoder.embed_tokens",
    pos_embed="model.decoder.embed_positions",
    attn="self_attn",
    attn_out="self_attn",
    out_proj="self_attn.out_proj",
    q="self_attn.q_proj",
    k="self_attn.k_proj",
    v="self_attn.v_proj",
    mid="final_layer_norm",
    norm="self_attn_layer_norm",
    mlp_out="fc2",
    down_proj="fc2",
    flat=("mid", "mlp_in", "mlp_out", "down_proj"),
    has=("fc1", "do_layer_norm_before"),
)

_EXPERTS = ("input_layernorm", "mlp.experts")

FAMILIES: tuple[Family, ...] = (
    llama_like("llama"),
    llama_like("mistral"),
    llama_like("qwen2"),  # queries, keys and values have a bias, which is part of them
    llama_like("qwen3"),  # queries and keys have norms per head; q and k are before them
    _GEMMA2,
    replace(_GEMMA2, name="gemma3", model_types=("gemma3_text",)),  # q, k are before their norms
    _GPT2,
    _GPT_NEOX,
    replace(
        _GPT_NEOX,
        mid="post_attention_layernorm",
        mlp_norm="",
        has=(),
        lacks=("use_parallel_residual",),
    ),
    _GPTJ,
    _OPT,
    # 350M norms the sums instead of what goes into attention and MLP: resid_mid is the norm of
    # resid_pre + attn_out, and resid_post that of resid_mid + mlp_out.
    replace(
        _OPT,
        mid="fc1",
        norm="",
        norms=("self_attn_layer_norm", "final_layer_norm"),
        has=(),
        lacks=("do_layer_norm_before",),
    ),
    llama_like(  # 3, 3.5 and 4
        "phi3",
        q="self_attn.qkv_proj",
        k="self_attn.qkv_proj",
        v="self_attn.qkv_proj",
        fused="stacked",
    ),
    _OLMO2,
    replace(_OLMO2, name="olmo3", model_types=("olmo3",)),  # three of four layers slide
    # What attention and MLP add is multiplied by residual_multiplier; attn_out and mlp_out are
    # before that. So is embed, which the model multiplies after the embedding's module.
    llama_like("granite", factor="residual_multiplier", lacks=("use_parallel_residual",)),
    llama_like("stablelm", key_norm=("self_attn.k_layernorm", 1)),
    llama_like(
        "stablelm",
        mid="",
        key_norm=("self_attn.k_layernorm", 1),
        has=("use_parallel_residual",),
        lacks=(),
    ),
    # Command R: parallel blocks, whose attention and MLP read the same norm. Where queries and
    # keys have norms, q and k are before them.
    llama_like("cohere", mid="", key_norm=("self_attn.k_norm", 2)),
    llama_like("starcoder2", down_proj="mlp.c_proj"),  # an MLP without a gate
    llama_like("smollm3"),  # every fourth layer does not rotate queries and keys
    # Mixtures of experts. A router gives each token to some of them; mlp_out is the weighted sum of
    # what they say, with what an expert that all tokens share adds to it.
    llama_like("mixtral", down_proj="", has=_EXPERTS),
    llama_like("qwen2_moe", down_proj="", has=_EXPERTS),
    llama_like("qwen3_moe", down_proj="", has=_EXPERTS),
    llama_like("olmoe", down_proj="", has=_EXPERTS, joint_norm=True),
    # Every other layer slides, and heads have sinks: a score of their own that goes to no token.
    llama_like("gpt_oss", down_proj="", has=(*_EXPERTS, "mlp.router")),
)
"""Every family; of those that fit a model equally well, the first is taken."""
