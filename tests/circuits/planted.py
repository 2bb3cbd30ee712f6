"""Transformers whose weights are set by hand, so that it is known what their edges do."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel

from cfgen.circuits import CircuitPair
from cfgen.lm import LM

WORDS = 8
"""Tokens, and positions, each a direction of its own."""
TOKEN, POSITION, SECOND, OUT = (range(at, at + WORDS) for at in range(0, 4 * WORDS, WORDS))
"""Directions of the stream: the token, where it is, what heads add, what the logits read."""
WIDTH, HEADS, HEAD_WIDTH = 32, 2, 16


class Words:
    """As much of a tokenizer as an engine asks for."""

    def __len__(self) -> int:
        return WORDS

    def decode(self, ids: Any) -> str:
        return " ".join(map(str, ids))


def blank(layers: int = 2) -> GPT2LMHeadModel:
    """A GPT-2 without norms, all of whose blocks add nothing; the logits read what is put OUT."""
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=WORDS,
            n_positions=WORDS,
            n_embd=WIDTH,
            n_head=HEADS,
            n_layer=layers,
            tie_word_embeddings=False,
            bos_token_id=0,
            eos_token_id=0,
        )
    )
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    body = model.transformer
    body.ln_f = nn.Identity()
    for block in body.h:
        block.ln_1 = nn.Identity()
        block.ln_2 = nn.Identity()
    body.wte.weight[:, TOKEN] = torch.eye(WORDS)
    body.wpe.weight[:, POSITION] = torch.eye(WORDS)
    model.lm_head.weight[:, OUT] = torch.eye(WORDS)
    return model


def put(model: GPT2LMHeadModel, layer: int, head: int, **maps: tuple[range, Tensor]) -> None:
    """Let a head make its queries, keys and values of directions of the stream, and add some.

    Args:
        model: The LM.
        layer: The block.
        head: The head.
        **maps: ``q``, ``k``, ``v``, ``o`` -> directions, and how they map to the head's own first
            ones (directions, own); for ``o`` the other way round (own, directions).
    """
    attention = model.transformer.h[layer].attn
    own = slice(head * HEAD_WIDTH, head * HEAD_WIDTH + WORDS)
    for number, part in enumerate("qkv"):
        if part in maps:
            among, weights = maps[part]
            start = number * WIDTH + own.start
            attention.c_attn.weight[among.start : among.stop, start : start + WORDS] = weights
    if "o" in maps:
        among, weights = maps["o"]
        attention.c_proj.weight[own, among.start : among.stop] = weights


def before(sharpness: float) -> Tensor:
    """Queries that look at the position before."""
    return sharpness * torch.diag(torch.ones(WORDS - 1), -1)


@torch.no_grad()
def induction() -> LM:
    """Two heads: one copies the token before, the other looks for its own token among these.

    After ``... A B ... A`` it says B.
    """
    model, one = blank(), torch.eye(WORDS)
    put(
        model,
        0,
        0,
        q=(POSITION, before(20.0)),
        k=(POSITION, one),
        v=(TOKEN, one),
        o=(SECOND, one),
    )
    put(model, 1, 1, q=(TOKEN, 20 * one), k=(SECOND, one), v=(TOKEN, one), o=(OUT, 5 * one))
    return lm_of(model)


PLANTED = {"input->a0.h0.v", "a0.h0->a1.h1.k", "a1.h1->logits"}
"""The edges of the induction circuit that carry what differs between the prompts of its pairs."""


def induction_pairs() -> list[CircuitPair]:
    """``A B x y A`` -> B, against one with nothing to find."""
    return [
        CircuitPair("one", (1, 2, 3, 4, 1), (5, 2, 3, 4, 1), (2,), (3,)),
        CircuitPair("two", (6, 7, 1, 6), (2, 7, 1, 6), (7,), (1,)),
    ]


@torch.no_grad()
def relay() -> LM:
    """A known way of two heads, and a head that copies what nobody reads. All of it is linear.

    Heads 0.0 and 0.1 look at the first token; head 1.0 adds what 0.0 found to the logits.
    """
    model, one = blank(), torch.eye(WORDS)
    first = torch.zeros(WORDS, WORDS)
    first[:, 0] = 40.0  # every position asks for the first
    look = {"q": (POSITION, first), "k": (POSITION, one), "v": (TOKEN, one)}
    put(model, 0, 0, **look, o=(SECOND, one))
    put(model, 0, 1, **look, o=(TOKEN, one))
    itself = {"q": (POSITION, 40 * one), "k": (POSITION, one)}
    put(model, 1, 0, **itself, v=(SECOND, one), o=(OUT, one))
    return lm_of(model)


RELAYED = {"input->a0.h0.v", "a0.h0->a1.h0.v", "a1.h0->logits"}


@torch.no_grad()
def backup() -> LM:
    """Two heads that do the same, of which one suffices: the MLP says whether either found it.

    Heads 0.0 and 0.1 add what the first token is, unless it is the last word, and the MLP of block
    1 gives the logits ``min(1, what is there)``.
    """
    model, one = blank(), torch.eye(WORDS)
    first, known = torch.zeros(WORDS, WORDS), torch.eye(WORDS)
    first[:, 0] = 40.0
    known[-1, -1] = 0.0
    look = {"q": (POSITION, first), "k": (POSITION, one), "v": (TOKEN, known)}
    for head in (0, 1):
        put(model, 0, head, **look, o=(SECOND, one))
    mlp = model.transformer.h[1].mlp
    mlp.act = nn.ReLU()
    for start, bias, sign in ((0, 0.0, 1.0), (WORDS, -1.0, -1.0)):
        own = slice(start, start + WORDS)
        mlp.c_fc.weight[SECOND.start : SECOND.stop, own] = one
        mlp.c_fc.bias[own] = bias
        mlp.c_proj.weight[own, OUT.start : OUT.stop] = sign * one
    return lm_of(model)


@torch.no_grad()
def linear(seed: int = 0) -> LM:
    """A network that is linear in what it is given: every head attends evenly, no MLP bends."""
    model = blank(3)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
        if name.endswith("c_attn.weight"):
            parameter[:, : 2 * WIDTH] = 0
        elif name.endswith("c_attn.bias"):
            parameter[: 2 * WIDTH] = 0
    for block in model.transformer.h:
        block.mlp.act = nn.Identity()
    return lm_of(model)


def lm_of(model: GPT2LMHeadModel) -> LM:
    model = model.eval().requires_grad_(False)
    return LM("planted", model, Words(), torch.device("cpu"), torch.float32, "planted")  # type: ignore[arg-type]
