"""Prove on a short text that the components of a model are what they are called.

Modules can have the names of a known family and compute something else. So all components are read
in a short forward, and must give what the equations of the family say.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor

from cfgen.errors import CfgenError, Problem
from cfgen.lm.attention import Use, shows_weights
from cfgen.lm.components import COMPONENTS, Place
from cfgen.lm.hooks import hook
from cfgen.lm.layout import Layout

ROWS, COLUMNS = 2, 6
"""Size of the text, whose tokens are spread over the vocabulary."""

Values = dict[tuple[str, int], list[Tensor]]
"""What a component was in a layer, each time that it was computed in a forward."""


@torch.inference_mode()
def check_sums(layout: Layout) -> None:
    """Check the equations of a model's family in all of its layers, in two short forwards.

    - Each state of the residual stream is the state before it and what is added in between, in the
      order of the table: ``resid_mid = resid_pre + factor * attn_out`` and
      ``resid_post = resid_mid + factor * mlp_out``, or, in parallel blocks, which have no
      ``resid_mid``, ``resid_post = resid_pre + factor * (attn_out + mlp_out)``. Into ``resid_mid``
      something else is written, so that it is known to reach the residual stream.
    - ``head_out = attn_pattern @ v``, if the LM can show its weights, so that the attention that is
      computed for ``attn_pattern`` is known to be the model's own.

    Args:
        layout: Of a model in evaluation mode.

    Raises:
        CfgenError: Each equation that doesn't hold, with its layers (``sites-dont-add-up``).
    """
    values: Values = {}
    components = [n for n in layout.components if COMPONENTS[n].role or n in ("v", "head_out")]
    _forward(layout, values, components)
    if shows_weights(layout.module(layout.family.attn, 0)):
        # each layer is given what it was given before, so that roundings don't add up
        _forward(layout, values, ["attn_pattern"], held="head_out")
        components.append("attn_pattern")
    wrong: dict[str, list[int]] = {}
    for layer in range(layout.layers):
        now = {name: values[name, layer] for name in components}
        for equation, holds in _equations(layout, layer, now):
            if not holds:
                wrong.setdefault(equation, []).append(layer)
    if wrong:
        raise CfgenError([_problem(layout, *item) for item in wrong.items()])


def _problem(layout: Layout, equation: str, layers: list[int]) -> Problem:
    kind, family = type(layout.model).__name__, layout.family.name
    where = f"layer{'s' * (len(layers) > 1)} {', '.join(map(str, layers))}"
    message = f"{kind} has the modules of {family}, but not: {equation} ({where})"
    hint = "add an adapter for it (docs/adapters.md), or use another LM"
    return Problem("sites-dont-add-up", message, hint=hint)


def _forward(layout: Layout, values: Values, read: list[str], held: str = "") -> None:
    """Run the text once, reading components before anything is written.

    What has to be written in place (``resid_mid``) is overwritten with its columns in reverse.

    Args:
        layout: Of the model.
        values: Takes what is read.
        read: The components.
        held: A component that is set to what it was in the forward before.
    """
    embed: Any = layout.module(layout.family.embed)
    device, vocabulary = embed.weight.device, len(embed.weight)
    ids = torch.linspace(1, vocabulary - 1, ROWS * COLUMNS, device=device).long()
    in_place = [name for name in layout.components if COMPONENTS[name].in_place]
    with ExitStack() as hooks:
        for layer in range(layout.layers):
            uses = [(name, _keep(values, (name, layer)), False) for name in read]
            uses += [(name, _reverse, True) for name in in_place]
            if held:
                uses.append((held, _put(values[held, layer]), True))
            for name, use, write in uses:
                hooks.callback(hook(layout, Place(name, layer), use, write=write).remove)
        layout.model(input_ids=ids.view(ROWS, COLUMNS), use_cache=False)


def _keep(values: Values, key: tuple[str, int]) -> Use:
    kept = values[key] = []
    return lambda tensor: kept.append(tensor.clone())


def _put(kept: list[Tensor]) -> Use:
    def put(tensor: Tensor) -> None:
        if kept:
            tensor.copy_(kept[0])

    return put


def _reverse(tensor: Tensor) -> None:
    tensor.copy_(tensor.flip(1))


def _equations(
    layout: Layout, layer: int, values: dict[str, list[Tensor]]
) -> Iterator[tuple[str, bool]]:
    """Each equation of a layer, and whether it holds."""
    for name, found in values.items():
        yield f"{name} computed once per forward", len(found) == 1
    if any(len(found) != 1 for found in values.values()):
        return
    now = {name: found[0] for name, found in values.items()}
    factor, norms = layout.factor, layout.family.norms or ("", "")
    times = "" if factor == 1 else f"{factor:g} * "
    of = " inside a norm" if layout.family.norms else ""
    for (result, before, added), path in zip(_sums(layout), norms, strict=False):
        terms = " + ".join(added) if len(added) == 1 else f"({' + '.join(added)})"
        state = now[before].flip(1) if COMPONENTS[before].in_place else now[before]
        norm = layout.module(path, layer) if path else None
        holds = _is_sum(now[result], (state, *(factor * now[name] for name in added)), norm)
        yield f"{result} = {before} + {times}{terms}{of}", holds
    if "attn_pattern" in now:
        shared = layout.heads // layout.kv_heads
        values_of_heads = now["v"].repeat_interleave(shared, dim=2)
        attended = torch.einsum("rqhk,rkhw->rqhw", now["attn_pattern"], values_of_heads)
        # scores of size s are rounded by s * eps, and so the weights change by that share
        bound = min(0.25, 8192 * torch.finfo(attended.dtype).eps) * values_of_heads.abs().max()
        close = (attended - now["head_out"]).abs() <= bound
        yield "head_out = attn_pattern @ v", bool(close.all())


def _sums(layout: Layout) -> Iterator[tuple[str, str, list[str]]]:
    """Each state of the residual stream within a block, the one before, what is added between."""
    before, added = "", list[str]()
    for name in layout.components:
        if COMPONENTS[name].role == "addend":
            added.append(name)
        elif COMPONENTS[name].role == "stream":
            if before:
                yield name, before, added
            before, added = name, []


def _is_sum(result: Tensor, terms: tuple[Tensor, ...], norm: Any = None) -> bool:
    """Whether a tensor is the sum of others, or the norm of their sum, but for rounding."""
    eps = torch.finfo(result.dtype).eps
    total = sum(terms[1:], start=terms[0])
    if norm is not None:
        return bool(((norm(total) - result).abs() <= 4 * eps * result.abs().max()).all())
    size = sum((term.abs() for term in terms[1:]), start=terms[0].abs())
    return bool(((total - result).abs() <= 2 * eps * size).all())
