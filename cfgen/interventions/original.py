"""The originals' run that a packed forward builds upon: keys, values and states are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache

from cfgen.interventions.batches import Batch
from cfgen.interventions.clean import CleanPart, run_part
from cfgen.interventions.reach import Reach
from cfgen.interventions.values import Firing, Reads
from cfgen.lm import LM, Layout, Place, hook


@dataclass(frozen=True, slots=True)
class Original:
    """What is kept of a batch of originals' run.

    Attributes:
        batch: The batch.
        row_of: Prompt -> its row.
        keys: Per block (rows, key-value heads, columns, head width), rotated if the LM does so.
        values: Likewise.
        states: Block, or the number of blocks for what leaves the last -> states that enter there
            (rows, columns from ``first`` on, width).
        first: First column of the states.
    """

    batch: Batch
    row_of: Mapping[int, int]
    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    states: Mapping[int, Tensor]
    first: int


def run_originals(
    lm: LM,
    layout: Layout,
    batch: Batch,
    prompts: Sequence[int],
    branches: Iterable[Reach],
    reads: Reads,
) -> tuple[CleanPart, Original]:
    """Run originals and keep what branches of them will need.

    Args:
        lm: The LM.
        layout: Where everything is in it.
        batch: The originals.
        prompts: Which prompt each row is.
        branches: The branches, those of other batches too: all batches keep the same states.
        reads: What to read from the originals for edits.

    Returns:
        What the originals give, and what was kept.

    Raises:
        CfgenError: A block did not run exactly once (``edit-did-not-fire``).
    """
    row_of = {prompt: row for row, prompt in enumerate(prompts)}
    branches = list(branches)
    here = [branch for branch in branches if branch.prompt in row_of]
    first = min((batch.column(row_of[b.prompt], b.tokens[0]) for b in here), default=batch.width)
    states: dict[int, Tensor] = {}
    # Without a configuration the cache keeps every position, whatever the LM's windows are.
    cache = DynamicCache()
    firing = Firing("reading")
    with ExitStack() as hooks:
        for level in sorted({branch.level for branch in branches} - {0}):
            use = firing.once(level, _keeper(states, level, first))
            place = Place("resid_pre", level)
            if level == layout.layers:
                place = Place("resid_post", level - 1)
            hooks.callback(hook(layout, place, use, write=False).remove)
        part = run_part(lm, layout, batch, prompts, reads, past_key_values=cache, use_cache=True)
    firing.check()
    keys = tuple(layer.keys for layer in cache.layers)
    values = tuple(layer.values for layer in cache.layers)
    return part, Original(batch, row_of, keys, values, states, first)


def join(originals: Sequence[Original]) -> Original:
    """Several batches of originals as one, padded on the left to the widest.

    Forwards of the branches are fuller, the more originals there are to take them from.

    Args:
        originals: At least one.

    Returns:
        One record of all their rows, in order.
    """
    width = max(original.batch.width for original in originals)
    first = min(original.first + width - original.batch.width for original in originals)
    row_of: dict[int, int] = {}
    for original in originals:
        row_of |= {prompt: len(row_of) + row for prompt, row in original.row_of.items()}
    batches = [original.batch for original in originals]
    layers = range(len(originals[0].keys))
    return Original(
        batch=Batch(
            lengths=tuple(length for batch in batches for length in batch.lengths),
            input_ids=_padded([batch.input_ids for batch in batches], 1, width),
            attention_mask=_padded([batch.attention_mask for batch in batches], 1, width),
            position_ids=_padded([batch.position_ids for batch in batches], 1, width),
        ),
        row_of=row_of,
        keys=tuple(_padded([o.keys[n] for o in originals], 2, width) for n in layers),
        values=tuple(_padded([o.values[n] for o in originals], 2, width) for n in layers),
        states={
            level: _padded([o.states[level] for o in originals], 1, width - first)
            for level in originals[0].states
        },
        first=first,
    )


def _padded(tensors: Sequence[Tensor], dimension: int, size: int) -> Tensor:
    """Join along the rows, with zeros in front along a dimension up to a size."""
    behind = tensors[0].dim() - dimension - 1
    parts = [
        torch.nn.functional.pad(tensor, (0, 0) * behind + (size - tensor.shape[dimension], 0))
        for tensor in tensors
    ]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _keeper(states: dict[int, Tensor], level: int, first: int) -> Callable[[Tensor], None]:
    def keep(view: Tensor) -> None:
        states[level] = view[:, first:].clone()  # (rows, columns, width)

    return keep
