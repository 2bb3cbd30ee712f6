"""How much goes through the LM at once: prompts in a batch, and tokens that memory suffices for.

Prompts are padded on the left, so that every last token is in the last column, and positions are
counted from the first token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from cfgen.errors import CfgenError, Problem
from cfgen.lm import LM


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded prompts, on the LM's device.

    Attributes:
        lengths: Tokens of each prompt, one per row.
        input_ids: Token ids (rows, columns).
        attention_mask: 1 for a token, 0 for padding (rows, columns).
        position_ids: Position of each token in its prompt (rows, columns); 0 for padding.
    """

    lengths: tuple[int, ...]
    input_ids: Tensor
    attention_mask: Tensor
    position_ids: Tensor

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.input_ids.shape[1]

    def column(self, row: int, position: int) -> int:
        """Column of the token at a position of a row's prompt."""
        return self.width - self.lengths[row] + position


def make_batch(lm: LM, prompts: Sequence[Sequence[int]], padding: int = 0) -> Batch:
    """Pad prompts on the left, so that every last token is in the last column.

    Args:
        lm: The LM they are for.
        prompts: Token ids of the prompts.
        padding: How much to pad the longest of them.

    Returns:
        The batch.
    """
    width = max(len(prompt) for prompt in prompts) + padding
    ids = [[0] * (width - len(prompt)) + list(prompt) for prompt in prompts]
    mask = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    attention_mask = torch.tensor(mask, device=lm.device)  # (rows, columns)
    input_ids = torch.tensor(ids, device=lm.device)  # (rows, columns)
    lengths = tuple(len(prompt) for prompt in prompts)
    return Batch(lengths, input_ids, attention_mask, position_ids(attention_mask))


def position_ids(attention_mask: Tensor) -> Tensor:
    """Count tokens from the left, padding aside.

    Args:
        attention_mask: (rows, columns).

    Returns:
        (rows, columns), the first token of every row at 0.
    """
    return (attention_mask.cumsum(dim=-1) - 1).clamp(min=0)


def by_length(lengths: Sequence[int], size: int, tokens: int | None = None) -> list[list[int]]:
    """Split prompts into batches of about one length, to pad little.

    Args:
        lengths: Tokens of each prompt.
        size: Prompts per batch at most.
        tokens: Tokens per batch at most, padding included, unless it has only one prompt.

    Returns:
        Indices per batch; shortest prompts first, ties in the order given.
    """
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: lengths[index]):
        room = batches and len(batches[-1]) < size
        if room and (tokens is None or (len(batches[-1]) + 1) * lengths[index] <= tokens):
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


TOKEN_BUDGETS = {"cpu": 1024, "cuda": 16384, "mps": 4096}
"""Tokens per forward of interventions, by kind of device."""
LEAST = 16
"""Below so many tokens per forward it is no use to try again."""
_SIGNS = ("can't allocate memory", "not enough memory", "out of memory")

T = TypeVar("T")


@dataclass(slots=True)
class Budget:
    """Tokens per forward; changes as the run goes.

    Attributes:
        tokens: Tokens per forward, padding included.
        shrunk: How often that was halved.
    """

    tokens: int
    shrunk: int = 0


def within_memory(budget: Budget, attempt: Callable[[int], T]) -> T:
    """Try something with ever fewer tokens at once, until memory suffices.

    Args:
        budget: How many to begin with; halved for good whenever memory does not suffice.
        attempt: Called with the number of tokens; called again from the start if it fails.

    Returns:
        What it returns.

    Raises:
        CfgenError: Memory does not suffice for the fewest tokens either (``lm-memory-run``).
    """
    while True:
        try:
            return attempt(budget.tokens)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not _out_of_memory(error):
                raise
            if budget.tokens // 2 < LEAST:
                message = f"memory does not suffice for {budget.tokens} tokens at once"
                hint = "use a smaller LM, shorter prompts or --dtype bfloat16"
                raise CfgenError(Problem("lm-memory-run", message, hint=hint)) from error
        budget.tokens //= 2  # here, so that the failed attempt's tensors are gone
        budget.shrunk += 1
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _out_of_memory(error: Exception) -> bool:
    known = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return known or any(sign in str(error) for sign in _SIGNS)
