"""What the packed engine checks of its own work: its outcomes, and masks in the kernel that ran.

Which runs are executed again follows from what is executed, and not from what was before.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice

import torch
from torch import Tensor

from cfgen.errors import CfgenError, Problem
from cfgen.interventions.execution import Execution
from cfgen.interventions.language import Edit, Read, Run
from cfgen.interventions.outcomes import disagreement
from cfgen.interventions.question import NOTHING, Question
from cfgen.interventions.readout import Head
from cfgen.interventions.validity import shown
from cfgen.interventions.values import Add, Block
from cfgen.interventions.whole import Machine
from cfgen.lm import Place


def draw(runs: Sequence[Run], size: int) -> list[int]:
    """Which runs are executed again: drawn at random, but the same for the same runs."""
    edited = [index for index, run in enumerate(runs) if run.edits]
    seed = f"{len(runs)} {runs[0].prompt if runs else ''}"
    return sorted(random.Random(seed).sample(edited, min(size, len(edited))))


def verify(machine: Machine, runs: Sequence[Run], rows: Mapping[Run, Tensor]) -> None:
    """Execute runs again, whole: the same must come out.

    Args:
        machine: What they were executed on.
        runs: The runs.
        rows: All logits of each that were projected (projected tokens,).

    Raises:
        CfgenError: Another outcome came out (``engines-disagree``).
    """
    if not runs:
        return
    reference = replace(machine, packed=False, head=Head(None))
    again, _ = Execution(reference, Question(vocabulary=True)).outcomes(runs, [()] * len(runs))
    assert again.vocabulary is not None
    for run, logits in zip(runs, again.vocabulary, strict=True):
        got = rows[run]
        expected = logits[
            machine.head.columns(machine.head.tokens or range(len(logits)), len(logits))
        ]
        off = disagreement(expected[None], got[None], machine.lm.dtype)
        if off:
            message = (
                f"the packed engine gives another outcome than the reference: logits differ {off} "
                f"({shown(run)})"
            )
            hint = "run with --engine reference, and please report this LM"
            detail = machine.lm.tokenizer.decode(list(run.prompt))
            raise CfgenError(Problem("engines-disagree", message, hint=hint, detail=detail))


STRONG = 100.0
"""What is added to the value of a blocked key: far more than any value has."""
TRIED = 8
"""How many blocked keys are looked at until one is found that would have been seen."""
LEAK = 0.05
"""Which share of what it does to a token that sees the key is more than rounding."""


def check_blocking(machine: Machine, runs: Sequence[Run]) -> int:
    """Check that a blocked key is not looked at, in the very kernel that computes runs.

    Some fused kernels ignore a mask, or that it differs between heads, without a word. So the value
    of a blocked key is changed by much, for one of the runs: what the heads that may not look at it
    give must stay the same, and must not where nothing is blocked.

    Args:
        machine: What runs are executed on.
        runs: The runs.

    Returns:
        How many blocked keys were tried: one, or none if no run blocks any.

    Raises:
        CfgenError: The key is looked at (``block-not-kept``).
    """
    blocks = ((r, edit) for r in runs for edit in r.edits if isinstance(edit.value, Block))
    tried = list(islice(blocks, TRIED))
    reads = [Read(Run(run.prompt), (max(edit.positions),), edit.place) for run, edit in tried]
    patterns = Execution(machine, NOTHING).values(reads) if reads else []
    for (run, edit), pattern in zip(tried, patterns, strict=True):
        assert isinstance(edit.value, Block)
        weights = pattern[0] if edit.place.head is not None else pattern[0].mean(dim=0)  # (keys,)
        key = edit.value.keys[int(weights[list(edit.value.keys)].argmax())]
        if float(weights[key]):  # else it is out of the window, or behind who looks
            _check_block(machine, run, edit, key)
            return 1
    return 0


def _check_block(machine: Machine, run: Run, edit: Edit, key: int) -> None:
    layer, head, looking = edit.place.layer, edit.place.head, max(edit.positions)
    clean, blocked = Run(run.prompt), Run(run.prompt, (edit,))
    shape = machine.layout.shape_of(Place("v", layer), len(run.prompt))
    strong = Edit(Place("v", layer), (key,), Add(torch.full((1, *shape), STRONG)))
    outputs = Place("head_out", layer, head)
    of = (clean, clean.with_(strong), blocked, Run(run.prompt, (edit, strong)))
    seen = Execution(machine, NOTHING).values([Read(one, (looking,), outputs) for one in of])
    free, kept = ((one - other).abs().max() for one, other in (seen[:2], seen[2:]))
    if float(kept) > LEAK * float(free):
        message = (
            f"token {looking} looks at token {key}, which is blocked for it, in layer {layer} "
            f"({shown(run)})"
        )
        hint = 'run with --engine reference, or load the LM with attn_implementation="eager"'
        raise CfgenError(Problem("block-not-kept", message, hint=hint))
