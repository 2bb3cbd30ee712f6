"""What attention projects: queries, keys and values in the tensors of a family's modules.

One module may give all three, and query heads may share keys and values; what is asked here is what
belongs to one head, in what is projected or in its gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cfgen.lm.layout import Layout, matrix

PARTS = ("q", "k", "v")


@dataclass(frozen=True, slots=True)
class Projection:
    """What a module projects in a forward, as the attention takes it.

    Attributes:
        layout: Of the model.
        layer: The block.
        parts: What is in it: ``q``, ``k``, ``v``, or all three.
        tensor: What the attention is computed from (rows, columns, ...).
        wide: Whether every query head has keys and values of its own in it.
    """

    layout: Layout
    layer: int
    parts: tuple[str, ...]
    tensor: Tensor
    wide: bool

    def of_heads(self, part: str, tensor: Tensor) -> Tensor:
        """One part of what lies like this, for every query head (rows, columns, heads, head width).

        Args:
            part: One of its parts.
            tensor: What lies like this: itself, or its gradient.
        """
        if not self.wide:
            return projected(self.layout, part, tensor)
        sizes = (len(self.parts), self.layout.heads, self.layout.head_width)
        return split(tensor, -1, sizes)[..., self.parts.index(part), :, :]


def projected(layout: Layout, part: str, tensor: Tensor) -> Tensor:
    """Queries, keys or values in what a projection gives, perhaps all three together.

    Args:
        layout: Of the model.
        part: ``q``, ``k`` or ``v``.
        tensor: What it gives, or its weights or biases; the last axis is its output.

    Returns:
        A view whose last axes are (heads, head width).
    """
    heads, kv_heads, width = layout.heads, layout.kv_heads, layout.head_width
    if layout.family.fused == "interleaved":  # (..., heads * 3 * head width)
        return split(tensor, -1, (heads, 3, width))[..., PARTS.index(part), :]
    if layout.family.fused == "stacked":  # (..., (heads + 2 * kv heads) * head width)
        start = {"q": 0, "k": heads, "v": heads + kv_heads}[part]
        tensor = tensor.narrow(-1, start * width, layout.heads_of(part) * width)
    return split(tensor, -1, (layout.heads_of(part), width))


def split(tensor: Tensor, axis: int, sizes: Sequence[int]) -> Tensor:
    """A view with several axes in place of one; -1 stands for the size that is left."""
    axis %= tensor.dim()
    return tensor.view(*tensor.shape[:axis], *sizes, *tensor.shape[axis + 1 :])


def pull_back(layout: Layout, layer: int, part: str, stream: Tensor, gradient: Tensor) -> Tensor:
    """Gradients at what heads are given, from those at what is projected of it.

    A head's part of the projection hangs on its input through its own rows of the weights and the
    norm alone, so that no head has to be run on an input of its own.

    Args:
        layout: Of the model.
        layer: The block.
        part: ``q``, ``k`` or ``v``.
        stream: What the heads were given (rows, columns, width).
        gradient: At the projection, for every query head (rows, columns, heads, head width).

    Returns:
        (rows, columns, heads, width).
    """
    weight = projected(layout, part, matrix(layout.module(getattr(layout.family, part), layer)))
    weight = weight.repeat_interleave(layout.heads // weight.shape[1], dim=1)
    at_norm = torch.einsum("rchw,ohw->rcho", gradient, weight)  # (rows, columns, heads, width)
    if not layout.family.norm:
        return at_norm
    norm: Any = layout.module(layout.family.norm, layer)
    with torch.enable_grad():
        given = stream.detach()[:, :, None].expand_as(at_norm).clone().requires_grad_()
        (found,) = torch.autograd.grad(norm.forward(given), given, at_norm)
    return found
