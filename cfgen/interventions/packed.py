"""One forward of the packed engine: many runs, each as far as it can differ from its base.

From top to bottom: rows of runs are laid out in columns; every token enters at the block from which
on it can differ, with the state that its base has there; edits to that state are made in it, all
others by hooks, as in whole runs; a mask lets each token see its base and its own run, without what
that blocks; the head is given the columns that answer, and nothing else.

Sizes: ``rows`` are bases, ``columns`` tokens of runs, ``seen`` the columns of the foundation, whose
keys and values lie before those of the forward.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from cfgen.interventions.forward import Passage, check_expected, passing
from cfgen.interventions.language import Edit
from cfgen.interventions.masks import (
    KeyBlock,
    Owners,
    additive,
    block_mask,
    find_owners,
    without_blocked,
)
from cfgen.interventions.outcomes import Cost
from cfgen.interventions.packing import Branch, Placement, Row, lay_out
from cfgen.interventions.reach import entered_by
from cfgen.interventions.schedule import Schedule, Step
from cfgen.interventions.stepping import Entry, Stepping, stepping
from cfgen.interventions.store import Store
from cfgen.interventions.traffic import Lane, Traffic, Write, plan_traffic
from cfgen.interventions.validity import Where, where_of
from cfgen.interventions.values import Block
from cfgen.interventions.whole import ForwardResult, Foundation, Machine
from cfgen.lm import check_finite


def branch_of(schedule: Schedule, number: int) -> Branch:
    """What packing has to know of a step that is computed upon a base."""
    step = schedule.steps[number]
    assert step.reach is not None
    assert step.base is not None
    enters = tuple(sorted(step.reach.enters.items(), key=lambda item: (item[1], item[0])))
    return Branch(number, step.base, len(step.run.prompt), enters)


def run_rows(
    machine: Machine,
    schedule: Schedule,
    foundation: Foundation,
    store: Store,
    rows: tuple[Row, ...],
) -> ForwardResult:
    """Run the branches of one forward.

    Args:
        machine: What they are run on.
        schedule: Where their steps are.
        foundation: What is kept of their bases.
        store: What was read of runs; what is read here is added to it.
        rows: The branches.

    Returns:
        The answers of those that have one.
    """
    layers = machine.layout.layers
    placement = lay_out(rows, layers)
    lanes = _lanes(schedule, placement, foundation)
    traffic = plan_traffic(schedule, lanes, store, masked=_made_by_mask)
    input_ids = _ids(schedule, placement).to(machine.lm.device)  # (rows, columns)
    check_expected(input_ids, traffic)
    owners = find_owners(placement, foundation.batch, foundation.row_of)
    masks = _Masks(machine, schedule, foundation, placement, owners)
    inside, entering = _split(traffic, owners)
    answering = [i for i, b in enumerate(placement.branches) if _answers(schedule, b)]
    passage = Passage()
    plan = Stepping(
        mask=masks.whole,
        mask_of=masks.of,
        width=placement.width,
        present=placement.present,
        entries=_entries(placement, foundation, entering, store, passage),
        answers=_answers_at(placement, answering),
    )
    # Tokens enter before anything is read or written, so that all that hooks see has entered.
    with stepping(machine.layout, plan), passing(machine.layout, inside, store, passage):
        cache = cache_of(foundation, owners.base)
        logits = forward_upon(machine, input_ids, masks.whole, owners.positions, cache)
        passage.edits += masks.edits
    check_finite(logits, machine.lm.model)
    passes = len(rows) * sum(placement.present[:-1])
    needed = sum(layers - level for b in placement.branches for _, level in b.enters)
    return ForwardResult(
        numbers=tuple(placement.branches[i].number for i in answering),
        logits=logits,
        changed=passage.changed | masks.changed,
        cost=Cost(1, passes, needed, passage.edits),
    )


def _lanes(schedule: Schedule, placement: Placement, foundation: Foundation) -> list[Lane]:
    lanes = []
    for index, branch in enumerate(placement.branches):
        keys = _keys_at(placement, index, foundation)
        columns = placement.columns[index]
        lanes.append(Lane(branch.number, placement.row_of[index], columns, keys))
    return lanes


def _keys_at(
    placement: Placement, index: int, foundation: Foundation
) -> Callable[[int], list[int]]:
    """Says for each block which column stands for each token of a branch among the keys."""
    branch, columns = placement.branches[index], placement.columns[index]
    pad, seen = _pad(branch, foundation), foundation.batch.width
    enters = dict(branch.enters)

    def keys_at(layer: int) -> list[int]:
        return [
            seen + columns[key] if enters.get(key, layer + 1) <= layer else pad + key
            for key in range(branch.length)
        ]

    return keys_at


def _pad(branch: Branch, foundation: Foundation) -> int:
    """Column of the foundation in which the prompt of a branch begins."""
    return foundation.batch.column(foundation.row_of[branch.base], 0)


def _ids(schedule: Schedule, placement: Placement) -> Tensor:
    ids = [[0] * placement.width for _ in placement.rows]
    for index, branch in enumerate(placement.branches):
        prompt, row = schedule.steps[branch.number].run.prompt, ids[placement.row_of[index]]
        for position, column in placement.columns[index].items():
            row[column] = prompt[position]
    return torch.tensor(ids)  # (rows, columns)


def _answers(schedule: Schedule, branch: Branch) -> bool:
    reach = schedule.steps[branch.number].reach
    return reach is not None and reach.answers


def _answers_at(placement: Placement, answering: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Row and column of the last token of each branch that answers, each (answers,)."""
    rows = [placement.row_of[i] for i in answering]
    columns = [placement.columns[i][placement.branches[i].length - 1] for i in answering]
    return torch.tensor(rows, dtype=torch.long), torch.tensor(columns, dtype=torch.long)


def _split(traffic: Traffic, owners: Owners) -> tuple[Traffic, dict[Where, tuple[Write, ...]]]:
    """Tell what hooks write from what is written into the states with which tokens enter."""
    inside: dict[Where, tuple[Write, ...]] = {}
    entering: dict[Where, tuple[Write, ...]] = {}
    for where, writes in traffic.writes.items():
        level = entered_by(where)
        for write in writes:
            enters = torch.zeros(len(write.runs), dtype=torch.bool)
            if level > where[1]:  # a state between blocks
                enters = owners.levels.cpu()[write.rows, write.columns] == level
            for into, chosen in ((inside, ~enters), (entering, enters)):
                if bool(chosen.any()):
                    into[where] = (*into.get(where, ()), write.of(chosen))
    return replace(traffic, writes=inside), entering


def _entries(
    placement: Placement,
    foundation: Foundation,
    writes: Mapping[Where, tuple[Write, ...]],
    store: Store,
    passage: Passage,
) -> dict[int, Entry]:
    """Block -> the bases' states of the tokens that enter there, with the edits made to them."""
    tokens: dict[int, list[tuple[int, int, int, int]]] = {}
    for index, branch in enumerate(placement.branches):
        row, columns = placement.row_of[index], placement.columns[index]
        base, pad = foundation.row_of[branch.base], _pad(branch, foundation)
        for position, level in branch.enters:
            if level:
                token = row, columns[position], base, pad + position
                tokens.setdefault(level, []).append(token)
    return {
        level: _entry(
            found,
            foundation.states[level],
            writes.get(("resid_post", level - 1), ()),
            lambda write, view: passage.make(write, view, store),
        )
        for level, found in tokens.items()
    }


def _entry(
    tokens: Sequence[tuple[int, int, int, int]],
    stored: Tensor,
    writes: Sequence[Write],
    make: Callable[[Write, Tensor], None],
) -> Entry:
    rows, columns, base, taken = torch.tensor(tokens).T
    number = {(token[0], token[1]): i for i, token in enumerate(tokens)}

    def states() -> Tensor:
        found = stored[base.to(stored.device), taken.to(stored.device)]  # (tokens, width), a copy
        for write in writes:
            where = zip(write.rows.tolist(), write.columns.tolist(), strict=True)
            own = torch.tensor([number[place] for place in where])
            make(replace(write, rows=own, columns=torch.zeros_like(own)), found[:, None])
        return found

    return Entry(rows, columns, states)


def cache_of(foundation: Foundation, base: Tensor) -> DynamicCache:
    """A cache with the bases' keys and values.

    Args:
        foundation: What is kept of the bases.
        base: Row of the foundation for each row of the forward (rows,).
    """
    cache = DynamicCache()
    for layer, (keys, values) in enumerate(zip(foundation.keys, foundation.values, strict=True)):
        here = base.to(keys.device)
        cache.update(keys[here], values[here], layer)
    return cache


def forward_upon(
    machine: Machine, input_ids: Tensor, mask: Tensor, positions: Tensor, cache: DynamicCache
) -> Tensor:
    """One forward of tokens that come behind keys and values of others.

    Args:
        machine: What it is run on, with hooks that let tokens enter.
        input_ids: Token ids (rows, columns).
        mask: What is added to the scores (rows, 1 or heads, columns, keys).
        positions: Position of each token in its prompt (rows, columns).
        cache: Keys and values of what comes before.

    Returns:
        Logits of the token after each branch that answers, float32 (answers, projected tokens).
    """
    model: Any = machine.lm.model
    with torch.set_grad_enabled(machine.gradients), machine.head.projecting(model):
        output = model(
            input_ids=input_ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
        )
        logits: Tensor = output.logits[0].float()
    return logits


def _made_by_mask(step: Step, edit: Edit) -> bool:
    """Whether an edit takes keys out of the mask: it blocks them, and nothing is written before."""
    if not isinstance(edit.value, Block):
        return False
    where = where_of(edit.place)
    before = takewhile(lambda one: one is not edit, step.run.edits)
    return all(isinstance(one.value, Block) for one in before if where_of(one.place) == where)


class _Masks:
    """The masks of one forward, block by block.

    What is seen changes from block to block only where a run has tokens that enter later than its
    first, or blocks keys; between such blocks one mask is cut to the columns that have entered.
    """

    def __init__(
        self,
        machine: Machine,
        schedule: Schedule,
        foundation: Foundation,
        placement: Placement,
        owners: Owners,
    ) -> None:
        self._machine, self._placement, self._owners = machine, placement, owners
        self._batch, self._windows = foundation.batch, machine.windows
        self._pads = [_pad(branch, foundation) for branch in placement.branches]
        self._blocked: dict[int, list[KeyBlock]] = {}
        self.edits = 0
        self.changed: set[int] = set()
        for index, branch in enumerate(placement.branches):
            self._note(schedule.steps[branch.number], index, branch)
        late = {level for b in placement.branches for _, level in b.enters if level > b.level}
        self._turns = sorted(late)
        self._seen: dict[tuple[int | None, int], Tensor] = {}
        self._added: dict[tuple[int | None, int], Tensor] = {}
        self.whole = self._unblocked(0)

    def of(self, layer: int) -> Tensor:
        """What is added to the scores in a block (rows, 1 or heads, present, seen + present)."""
        count, width = self._placement.present[layer], self._batch.width
        unblocked = self._unblocked(layer)
        if layer not in self._blocked:
            return unblocked[:, :, :count, : width + count]
        seen = self._seen[self._version(layer)][:, :count, : width + count]
        heads = self._machine.layout.heads
        found = without_blocked(seen, self._blocked[layer], self._placement, self._pads, heads)
        return additive(found, self._machine.lm.dtype)

    def _note(self, step: Step, index: int, branch: Branch) -> None:
        for edit in step.run.edits:
            if not isinstance(edit.value, Block) or not _made_by_mask(step, edit):
                continue
            looking = tuple(edit.positions[i] for i in step.makes(edit))
            if not looking:
                continue
            blocked = index, looking, edit.value.keys, edit.place.head
            self._blocked.setdefault(edit.place.layer, []).append(blocked)
            self.edits += len(looking)
            if min(edit.value.keys) <= max(looking):
                self.changed.add(branch.number)

    def _version(self, layer: int) -> tuple[int | None, int]:
        return self._windows[layer], bisect_right(self._turns, layer)

    def _unblocked(self, layer: int) -> Tensor:
        version = self._version(layer)
        if version not in self._added:
            # Until the next turn whole runs enter at most, and nobody looks at them before that.
            turn = version[1]
            end = self._turns[turn] if turn < len(self._turns) else self._owners.never
            args = self._owners, self._batch, end - 1, self._placement.width
            self._seen[version] = block_mask(*args, self._windows[layer])
            self._added[version] = additive(self._seen[version][:, None], self._machine.lm.dtype)
        return self._added[version]
