"""What all tools are given, as plain data, and what they give back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

HEAD = "head_out"
PATTERN = "attn_pattern"
COMPONENTS = ("resid_post", HEAD, PATTERN)
"""The residual stream after a block; one head's part of the input of the output projection; the
weights of the attention."""
KINDS = ("interchange", "restoration", "knockout", "direct")
"""What the cells of a job are, see :mod:`sweeps.runs`."""
WINDOW = 9
"""Blocks in which a knockout hides keys at once."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One intervention, made in every pair.

    Attributes:
        component: One of ``COMPONENTS``.
        layer: Block, from 0; of a knockout the one in the middle of the window.
        head: Query head of ``head_out``, else None.
        to: Per pair the position in the original that is overwritten; of a direct effect, which
            overwrites all, the last.
        of: Per pair the position in the other run that the value comes from.
        keys: Per pair the positions that a knockout hides; empty for other kinds.
    """

    component: str
    layer: int
    head: int | None
    to: tuple[int, ...]
    of: tuple[int, ...]
    keys: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """One sweep.

    Attributes:
        workload: Its letter.
        variant: Which of several jobs of that workload, such as ``length 100``; may be empty.
        about: What is swept, in words.
        model: Name of the model.
        originals: Token ids per pair.
        counterfactuals: Token ids per pair.
        tracked: Per pair the tokens whose logits are compared, as many for each pair.
        cells: The interventions.
        batch: Pairs in one forward of the tools that run pairs in batches.
        kind: One of ``KINDS``.
        noisy: Per pair the positions of the original that have noise, where cells restore it.
    """

    workload: str
    variant: str
    about: str
    model: str
    originals: tuple[tuple[int, ...], ...]
    counterfactuals: tuple[tuple[int, ...], ...]
    tracked: tuple[tuple[int, ...], ...]
    cells: tuple[Cell, ...]
    batch: int
    kind: str = "interchange"
    noisy: tuple[tuple[int, ...], ...] = ()

    @property
    def title(self) -> str:
        """Workload and variant."""
        return f"{self.workload} {self.variant}".strip()

    def with_cells(self, chosen: Sequence[int]) -> Job:
        """The same pairs, with some of the cells."""
        return replace(self, cells=tuple(self.cells[index] for index in chosen))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one tool found.

    Attributes:
        tokens: The likeliest next token after each prompt (pairs, cells).
        logits: Of the tracked tokens, float32 (pairs, cells, tracked).
        notes: What the tool tells about its work.
    """

    tokens: Tensor
    logits: Tensor
    notes: dict[str, Any] = field(default_factory=dict)


class Collector:
    """Gathers an outcome cell by cell."""

    def __init__(self, job: Job) -> None:
        shape = len(job.originals), len(job.cells)
        self.tracked = torch.tensor(job.tracked)  # (pairs, tracked)
        self.tokens = torch.full(shape, -1, dtype=torch.long)
        self.logits = torch.full((*shape, self.tracked.shape[1]), float("nan"))

    def put(self, pairs: Sequence[int], cell: int, logits: Tensor) -> None:
        """Read off the logits after the last token.

        Args:
            pairs: Which pairs.
            cell: Which cell.
            logits: (pairs, vocabulary).
        """
        tracked = self.tracked[list(pairs)].to(logits.device)  # (pairs, tracked)
        self.note(pairs, cell, logits.argmax(dim=-1), logits.gather(-1, tracked))

    def note(
        self, pairs: Sequence[int], cells: int | slice, tokens: Tensor, logits: Tensor
    ) -> None:
        """Note what is known of some pairs, in one cell or all.

        Args:
            pairs: Which pairs.
            cells: Which cells.
            tokens: (pairs) or (pairs, cells).
            logits: Of the tracked tokens (pairs, tracked) or (pairs, cells, tracked).
        """
        self.tokens[list(pairs), cells] = tokens.cpu()
        self.logits[list(pairs), cells] = logits.float().cpu()

    def done(self, **notes: Any) -> Outcome:
        """The outcome, once every cell of every pair is there."""
        if bool((self.tokens < 0).any()):
            raise RuntimeError("the tool left cells out")
        return Outcome(self.tokens, self.logits, notes)


def window_of(cell: Cell, layers: int) -> range:
    """The blocks in which a knockout hides keys."""
    half = WINDOW // 2
    return range(max(0, cell.layer - half), min(layers, cell.layer + half + 1))


def write_job(job: Job, path: Path) -> None:
    path.write_text(json.dumps(asdict(job)))


def read_job(path: Path) -> Job:
    held = json.loads(path.read_text())
    cells = tuple(Cell(**{name: _frozen(part) for name, part in c.items()}) for c in held["cells"])
    return Job(**{**{name: _frozen(part) for name, part in held.items()}, "cells": cells})


def _frozen(part: Any) -> Any:
    """Lists as tuples."""
    return tuple(_frozen(one) for one in part) if isinstance(part, list) else part
