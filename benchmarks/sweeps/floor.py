"""The least that a sweep costs: FLOPs that can't be saved, at the machine's own matmul rate.

Counted are the unchanged runs of both prompts, and per cell every token from the edited one on,
through every block above the edit (for a head also the rest of its own block, for that token), and
the head of the model for the last token. FLOPs of a token in a block: two for each weight of its
matrices, and four for each query number and each token that it attends to.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from cfgen.lm import LM, Layout
from sweeps.jobs import Cell, Job

ROWS = 512
SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Floor:
    """The least a job costs on this machine.

    Attributes:
        tokens: Tokens that must be computed; one that passes half of the blocks is half a one.
        flops: Floating point operations that this takes.
        rate: Operations per second of a matrix product of the MLP's shape.
    """

    tokens: float
    flops: float
    rate: float

    @property
    def seconds(self) -> float:
        """The least time."""
        return self.flops / self.rate


def find_floor(lm: LM, layout: Layout, job: Job) -> Floor:
    """Count the work of a job, and measure the rate at which it could be done."""
    block = layout.blocks[0]
    weights = _weights(block)
    inside = 2 * weights, 4 * layout.heads * layout.head_width
    after = 2 * (weights - _weights(block, "q_proj", "k_proj", "v_proj"))
    vocabulary = 2 * layout.width * int(lm.model.config.vocab_size)
    passed, flops = 0, 0.0  # passed: tokens times blocks
    for prompt in (*job.originals, *job.counterfactuals):
        passed += layout.layers * len(prompt)
        flops += layout.layers * _suffix(0, len(prompt), inside)
    for cell in job.cells:
        for prompt, start in zip(job.originals, cell.to, strict=True):
            above = layout.layers - 1 - cell.layer
            passed += above * (len(prompt) - start)
            flops += above * _suffix(start, len(prompt), inside)
            flops += after * (cell.head is not None)
            flops += vocabulary * _matters(cell, start, len(prompt), above)
    return Floor(passed / layout.layers, flops, _rate(lm, layout))


def _matters(cell: Cell, start: int, length: int, above: int) -> bool:
    """Whether the last token's logits can change at all."""
    return above > 0 or start == length - 1


def _suffix(start: int, length: int, inside: tuple[int, int]) -> float:
    """FLOPs of the tokens from ``start`` on in one block, each attending to all up to itself."""
    tokens = length - start
    attended = (start + 1 + length) * tokens / 2
    return inside[0] * tokens + inside[1] * attended


def _weights(block: nn.Module, *names: str) -> int:
    """Weights of a block's matrices; of those with one of these names, if any are given."""
    return sum(
        module.weight.numel()
        for name, module in block.named_modules()
        if isinstance(module, nn.Linear) and (not names or name.rpartition(".")[2] in names)
    )


def _rate(lm: LM, layout: Layout) -> float:
    """FLOPs per second of a matrix product of the MLP's shape, the best of many."""
    given = torch.randn(ROWS, layout.width, dtype=lm.dtype, device=lm.device)
    matrix = torch.randn(layout.neurons, layout.width, dtype=lm.dtype, device=lm.device)
    with torch.inference_mode():
        _timed(given, matrix)
        best, end = _timed(given, matrix), time.perf_counter() + SECONDS
        while time.perf_counter() < end:
            best = min(best, _timed(given, matrix))
    return 2 * ROWS * layout.width * layout.neurons / best


def _timed(given: Tensor, matrix: Tensor) -> float:
    """Seconds of one product; on a GPU the mean of many, as a launch is far shorter than one."""
    times = 50 if given.is_cuda else 1
    if given.is_cuda:
        torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(times):
        functional.linear(given, matrix)
    if given.is_cuda:
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / times
