"""What an engine gives back, what it cost, and when two ways of computing it agree."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Cost:
    """Work done, counted in tokens that passed through one block.

    Attributes:
        forwards: Forwards of the LM.
        passes: Tokens x blocks, padding and what a packed row leaves empty included.
        required: Tokens x blocks whose states can't be known without computing them.
        edits: Edits made; each was checked to happen exactly once.
    """

    forwards: int = 0
    passes: int = 0
    required: int = 0
    edits: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.forwards + other.forwards,
            self.passes + other.passes,
            self.required + other.required,
            self.edits + other.edits,
        )


@dataclass(frozen=True, slots=True)
class Answers:
    """What the LM says under several interventions.

    Attributes:
        indices: Which branches they are.
        logits: Of the token after the prompt, float32 (branches, vocabulary).
        tokens: What the LM says greedily (branches, answer tokens).
        cost: Of running them.
    """

    indices: tuple[int, ...]
    logits: Tensor
    tokens: Tensor
    cost: Cost


def most_likely(logits: Tensor) -> Tensor:
    """The token with the highest logit; the first of several.

    Args:
        logits: (rows, vocabulary).

    Returns:
        (rows,), on the same device.
    """
    if logits.device.type == "cpu":  # several times as fast as torch's own
        return torch.from_numpy(logits.numpy().argmax(axis=-1))
    return logits.argmax(dim=-1)


TOLERANCE = {
    torch.float64: 1e-9,
    torch.float32: 1e-3,
    torch.float16: 0.1,
    torch.bfloat16: 0.6,
}
"""By how much logits that should be the same may differ, in standard deviations of the logits."""


def agree(expected: Tensor, got: Tensor, dtype: torch.dtype) -> Tensor:
    """Whether logits agree within the tolerance of the dtype they were computed in.

    Args:
        expected: (rows, vocabulary).
        got: Likewise.
        dtype: Of the LM.

    Returns:
        (rows,).
    """
    allowed = TOLERANCE[dtype] * expected.std(dim=-1)  # (rows,)
    return (expected - got.to(expected)).abs().amax(dim=-1) <= allowed


def distance(expected: Tensor, got: Tensor) -> float:
    """The largest difference of logits (rows, vocabulary), in their standard deviations."""
    off = (expected - got.to(expected)).abs().amax(dim=-1) / expected.std(dim=-1)
    return float(off.max())


def disagreement(expected: Tensor, got: Tensor, dtype: torch.dtype) -> str:
    """What is to be said of logits (rows, vocabulary) that don't agree; empty if they do."""
    if bool(agree(expected, got, dtype).all()):
        return ""
    return f"by {distance(expected, got):.2g} standard deviations of the logits"
