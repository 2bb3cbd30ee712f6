"""What is read and written in one forward of the LM, wherever its runs lie.

Both engines end here. They differ in where the tokens of a run lie among the rows and columns that
go through the LM; that is said by a :class:`Lane`, and everything else follows from it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from cfgen.interventions.language import Edit, Value
from cfgen.interventions.reach import positions_of
from cfgen.interventions.schedule import Schedule, Step
from cfgen.interventions.store import (
    Holder,
    Store,
    gather_keys,
    same_keys,
    same_length,
    spread_keys,
)
from cfgen.interventions.validity import Where, where_of
from cfgen.lm import COMPONENTS, Place


@dataclass(frozen=True, slots=True)
class Lane:
    """Where one run lies in a forward.

    Attributes:
        number: Number of its step.
        row: The row.
        columns: Position -> column, for the positions that go through the LM.
        keys_at: Says for a block which column stands for each position among the keys.
    """

    number: int
    row: int
    columns: Mapping[int, int]
    keys_at: Callable[[int], Sequence[int]]


@dataclass(frozen=True, slots=True)
class Operand:
    """Where the numbers are that a write needs, for all its tokens.

    Attributes:
        given: The numbers (tokens, *shape), where they were given; None where they are read.
        where: The tensor that they are read at.
        rows: Which rows of what was read there (tokens,): first come those of the same forward,
            if it reads there for the runs that lie in it, then those that are stored.
        fresh: How many the former are.
        heads: Which head of each (tokens,); None for all.
        neurons: Which neurons; empty for all.
    """

    given: Tensor | None = None
    where: Where = ("", 0)
    rows: Tensor = field(default_factory=lambda: torch.empty(0))
    fresh: int = 0
    heads: Tensor | None = None
    neurons: tuple[int, ...] = ()

    def of(self, chosen: Tensor) -> Operand:
        """The same for some of the tokens, given as a mask (tokens,)."""
        given = self.given
        if given is not None:
            return replace(self, given=given[chosen.to(given.device)])
        heads = None if self.heads is None else self.heads[chosen]
        return replace(self, rows=self.rows[chosen], heads=heads)

    def fetch(self, captured: Mapping[Where, Tensor], store: Store) -> Tensor:
        """The numbers (tokens, *shape)."""
        if self.given is not None:
            return self.given
        parts = [captured[self.where]] if self.fresh else []
        if not self.fresh or bool((self.rows >= self.fresh).any()):
            parts.append(store.all(self.where))
        if len(parts) > 1 and COMPONENTS[self.where[0]].over_keys:
            parts = same_keys(parts)
        table = parts[0] if len(parts) == 1 else torch.cat([part.to(parts[0]) for part in parts])
        rows = self.rows.to(table.device)
        found = table[rows] if self.heads is None else table[rows, self.heads.to(table.device)]
        return found[..., list(self.neurons)] if self.neurons else found


@dataclass(frozen=True, slots=True)
class Write:
    """One call of a value's ``write``: the edits of one kind at one tensor, many runs' together.

    Attributes:
        value: One of the values; they are all of its kin.
        place: Component and layer, with the neurons if only some are written.
        runs: Number of the step of each token (tokens,), -1 for edits that its base has as well.
        rows: Row of each token (tokens,).
        columns: Column of each token (tokens,).
        heads: Head of each token (tokens,), or None to write all heads.
        keys: Column of each key, by its position (tokens, positions), -1 for none; None for
            components that are not over keys.
        operands: What it needs.
    """

    value: Value
    place: Place
    runs: tuple[int, ...]
    rows: Tensor
    columns: Tensor
    heads: Tensor | None
    keys: Tensor | None
    operands: tuple[Operand, ...]

    def of(self, chosen: Tensor) -> Write:
        """The same for some of the tokens, given as a mask (tokens,)."""
        if bool(chosen.all()):
            return self
        return Write(
            value=self.value,
            place=self.place,
            runs=tuple(run for run, kept in zip(self.runs, chosen.tolist(), strict=True) if kept),
            rows=self.rows[chosen],
            columns=self.columns[chosen],
            heads=None if self.heads is None else self.heads[chosen],
            keys=None if self.keys is None else self.keys[chosen],
            operands=tuple(operand.of(chosen) for operand in self.operands),
        )

    def make(self, view: Tensor, fetch: Callable[[Operand], Tensor]) -> Tensor:
        """Write into a tensor.

        Args:
            view: (rows, columns, *shape); changed in place.
            fetch: Gives the numbers of an operand (tokens, *shape).

        Returns:
            Which tokens were given something else than they had (tokens,).
        """
        device = view.device
        index: list[Tensor] = [self.rows.to(device), self.columns.to(device)]
        if self.heads is not None:
            index.append(self.heads.to(device))
        there = view[tuple(index)]  # (tokens, *shape), a copy
        now = there
        if self.keys is not None:
            keys = self.keys.to(device)
            now = gather_keys(there, keys)
        if self.place.neurons:
            now = there[..., list(self.place.neurons)]
        operands = [fetch(operand).to(device) for operand in self.operands]
        if self.keys is not None:  # prompts may be shorter than the longest
            operands = [same_length(operand, now.shape[-1]) for operand in operands]
        new = self.value.write(now, *operands).to(view)
        if self.keys is not None:
            view[tuple(index)] = spread_keys(new, keys, view.shape[-1])
        elif self.place.neurons:
            neurons = torch.tensor(self.place.neurons, device=device)
            view[index[0][:, None], index[1][:, None], neurons] = new
        else:
            view[tuple(index)] = new
        return differs(now.detach(), new.detach())


CHANGE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 2e-2}
"""From which share of the largest number on, a difference is more than another order of sums."""


def differs(now: Tensor, new: Tensor) -> Tensor:
    """Which tokens' numbers (tokens, *shape) differ by more than rounding (tokens,)."""
    size = now.flatten(1).abs().amax(dim=1)
    return (new - now).flatten(1).abs().amax(dim=1) > CHANGE[now.dtype] * size


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read at one tensor in a forward.

    Attributes:
        holders: Step and position of each token, in order.
        rows: Row of each (tokens,).
        columns: Column of each (tokens,).
        keys: Column of each key, by its position (tokens, positions); None if not over keys.
    """

    holders: tuple[Holder, ...]
    rows: Tensor
    columns: Tensor
    keys: Tensor | None

    def take(self, view: Tensor) -> Tensor:
        """What is there (tokens, *shape), a copy."""
        found = view[self.rows.to(view.device), self.columns.to(view.device)]
        return found if self.keys is None else gather_keys(found, self.keys.to(view.device))


@dataclass(frozen=True, slots=True)
class Traffic:
    """What is read and written in one forward.

    Attributes:
        writes: Tensor -> writes, in the order in which they are made.
        readings: Tensor -> what is read there, behind the writes.
        expected: Row, column and token id of everything that is overwritten.
        edits: How many positions are written, those included that a mask writes.
    """

    writes: Mapping[Where, tuple[Write, ...]]
    readings: Mapping[Where, Reading]
    expected: tuple[tuple[int, int, int], ...]
    edits: int


def plan_traffic(
    schedule: Schedule,
    lanes: Sequence[Lane],
    store: Store,
    masked: Callable[[Step, Edit], bool] = lambda step, edit: False,
) -> Traffic:
    """Plan what is read and written in a forward.

    Args:
        schedule: What runs there are.
        lanes: Where those of the forward lie.
        store: What was read of other runs.
        masked: Says which edits are made by the forward's mask instead.
    """
    readings = _readings(schedule, lanes)
    number_of = {
        where: {holder: i for i, holder in enumerate(reading.holders)}
        for where, reading in readings.items()
    }
    groups: dict[tuple[int, Where, Hashable], list[tuple[Lane, Edit, tuple[int, ...]]]] = {}
    expected: list[tuple[int, int, int]] = []
    edits = 0
    for lane in lanes:
        step = schedule.steps[lane.number]
        for edit, order in _ordered(step):
            made = tuple(i for i in step.makes(edit) if edit.positions[i] in lane.columns)
            if not made:
                continue
            edits += len(made)
            if masked(step, edit):
                continue
            key = order, where_of(edit.place), _alike(edit)
            groups.setdefault(key, []).append((lane, edit, made))
            for i in made:
                position = edit.positions[i]
                expected.append((lane.row, lane.columns[position], step.run.prompt[position]))
    writes: dict[Where, list[tuple[int, Write]]] = {}
    for (order, where, _), items in groups.items():
        write = _joined(schedule, items, store, number_of)
        writes.setdefault(where, []).append((order, write))
    in_order = {
        where: tuple(write for _, write in sorted(found, key=lambda item: item[0]))
        for where, found in writes.items()
    }
    return Traffic(in_order, readings, tuple(expected), edits)


def _ordered(step: Step) -> Iterator[tuple[Edit, int]]:
    """Edits, and behind how many others each has to be made: those that wrote the same numbers."""
    before: dict[Where, list[tuple[Edit, int]]] = {}
    for edit in step.run.edits:
        others = before.setdefault(where_of(edit.place), [])
        order = 1 + max((o for other, o in others if _meet(edit, other)), default=-1)
        others.append((edit, order))
        yield edit, order


def _meet(one: Edit, other: Edit) -> bool:
    if set(one.positions).isdisjoint(other.positions):
        return False
    if one.place.head is not None and other.place.head is not None:
        return one.place.head == other.place.head
    if one.place.neurons and other.place.neurons:
        return not set(one.place.neurons).isdisjoint(other.place.neurons)
    return True


def _alike(edit: Edit) -> Hashable:
    """What has to be the same for edits at one tensor to be made by one call."""
    place = edit.place
    reads = [
        (where_of(read.place), read.place.head is None, read.place.neurons, own.run is None)
        for read, own in zip(edit.reads, edit.value.reads, strict=True)
        if read.place is not None
    ]
    return place.head is None, place.neurons, edit.keys, edit.value.kin, tuple(reads)


def _readings(schedule: Schedule, lanes: Sequence[Lane]) -> dict[Where, Reading]:
    found: dict[Where, list[tuple[Lane, int]]] = {}
    for lane in lanes:
        step = schedule.steps[lane.number]
        for where, mask in step.wanted.items():
            here = found.setdefault(where, [])
            for position in positions_of(mask):
                if step.reach is None or step.reach.gives(where, position):
                    here.append((lane, position))
    return {where: _reading(where, tokens) for where, tokens in found.items() if tokens}


def _reading(where: Where, tokens: Sequence[tuple[Lane, int]]) -> Reading:
    return Reading(
        holders=tuple((lane.number, position) for lane, position in tokens),
        rows=torch.tensor([lane.row for lane, _ in tokens]),
        columns=torch.tensor([lane.columns[position] for lane, position in tokens]),
        keys=_keys([lane for lane, _ in tokens], where) if COMPONENTS[where[0]].over_keys else None,
    )


def _keys(lanes: Sequence[Lane], where: Where) -> Tensor:
    """Column of each key of each token, by its position (tokens, positions), -1 for none."""
    found = {lane.number: list(lane.keys_at(where[1])) for lane in lanes}
    most = max(map(len, found.values()))
    padded = {number: [*keys, *[-1] * (most - len(keys))] for number, keys in found.items()}
    return torch.tensor([padded[lane.number] for lane in lanes])


def _joined(
    schedule: Schedule,
    items: Sequence[tuple[Lane, Edit, tuple[int, ...]]],
    store: Store,
    own_rows: Mapping[Where, Mapping[Holder, int]],
) -> Write:
    edit = items[0][1]
    tokens = [(lane, e, i) for lane, e, made in items for i in made]
    place = edit.place
    heads = None
    if place.head is not None:
        heads = torch.tensor([e.place.head or 0 for _, e, _ in tokens])
    where = where_of(place)
    keys = None
    if place.row.over_keys:  # of the first so many, or of all
        keys = _keys([lane for lane, _, _ in tokens], where)[:, : edit.keys]
    operands = [
        _operand(schedule, items, slot, store, own_rows) for slot in range(len(edit.value.reads))
    ]
    for slot in range(len(edit.value.rows)):
        device = edit.value.rows[slot].device
        parts = [e.value.rows[slot][list(made)].to(device) for _, e, made in items]
        given = torch.cat(same_keys(parts) if keys is not None else parts)
        operands.append(Operand(given))
    return Write(
        value=edit.value,
        place=place,
        runs=tuple(_noted(schedule, lane, e) for lane, e, _ in tokens),
        rows=torch.tensor([lane.row for lane, _, _ in tokens]),
        columns=torch.tensor([lane.columns[e.positions[i]] for lane, e, i in tokens]),
        heads=heads,
        keys=keys,
        operands=tuple(operands),
    )


def _noted(schedule: Schedule, lane: Lane, edit: Edit) -> int:
    """Whose change a write is: of no run, where the base has the same edit."""
    base = schedule.steps[lane.number].run.base
    return -1 if base is not None and edit in base.edits else lane.number


def _operand(
    schedule: Schedule,
    items: Sequence[tuple[Lane, Edit, tuple[int, ...]]],
    slot: int,
    store: Store,
    own_rows: Mapping[Where, Mapping[Holder, int]],
) -> Operand:
    first = items[0][1]
    place = first.reads[slot].place
    assert place is not None
    where, own = where_of(place), first.value.reads[slot].run is None
    fresh = own_rows.get(where, {}) if own else {}
    stored = store.rows.get(where, {})
    rows, heads = [], []
    for lane, edit, made in items:
        read = edit.reads[slot]
        number = lane.number if read.run is None else schedule.number[read.run]
        assert read.positions is not None
        assert read.place is not None
        for i in made:
            holder = schedule.holder(number, where, read.positions[i]), read.positions[i]
            rows.append(fresh[holder] if holder in fresh else len(fresh) + stored[holder])
        heads += [read.place.head or 0] * len(made)
    return Operand(
        where=where,
        rows=torch.tensor(rows),
        fresh=len(fresh),
        heads=None if place.head is None else torch.tensor(heads),
        neurons=place.neurons,
    )
