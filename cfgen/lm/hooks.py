"""Read or overwrite one component in every forward, through plain hooks on modules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from cfgen.errors import CfgenError
from cfgen.lm.attention import Use, hook_weights
from cfgen.lm.components import Place, Stage, place_problems
from cfgen.lm.inputs import check_shared, hook_inputs
from cfgen.lm.layout import Layout, matrix
from cfgen.lm.projections import projected, split
from cfgen.lm.taps import Removable, Side, put_tap


@dataclass(frozen=True, slots=True)
class Handle:
    """What :func:`hook` put on a model.

    Attributes:
        parts: The hooks on its modules.
    """

    parts: tuple[Removable, ...]

    def remove(self) -> None:
        """Leave the model as it was before. Calling it again does nothing."""
        for part in self.parts:
            part.remove()


def hook(layout: Layout, place: Place, use: Use, *, write: bool) -> Handle:
    r"""Call a function with a component's tensor in every forward, until the handle is removed.

    Rows and columns are those that the module sees in that forward, whatever they stand for. The
    tensor is a view: copy what is to be kept. Hooks on one component run in the order in which
    they were put there, so that a later one sees what an earlier one wrote; those on different
    components run in the order of the table.

    Args:
        layout: Of the model.
        place: What to hand over, one that :func:`cfgen.lm.layout.check_places` accepts.
            ``neurons`` are not picked out: ``use`` gets all of them.
        use: Called once per forward with a tensor (rows, columns, \*axes), the axes being those
            of the component in :data:`cfgen.lm.components.COMPONENTS`, without the heads' if the
            place is one head's. For ``attn_pattern`` the columns are the tokens that look.
        write: Whether ``use`` changes the tensor in place. Changes take effect in that component
            and all that is computed from it, and nowhere else.

    Returns:
        A handle; its ``remove()`` leaves the model as it was.

    Raises:
        CfgenError: A component is to be written that can only be read (``component-read-only``), or
            one that heads share while what single heads are given is written
            (``component-shared``; see :func:`cfgen.lm.inputs.shares`).
    """
    row = place.row
    if write and row.read_only:
        raise CfgenError(place_problems(place))
    if row.tap == "own" and (row.by_head or layout.family.mlp_shares_norm):
        return Handle((hook_inputs(layout, place, use, write=write),))
    if row.axes[0] == "kv_heads":
        check_shared(layout, place)
    shape: list[int] = []  # rows and columns of this forward, for modules that don't see them

    def see(tensor: Tensor) -> None:
        view = FORMS[row.form](layout, place, tensor, shape)  # (rows, columns, *axes)
        use(view if place.head is None else view.select(2, place.head))

    def change(tensor: Tensor) -> Tensor:
        # position embeddings may have one row for all
        seen = tensor.expand(shape[0], -1, -1) if row.one_row else tensor
        # A write that is not to be seen by the module alone is made in what everybody has.
        seen = seen.clone() if write and not row.in_place else seen
        see(seen)
        return seen if write else tensor

    if row.tap == "attention" and not layout.family.pattern:
        return Handle((hook_weights(layout.module(layout.family.attn, place.layer), see),))
    side: Side = "output" if row.tap == "output" or row.tap == "attention" else "input"
    tap = put_tap(layout.module_of(place), side, row.stage, row.name, change)
    return Handle((*_noters(layout, place, shape), tap))


def own_part(place: Place, numbers: Tensor) -> Tensor:
    """What a place has, out of its whole component (tokens, *shape)."""
    part = numbers if place.head is None else numbers[:, place.head]
    return part[..., list(place.neurons)] if place.neurons else part


def _tokens(_layout: Layout, _place: Place, tensor: Tensor, shape: list[int]) -> Tensor:
    """One vector for each token, which may come as (rows * columns, width)."""
    return tensor.view(*shape, tensor.shape[-1]) if tensor.dim() == 2 else tensor


def _heads(layout: Layout, place: Place, tensor: Tensor, _shape: list[int]) -> Tensor:
    """Heads one after another."""
    return tensor.view(*tensor.shape[:-1], *(layout.size(axis) for axis in place.row.axes))


def _projection(layout: Layout, place: Place, tensor: Tensor, _shape: list[int]) -> Tensor:
    """Queries, keys or values in what a projection gives, perhaps all three together."""
    return projected(layout, place.component, tensor)


def _weights(_layout: Layout, _place: Place, tensor: Tensor, _shape: list[int]) -> Tensor:
    """Weights of the attention (rows, heads, queries, keys): the queries are the columns."""
    return tensor.transpose(1, 2)


def _results(layout: Layout, place: Place, tensor: Tensor, _shape: list[int]) -> Tensor:
    """Heads one after another, each times its rows of the projection that the module does."""
    weight = matrix(layout.module_of(place))  # (heads * head width, width)
    weight = split(weight, 0, (layout.heads, layout.head_width))
    heads = split(tensor, -1, (layout.heads, layout.head_width))
    if place.head is None:
        return torch.einsum("rchw,hwo->rcho", heads, weight)  # (rows, columns, heads, width)
    one = heads[:, :, place.head] @ weight[place.head]  # (rows, columns, width)
    return one[:, :, None].expand(-1, -1, layout.heads, -1)  # of which only this head's is seen


FORMS: dict[str, Callable[[Layout, Place, Tensor, list[int]], Tensor]] = {
    "tokens": _tokens,
    "heads": _heads,
    "projection": _projection,
    "weights": _weights,
    "results": _results,
}
"""How a component lies in its module's tensor -> a view of it as (rows, columns, *axes)."""


def _noters(layout: Layout, place: Place, shape: list[int]) -> tuple[Removable, ...]:
    """Hooks that note the rows and columns of a forward, where the component's module can't."""

    def note(tensor: Tensor) -> Tensor:
        shape[:] = tensor.shape[:2]
        return tensor

    name = place.component
    if place.row.one_row:
        body = layout.module(layout.family.blocks.rpartition(".")[0])
        return (put_tap(body, "input", Stage.EMBEDDING, name, note),)
    if place.row.module in layout.family.flat:
        return (put_tap(layout.blocks[place.layer], "input", Stage.EMBEDDING, name, note),)
    return ()
