"""Which keys every token of a packed forward sees: the original's prefix and its own branch.

A row of a packed forward has the original's columns first, as keys and values in a cache, then
those of the branches, one after the other. A token of a branch must see exactly what it would see
if its branch were run alone: of every position before it one column, its own branch's where the
branch has that position, the original's where not. Nothing tells one branch from another but this
mask, since their positions overlap.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cfgen.interventions.batches import Batch
from cfgen.interventions.packing import Placement


@dataclass(frozen=True, slots=True)
class Owners:
    """Whose every column of a packed forward is. Branches are counted through the forward.

    Attributes:
        base: Row of the original's batch per row (rows,).
        owner: Branch of each column (rows, width); one past the last branch for padding.
        positions: Position of each column's token in its prompt (rows, width).
        replaced: Per branch the original's columns that it has its own tokens for
            (branches + 1, original's columns); padding sees none.
        levels: Per branch the block it enters at (branches + 1,).
        last: Per branch the row and column of its last token, each (branches,).
    """

    base: Tensor
    owner: Tensor
    positions: Tensor
    replaced: Tensor
    levels: Tensor
    last: tuple[Tensor, Tensor]


def find_owners(columns: Placement, batch: Batch, row_of: dict[int, int]) -> Owners:
    """Note down whose every column is.

    Args:
        columns: Where the branches lie.
        batch: The originals' batch.
        row_of: Prompt -> its row in that batch.

    Returns:
        The owners, on the batch's device.
    """
    count = sum(len(row.branches) for row in columns.rows)
    owner = [[count] * columns.width for _ in columns.rows]
    positions = [[0] * columns.width for _ in columns.rows]
    replaced = torch.zeros(count + 1, batch.width, dtype=torch.bool)
    replaced[count] = True  # the owner of padding: it is to see nothing of the original
    levels, last = [], ([], [])  # type: tuple[list[int], tuple[list[int], list[int]]]
    for index, row in enumerate(columns.rows):
        pad = batch.column(row_of[row.prompt], 0)
        for branch, start in zip(row.branches, columns.starts[index], strict=True):
            end = start + len(branch.tokens)
            owner[index][start:end] = [len(levels)] * len(branch.tokens)
            positions[index][start:end] = branch.tokens
            replaced[len(levels), [pad + token for token in branch.tokens]] = True
            levels.append(branch.level)
            last[0].append(index)
            last[1].append(end - 1)
    device = batch.input_ids.device
    base = [row_of[row.prompt] for row in columns.rows]
    return Owners(
        base=torch.tensor(base, device=device),
        owner=torch.tensor(owner, device=device),
        positions=torch.tensor(positions, device=device),
        replaced=replaced.to(device),
        levels=torch.tensor([*levels, 0], device=device),
        last=(torch.tensor(last[0], device=device), torch.tensor(last[1], device=device)),
    )


def prompt_mask(owners: Owners, batch: Batch, window: int | None, dtype: torch.dtype) -> Tensor:
    """The mask of a packed forward.

    Args:
        owners: Whose the columns are.
        batch: The originals' batch.
        window: How far back attention reaches, None for all the way.
        dtype: Of the LM.

    Returns:
        (rows, 1, width, original's columns + width), 0 where a token sees a key and the lowest
        number of the dtype where not. Padding sees itself.
    """
    queries = owners.positions[:, :, None]  # (rows, width, 1)
    before = batch.position_ids[owners.base][:, None, :]  # (rows, 1, original's columns)
    real = batch.attention_mask[owners.base].bool()[:, None, :]
    # The original at every position before, but for those that the branch has for itself.
    prefix = real & (before <= queries) & ~owners.replaced[owners.owner]
    # The branch itself, up to the position that asks.
    own = owners.owner[:, :, None] == owners.owner[:, None, :]  # (rows, width, width)
    own &= owners.positions[:, None, :] <= queries
    own &= owners.owner[:, :, None] < len(owners.last[0])
    if window is not None:
        prefix &= queries - before < window
        own &= queries - owners.positions[:, None, :] < window
    # A row of the mask that lets nothing through would be a softmax over nothing: nan, which
    # spreads through values of zero weight. So padding sees itself, and nobody sees padding.
    own |= torch.eye(own.shape[-1], dtype=torch.bool, device=own.device)
    return additive(torch.cat([prefix, own], dim=-1), dtype)


def answer_mask(
    owners: Owners,
    batch: Batch,
    asking: tuple[Tensor, Tensor],
    steps: int,
    layer: int,
    present: int,
    window: int | None,
    dtype: torch.dtype,
) -> Tensor:
    """The mask of one token per branch, behind the prompt, at one block.

    Below the block at which a branch enters, all of the original is the branch's own past.

    Args:
        owners: Whose the columns of the prompt are.
        batch: The originals' batch.
        asking: Branch and position of each column, each (rows, columns).
        steps: How many tokens each branch has behind the prompt, this one included.
        layer: The block.
        present: How many of the prompt's columns have entered there.
        window: How far back attention reaches, None for all the way.
        dtype: Of the LM.

    Returns:
        (rows, 1, columns, original's columns + present + steps x columns), as in
        :func:`prompt_mask`.
    """
    owner, positions = asking[0], asking[1][:, :, None]
    entered = (owners.levels[owner] <= layer)[:, :, None]  # (rows, columns, 1)
    before = batch.position_ids[owners.base][:, None, :]
    real = batch.attention_mask[owners.base].bool()[:, None, :]
    # A branch has keys of its own from the block on at which it has entered. Below that there are
    # only the original's, which are the branch's too: nothing differs there.
    prefix = real & ~(owners.replaced[owner] & entered)
    own = (owner[:, :, None] == owners.owner[:, None, :present]) & entered
    own &= (owner < len(owners.last[0]))[:, :, None]
    own_positions = owners.positions[:, None, :present]
    if window is not None:
        prefix &= positions - before < window
        own &= positions - own_positions < window
    # Of the answer, each step has added one column per branch, in the same order every time.
    count = owner.shape[1]
    itself = torch.eye(count, dtype=torch.bool, device=owner.device)
    said = itself.expand(len(owner), -1, -1).repeat(1, 1, steps)
    if window is not None and steps > window:
        said[..., : (steps - window) * count] = False
    return additive(torch.cat([prefix, own, said], dim=-1), dtype)


def additive(seen: Tensor, dtype: torch.dtype) -> Tensor:
    """What is seen (rows, queries, keys), as numbers to add (rows, 1, queries, keys)."""
    mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
    return mask.masked_fill_(~seen, torch.finfo(dtype).min)[:, None]
