"""The runs in which nothing is changed: what the LM says, and what later runs take from them."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cfgen.interventions.answers import Cost
from cfgen.interventions.batches import Batch, by_length, make_batch, within_memory
from cfgen.interventions.engine import Engine
from cfgen.interventions.values import Reads, Values, Where, merge, reading
from cfgen.lm import LM, Layout, check_finite


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


@dataclass(frozen=True, slots=True)
class CleanPart:
    """Prompts that went through the LM together, unchanged.

    Attributes:
        prompts: Which prompt each row is.
        reads: What was to be read.
        logits: Of the token after each prompt, float32 (rows, vocabulary).
        tensors: Component and layer -> what was read, as by :func:`values.reading`.
        cost: Of running them.
    """

    prompts: Sequence[int]
    reads: Reads
    logits: Tensor
    tensors: Mapping[Where, Tensor]
    cost: Cost


def run_part(
    lm: LM, layout: Layout, batch: Batch, prompts: Sequence[int], reads: Reads, **more: Any
) -> CleanPart:
    """Run a batch of prompts unchanged and read values from them.

    Args:
        lm: The LM.
        layout: Where everything is in it.
        batch: The prompts.
        prompts: Which prompt each row is.
        reads: What to read.
        **more: What else to call the LM with.

    Raises:
        CfgenError: A place did not come by exactly once (``edit-did-not-fire``).
    """
    with reading(layout, batch, prompts, reads) as found:
        logits = forward(lm, batch, **more)
    check_finite(logits, lm.model, batch.input_ids)
    passes = len(prompts) * batch.width * layout.layers
    cost = Cost(1, passes, sum(batch.lengths) * layout.layers)
    return CleanPart(prompts, reads, logits, found, cost)


def gather(parts: Iterable[CleanPart]) -> CleanRuns:
    """Join what several forwards gave."""
    parts = list(parts)
    order = [prompt for part in parts for prompt in part.prompts]
    row_of = {prompt: row for row, prompt in enumerate(order)}
    logits = torch.cat([part.logits for part in parts]) if parts else torch.empty(0)
    values = merge((part.prompts, part.reads, part.tensors) for part in parts)
    return CleanRuns(logits, row_of, values, sum((part.cost for part in parts), start=Cost()))


def run_within(
    engine: Engine,
    prompts: Sequence[Sequence[int]],
    reads: Reads,
    indices: Sequence[int],
    padding: int = 0,
) -> CleanRuns:
    """Run some prompts unchanged, in groups of about one length that memory suffices for.

    Args:
        engine: The LM, and how much of it may be run at once.
        prompts: Token ids of the prompts.
        reads: What to read.
        indices: The prompts to run.
        padding: How much to pad the longest prompt of each group.

    Returns:
        Logits and values.
    """
    longest = max((len(prompts[index]) for index in indices), default=1) + padding

    def attempt(tokens: int) -> CleanRuns:
        size = max(1, min(engine.batch_size, tokens // longest))
        batches = batches_of(engine.lm, prompts, indices, size, padding)
        return gather(run_part(engine.lm, engine.layout, *each, reads) for each in batches)

    return within_memory(engine.tally.budget, attempt)


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


def batches_of(
    lm: LM, prompts: Sequence[Sequence[int]], indices: Sequence[int], size: int, padding: int
) -> Iterator[tuple[Batch, list[int]]]:
    """Batches of some prompts, of about one length each, with the indices of their rows."""
    for group in by_length([len(prompts[index]) for index in indices], size):
        chosen = [indices[i] for i in group]
        yield make_batch(lm, [prompts[index] for index in chosen], padding), chosen
