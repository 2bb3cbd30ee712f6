"""Swaps of single neurons of an MLP, all of a layer's together, each as a branch of its own.

A neuron of the MLP adds its activation times its row of the down projection. So what a swap of it
does to the state behind its block is known without running that block: a multiple of that row, sent
through the norm behind the MLP where there is one. A branch enters there, with the tokens from the
first one that is changed on; what lies before them has the unchanged run's keys and values. What
remains is the same for all neurons of a layer, so that nothing is planned run by run, which would
take as long as running it: there are 46,080 in an LM of 30 layers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cfgen.errors import CfgenError, Problem
from cfgen.interventions.batches import within_memory
from cfgen.interventions.engine import Engine
from cfgen.interventions.language import Edit, Read, Run
from cfgen.interventions.masks import Owners, additive, block_mask
from cfgen.interventions.outcomes import TOLERANCE
from cfgen.interventions.packed import cache_of, forward_upon
from cfgen.interventions.packing import ROW_TOKENS
from cfgen.interventions.question import NOTHING
from cfgen.interventions.readout import Head
from cfgen.interventions.schedule import make_schedule
from cfgen.interventions.stepping import Entry, Stepping, stepping
from cfgen.interventions.store import Store
from cfgen.interventions.values import Copy
from cfgen.interventions.whole import Foundation, Machine, run_whole
from cfgen.lm import Layout, Place, check_finite, matrix

COMPONENT = "mlp_neuron"


@dataclass(frozen=True, slots=True)
class NeuronSwap:
    """What is swapped, one neuron at a time.

    Attributes:
        original: Token ids of the prompt that is run.
        counterfactual: Of the one that values come from.
        moves: Position in the original, and that in the counterfactual that it takes its value
            from, for each token.
        neurons: Which neurons.
        layers: Of which layers.
        right: Ids of the tokens any of which is the answer that is followed.
        wrong: Those of its rival.
    """

    original: tuple[int, ...]
    counterfactual: tuple[int, ...]
    moves: tuple[tuple[int, int], ...]
    neurons: tuple[int, ...]
    layers: tuple[int, ...]
    right: tuple[int, ...]
    wrong: tuple[int, ...]

    def exchanged(self) -> NeuronSwap:
        """The same with the prompts exchanged: the counterfactual is run, and the answers stay."""
        moves = tuple((of, to) for to, of in self.moves)
        return replace(
            self, original=self.counterfactual, counterfactual=self.original, moves=moves
        )

    @property
    def tracked(self) -> tuple[int, ...]:
        """Ids of all tokens whose logits are needed, in ascending order."""
        return tuple(sorted({*self.right, *self.wrong}))

    @property
    def first(self) -> int:
        """The first token of the original that is changed."""
        return min(to for to, _ in self.moves)


def neurons_obstacle(layout: Layout) -> str:
    """Why what single neurons add cannot be told behind their block; empty if it can."""
    if not layout.neurons:
        return "its MLP is a mixture of experts, each with neurons of its own"
    if layout.family.norms:
        return "the residual stream itself passes through a norm behind its MLP"
    return ""


def swap_neurons(engine: Engine, asked: NeuronSwap, *, verified: int = 0) -> Tensor:
    """How much the swap of each neuron alone raises the log odds of an answer, exactly.

    Args:
        engine: How runs are executed; a packed one.
        asked: What is swapped.
        verified: How many of the swaps, spread evenly, are run again whole.

    Returns:
        Change of ``log p(right) - log p(wrong)``, in nats, float64 (layers, neurons).

    Raises:
        CfgenError: As :meth:`cfgen.interventions.Engine.outcomes`; a neuron's row does not say
            what it adds (``neurons-not-added``, ``engines-disagree``).
    """
    obstacle = neurons_obstacle(engine.layout)
    if obstacle or not engine.packed:
        message = f"neurons of {engine.lm.name!r} cannot be swapped all at once: "
        message += obstacle or engine.note or "the engine is the reference"
        hint = "leave --guide exact out, or use --guide attribution"
        raise CfgenError(Problem("neurons-not-added", message, hint=hint))
    machine = engine.machine(NOTHING, [asked.tracked])
    run = Run(asked.original)
    with torch.inference_mode():
        changes = _changes(engine, asked)
        schedule = make_schedule(machine.flow, [run], packed=True)
        levels = {layer + 1 for layer in asked.layers}
        whole = run_whole(machine, schedule, [schedule.number[run]], Store(), levels)
        assert whole.foundation is not None
        clean = _log_odds(machine, asked, whole.logits)  # (1,)
        found = torch.zeros(len(asked.layers), len(asked.neurons), dtype=torch.float64)
        for row, layer in enumerate(asked.layers):
            added = _added(machine, asked, layer, *changes[layer])  # (neurons, moves, width)
            if layer + 1 < machine.layout.layers or len(run.prompt) - 1 in dict(asked.moves):
                found[row] = _behind(machine, asked, whole.foundation, layer, added) - clean
    if verified:
        _verify(engine, asked, found + clean, verified)
    return found


def _changes(engine: Engine, asked: NeuronSwap) -> dict[int, tuple[Tensor, Tensor]]:
    """Layer -> activations of all neurons, and by how much those asked for change (moves, ...)."""
    to, of = (tuple(side) for side in zip(*asked.moves, strict=True))
    runs = ((Run(asked.original), to), (Run(asked.counterfactual), of))
    places = [Place(COMPONENT, layer) for layer in asked.layers]
    read = engine.values([Read(run, at, place) for run, at in runs for place in places])
    mine, theirs = read[: len(places)], read[len(places) :]
    chosen = list(asked.neurons)
    return {
        layer: (now, (other - now)[:, chosen])
        for layer, now, other in zip(asked.layers, mine, theirs, strict=True)
    }


def _added(machine: Machine, asked: NeuronSwap, layer: int, now: Tensor, change: Tensor) -> Tensor:
    """By how much each neuron's swap changes the state behind its block (neurons, moves, width).

    Args:
        machine: What runs are executed on.
        asked: What is swapped.
        layer: The block.
        now: Activations of all neurons at the tokens that are changed (moves, all neurons).
        change: By how much those asked for change there (moves, neurons).
    """
    layout, family = machine.layout, machine.layout.family
    down = layout.module(family.down_proj, layer)
    rows = matrix(down)[list(asked.neurons)]  # (neurons, width)
    added = change.T[:, :, None].to(rows) * rows[:, None, :]
    behind = layout.module(family.mlp_out, layer)
    if not family.down_proj.startswith(family.mlp_out):  # a norm of what the MLP gives
        total = down(now.to(rows))  # (moves, width)
        added = behind(total + added) - behind(total)
    return added * layout.factor


def _behind(
    machine: Machine, asked: NeuronSwap, foundation: Foundation, layer: int, added: Tensor
) -> Tensor:
    """Log odds with each neuron of a layer swapped, float64 (neurons,)."""
    level, length = layer + 1, len(asked.original)
    # behind the last block nobody looks at others any more
    first = length - 1 if level == machine.layout.layers else asked.first
    own = list(range(first, length))
    states = foundation.states[level][0, -length:][own]  # (own, width)
    moved = {to: number for number, (to, _) in enumerate(asked.moves)}
    takes = [(at, moved[position]) for at, position in enumerate(own) if position in moved]
    parts, done = [], 0
    while done < len(added):

        def attempt(tokens: int, done: int = done) -> Tensor:
            most = max(1, tokens // len(own))
            some = added[done : done + most]
            entering = states.repeat(len(some), 1, 1)  # (branches, own, width)
            for at, number in takes:
                entering[:, at] += some[:, number]
            return _forward(machine, asked, foundation, level, entering)

        parts.append(within_memory(machine.budget, attempt))
        done += len(parts[-1])
    return torch.cat(parts)


def _forward(
    machine: Machine, asked: NeuronSwap, foundation: Foundation, level: int, entering: Tensor
) -> Tensor:
    """Log odds of branches that enter before a block with these states, float64 (branches,)."""
    layers, device = machine.layout.layers, entering.device
    branches, own, width = entering.shape
    first = len(asked.original) - own
    in_row = max(1, min(branches, ROW_TOKENS // own))
    rows, columns = -(-branches // in_row), in_row * own
    spare = rows * in_row - branches  # the last branch once more, where a row is not full
    entering = torch.cat([entering, entering[-1:].expand(spare, -1, -1)])
    owners = _owners(foundation, first, own, in_row, level, layers)
    seen = {
        (window, count): additive(
            block_mask(owners, foundation.batch, level if count > 1 else 0, count, window)[:, None],
            machine.lm.dtype,
        ).expand(rows, -1, -1, -1)
        for window in {*machine.windows}
        for count in {1, columns}
    }
    mask = seen[machine.windows[0], columns]
    present = (*[1] * level, *[columns] * (layers + 1 - level))
    each = torch.arange(rows * columns)
    entry = Entry(each // columns, each % columns, lambda: entering.reshape(-1, width))
    last = torch.arange(branches) * own + own - 1
    plan = Stepping(
        mask=mask,
        mask_of=lambda layer: seen[machine.windows[layer], present[layer]],
        width=columns,
        present=present,
        entries={level: entry},
        answers=(last // columns, last % columns),
    )
    cache = cache_of(foundation, torch.zeros(rows, dtype=torch.long))
    ids = torch.tensor(asked.original[first:], device=device).repeat(in_row).expand(rows, -1)
    with stepping(machine.layout, plan):
        logits = forward_upon(machine, ids, mask, owners.positions.expand(rows, -1), cache)
    check_finite(logits, machine.lm.model)
    return _log_odds(machine, asked, logits)


def _owners(
    foundation: Foundation, first: int, own: int, in_row: int, level: int, layers: int
) -> Owners:
    """Whose the columns of a row are: one branch after the other, all alike.

    Args:
        foundation: The run that they are computed upon.
        first: The first token of a branch.
        own: How many tokens each has.
        in_row: Branches in a row.
        level: The block at which all of them enter.
        layers: How many there are.
    """
    width, device = foundation.batch.width, foundation.batch.input_ids.device
    columns = torch.arange(in_row * own, device=device)
    replaces = torch.full((in_row + 1, width), layers + 1, device=device)
    replaces[:, foundation.batch.column(0, first) :] = level
    replaces[-1] = 0  # the owner of padding, of which there is none
    return Owners(
        base=torch.zeros(1, dtype=torch.long, device=device),
        owner=(columns // own)[None],
        positions=(columns % own + first)[None],
        levels=torch.full((1, in_row * own), level, device=device),
        replaces=replaces,
        never=layers + 1,
    )


def _log_odds(machine: Machine, asked: NeuronSwap, logits: Tensor) -> Tensor:
    """Of rows of logits (rows, projected tokens), float64 on the CPU (rows,)."""
    return machine.head.log_odds(logits.double().cpu(), asked.right, asked.wrong)


def _verify(engine: Engine, asked: NeuronSwap, found: Tensor, count: int) -> None:
    """Run some of the swaps again, whole.

    Args:
        engine: How runs are executed.
        asked: What is swapped.
        found: The log odds (layers, neurons).
        count: How many.
    """
    to, of = (tuple(side) for side in zip(*asked.moves, strict=True))
    copy = Copy(Run(asked.counterfactual), of)
    step = max(1, found.numel() // count)
    chosen = [divmod(n, len(asked.neurons)) for n in range(step // 2, found.numel(), step)][:count]
    runs = [
        Run(
            asked.original,
            (Edit(Place(COMPONENT, asked.layers[row], neurons=(asked.neurons[n],)), to, copy),),
        )
        for row, n in chosen
    ]
    whole = replace(engine, name="reference")
    logits = whole.outcomes(runs, [asked.tracked] * len(runs), NOTHING).logits.double()
    expected = Head(asked.tracked).log_odds(logits, asked.right, asked.wrong)  # (runs,)
    for (row, n), one in zip(chosen, expected.tolist(), strict=True):
        off = abs(one - float(found[row, n]))
        if off > TOLERANCE[engine.lm.dtype] * max(1.0, abs(one)):
            message = (
                f"neuron {asked.neurons[n]} of layer {asked.layers[row]}, swapped behind its block "
                f"and whole, gives log odds that differ by {off:.2g}"
            )
            hint = "leave --guide exact out, and please report this LM"
            raise CfgenError(Problem("engines-disagree", message, hint=hint))
