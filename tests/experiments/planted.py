"""An LM whose weights are set by hand, so that it is known what its two heads do together."""

from __future__ import annotations

from itertools import product
from typing import Any

import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from cfgen.counterfactuals import Pair, Side
from cfgen.lm import LM
from tests.conftest import TINY_WORDS, tiny_tokenizer
from tests.stories import build_pair, build_prompt

SIGNAL, FIRST, ALWAYS, FOUND, SAID = range(5)
"""Directions of the stream: whether a token is a signal, is the first, is there at all; what heads
found at the first token; and what the answer is read from."""
OWN = 8
"""Width of a head."""
SIGNALS, OTHERS = ("Cid", "Dora"), ("Ann", "Ben")


class NoNorm(nn.Module):
    """What stands where a block has a norm: it changes nothing."""

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Give a copy of the states."""
        return states.clone()


@torch.no_grad()
def two_heads(threshold: float) -> LM:
    """Both heads of the first block look for a signal at the first token; the MLP of the next asks.

    It says yes if more heads found it than the threshold: one of both with 0, both of them with 1.
    """
    tokenizer = tiny_tokenizer(TINY_WORDS.split())
    sizes = {"n_embd": 2 * OWN, "n_head": 2, "n_layer": 2, "n_positions": 16}
    config: dict[str, Any] = {"vocab_size": len(tokenizer), "tie_word_embeddings": False, **sizes}
    model = GPT2LMHeadModel(GPT2Config(bos_token_id=1, eos_token_id=2, **config))
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    body = model.transformer
    body.ln_f = NoNorm()
    for block in body.h:
        block.ln_1, block.ln_2 = NoNorm(), NoNorm()
    for word in SIGNALS:
        body.wte.weight[tokenizer.convert_tokens_to_ids(word), SIGNAL] = 1
    body.wpe.weight[:, ALWAYS] = 1
    body.wpe.weight[0, FIRST] = 1
    attention = body.h[0].attn
    for head in range(2):
        queries, keys, values = (part * 2 * OWN + head * OWN for part in range(3))
        attention.c_attn.weight[ALWAYS, queries] = 100
        attention.c_attn.weight[FIRST, keys] = 1
        attention.c_attn.weight[SIGNAL, values] = 1
        attention.c_proj.weight[head * OWN, FOUND] = 1
    mlp = body.h[1].mlp
    mlp.act = nn.ReLU()
    for neuron, (bias, sign) in enumerate(((-threshold, 1), (-threshold - 1, -1))):
        mlp.c_fc.weight[FOUND, neuron] = 1
        mlp.c_fc.bias[neuron] = bias
        mlp.c_proj.weight[neuron, SAID] = sign
    yes, no = tokenizer.convert_tokens_to_ids([" yes", " no"])
    model.lm_head.weight[yes, SAID] = 1
    model.lm_head.weight[no, ALWAYS] = 0.5
    model.eval().requires_grad_(False)
    return LM("planted", model, tokenizer, torch.device("cpu"), torch.float32, "planted")


def signal_pairs() -> list[Pair]:
    """No signal in the original, one in the counterfactual; the logit difference rises by one."""
    cases = product(zip(OTHERS, SIGNALS, strict=True), ("mug", "jar", "pot", "box"))
    return [
        build_pair(_side(other, jar, " no"), _side(signal, jar, " yes"), index)
        for index, ((other, signal), jar) in enumerate(cases)
    ]


def _side(name: str, jar: str, answer: str) -> Side:
    prompt = build_prompt(("name", name), " sees the ", ("jar", jar), " Answer")
    return Side({}, prompt, answer, "", {}, {"name": name, "jar": jar})
