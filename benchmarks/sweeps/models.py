"""The models that sweeps run on: those of the registry, and random ones of a given shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

from cfgen.lm import DTYPES, LM, load_lm

RANDOM = "random-llama-"
BIG = {
    "1b": {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16},
    "8b": {"hidden_size": 4096, "intermediate_size": 14_336, "num_hidden_layers": 32},
}
"""Shapes of Llama 3 models, all with 32 query and 8 key-value heads, by the end of the name."""


def is_random(name: str) -> bool:
    return name.startswith(RANDOM)


@dataclass(frozen=True, slots=True)
class Sizes:
    """What has to be known of a model to choose cells in it.

    Attributes:
        name: The model.
        layers: Its blocks.
        heads: Query heads per block.
        vocabulary: How many tokens there are.
        tokenizer: Its tokenizer; None for a random model.
    """

    name: str
    layers: int
    heads: int
    vocabulary: int
    tokenizer: Any


def sizes_of(name: str) -> Sizes:
    """Sizes of a model, without making it if it is a random one."""
    if is_random(name):
        config, tokenizer = shape(name), None
    else:
        lm = load_lm(name, device="cpu")
        config, tokenizer = lm.model.config, lm.tokenizer
    sizes = config.num_hidden_layers, config.num_attention_heads, config.vocab_size
    return Sizes(name, *sizes, tokenizer)


def is_llama_like(model: Any) -> bool:
    """Whether blocks and projections have the names that the tools' runners go by."""
    blocks = getattr(getattr(model, "model", None), "layers", None)
    attention = getattr(blocks[0], "self_attn", None) if blocks else None
    return isinstance(getattr(attention, "o_proj", None), torch.nn.Linear)


def load(name: str, device: str, dtype: str) -> LM:
    """Load a model, or make one with random weights, whose tokenizer has no words.

    Args:
        name: As for ``cfgen run --model``; ``random-llama-1b`` and ``random-llama-8b`` have the
            shapes of Llama 3 models, ``random-llama-N`` is a small one with N layers.
        device: As for ``cfgen run --device``.
        dtype: As for ``cfgen run --dtype``.
    """
    if not is_random(name):
        lm = load_lm(name, device=device, dtype=dtype)
        _copy_before_head(lm.model)
        return lm
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(
            shape(name), dtype=DTYPES[dtype], attn_implementation="sdpa"
        )
    model.eval().requires_grad_(False)
    _copy_before_head(model)
    place, tokenizer = torch.device(device), _empty_tokenizer()
    return LM(name, model, tokenizer, place, DTYPES[dtype], "random weights, seed 0")


def _empty_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer without words, as some tools insist on one."""
    names = {"unk_token": "<unk>", "eos_token": "<eos>", "pad_token": "<pad>"}
    vocabulary = {token: index for index, token in enumerate(names.values())}
    backend = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    return PreTrainedTokenizerFast(tokenizer_object=backend, padding_side="left", **names)


def _copy_before_head(model: Any) -> None:
    """Let the head multiply a copy of the last token's states, as ``load_lm`` does with a hook.

    On a slice torch is much slower, and some tools take all hooks off the model.
    """
    head = model.get_output_embeddings()
    forward = head.forward
    head.forward = lambda hidden: forward(hidden.contiguous())


def shape(name: str) -> LlamaConfig:
    """Configuration of a random model."""
    end = name.removeprefix(RANDOM)
    if end in BIG:
        return LlamaConfig(
            vocab_size=128_256,
            num_attention_heads=32,
            num_key_value_heads=8,
            max_position_embeddings=8192,
            rms_norm_eps=1e-5,
            rope_parameters={"rope_type": "default", "rope_theta": 500_000.0},
            tie_word_embeddings=end == "1b",
            **BIG[end],
        )
    return LlamaConfig(
        vocab_size=2048,
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=int(end),
        num_attention_heads=8,
        num_key_value_heads=4,
        initializer_range=0.06,  # so that what comes out depends on what went in
        max_position_embeddings=2048,
    )
