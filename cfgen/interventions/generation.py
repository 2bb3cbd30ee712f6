"""Generation: how an LM goes on after runs, the likeliest token each time.

The prompt of a run goes through the LM once, with its edits, and keys and values are kept; then
token by token goes on upon these. Edits are made in the prompt only, or at every token that is
generated as well: then each writes there what it writes at its last token.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from cfgen.errors import CfgenError, Problem
from cfgen.interventions.engine import Engine
from cfgen.interventions.execution import Execution
from cfgen.interventions.forward import Passage, check_expected, passing
from cfgen.interventions.language import Edit, Run
from cfgen.interventions.outcomes import Cost, Work, most_likely
from cfgen.interventions.packed import cache_of
from cfgen.interventions.question import NOTHING
from cfgen.interventions.schedule import make_schedule
from cfgen.interventions.store import Store
from cfgen.interventions.traffic import Lane, plan_traffic
from cfgen.interventions.whole import Foundation, Machine
from cfgen.lm import LM, check_finite, check_prompts

SAID = replace(NOTHING, said=True)
TOGETHER = 4
"""Batches whose keys and values are kept at once."""

Tokens = tuple[int, ...]


def continue_runs(
    engine: Engine, runs: Sequence[Run], count: int, *, always: bool
) -> tuple[list[Tokens], Work]:
    """Let the LM go on after runs, greedily.

    Prompts are executed whole, as on the reference engine, whichever is given.

    Args:
        engine: How runs are executed.
        runs: The runs.
        count: How many tokens are generated at most: it ends where the LM ends its text.
        always: Whether edits are made at every generated token, too.

    Returns:
        The generated tokens of each run, without what ends a text, and what that took.

    Raises:
        CfgenError: As :meth:`Engine.outcomes`; or an edit does not say what it would write at a
            token that is generated (``edit-ends-with-prompt``).
    """
    for edit in (edit for run in runs for edit in run.edits if always):
        if edit.value.further is None:
            raise CfgenError(_ends(edit))
    check_prompts(engine.lm, engine.facts, dict(enumerate(run.prompt for run in runs)), count)
    machine = replace(engine, name="reference").machine(SAID)
    found: list[Tokens] = []
    work = Work()
    size = TOGETHER * engine.batch_size
    for start in range(0, len(runs), size):
        some = list(dict.fromkeys(runs[start : start + size]))  # equal runs are executed once
        execution = Execution(machine, SAID, cached=True)
        outcomes, _ = execution.outcomes(some, [()] * len(some))
        assert outcomes.said is not None
        work += outcomes.work
        said: dict[Run, Tokens] = {
            run: (token,) for run, token in zip(some, outcomes.said.tolist(), strict=True)
        }
        numbers = {execution.schedule.number[run]: run for run in some}
        for foundation in execution.foundations:
            rows = {row: numbers[n] for n, row in foundation.row_of.items() if n in numbers}
            if rows and count > 1:
                work += _go_on(machine, foundation, rows, said, count, always=always)
        ends = _ends_of(engine.lm)
        found += [_cut(said[run], ends) for run in runs[start : start + size]]
    return found, work


def _go_on(
    machine: Machine,
    foundation: Foundation,
    rows: dict[int, Run],
    said: dict[Run, Tokens],
    count: int,
    *,
    always: bool,
) -> Work:
    """Generate token by token, and add what is said to what was said before.

    Args:
        machine: What runs are executed on.
        foundation: Keys and values of their prompts.
        rows: Row -> the run.
        said: Run -> what was generated so far: one token.
        count: How many there are to be.
        always: Whether edits are made at these tokens.
    """
    ends, layers = _ends_of(machine.lm), machine.layout.layers
    batch = foundation.batch
    cache = cache_of(foundation, torch.arange(len(batch.lengths)))
    mask, lengths = batch.attention_mask, torch.tensor(batch.lengths, device=machine.lm.device)
    work = Work()
    for step in range(count - 1):
        open_rows = [row for row, run in rows.items() if not ends & {*said[run]}]
        if not open_rows:
            break
        tokens = [[said[rows[row]][-1] if row in rows else 0] for row in range(len(batch.lengths))]
        input_ids = torch.tensor(tokens, device=machine.lm.device)  # (rows, 1)
        mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)  # (rows, columns so far)
        edits = [(row, _further(rows[row], said[rows[row]])) for row in open_rows if always]
        logits, made = _step(machine, input_ids, mask, (lengths + step)[:, None], cache, edits)
        check_finite(logits[open_rows], machine.lm.model, None)
        likeliest = most_likely(logits).tolist()
        for row in rows:  # those that have ended go on unheard, as the others do not see them
            said[rows[row]] += (likeliest[row],)
        work += Work(edited=Cost(1, len(tokens) * layers, len(open_rows) * layers, made))
    return work


def _further(run: Run, generated: Tokens) -> Run:
    """A run whose prompt has what was generated, with its edits at the last token of that."""
    at = len(run.prompt) + len(generated) - 1
    edits = []
    for edit in run.edits:
        assert edit.value.further is not None
        edits.append(replace(edit, positions=(at,), value=edit.value.further))
    return Run((*run.prompt, *generated), tuple(edits))


def _step(
    machine: Machine,
    input_ids: Tensor,
    mask: Tensor,
    positions: Tensor,
    cache: DynamicCache,
    edited: Sequence[tuple[int, Run]],
) -> tuple[Tensor, int]:
    """One token of every row through the LM.

    Args:
        machine: What it is executed on.
        input_ids: The tokens (rows, 1).
        mask: 1 for a token, 0 for padding (rows, columns so far).
        positions: Position of each in its text (rows, 1).
        cache: Keys and values of what comes before; takes those of these tokens.
        edited: Rows with the run whose edits are made at the token.

    Returns:
        Logits (rows, vocabulary), float32, and how many tokens were written.
    """
    model: Any = machine.lm.model
    known = inspect.signature(model.forward).parameters
    optional = {"position_ids": positions} if "position_ids" in known else {}
    passage = Passage()
    schedule = make_schedule(machine.flow, [run for _, run in edited], packed=False)
    width = mask.shape[1]
    lanes = []
    for row, run in edited:
        first, last = width - len(run.prompt), len(run.prompt) - 1
        keys = range(first, width)
        lanes.append(Lane(schedule.number[run], row, {last: 0}, lambda layer, keys=keys: keys))  # type: ignore[misc]
    store = Store()
    traffic = plan_traffic(schedule, lanes, store)
    check_expected(input_ids, traffic)
    with torch.no_grad(), passing(machine.layout, traffic, store, passage):
        output = model(
            input_ids=input_ids,
            attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
            **optional,
        )
    return output.logits[:, -1].float(), passage.edits


def _ends_of(lm: LM) -> frozenset[int]:
    """The tokens with which the LM ends a text."""
    model: Any = lm.model
    settings = getattr(model, "generation_config", None)
    found = getattr(settings, "eos_token_id", None)
    if found is None:
        found = getattr(model.config, "eos_token_id", None)
    return frozenset([found] if isinstance(found, int) else found or ())


def _cut(tokens: Tokens, ends: Collection[int]) -> Tokens:
    """Tokens up to the first that ends a text."""
    return next((tokens[:n] for n, token in enumerate(tokens) if token in ends), tokens)


def _ends(edit: Edit) -> Problem:
    kind = type(edit.value).__name__
    message = f"{kind} at {edit.place} does not say what is written at tokens that are generated"
    hint = "make the edits in the prompt only, or write numbers that are given"
    return Problem("edit-ends-with-prompt", message, hint=hint)
