"""Several prompts in one forward: padded on the left, positions counted from the first token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cfgen.lm.load import LM
from cfgen.lm.tokens import Encoded


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded prompts, on the LM's device.

    Attributes:
        prompts: The prompts, one per row.
        input_ids: Token ids (rows, columns).
        attention_mask: 1 for a token, 0 for padding (rows, columns).
        position_ids: Position of each token in its prompt (rows, columns); 0 for padding.
    """

    prompts: tuple[Encoded, ...]
    input_ids: Tensor
    attention_mask: Tensor
    position_ids: Tensor

    def column(self, row: int, position: int) -> int:
        """Column of the token at a position of a row's prompt."""
        return self.input_ids.shape[1] - len(self.prompts[row]) + position


def make_batch(lm: LM, prompts: Sequence[Encoded], padding: int = 0) -> Batch:
    """Pad prompts on the left, so that every last token is in the last column.

    Args:
        lm: The LM they are for.
        prompts: The prompts.
        padding: How much to pad the longest of them.

    Returns:
        The batch.
    """
    width = max(len(prompt) for prompt in prompts) + padding
    ids = [[0] * (width - len(prompt)) + list(prompt.ids) for prompt in prompts]
    mask = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    attention_mask = torch.tensor(mask, device=lm.device)  # (rows, columns)
    input_ids = torch.tensor(ids, device=lm.device)  # (rows, columns)
    return Batch(tuple(prompts), input_ids, attention_mask, position_ids(attention_mask))


def position_ids(attention_mask: Tensor) -> Tensor:
    """Count tokens from the left, padding aside.

    Args:
        attention_mask: (rows, columns).

    Returns:
        (rows, columns), the first token of every row at 0.
    """
    return (attention_mask.cumsum(dim=-1) - 1).clamp(min=0)


def by_length(prompts: Sequence[Encoded], size: int) -> list[list[int]]:
    """Split prompts into batches of about one length, to pad little.

    Args:
        prompts: The prompts.
        size: Prompts per batch at most.

    Returns:
        Indices per batch; shortest prompts first, ties in the order given.
    """
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    return [order[start : start + size] for start in range(0, len(order), size)]
