"""Which keys every token of a packed forward sees: its base's prefix and its own run.

A row of a packed forward has the base's columns first, as keys and values in a cache, then those
of the branches, in the order in which they enter. A token of a branch must see exactly what it
would see if its run were executed alone: of every position before it one column, its own branch's
where that is computed in this block, the base's where not, and none that its run blocks. Nothing
tells one branch from another but this mask, since their positions overlap.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cfgen.interventions.batches import Batch
from cfgen.interventions.packing import Placement

KeyBlock = tuple[int, tuple[int, ...], tuple[int, ...], int | None]
"""Branch of a forward, positions that look, keys that they do not see, head (None for all)."""


@dataclass(frozen=True, slots=True)
class Owners:
    """Whose every column of a packed forward is. Branches are counted through the forward.

    Attributes:
        base: Row of the foundation per row (rows,).
        owner: Branch of each column (rows, width); one past the last branch for padding.
        positions: Position of each column's token in its prompt (rows, width).
        levels: Block at which each column enters (rows, width); padding enters behind the last.
        replaces: Per branch and column of the foundation, the block from which on the branch has
            its own token for it (branches + 1, foundation's columns); for padding, from the first.
        never: A block that is behind the last: what is replaced from there on never is.
    """

    base: Tensor
    owner: Tensor
    positions: Tensor
    levels: Tensor
    replaces: Tensor
    never: int


def find_owners(placement: Placement, batch: Batch, row_of: Mapping[int, int]) -> Owners:
    """Note down whose every column is.

    Args:
        placement: Where the branches lie.
        batch: The foundation's batch.
        row_of: Number of a base's step -> its row in that batch.

    Returns:
        The owners, on the batch's device.
    """
    rows, width, count = len(placement.rows), placement.width, len(placement.branches)
    never = len(placement.present)
    # plain lists, as most branches have a token or a few, for which tensors are slow to fill
    owner = [[count] * width for _ in range(rows)]
    positions = [[0] * width for _ in range(rows)]
    levels = [[never] * width for _ in range(rows)]
    replaces = [[never] * batch.width for _ in range(count)]
    replaces.append([0] * batch.width)  # the owner of padding: it is to see nothing of the base
    for index, branch in enumerate(placement.branches):
        row, columns = placement.row_of[index], placement.columns[index]
        pad = batch.column(row_of[branch.base], 0)
        for position, level in branch.enters:
            column = columns[position]
            owner[row][column], positions[row][column] = index, position
            levels[row][column] = replaces[index][pad + position] = level
    device = batch.input_ids.device
    base = torch.tensor([row_of[row.base] for row in placement.rows], device=device)
    return Owners(
        base=base,
        owner=torch.tensor(owner, device=device),
        positions=torch.tensor(positions, device=device),
        levels=torch.tensor(levels, device=device),
        replaces=torch.tensor(replaces, device=device),
        never=never,
    )


def block_mask(
    owners: Owners, batch: Batch, layer: int, present: int, window: int | None
) -> Tensor:
    """What the columns of a packed forward see in one block.

    Args:
        owners: Whose the columns are.
        batch: The foundation's batch.
        layer: The block.
        present: How many columns have entered there.
        window: How far back attention reaches, None for all the way.

    Returns:
        (rows, present, foundation's columns + present), true where a token sees a key. Padding
        sees itself.
    """
    owner = owners.owner[:, :present]
    positions = owners.positions[:, :present]
    queries = positions[:, :, None]  # (rows, present, 1)
    before = batch.position_ids[owners.base][:, None, :]  # (rows, 1, foundation's columns)
    real = batch.attention_mask[owners.base].bool()[:, None, :]
    # The base at every position before, but for those that the branch has for itself by now.
    replaced = owners.replaces[owner] <= layer  # (rows, present, foundation's columns)
    prefix = real & (before <= queries) & ~replaced
    # The branch itself, up to the position that asks. In a row that is shorter than others, columns
    # may be there that have not entered: nobody is to see what is in them.
    own = owner[:, :, None] == owner[:, None, :]  # (rows, present, present)
    own &= positions[:, None, :] <= queries
    own &= (owners.levels[:, :present] <= layer)[:, None, :]
    if window is not None:
        prefix &= queries - before < window
        own &= queries - positions[:, None, :] < window
    # A row of the mask that lets nothing through would be a softmax over nothing: nan, which
    # spreads through values of zero weight. So padding sees itself, and nobody sees padding.
    own |= torch.eye(present, dtype=torch.bool, device=own.device)
    return torch.cat([prefix, own], dim=-1)


def without_blocked(
    seen: Tensor,
    blocked: Iterable[KeyBlock],
    placement: Placement,
    pads: Sequence[int],
    heads: int,
) -> Tensor:
    """Take out of a mask what runs block in this block of the LM.

    Args:
        seen: What is seen (rows, present, keys).
        blocked: What is not to be.
        placement: Where the branches lie.
        pads: Per branch, the foundation's column of its prompt's first token.
        heads: Query heads of the LM.

    Returns:
        (rows, heads, present, keys); heads may be 1, if all see the same.
    """
    blocked = list(blocked)
    by_head = any(head is not None for *_, head in blocked)
    seen = seen[:, None].repeat(1, heads if by_head else 1, 1, 1)
    own_start = seen.shape[-1] - seen.shape[-2]
    for index, looking, keys, head in blocked:
        row, columns = placement.row_of[index], placement.columns[index]
        # a key is the base's column or the branch's: the mask lets through one of them at most
        hidden = [pads[index] + key for key in keys]
        hidden += [own_start + columns[key] for key in keys if key in columns]
        hidden = [column for column in hidden if column < seen.shape[-1]]
        for position in looking:
            column = columns.get(position, seen.shape[-2])
            if column < seen.shape[-2]:  # it has entered
                seen[row, slice(None) if head is None else head, column, hidden] = False
    return seen


def additive(seen: Tensor, dtype: torch.dtype) -> Tensor:
    """What is seen (rows, heads, queries, keys), as numbers to add, of the same shape."""
    mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
    return mask.masked_fill_(~seen, torch.finfo(dtype).min)
