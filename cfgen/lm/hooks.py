"""Read or overwrite one component in every forward, through plain hooks on modules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from cfgen.lm.attention import Use, hook_weights
from cfgen.lm.components import Component, Place
from cfgen.lm.layout import Layout

NAMES = ("hidden_states", "input_ids", "inputs_embeds")
"""What modules call the argument that matters, where it is given by name."""


class Removable(Protocol):
    """What can be taken off a module again."""

    def remove(self) -> None:
        """Take it off."""


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
    they were put there, so that a later one sees what an earlier one wrote.

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
    """
    row = place.row
    shape: list[int] = []  # rows and columns of this forward, for modules that don't see them

    def see(tensor: Tensor) -> None:
        view = FORMS[row.form](layout, row, tensor, shape)  # (rows, columns, *axes)
        use(view if place.head is None else view.select(2, place.head))

    if row.tap == "attention" and not layout.family.pattern:
        return Handle((hook_weights(layout.module(layout.family.attn, place.layer), see),))
    put = _on_input if row.tap == "input" else _on_output
    # A write that is not to be seen by the module alone is made in the tensor that everybody has.
    copied = write and not row.in_place
    hooks = _noters(layout, place, shape)
    return Handle((*hooks, put(layout.module_of(place), see, copied, shape)))


def _tokens(_layout: Layout, _row: Component, tensor: Tensor, shape: list[int]) -> Tensor:
    """One vector for each token, which may come as (rows * columns, width)."""
    return tensor.view(*shape, tensor.shape[-1]) if tensor.dim() == 2 else tensor


def _heads(layout: Layout, row: Component, tensor: Tensor, _shape: list[int]) -> Tensor:
    """Heads one after another."""
    return tensor.view(*tensor.shape[:-1], *(layout.size(axis) for axis in row.axes))


def _projection(layout: Layout, row: Component, tensor: Tensor, shape: list[int]) -> Tensor:
    """Queries, keys or values in what a projection gives, perhaps all three together."""
    heads, kv_heads, width = layout.heads, layout.kv_heads, layout.head_width
    if layout.family.fused == "interleaved":  # (rows, columns, heads * 3 * head width)
        return tensor.view(*tensor.shape[:-1], heads, 3, width)[..., "qkv".index(row.name), :]
    if layout.family.fused == "stacked":  # (rows, columns, (heads + 2 * kv heads) * head width)
        start = {"q": 0, "k": heads, "v": heads + kv_heads}[row.name]
        tensor = tensor.narrow(-1, start * width, layout.heads_of(row.name) * width)
    return _heads(layout, row, tensor, shape)


def _weights(_layout: Layout, _row: Component, tensor: Tensor, _shape: list[int]) -> Tensor:
    """Weights of the attention (rows, heads, queries, keys): the queries are the columns."""
    return tensor.transpose(1, 2)


FORMS: dict[str, Callable[[Layout, Component, Tensor, list[int]], Tensor]] = {
    "tokens": _tokens,
    "heads": _heads,
    "projection": _projection,
    "weights": _weights,
}
"""How a component lies in its module's tensor -> a view of it as (rows, columns, *axes)."""


def _noters(layout: Layout, place: Place, shape: list[int]) -> tuple[Removable, ...]:
    """Hooks that note the rows and columns of a forward, where the component's module can't."""
    if place.row.one_row:
        body = layout.module(layout.family.blocks.rpartition(".")[0])
        return (_on_input(body, lambda ids: _note(ids, shape), write=False),)
    if place.row.module in layout.family.flat:
        block = layout.blocks[place.layer]
        return (_on_input(block, lambda hidden: _note(hidden, shape), write=False),)
    return ()


def _note(tensor: Tensor, shape: list[int]) -> None:
    shape[:] = tensor.shape[:2]


def _on_input(module: nn.Module, see: Use, write: bool, _shape: object = None) -> Removable:
    """Show a module's first input, or let it be changed."""

    def before(_module: Any, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        first = bool(given) and isinstance(given[0], Tensor)
        name = "" if first else next(name for name in NAMES if named.get(name) is not None)
        tensor: Tensor = given[0] if first else named[name]
        if not write:
            return see(tensor)
        tensor = tensor.clone()
        see(tensor)
        return ((tensor, *given[1:]), named) if first else (given, {**named, name: tensor})

    handle: Removable = module.register_forward_pre_hook(before, with_kwargs=True)
    return handle


def _on_output(module: nn.Module, see: Use, write: bool, shape: list[int]) -> Removable:
    """Show a module's output, or the first of its outputs, or let it be changed."""

    def after(_module: Any, _given: Any, output: Any) -> Any:
        several = isinstance(output, tuple)
        tensor: Tensor = output[0] if several else output
        if shape and tensor.dim() == 3:  # position embeddings may have one row for all
            tensor = tensor.expand(shape[0], -1, -1)
        if not write:
            return see(tensor)
        tensor = tensor.clone()
        see(tensor)
        return (tensor, *output[1:]) if several else tensor

    handle: Removable = module.register_forward_hook(after)
    return handle
