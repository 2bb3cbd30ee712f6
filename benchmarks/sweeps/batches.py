"""Pairs in padded batches, for the tools that leave batching to their users."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cfgen.lm import LM
from sweeps.jobs import Cell, Job
from sweeps.runs import make_noise

Inputs = dict[str, Any]
"""Arguments of the model's forward."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some pairs, padded on the left, so that every last token is in the last column.

    Attributes:
        pairs: Which pairs, one per row.
        original: The originals.
        source: The counterfactuals.
        rows: 0, 1, ... (rows,), on the model's device.
        shifts: Per row how far it is padded, in the original and in the source.
    """

    pairs: tuple[int, ...]
    original: Inputs
    source: Inputs
    rows: Tensor
    shifts: tuple[tuple[int, ...], tuple[int, ...]]

    @property
    def width(self) -> int:
        """How many columns the originals have."""
        width: int = self.original["input_ids"].shape[1]
        return width

    def to(self, cell: Cell) -> list[int]:
        """Columns that a cell overwrites (rows,)."""
        return [cell.to[p] + shift for p, shift in zip(self.pairs, self.shifts[0], strict=True)]

    def of(self, cell: Cell) -> list[int]:
        """Columns of the source that a cell reads (rows,)."""
        return [cell.of[p] + shift for p, shift in zip(self.pairs, self.shifts[1], strict=True)]

    def noise(self, lm: LM, job: Job) -> tuple[Tensor, Tensor, Tensor]:
        """Noise on embeddings: rows and columns of tokens, and what is added (tokens, width)."""
        rows, columns, added = [], [], []
        for row, (pair, shift) in enumerate(zip(self.pairs, self.shifts[0], strict=True)):
            rows += [row] * len(job.noisy[pair])
            columns += [position + shift for position in job.noisy[pair]]
            added.append(make_noise(lm.model, len(job.noisy[pair]), pair))
        return torch.tensor(rows), torch.tensor(columns), torch.cat(added)

    def everywhere(self, lm: LM, job: Job) -> Tensor:
        """The same noise with zeros at all other tokens (rows, columns, width)."""
        rows, columns, added = self.noise(lm, job)
        found = added.new_zeros(len(self.pairs), self.width, added.shape[1])
        found[rows, columns] = added
        return found

    def hidden(self, cell: Cell) -> Tensor:
        """Which weights a knockout hides (rows, columns that look, columns)."""
        hidden = torch.zeros(len(self.pairs), self.width, self.width, dtype=torch.bool)
        for row, (pair, shift) in enumerate(zip(self.pairs, self.shifts[0], strict=True)):
            hidden[row, cell.to[pair] + shift, [key + shift for key in cell.keys[pair]]] = True
        return hidden


def batches(lm: LM, job: Job) -> Iterator[Batch]:
    """The pairs of a job, shortest first, ``job.batch`` at a time."""
    order = sorted(range(len(job.originals)), key=lambda pair: len(job.originals[pair]))
    for start in range(0, len(order), job.batch):
        pairs = tuple(order[start : start + job.batch])
        original, first = _pad(lm, [job.originals[pair] for pair in pairs])
        source, second = _pad(lm, [job.counterfactuals[pair] for pair in pairs])
        rows = torch.arange(len(pairs), device=lm.device)
        yield Batch(pairs, original, source, rows, (first, second))


def _pad(lm: LM, prompts: Sequence[Sequence[int]]) -> tuple[Inputs, tuple[int, ...]]:
    width = max(map(len, prompts))
    shifts = tuple(width - len(prompt) for prompt in prompts)
    ids = [[0] * shift + list(prompt) for shift, prompt in zip(shifts, prompts, strict=True)]
    mask = [[0] * shift + [1] * (width - shift) for shift in shifts]
    attention_mask = torch.tensor(mask, device=lm.device)  # (rows, columns)
    inputs = {
        "input_ids": torch.tensor(ids, device=lm.device),
        "attention_mask": attention_mask,
        "position_ids": (attention_mask.cumsum(-1) - 1).clamp(min=0),
        "logits_to_keep": 1,
        "use_cache": False,
    }
    return inputs, shifts
