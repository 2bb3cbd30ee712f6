"""How fast this machine could be, measured in the process that is measured.

Two rates. The one is that of a matrix product, which no LM reaches. The other is that of the LM
itself: the tool's calls of blocks and of the head, each priced as a plain forward of as many tokens
prices it. A plain forward has no hooks, no cache and the usual mask; its rows are as long as the
prompts, one row or several for as many tokens as the call had, and sizes in between are
interpolated. What is left is what a tool spends on other things than blocks, and on longer keys.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from cfgen.lm import LM, Layout

ROWS = 512
SECONDS = 1.0
"""How long the rate of a matrix product is measured."""
REPEATS = 3


@dataclass(frozen=True, slots=True)
class Calls:
    """What went through blocks and head.

    Attributes:
        blocks: Tokens of a call of a block -> how often there was one of so many.
        head: Likewise of calls of the head.
    """

    blocks: Mapping[int, int]
    head: Mapping[int, int]

    @property
    def passes(self) -> int:
        """Tokens x blocks."""
        return sum(tokens * times for tokens, times in self.blocks.items())


Clock = Callable[[], float]
"""Seconds, of whichever kind the tool's time is."""


def matmul_rate(lm: LM, layout: Layout) -> float:
    """FLOPs per second of a matrix product of the MLP's shape with 512 rows, the best of many."""
    given = torch.randn(ROWS, layout.width, dtype=lm.dtype, device=lm.device)
    matrix = torch.randn(layout.neurons, layout.width, dtype=lm.dtype, device=lm.device)
    with torch.inference_mode():
        _product(given, matrix)
        best, end = _product(given, matrix), time.perf_counter() + SECONDS
        while time.perf_counter() < end:
            best = min(best, _product(given, matrix))
    return 2 * ROWS * layout.width * layout.neurons / best


def _product(given: Tensor, matrix: Tensor) -> float:
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


def plain_seconds(lm: LM, layout: Layout, calls: Calls, length: int, clock: Clock) -> float:
    """How long the same calls of blocks and head take in plain forwards.

    Args:
        lm: The LM.
        layout: Where everything is in it.
        calls: What a tool called.
        length: Tokens of a row of the plain forwards.
        clock: What the tool's time was measured with.

    Returns:
        Seconds.
    """
    head = _prices(calls.head, lambda rows: _head(lm, layout, rows, clock))
    whole = _prices(calls.blocks, lambda tokens: _plain(lm, tokens, length, clock))

    def block(tokens: int) -> float:
        rows = max(1, tokens // length)
        of_head = _price(head, rows) if head else 0.0
        return max(0.0, _price(whole, tokens) - of_head) / layout.layers

    of_blocks = sum(times * block(tokens) for tokens, times in calls.blocks.items())
    return of_blocks + sum(times * _price(head, rows) for rows, times in calls.head.items())


def _prices(sizes: Mapping[int, int], measure: Callable[[int], float]) -> list[tuple[int, float]]:
    """Size and seconds, for powers of two from the smallest of some sizes to the largest."""
    if not sizes:
        return []
    size, most = min(sizes), max(sizes)
    grid = []
    while size < most:
        grid.append(size)
        size *= 2
    return [(size, measure(size)) for size in (*grid, most)]


def _price(prices: Sequence[tuple[int, float]], size: int) -> float:
    """Seconds for a size, between those that were measured; proportional beyond them."""
    for (less, cheap), (more, dear) in pairwise(prices):
        if less <= size <= more:
            return cheap + (dear - cheap) * (size - less) / (more - less)
    nearest, seconds = prices[0] if size < prices[0][0] else prices[-1]
    return seconds * size / nearest


def _plain(lm: LM, tokens: int, length: int, clock: Clock) -> float:
    """Seconds of a plain forward of so many tokens, in rows as long as prompts."""
    rows = max(1, round(tokens / length))
    columns = min(tokens, length)
    ids = torch.zeros(rows, columns, dtype=torch.long, device=lm.device)
    model: Any = lm.model
    seconds = _best(lambda: model(input_ids=ids, use_cache=False, logits_to_keep=1), lm, clock)
    return seconds * tokens / (rows * columns)


def _head(lm: LM, layout: Layout, rows: int, clock: Clock) -> float:
    """Seconds of the head for some tokens."""
    head: Any = lm.model.get_output_embeddings()
    hidden = torch.randn(rows, layout.width, dtype=lm.dtype, device=lm.device)
    return _best(lambda: head(hidden), lm, clock)


def _best(call: Callable[[], Any], lm: LM, clock: Clock) -> float:
    """The shortest of a few, behind a warm-up."""

    def once() -> float:
        wait(lm)
        start = clock()
        call()
        wait(lm)
        return clock() - start

    with torch.inference_mode():
        once()
        return min(once() for _ in range(REPEATS))


def wait(lm: LM) -> None:
    """Wait for the GPU, if there is one."""
    if lm.device.type == "cuda":
        torch.cuda.synchronize(lm.device)


def counted(sizes: Sequence[int]) -> dict[int, int]:
    """How often there was each size."""
    return dict(Counter(sizes))
