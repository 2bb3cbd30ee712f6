"""The least that a sweep costs: work that can't be saved, counted in FLOPs and in tokens x blocks.

Counted are the unchanged runs, of the counterfactual from the first token on that is another; of a
restoration the corrupted run, from the first noisy token on; and per cell what can differ from them
and leads to the answer:

- ``interchange``: every token from the edited one on, through every block above the edit; in the
  last block the last token, and of the others what it sees of them, keys and values; where that is
  the first block above the edit, of the edited token only. For a head also the rest of its own
  block, for that token. Nothing where both prompts are the same up to that token.
- ``restoration``: the same, from the restored token on; nothing where that is before the noise.
- ``knockout``: the last token, from the first block of the window on; in that one without queries,
  keys and values, and without attention in the window.
- ``direct``: the last token: the rest of the head's block, and the MLPs above.

And the head of the model for the last token, where that can change. FLOPs of a token in a block:
two for each weight of its matrices, and four for each query number and each token that it attends
to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile

from torch import nn

from cfgen.lm import LM, Layout
from sweeps.jobs import Cell, Job
from sweeps.runs import window_of


@dataclass(frozen=True, slots=True)
class Floor:
    """The least a job costs.

    Attributes:
        tokens: Tokens that must be computed; one that passes half of the blocks is half a one.
        flops: Floating point operations that this takes.
    """

    tokens: float
    flops: float


@dataclass(frozen=True, slots=True)
class BlockCost:
    """FLOPs of one token in one block.

    Attributes:
        whole: All of its matrices.
        after: Those behind the attention.
        mlp: Those of the MLP.
        keys: Those that make keys and values.
        each: For each token that it attends to.
    """

    whole: int
    after: int
    mlp: int
    keys: int
    each: int

    def suffix(self, start: int, length: int) -> float:
        """The tokens of a prompt from ``start`` on, each attending to all up to itself."""
        tokens = length - start
        return self.whole * tokens + self.each * (start + 1 + length) * tokens / 2


@dataclass(frozen=True, slots=True)
class Least:
    """What one cell takes in one pair.

    Attributes:
        passes: Tokens x blocks.
        flops: Operations in blocks.
        answers: Whether the answer can change at all.
    """

    passes: int = 0
    flops: float = 0.0
    answers: bool = False


def find_floor(lm: LM, layout: Layout, job: Job) -> Floor:
    """Count the work of a job."""
    first = layout.blocks[0]
    block = BlockCost(
        whole=2 * _weights(first),
        after=2 * (_weights(first) - _weights(first, "q_proj", "k_proj", "v_proj")),
        mlp=2 * _weights(first, "gate_proj", "up_proj", "down_proj"),
        keys=2 * _weights(first, "k_proj", "v_proj"),
        each=4 * layout.heads * layout.head_width,
    )
    vocabulary = 2 * layout.width * int(lm.model.config.vocab_size)
    least = _LEAST[job.kind]
    passes, flops = 0, 0.0
    for length, start in _unchanged(job):
        passes += layout.layers * (length - start)
        flops += layout.layers * block.suffix(start, length)
    for pair in range(len(job.originals)):
        for cell in job.cells:
            found = least(job, cell, pair, block, layout.layers)
            passes += found.passes
            flops += found.flops + vocabulary * found.answers
    return Floor(passes / layout.layers, flops)


def _unchanged(job: Job) -> list[tuple[int, int]]:
    """Length, and the first token that counts, of the runs that cells are computed upon."""
    runs = [(len(prompt), 0) for prompt in job.originals]
    if job.kind in ("interchange", "direct"):
        for pair, prompt in enumerate(job.counterfactuals):
            runs.append((len(prompt), _common(job, pair)))
    for prompt, noisy in zip(job.originals, job.noisy, strict=False):
        runs.append((len(prompt), min(noisy)))
    return runs


def _common(job: Job, pair: int) -> int:
    """How many tokens both prompts of a pair begin with."""
    couples = zip(job.originals[pair], job.counterfactuals[pair], strict=False)
    return sum(1 for _ in takewhile(lambda couple: couple[0] == couple[1], couples))


def _interchange(job: Job, cell: Cell, pair: int, block: BlockCost, layers: int) -> Least:
    if cell.to[pair] == cell.of[pair] < _common(job, pair):
        return Least()
    return _behind(job, cell, pair, block, layers)


def _behind(job: Job, cell: Cell, pair: int, block: BlockCost, layers: int) -> Least:
    length, start, above = len(job.originals[pair]), cell.to[pair], layers - 1 - cell.layer
    flops: float = block.after * (cell.head is not None)
    if not above:
        return Least(0, flops, start == length - 1)
    others = min(1, length - 1 - start) if above == 1 else length - 1 - start
    flops += (above - 1) * block.suffix(start, length)
    flops += block.suffix(length - 1, length) + others * block.keys
    return Least((above - 1) * (length - start) + others + 1, flops, True)


def _restoration(job: Job, cell: Cell, pair: int, block: BlockCost, layers: int) -> Least:
    if cell.to[pair] < min(job.noisy[pair]):
        return Least()
    return _behind(job, cell, pair, block, layers)


def _knockout(job: Job, cell: Cell, pair: int, block: BlockCost, layers: int) -> Least:
    window, length = window_of(cell, layers), len(job.originals[pair])
    passes, behind = layers - window.start, layers - window.stop
    flops = block.after + (passes - 1) * block.whole + behind * block.each * length
    return Least(passes, flops, True)


def _direct(_job: Job, cell: Cell, _pair: int, block: BlockCost, layers: int) -> Least:
    above = layers - 1 - cell.layer
    return Least(above, block.after + above * block.mlp, True)


_LEAST: dict[str, Callable[[Job, Cell, int, BlockCost, int], Least]] = {
    "interchange": _interchange,
    "restoration": _restoration,
    "knockout": _knockout,
    "direct": _direct,
}


def _weights(block: nn.Module, *names: str) -> int:
    """Weights of a block's matrices; of those with one of these names, if any are given."""
    return sum(
        module.weight.numel()
        for name, module in block.named_modules()
        if isinstance(module, nn.Linear) and (not names or name.rpartition(".")[2] in names)
    )
