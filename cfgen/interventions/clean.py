"""The runs in which nothing is changed: what the LM says, and what later runs take from them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cfgen.interventions.answers import Cost
from cfgen.interventions.batches import Batch, Budget, by_length, make_batch, within_memory
from cfgen.interventions.values import Reads, Values, Where, merge, reading
from cfgen.lm import LM, Layout

Run = Callable[[Batch, Sequence[int]], Tensor]
"""Runs a batch of prompts, whose indices are given, to the logits after each."""


@dataclass(frozen=True, slots=True)
class CleanRuns:
    """Prompts as they are.

    Attributes:
        logits: Of the token after each prompt, float32 (prompts, vocabulary).
        row_of: Prompt -> its row of the logits.
        values: What was read from them.
        cost: Of running them.
    """

    logits: Tensor
    row_of: Mapping[int, int]
    values: Values
    cost: Cost

    def after(self, prompt: int) -> Tensor:
        """Logits after one prompt (vocabulary,)."""
        return self.logits[self.row_of[prompt]]


def run_clean(
    lm: LM,
    layout: Layout,
    prompts: Sequence[Sequence[int]],
    reads: Reads,
    groups: Sequence[Sequence[int]],
    *,
    padding: int = 0,
    runs: Mapping[int, Run] | None = None,
) -> CleanRuns:
    """Run prompts unchanged and read values from them.

    Args:
        lm: The LM.
        layout: Where everything is in it.
        prompts: Token ids of the prompts.
        reads: What to read.
        groups: The prompts that go through the LM together.
        padding: How much to pad the longest prompt of each group.
        runs: Group -> how to run it, if not by :func:`forward`.

    Returns:
        Logits and values.

    Raises:
        CfgenError: A place did not come by exactly once (``edit-did-not-fire``).
    """
    parts: list[tuple[Sequence[int], Reads, Mapping[Where, Tensor]]] = []
    row_of: dict[int, int] = {}
    rows: list[Tensor] = []
    cost = Cost()
    for number, group in enumerate(groups):
        batch = make_batch(lm, [prompts[index] for index in group], padding)
        run = (runs or {}).get(number)
        with reading(layout, batch, group, reads) as found:
            logits = run(batch, group) if run else forward(lm, batch)
        parts.append((group, reads, found))
        row_of |= {index: len(row_of) + row for row, index in enumerate(group)}
        rows.append(logits)
        tokens = sum(batch.lengths) * layout.layers
        cost += Cost(1, len(group) * batch.width * layout.layers, tokens)
    logits = torch.cat(rows) if rows else torch.empty(0)
    return CleanRuns(logits, row_of, merge(parts), cost)


def run_within(
    lm: LM,
    layout: Layout,
    prompts: Sequence[Sequence[int]],
    reads: Reads,
    indices: Sequence[int],
    budget: Budget,
    *,
    batch_size: int,
    padding: int = 0,
) -> CleanRuns:
    """Run some prompts unchanged, in groups of about one length that memory suffices for.

    Args:
        lm: The LM.
        layout: Where everything is in it.
        prompts: Token ids of the prompts.
        reads: What to read.
        indices: The prompts to run.
        budget: Tokens per forward.
        batch_size: Prompts per forward at most.
        padding: How much to pad the longest prompt of each group.

    Returns:
        Logits and values.
    """

    def attempt(tokens: int) -> CleanRuns:
        longest = max((len(prompts[index]) for index in indices), default=1) + padding
        groups = groups_of(prompts, indices, max(1, min(batch_size, tokens // longest)))
        return run_clean(lm, layout, prompts, reads, groups, padding=padding)

    return within_memory(budget, attempt)


def forward(lm: LM, batch: Batch, **more: Any) -> Tensor:
    """Run a batch through the LM.

    Args:
        lm: The LM.
        batch: The prompts.
        **more: What else to call the LM with.

    Returns:
        Logits of the token after each prompt, float32 (rows, vocabulary).
    """
    model: Any = lm.model
    known = inspect.signature(model.forward).parameters
    optional = {"position_ids": batch.position_ids, "logits_to_keep": 1}
    with torch.inference_mode():
        output = model(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            **{"use_cache": False, **more},
            **{name: value for name, value in optional.items() if name in known},
        )
        logits: Tensor = output.logits[:, -1].float()
    return logits


def groups_of(
    prompts: Sequence[Sequence[int]], indices: Sequence[int], size: int
) -> list[list[int]]:
    """Split some prompts into groups of about one length."""
    found = by_length([len(prompts[index]) for index in indices], size)
    return [[indices[i] for i in group] for group in found]
