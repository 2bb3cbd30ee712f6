"""The packed engine: every intervention of a sweep as a branch of the original's run.

The original runs once, and its keys, values and block inputs are kept. A branch then consists of
the tokens whose states an intervention may change, from the block on at which they may. Branches
lie one after the other in one sequence; their position ids overlap, and a mask lets each see the
original's prefix and itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from cfgen.interventions.answers import Answers, Cost, most_likely
from cfgen.interventions.edits import Edit
from cfgen.interventions.engine import Engine
from cfgen.interventions.masks import Owners, answer_mask, find_owners, prompt_mask
from cfgen.interventions.original import Original
from cfgen.interventions.packing import Placement, Row, lay_out
from cfgen.interventions.reach import Reach
from cfgen.interventions.stepping import Entry, Stepping, stepping
from cfgen.interventions.values import Values
from cfgen.interventions.writes import Target, check_targets, make_writes, writing
from cfgen.lm import LM, Layout, check_finite


def run_forward(
    engine: Engine,
    prompts: Sequence[Sequence[int]],
    original: Original,
    values: Values,
    rows: tuple[Row, ...],
    answer_tokens: int,
) -> Answers:
    """Run the branches of one forward.

    Args:
        engine: The LM, and what is true of it.
        prompts: Token ids of the prompts.
        original: The originals' run.
        values: What was read from the prompts that values are taken from.
        rows: The branches.
        answer_tokens: How many tokens to let the LM say, greedily.

    Returns:
        What the LM says.
    """
    layout, windows = engine.layout, engine.facts.windows
    columns = lay_out(rows, layout.layers)
    owners = find_owners(columns, original.batch, dict(original.row_of))
    packed = _Forward(engine.lm, layout, windows, prompts, original, values, columns, owners)
    cache = _prefix(original, owners)
    logits, edits = packed.prompts(cache)
    said = [most_likely(logits)]  # (branches,)
    passes = len(rows) * sum(columns.present[:-1])
    for step in range(1, answer_tokens):
        said.append(most_likely(packed.answers(cache, said[-1], step)))
        passes += len(rows) * layout.layers * max(len(row.branches) for row in rows)
    branches = [branch for row in rows for branch in row.branches]
    return Answers(
        indices=tuple(branch.index for branch in branches),
        logits=logits,
        tokens=torch.stack(said, dim=1).cpu(),
        cost=Cost(answer_tokens, passes, _required(branches, layout, answer_tokens), edits),
    )


def _required(branches: Sequence[Reach], layout: Layout, answer_tokens: int) -> int:
    """Token-block passes that can't be done without."""
    more = (answer_tokens - 1) * layout.layers
    return sum(len(b.tokens) * (layout.layers - b.level) + more for b in branches)


@dataclass(frozen=True, slots=True)
class _Forward:
    """One forward and what it needs."""

    lm: LM
    layout: Layout
    windows: Sequence[int | None]
    texts: Sequence[Sequence[int]]
    original: Original
    values: Values
    columns: Placement
    owners: Owners

    def prompts(self, cache: DynamicCache) -> tuple[Tensor, int]:
        """Logits after each branch's prompt (branches, vocabulary), and the edits made."""
        input_ids = self._ids()
        masks = {
            window: prompt_mask(self.owners, self.original.batch, window, self.lm.dtype)
            for window in set(self.windows)
        }
        seen = self.original.batch.width

        def mask_of(layer: int) -> Tensor:
            count = self.columns.present[layer]
            return masks[self.windows[layer]][:, :, :count, : seen + count]

        targets = list(self._targets())
        inside = [item for item, entering in targets if not entering]
        check_targets(input_ids, [item for item, _ in targets])
        whole = masks[self.windows[0]]
        plan = Stepping(
            mask=whole,
            mask_of=mask_of,
            width=self.columns.width,
            present=self.columns.present,
            entries=self._entries([item for item, entering in targets if entering]),
            answers=self.owners.last,
        )
        writes = make_writes(inside, self.values, self.lm.device)
        with stepping(self.layout, plan), writing(self.layout, writes):
            logits = self._forward(input_ids, whole, self.owners.positions, cache)
        check_finite(logits, self.lm.model)
        return logits, len(targets)

    def answers(self, cache: DynamicCache, said: Tensor, step: int) -> Tensor:
        """Logits after one more token of each branch's answer (branches, vocabulary)."""
        rows, count = self.columns.rows, max(len(row.branches) for row in self.columns.rows)
        device = said.device
        index = [(r, c) for r, row in enumerate(rows) for c in range(len(row.branches))]
        where = (
            torch.tensor([r for r, _ in index], device=device),
            torch.tensor([c for _, c in index], device=device),
        )
        owner = torch.full((len(rows), count), len(index), device=device)
        owner[where] = torch.arange(len(index), device=device)
        positions = torch.zeros_like(owner)
        ends = [len(self.texts[rows[r].prompt]) + step - 1 for r, _ in index]
        positions[where] = torch.tensor(ends, device=device)
        input_ids = torch.zeros_like(owner)
        input_ids[where] = said

        def mask_of(layer: int) -> Tensor:
            present, window = self.columns.present[layer], self.windows[layer]
            asking, batch = (owner, positions), self.original.batch
            args = (self.owners, batch, asking, step, layer, present, window, self.lm.dtype)
            return answer_mask(*args)

        whole = mask_of(0)
        plan = Stepping(whole, mask_of, count, (count,) * (self.layout.layers + 1), {}, where)
        with stepping(self.layout, plan):
            logits = self._forward(input_ids, whole, positions, cache)
        check_finite(logits, self.lm.model)
        return logits

    def _forward(
        self, input_ids: Tensor, mask: Tensor, positions: Tensor, cache: DynamicCache
    ) -> Tensor:
        model: Any = self.lm.model
        with torch.inference_mode():
            output = model(
                input_ids=input_ids,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
            )
            logits: Tensor = output.logits[0].float()  # (branches, vocabulary)
        return logits

    def _ids(self) -> Tensor:
        ids = torch.zeros(self.owners.owner.shape, dtype=torch.long)
        for r, row in enumerate(self.columns.rows):
            line = [self.texts[row.prompt][token] for b in row.branches for token in b.tokens]
            ids[r, : len(line)] = torch.tensor(line)
        return ids.to(self.lm.device)

    def _targets(self) -> Iterator[tuple[Target, bool]]:
        """The edits with their columns, and whether each is part of the state that enters."""
        for r, row in enumerate(self.columns.rows):
            ids = self.texts[row.prompt]
            for branch, start in zip(row.branches, self.columns.starts[r], strict=True):
                column = {token: start + i for i, token in enumerate(branch.tokens)}
                for edit in branch.edits:
                    at = tuple(column[position] for position in edit.positions)
                    tokens = tuple(ids[position] for position in edit.positions)
                    keys = self._keys(row.prompt, column) if edit.place.row.over_keys else ()
                    yield Target(edit, r, at, tokens, keys), _enters_with(edit, branch.level)

    def _keys(self, prompt: int, column: Mapping[int, int]) -> tuple[int, ...]:
        batch = self.original.batch
        pad = batch.column(self.original.row_of[prompt], 0)
        own = batch.width
        count = len(self.texts[prompt])
        return tuple(own + column[k] if k in column else pad + k for k in range(count))

    def _entries(self, targets: Sequence[Target]) -> dict[int, Entry]:
        """Block -> the original's states of the tokens that enter there, with the edits made."""
        tokens: dict[int, list[tuple[int, int, int]]] = {}
        for r, row in enumerate(self.columns.rows):
            batch = self.original.batch
            skip = batch.column(self.original.row_of[row.prompt], 0) - self.original.first
            for branch, start in zip(row.branches, self.columns.starts[r], strict=True):
                if branch.level:
                    tokens.setdefault(branch.level, []).extend(
                        (r, start + i, skip + token) for i, token in enumerate(branch.tokens)
                    )
        return {level: self._entry(level, found, targets) for level, found in tokens.items()}

    def _entry(
        self, level: int, tokens: Sequence[tuple[int, int, int]], targets: Sequence[Target]
    ) -> Entry:
        rows, columns, taken = torch.tensor(tokens).T
        stored = self.original.states[level]
        base = self.owners.base.cpu()[rows].to(stored.device)
        states = stored[base, taken.to(stored.device)]  # (tokens, width), a copy
        number = {(r, c): i for i, (r, c, _) in enumerate(tokens)}
        here = [item for item in targets if (item.row, item.columns[0]) in number]
        writes = make_writes(here, self.values, states.device)
        for write in sorted(writes, key=lambda write: write.place.layer):  # as they come by
            where = zip(write.rows.tolist(), write.columns.tolist(), strict=True)
            states[[number[place] for place in where]] = write.values.to(states)
        return Entry(rows, columns, states)


def _prefix(original: Original, owners: Owners) -> DynamicCache:
    """A cache with the originals' keys and values, a row for each row of the forward."""
    cache = DynamicCache()
    for layer, (keys, values) in enumerate(zip(original.keys, original.values, strict=True)):
        base = owners.base.to(keys.device)
        cache.update(keys[base], values[base], layer)
    return cache


def _enters_with(edit: Edit, level: int) -> bool:
    """Whether an edit is one of the state that a branch enters with."""
    boundary = edit.place.row.boundary
    return level > 0 and boundary is not None and edit.place.layer + boundary == level
