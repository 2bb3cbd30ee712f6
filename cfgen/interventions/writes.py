"""Writing: put values at rows and columns of whatever goes through the LM."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from cfgen.errors import CfgenError, Problem
from cfgen.interventions.edits import Edit, FromPrompt
from cfgen.interventions.values import Firing, Values, Where, same_keys, spread_keys
from cfgen.lm import Layout, Place, hook


@dataclass(frozen=True, slots=True)
class Target:
    """An edit, and where its tokens are in a forward.

    Attributes:
        edit: The edit.
        row: Row that its prompt is in.
        columns: Column of each position of the edit.
        tokens: Token id that is expected in each of these columns.
        keys: Column that stands for each token of the prompt among the keys; only needed at
            components over keys.
    """

    edit: Edit
    row: int
    columns: tuple[int, ...]
    tokens: tuple[int, ...]
    keys: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Write:
    """Values for one component of one layer, several edits' together.

    Attributes:
        place: Component and layer, with the neurons if only some are written.
        rows: Row of each token (tokens,).
        columns: Column of each token (tokens,).
        heads: Head of each token (tokens,), or None to write all heads.
        values: What is written (tokens, *shape).
        keys: Columns of the keys of each token (tokens, keys), -1 for none; None for components
            that are not over keys.
    """

    place: Place
    rows: Tensor
    columns: Tensor
    heads: Tensor | None
    values: Tensor
    keys: Tensor | None


def make_writes(targets: Sequence[Target], values: Values, device: torch.device) -> list[Write]:
    """Join edits that can be written by one operation.

    Args:
        targets: The edits.
        values: What was read from the prompts that they take values from.
        device: Where the forward runs.

    Returns:
        The writes.
    """
    groups: dict[tuple[Place, bool, bool], list[Target]] = {}
    for item in targets:
        place = item.edit.place
        where = Place(place.component, place.layer, neurons=place.neurons)
        taken = isinstance(item.edit.value, FromPrompt)
        groups.setdefault((where, place.head is not None, taken), []).append(item)
    return [
        _joined(where, by_head, items, values, device)
        for (where, by_head, _), items in groups.items()
    ]


@contextmanager
def writing(layout: Layout, writes: Sequence[Write]) -> Iterator[Firing]:
    """Make the writes in the one forward that is run inside.

    Args:
        layout: Where everything is in the LM.
        writes: What to write.

    Yields:
        The count of the hooks.

    Raises:
        CfgenError: A hook did not run exactly once (``edit-did-not-fire``).
    """
    at: dict[Where, list[Write]] = {}
    for write in writes:
        at.setdefault((write.place.component, write.place.layer), []).append(write)
    firing = Firing("an edit")
    with ExitStack() as hooks:
        for where, here in at.items():
            use = firing.once(where, _writer(here))
            hooks.callback(hook(layout, Place(*where), use, write=True).remove)
        yield firing
    firing.check()


def check_targets(input_ids: Tensor, targets: Sequence[Target]) -> None:
    """Check that the columns about to be overwritten hold the tokens that were meant.

    Args:
        input_ids: What goes through the LM (rows, columns).
        targets: The edits.

    Raises:
        CfgenError: A column holds another token (``edit-off-target``).
    """
    if not targets:
        return
    rows = [item.row for item in targets for _ in item.columns]
    columns = [column for item in targets for column in item.columns]
    meant = torch.tensor([token for item in targets for token in item.tokens])
    there = input_ids.cpu()[rows, columns]
    if not torch.equal(there, meant):
        wrong = int((there != meant).nonzero()[0])
        message = (
            f"an edit meant for token id {int(meant[wrong])} was about to be written over token id "
            f"{int(there[wrong])} (row {rows[wrong]}, column {columns[wrong]})"
        )
        hint = "this is a fault in how the prompts were batched: please report it"
        raise CfgenError(Problem("edit-off-target", message, hint=hint))


def _joined(
    place: Place, by_head: bool, items: Sequence[Target], values: Values, device: torch.device
) -> Write:
    def tensor(numbers: list[int]) -> Tensor:
        return torch.tensor(numbers, dtype=torch.long, device=device)

    rows = tensor([item.row for item in items for _ in item.columns])
    columns = tensor([column for item in items for column in item.columns])
    heads = None
    if by_head:
        heads = tensor([item.edit.place.head or 0 for item in items for _ in item.columns])
    keys = None
    if place.row.over_keys:
        most = max(len(item.keys) for item in items)
        padded = [[*item.keys, *[-1] * (most - len(item.keys))] for item in items]
        keys = torch.tensor(
            [line for item, line in zip(items, padded, strict=True) for _ in item.columns],
            device=device,
        )
    return Write(place, rows, columns, heads, _values(place, heads, items, values, keys), keys)


def _values(
    place: Place,
    heads: Tensor | None,
    items: Sequence[Target],
    values: Values,
    keys: Tensor | None,
) -> Tensor:
    """What is written (tokens, *shape)."""
    width = None if keys is None else keys.shape[-1]
    given = [
        item.edit.value.values for item in items if not isinstance(item.edit.value, FromPrompt)
    ]
    if given:
        if width is not None:
            given = same_keys(given)
        return torch.cat(given)
    rows = [
        values.rows[item.edit.value.prompt, position]
        for item in items
        if isinstance(item.edit.value, FromPrompt)
        for position in item.edit.value.positions
    ]
    tensor = values.tensors[place.component, place.layer]
    index = torch.tensor(rows, device=tensor.device)
    found = tensor[index] if heads is None else tensor[index, heads.to(tensor.device)]
    if width is not None:
        found = found[..., :width]
    return found[..., list(place.neurons)] if place.neurons else found


def _writer(writes: Sequence[Write]) -> Callable[[Tensor], None]:
    def use(view: Tensor) -> None:
        for write in writes:
            device = view.device
            index = [write.rows.to(device), write.columns.to(device)]
            if write.heads is not None:
                index.append(write.heads.to(device))
            values = write.values.to(view)
            if write.keys is not None:
                values = spread_keys(values, write.keys.to(device), view.shape[-1])
            if write.place.neurons:
                neurons = torch.tensor(write.place.neurons, device=device)
                index = [index[0][:, None], index[1][:, None], neurons]
            view[tuple(index)] = values

    return use
