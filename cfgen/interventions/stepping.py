"""Hooks that let tokens enter a forward in the middle of the LM.

A forward begins with all columns at the token embedding. Before each block those that have not
entered are cut off; those that enter there get their base's state, with the edits that are made to
it; what a block is told about its columns (mask, positions, rotations) is cut to the same columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cfgen.errors import CfgenError, Problem
from cfgen.lm import Layout


@dataclass(frozen=True, slots=True)
class Entry:
    """Tokens that enter before a block, or behind the last one.

    Attributes:
        rows: Their rows (tokens,).
        columns: Their columns (tokens,).
        states: Gives their states there (tokens, width).
    """

    rows: Tensor
    columns: Tensor
    states: Callable[[], Tensor]


@dataclass(frozen=True, slots=True)
class Stepping:
    """What happens between the blocks of a forward.

    Attributes:
        mask: The mask that the LM is called with, which each block's own is put in place of.
        mask_of: Block -> its mask, for the columns that have entered.
        width: Columns at the embedding.
        present: Per block, and behind the last, how many columns have entered.
        entries: Block, or the number of blocks -> what enters there.
        answers: Row and column of each token that logits are wanted for, each (answers,).
    """

    mask: Tensor
    mask_of: Callable[[int], Tensor]
    width: int
    present: tuple[int, ...]
    entries: Mapping[int, Entry]
    answers: tuple[Tensor, Tensor]


@contextmanager
def stepping(layout: Layout, plan: Stepping) -> Iterator[None]:
    """Hook a model for the one forward that is run inside.

    The forward's logits are (1, answers, vocabulary).

    Args:
        layout: Of the model.
        plan: What happens between its blocks.

    Raises:
        CfgenError: The blocks are not handed the mask that the LM was called with, so that
            nothing can be packed (``mask-not-handed-on``).
    """
    model: Any = layout.model
    with ExitStack() as hooks:
        for layer, block in enumerate(layout.blocks):
            before = _before(plan, layer)
            hooks.callback(block.register_forward_pre_hook(before, with_kwargs=True).remove)
        if plan.present[-1] != plan.present[-2] or layout.layers in plan.entries:
            behind = layout.blocks[-1].register_forward_hook(_behind_last(plan, layout.layers))
            hooks.callback(behind.remove)
        head = model.get_output_embeddings()
        hooks.callback(head.register_forward_pre_hook(_only_answers(plan)).remove)
        yield


def _before(plan: Stepping, layer: int) -> Callable[[Any, Any, Any], Any]:
    count = plan.present[layer]

    def before(_module: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        mask = plan.mask_of(layer)
        masks = 0

        def cut(value: Any) -> Any:
            nonlocal masks
            if value is plan.mask:
                masks += 1
                return mask
            if isinstance(value, tuple | list):
                return type(value)(cut(item) for item in value)
            if isinstance(value, Tensor) and value.dim() > 1 and value.shape[1] == plan.width:
                return value[:, :count]
            return value

        hidden = arguments[0] if arguments else keywords["hidden_states"]
        hidden = _entered(hidden, count, plan.entries.get(layer))
        rest = tuple(cut(value) for value in arguments[1:])
        cut_keywords = {k: cut(v) for k, v in keywords.items() if k != "hidden_states"}
        if masks != 1:
            raise CfgenError(_no_mask(layer))
        if arguments:
            return (hidden, *rest), cut_keywords
        return (), {"hidden_states": hidden, **cut_keywords}

    return before


def _behind_last(plan: Stepping, layers: int) -> Callable[[Any, Any, Any], Any]:
    def behind(_module: Any, _arguments: Any, output: Any) -> Any:
        hidden = output[0] if isinstance(output, tuple) else output
        hidden = _entered(hidden, plan.present[-1], plan.entries.get(layers))
        return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

    return behind


def _entered(hidden: Tensor, count: int, entry: Entry | None) -> Tensor:
    """Cut states (rows, columns, width) to some columns, or widen them, and let tokens enter."""
    missing = count - hidden.shape[1]
    if missing > 0:
        hidden = torch.nn.functional.pad(hidden, (0, 0, 0, missing))
    elif entry is not None:
        hidden = hidden[:, :count].clone()
    else:
        hidden = hidden[:, :count]
    if entry is not None:
        device = hidden.device
        index = entry.rows.to(device), entry.columns.to(device)
        hidden[index] = entry.states().to(hidden)
    return hidden


def _only_answers(plan: Stepping) -> Callable[[Any, Any], Any]:
    def only(_module: Any, arguments: tuple[Tensor, ...]) -> Any:
        hidden = arguments[0]  # (rows, columns, width)
        rows, columns = (index.to(hidden.device) for index in plan.answers)
        return (hidden[rows, columns][None],)  # (1, answers, width)

    return only


def _no_mask(layer: int) -> Problem:
    return Problem(
        "mask-not-handed-on",
        f"block {layer} of this LM is not handed the mask that the LM is called with",
        hint="run with --engine reference, which needs no mask of its own",
    )
