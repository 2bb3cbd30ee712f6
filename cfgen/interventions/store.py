"""What has been read of runs, and the axis of keys in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from cfgen.interventions.validity import Where
from cfgen.lm import COMPONENTS, Place

Holder = tuple[int, int]
"""Number of a step, and a position."""


@dataclass(slots=True)
class Store:
    """What has been read of runs, until nobody needs it any more.

    Attributes:
        rows: Tensor -> step and position -> row of what was read there.
    """

    rows: dict[Where, dict[Holder, int]] = field(default_factory=dict)
    _parts: dict[Where, list[Tensor]] = field(default_factory=dict)

    def add(self, where: Where, holders: Sequence[Holder], tensor: Tensor) -> None:
        """Keep what a tensor had for some holders (holders, *shape)."""
        rows = self.rows.setdefault(where, {})
        for holder in holders:
            rows[holder] = len(rows)
        self._parts.setdefault(where, []).append(tensor)

    def all(self, where: Where) -> Tensor:
        """All that was read at a tensor (holders, *shape)."""
        parts = self._parts[where]
        if len(parts) > 1:
            if COMPONENTS[where[0]].over_keys:
                parts = same_keys(parts)
            parts[:] = [torch.cat(list(parts))]
            self._parts[where] = parts
        return parts[0]

    def take(self, place: Place, where: Where, holders: Sequence[Holder], keys: int) -> Tensor:
        """What a place had for some holders (holders, *shape); so many keys, if it has any."""
        table = self.all(where)
        rows = torch.tensor([self.rows[where][h] for h in holders], device=table.device)
        found = table[rows] if place.head is None else table[rows, place.head]
        if place.row.over_keys:
            found = same_length(found, keys)
        return found[..., list(place.neurons)] if place.neurons else found


# The axis of keys. What a component over keys has is, in a forward, a number for every column that
# goes through the LM: padding, and in a packed forward the tokens of other runs. What is kept of
# it, and written by values, is a number for every token of the prompt, from its first on. These
# functions lead from the one to the other and back; everything else handles such a component like
# any other.


def gather_keys(values: Tensor, keys: Tensor) -> Tensor:
    """Numbers for the tokens of a prompt, out of those for all columns of a forward.

    Args:
        values: (tokens, columns) or (tokens, heads, columns).
        keys: Column of each key (tokens, positions), -1 for none.

    Returns:
        (tokens, positions) or (tokens, heads, positions), zero for what is none.
    """
    index = keys.clamp(min=0)
    there = keys >= 0
    if values.dim() == 3:
        index, there = index[:, None], there[:, None]
        index = index.expand(-1, values.shape[1], -1)
    return values.gather(-1, index) * there


def spread_keys(values: Tensor, keys: Tensor, width: int) -> Tensor:
    """Put numbers for the tokens of a prompt where these are among all columns of a forward.

    Args:
        values: (tokens, positions) or (tokens, heads, positions).
        keys: Column of each key (tokens, positions), -1 for none.
        width: Columns of the forward.

    Returns:
        (tokens, width) or (tokens, heads, width), zero elsewhere.
    """
    index = torch.where(keys < 0, width, keys)  # what is none goes into a column too many
    if values.dim() == 3:
        index = index[:, None, :].expand_as(values)
    wide = values.new_zeros(*values.shape[:-1], width + 1)
    return wide.scatter(-1, index, values)[..., :width]


def same_keys(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Pad the last axis of several tensors with zeros up to the longest of them."""
    most = max(tensor.shape[-1] for tensor in tensors)
    return [same_length(tensor, most) for tensor in tensors]


def same_length(tensor: Tensor, length: int) -> Tensor:
    """Cut the last axis of a tensor, or pad it with zeros."""
    missing = length - tensor.shape[-1]
    return torch.nn.functional.pad(tensor, (0, missing)) if missing > 0 else tensor[..., :length]
