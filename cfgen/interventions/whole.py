"""Whole runs: every token of a prompt through the whole LM, with plain hooks and no cleverness.

All that the reference engine does is done here: each run is a row of a batch, and hooks overwrite
what is edited. The packed engine has the runs executed here that others build upon, and keeps their
keys, values and states.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from cfgen.interventions.batches import Batch, Budget, make_batch
from cfgen.interventions.forward import Firing, Passage, check_expected, passing
from cfgen.interventions.outcomes import Cost
from cfgen.interventions.reach import Flow, flow_of
from cfgen.interventions.readout import Head
from cfgen.interventions.schedule import Schedule
from cfgen.interventions.store import Store
from cfgen.interventions.traffic import Lane, plan_traffic
from cfgen.lm import LM, Layout, LMFacts, Place, check_finite, hook


@dataclass(frozen=True, slots=True)
class Machine:
    """What runs are executed on.

    Attributes:
        lm: The LM.
        layout: Where everything is in it.
        facts: What is true of it.
        head: What of the vocabulary is projected.
        batch_size: Whole prompts per forward.
        budget: Tokens per forward.
        padding: How much the longest prompt of a batch is padded.
        packed: Whether runs are computed upon others.
        fill: Whether runs that can't differ from their base are left out.
        gradients: Whether what comes out keeps the graph that gradients flow back through.
    """

    lm: LM
    layout: Layout
    facts: LMFacts
    head: Head
    batch_size: int
    budget: Budget
    padding: int
    packed: bool
    fill: bool
    gradients: bool

    @property
    def windows(self) -> tuple[int | None, ...]:
        """Per block how many tokens a token sees, itself included; None for all."""
        return self.facts.windows

    @property
    def flow(self) -> Flow:
        """How what is written flows through the LM."""
        return flow_of(self.layout, self.windows)


@dataclass(frozen=True, slots=True)
class Foundation:
    """What is kept of whole runs, for others to be computed upon.

    Attributes:
        batch: The runs' prompts.
        row_of: Number of the step -> its row.
        keys: Per block (rows, key-value heads, columns, head width), rotated if the LM does so.
        values: Likewise.
        states: Block, or the number of blocks for what leaves the last -> states that enter there
            (rows, columns, width), before any edit that is made to them there.
    """

    batch: Batch
    row_of: Mapping[int, int]
    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    states: Mapping[int, Tensor]


@dataclass(frozen=True, slots=True)
class ForwardResult:
    """What came out of one forward.

    Attributes:
        numbers: Which steps have an answer in it.
        logits: Of the token after each of them, float32 (steps, projected tokens).
        changed: Steps of which an edit wrote something else than was there.
        cost: What it took.
        foundation: What was kept; None if nothing was to be.
    """

    numbers: tuple[int, ...]
    logits: Tensor
    changed: Collection[int]
    cost: Cost
    foundation: Foundation | None = None


def run_whole(
    machine: Machine,
    schedule: Schedule,
    numbers: Sequence[int],
    store: Store,
    levels: Collection[int] | None = None,
) -> ForwardResult:
    """Execute steps whole, in one forward.

    Args:
        machine: What they are executed on.
        schedule: Where the steps are.
        numbers: Which of them.
        store: What was read of runs; what is read here is added to it.
        levels: Blocks whose entering states are kept, and keys and values of all of them; None to
            keep nothing.

    Returns:
        What came out.

    Raises:
        CfgenError: A read or an edit did not happen once (``edit-did-not-fire``), or an edit would
            have been written over another token (``edit-off-target``).
    """
    layout = machine.layout
    prompts = [schedule.steps[number].run.prompt for number in numbers]
    batch = make_batch(machine.lm, prompts, machine.padding)
    lanes = [_lane(batch, row, number) for row, number in enumerate(numbers)]
    traffic = plan_traffic(schedule, lanes, store)
    check_expected(batch.input_ids, traffic)
    states: dict[int, Tensor] = {}
    # Without a configuration the cache keeps every position, whatever the LM's windows are.
    cache = None if levels is None else DynamicCache()
    firing, passage = Firing(), Passage()
    with ExitStack() as hooks:
        # These come before the hooks that write, so that states are kept as they enter.
        for level in sorted(levels or ()):
            use = firing.once(("reading", "resid_post", level - 1), _keep(states, level))
            place = Place("resid_post", level - 1)
            hooks.callback(hook(layout, place, use, write=False).remove)
        hooks.enter_context(passing(layout, traffic, store, passage))
        logits = logits_after(
            machine.lm, batch, machine.head, cache=cache, gradients=machine.gradients
        )
    firing.check()
    # Where nothing is edited, the text itself says which block is at fault.
    edited = any(schedule.steps[number].run.edits for number in numbers)
    check_finite(logits, machine.lm.model, None if edited else batch.input_ids)
    passes, needed = len(numbers) * batch.width * layout.layers, sum(batch.lengths) * layout.layers
    foundation = None
    if cache is not None:
        foundation = Foundation(
            batch=batch,
            row_of={number: row for row, number in enumerate(numbers)},
            keys=tuple(layer.keys for layer in cache.layers),
            values=tuple(layer.values for layer in cache.layers),
            states=states,
        )
    cost = Cost(1, passes, needed, passage.edits)
    return ForwardResult(tuple(numbers), logits, passage.changed, cost, foundation)


def _lane(batch: Batch, row: int, number: int) -> Lane:
    first = batch.column(row, 0)
    keys = range(first, batch.width)
    return Lane(number, row, dict(enumerate(keys)), lambda layer: keys)


def _keep(states: dict[int, Tensor], level: int) -> Callable[[Tensor], None]:
    def keep(view: Tensor) -> None:
        states[level] = view.clone()  # (rows, columns, width)

    return keep


def logits_after(
    lm: LM,
    batch: Batch,
    head: Head,
    *,
    cache: DynamicCache | None = None,
    gradients: bool = False,
) -> Tensor:
    """Run prompts once, with whatever hooks are on the LM.

    Args:
        lm: The LM.
        batch: The prompts.
        head: What of the vocabulary is projected.
        cache: Takes keys and values.
        gradients: Whether the graph is kept.

    Returns:
        Logits of the token after each prompt, float32 (rows, projected tokens).
    """
    model: Any = lm.model
    known = inspect.signature(model.forward).parameters
    optional = {"position_ids": batch.position_ids, "logits_to_keep": 1}
    with torch.set_grad_enabled(gradients), head.projecting(model):
        output = model(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            past_key_values=cache,
            use_cache=cache is not None,
            **{name: value for name, value in optional.items() if name in known},
        )
        logits: Tensor = output.logits[:, -1].float()
    return logits


def join(foundations: Sequence[Foundation]) -> Foundation:
    """Several foundations as one, padded on the left to the widest.

    Forwards upon them are fuller, the more runs there are to build upon.

    Args:
        foundations: At least one.

    Returns:
        One record of all their rows, in order.
    """
    if len(foundations) == 1:
        return foundations[0]
    width = max(one.batch.width for one in foundations)
    row_of: dict[int, int] = {}
    for one in foundations:
        start = len(row_of)
        row_of |= {number: start + row for number, row in one.row_of.items()}
    batches = [one.batch for one in foundations]
    layers = range(len(foundations[0].keys))
    return Foundation(
        batch=Batch(
            lengths=tuple(length for batch in batches for length in batch.lengths),
            input_ids=_padded([batch.input_ids for batch in batches], 1, width),
            attention_mask=_padded([batch.attention_mask for batch in batches], 1, width),
            position_ids=_padded([batch.position_ids for batch in batches], 1, width),
        ),
        row_of=row_of,
        keys=tuple(_padded([one.keys[n] for one in foundations], 2, width) for n in layers),
        values=tuple(_padded([one.values[n] for one in foundations], 2, width) for n in layers),
        states={
            level: _padded([one.states[level] for one in foundations], 1, width)
            for level in foundations[0].states
        },
    )


def _padded(tensors: Sequence[Tensor], dimension: int, size: int) -> Tensor:
    """Join along the rows, with zeros in front along a dimension up to a size."""
    behind = tensors[0].dim() - dimension - 1
    parts = [
        torch.nn.functional.pad(tensor, (0, 0) * behind + (size - tensor.shape[dimension], 0))
        for tensor in tensors
    ]
    return torch.cat(parts)
