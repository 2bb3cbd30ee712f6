"""The reference engine: plain forward hooks, one forward per intervention, no cleverness.

A forward runs a whole batch of prompts through the whole LM; a hook on a block overwrites chosen
tokens of its output. Nothing is reused between layers, so that it is easy to see that it is right.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cfgen.errors import CfgenError, Problem
from cfgen.interventions.batches import Batch, make_batch
from cfgen.interventions.swaps import Swap
from cfgen.lm.load import LM
from cfgen.lm.sites import decoder_blocks, read_residual, replace_residual


@dataclass(frozen=True, slots=True)
class Edit:
    """Overwrite tokens of the residual stream after one block, in one forward.

    Attributes:
        layer: After which block.
        rows: Row of each token (tokens,).
        columns: Column of each token (tokens,).
        values: What to write (tokens, hidden).
    """

    layer: int
    rows: Tensor
    columns: Tensor
    values: Tensor


@dataclass(frozen=True, slots=True)
class Prepared:
    """A batch of originals and all that may be written into it.

    Attributes:
        batch: The originals.
        sources: The prompts that values were taken from, row by row.
        taken: Rows and columns of ``sources`` that they were read at, each (tokens,).
        moved: One edit per layer with the values of the sources.
        held: One edit per layer with the originals' own values; empty if nothing is frozen.
    """

    batch: Batch
    sources: Batch
    taken: tuple[Tensor, Tensor]
    moved: tuple[Edit, ...]
    held: tuple[Edit, ...]

    def edits(self, layer: int, up_to: bool) -> tuple[Edit, ...]:
        """The edits of one intervention.

        Args:
            layer: The layer that is swapped.
            up_to: Whether all layers before it are swapped too.

        Returns:
            The swapped layers' edits, then the frozen positions' in all layers. The two share no
            token, so their order makes no difference.
        """
        return self.moved[0 if up_to else layer : layer + 1] + self.held


def run(lm: LM, batch: Batch, edits: Sequence[Edit] = ()) -> Tensor:
    """Run one forward with edits.

    Args:
        lm: The LM.
        batch: The prompts.
        edits: What to overwrite.

    Returns:
        Logits of the token after each prompt, float32 (rows, vocabulary).

    Raises:
        CfgenError: An edit did not fire exactly once (``edit-did-not-fire``).
    """
    blocks = decoder_blocks(lm.model)
    fired = [0] * len(edits)
    with ExitStack() as hooks:
        for index, edit in enumerate(edits):
            hook = _writer(edit, fired, index)
            hooks.callback(blocks[edit.layer].register_forward_hook(hook).remove)
        logits = _forward(lm, batch)
    _check_fired(edits, fired)
    return logits


def capture(lm: LM, batch: Batch, rows: Tensor, columns: Tensor) -> Tensor:
    """Read the residual stream after every block at chosen tokens, in one forward.

    Args:
        lm: The LM.
        batch: The prompts.
        rows: Row of each token (tokens,).
        columns: Column of each token (tokens,).

    Returns:
        (layers, tokens, hidden), in the LM's dtype, on its device.

    Raises:
        CfgenError: A block did not run exactly once (``edit-did-not-fire``).
    """
    blocks = decoder_blocks(lm.model)
    read: list[list[Tensor]] = [[] for _ in blocks]
    with ExitStack() as hooks:
        for block, values in zip(blocks, read, strict=True):
            hooks.callback(block.register_forward_hook(_reader(rows, columns, values)).remove)
        _forward(lm, batch)
    wrong = [layer for layer, values in enumerate(read) if len(values) != 1]
    if wrong:
        raise CfgenError(_fire_problem("reading", wrong, [len(read[layer]) for layer in wrong]))
    return torch.stack([values[0].to(lm.device) for values in read])


def prepare(lm: LM, swaps: Sequence[Swap], padding: int = 0) -> Prepared:
    """Run the sources once, and the originals if something is frozen, and keep what is needed.

    Args:
        lm: The LM.
        swaps: One per row.
        padding: How much to pad the longest prompt.

    Returns:
        The batch and the edits of every layer.
    """
    batch = make_batch(lm, [swap.original for swap in swaps], padding)
    sources = make_batch(lm, [swap.source for swap in swaps], padding)
    to = _index(lm, batch, ((row, a) for row, swap in enumerate(swaps) for a, _ in swap.moves))
    of = _index(lm, sources, ((row, b) for row, swap in enumerate(swaps) for _, b in swap.moves))
    moved = _edits(to, capture(lm, sources, *of))
    frozen = _index(lm, batch, ((row, a) for row, swap in enumerate(swaps) for a in swap.held))
    held = _edits(frozen, capture(lm, batch, *frozen)) if len(frozen[0]) else ()
    return Prepared(batch, sources, of, moved, held)


def sweep(
    lm: LM, prepared: Prepared, layers: Iterable[int], up_to: bool
) -> Iterator[tuple[int, Tensor]]:
    """Swap at one layer after the other.

    Args:
        lm: The LM.
        prepared: The batch and its edits.
        layers: Which layers.
        up_to: Swap all layers from the first to each of them at once.

    Yields:
        The layer and the logits of the token after each prompt, float32 (rows, vocabulary).
    """
    for layer in layers:
        yield layer, run(lm, prepared.batch, prepared.edits(layer, up_to))


_Index = tuple[Tensor, Tensor]


def _index(lm: LM, batch: Batch, places: Iterable[tuple[int, int]]) -> _Index:
    """(row, position in the prompt) as two tensors of rows and columns, each (tokens,)."""
    found = [(row, batch.column(row, position)) for row, position in places]
    rows, columns = zip(*found, strict=True) if found else ((), ())
    return (
        torch.tensor(rows, dtype=torch.long, device=lm.device),
        torch.tensor(columns, dtype=torch.long, device=lm.device),
    )


def _edits(where: _Index, values: Tensor) -> tuple[Edit, ...]:
    return tuple(Edit(layer, *where, values[layer]) for layer in range(len(values)))


def _writer(edit: Edit, fired: list[int], index: int) -> Callable[[Any, Any, Any], Any]:
    def write(_module: Any, _arguments: Any, output: Any) -> Any:
        hidden = read_residual(output).clone()  # (rows, columns, hidden)
        device = hidden.device
        hidden[edit.rows.to(device), edit.columns.to(device)] = edit.values.to(hidden)
        fired[index] += 1
        return replace_residual(output, hidden)

    return write


def _reader(rows: Tensor, columns: Tensor, values: list[Tensor]) -> Callable[[Any, Any, Any], None]:
    def read(_module: Any, _arguments: Any, output: Any) -> None:
        hidden = read_residual(output)  # (rows, columns, hidden)
        values.append(hidden[rows.to(hidden.device), columns.to(hidden.device)].clone())

    return read


def _forward(lm: LM, batch: Batch) -> Tensor:
    """Logits after the last column, float32 (rows, vocabulary)."""
    known = inspect.signature(lm.model.forward).parameters
    optional = {"position_ids": batch.position_ids, "logits_to_keep": 1}
    with torch.inference_mode():
        output = lm.model(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            use_cache=False,
            **{name: value for name, value in optional.items() if name in known},
        )
        logits: Tensor = output.logits[:, -1].float()
    return logits


def _check_fired(edits: Sequence[Edit], fired: Sequence[int]) -> None:
    wrong = [index for index, times in enumerate(fired) if times != 1]
    if wrong:
        layers, times = [edits[i].layer for i in wrong], [fired[i] for i in wrong]
        raise CfgenError(_fire_problem("an edit", layers, times))


def _fire_problem(what: str, layers: Sequence[int], times: Sequence[int]) -> Problem:
    places = ", ".join(f"layer {layer}: {n} times" for layer, n in zip(layers, times, strict=True))
    return Problem(
        "edit-did-not-fire",
        f"{what} was planned to fire once per forward, but fired otherwise ({places})",
        hint="this LM skips or repeats blocks, so hooks on them can't be trusted: use another one",
    )
