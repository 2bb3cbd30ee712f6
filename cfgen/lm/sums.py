"""Prove on a short text that the components of a model are what they are called.

Modules can have the names of a known family and compute something else. So all components are read
in a short forward, and must give what the equations of the family say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from cfgen.errors import CfgenError, Problem
from cfgen.lm.attention import Use, shows_weights
from cfgen.lm.checks import check_finite
from cfgen.lm.components import COMPONENTS, Place
from cfgen.lm.facts import short_text
from cfgen.lm.hooks import hook
from cfgen.lm.layout import Layout

ROWS, COLUMNS = 2, 6
"""Size of the text, whose tokens are spread over the vocabulary."""

Values = dict[tuple[str, int], list[Tensor]]
"""What a component was in a layer, each time that it was computed in a forward."""
Writes = Iterable[tuple[str, Use]]
"""Components and what is written there."""


@torch.inference_mode()
def check_sums(layout: Layout) -> None:
    """Check the equations of a model's family in all of its layers, in a few short forwards.

    - Each state of the residual stream is the state before it and what is added in between, in the
      order of the table: ``resid_mid = resid_pre + factor * attn_out`` and
      ``resid_post = resid_mid + factor * mlp_out``, or, in parallel blocks, which have no
      ``resid_mid``, ``resid_post = resid_pre + factor * (attn_out + mlp_out)``. Into ``resid_mid``
      something else is written, so that it is known to reach the residual stream.
    - ``attn_out`` is the sum of ``head_result`` over the heads, and the bias, if it is a sum.
    - ``head_out = attn_pattern @ v``, if the LM can show its weights, so that the attention that is
      computed for ``attn_pattern`` is known to be the model's own.
    - What heads and MLP are given is the residual stream; and once it is written, they give what
      they give in a block whose residual stream is that, while the stream itself stays as it is.

    Args:
        layout: Of a model in evaluation mode.

    Raises:
        CfgenError: Each equation that doesn't hold, with its layers (``sites-dont-add-up``).
    """
    wrong: dict[str, list[int]] = {}
    has = layout.components
    read = [n for n in has if COMPONENTS[n].role or n in ("v", "head_out", "head_result")]
    in_place = [(name, _reverse) for name in has if COMPONENTS[name].in_place]
    first = _forward(layout, read, lambda _: in_place)
    again = _Again()
    if all(len(kept) == 1 for kept in first.values()):
        again = _run_again(layout, first)
    for layer in range(layout.layers):
        now = {name: first[name, layer] for name in read}
        sums = list(_equations(layout, layer, now))
        if all(holds for _, holds in sums):  # otherwise not much can be said of the rest
            sums += _attention(layout, layer, first, again.open)
            sums += _inputs(layout, layer, first, again)
        for equation, holds in sums:
            if not holds:
                wrong.setdefault(equation, []).append(layer)
    if wrong:
        raise CfgenError([_problem(layout, *item) for item in wrong.items()])


@dataclass(frozen=True, slots=True)
class _Again:
    """What components were in further forwards, in each of which every layer is given its input.

    Attributes:
        open: With attention whose weights can be seen, and each layer's heads as they were.
        reversed: With the columns of the residual stream in reverse before each block.
        own: With only what heads and MLP are given in reverse.
    """

    open: Values = field(default_factory=dict)
    reversed: Values = field(default_factory=dict)
    own: Values = field(default_factory=dict)


def _run_again(layout: Layout, first: Values) -> _Again:
    """Run the further forwards, none of which adds up the roundings of the layers before."""
    has = layout.components
    open_: Values = {}
    if shows_weights(layout.module(layout.family.attn, 0)):
        in_place = [(name, _reverse) for name in has if COMPONENTS[name].in_place]
        open_ = _forward(
            layout,
            ["attn_pattern"],
            lambda layer: [*in_place, ("head_out", _put(first["head_out", layer][0]))],
        )

    def before(layer: int, name: str = "resid_pre") -> Tensor:
        return first[name, layer][0]

    inputs = [name for name in has if COMPONENTS[name].recomputed]
    middle = "resid_mid" if "resid_mid" in has else "resid_pre"
    read = [n for n in ("q", "attn_out", "mlp_out", "resid_mid", "resid_post") if n in has]
    mirrored = _forward(layout, read, lambda layer: [("resid_pre", _put(before(layer).flip(1)))])

    def of_its_own(layer: int) -> Writes:
        yield "resid_pre", _put(before(layer))
        for name in inputs:
            if COMPONENTS[name].by_head:
                yield name, _put(before(layer).flip(1)[:, :, None])
            else:
                yield name, _put(before(layer, middle).flip(1))

    try:
        own = _forward(layout, [*inputs, *read], of_its_own)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:  # shapes: something in the attention counts its heads
        first_line = str(error).partition("\n")[0]
        equation = f"heads can be given inputs of their own ({first_line})"
        raise CfgenError(_problem(layout, equation, [*range(layout.layers)])) from error
    return _Again(open_, mirrored, own)


def _problem(layout: Layout, equation: str, layers: list[int]) -> Problem:
    kind, family = type(layout.model).__name__, layout.family.name
    where = f"layer{'s' * (len(layers) > 1)} {', '.join(map(str, layers))}"
    message = f"{kind} has the modules of {family}, but not: {equation} ({where})"
    hint = "add an adapter for it (docs/adapters.md), or use another LM"
    return Problem("sites-dont-add-up", message, hint=hint)


def _forward(layout: Layout, read: Sequence[str], writes: Callable[[int], Writes]) -> Values:
    """Run the text once, reading components before anything is written to them.

    Args:
        layout: Of the model.
        read: The components.
        writes: What is written in a layer, by component.

    Returns:
        What was read.
    """
    values: Values = {}
    ids = short_text(layout.model, ROWS * COLUMNS).view(ROWS, COLUMNS)
    with ExitStack() as hooks:
        for layer in range(layout.layers):
            uses = [(name, _keep(values, (name, layer)), False) for name in read]
            uses += [(name, use, True) for name, use in writes(layer)]
            for name, use, write in uses:
                hooks.callback(hook(layout, Place(name, layer), use, write=write).remove)
        logits: Tensor = layout.model(input_ids=ids, use_cache=False).logits
    check_finite(logits, layout.model, ids)
    return values


def _keep(values: Values, key: tuple[str, int]) -> Use:
    kept = values[key] = []
    return lambda tensor: kept.append(tensor.clone())


def _put(value: Tensor) -> Use:
    def put(tensor: Tensor) -> None:
        tensor.copy_(value)

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
    if "head_result" in now:
        bias: Any = getattr(layout.module(layout.family.out_proj, layer), "bias", None)
        total = now["head_result"].sum(dim=2) + (0 if bias is None else bias)
        yield "attn_out = sum of head_result + bias", _is_close(total, now["attn_out"])


def _attention(
    layout: Layout, layer: int, first: Values, opened: Values
) -> Iterator[tuple[str, bool]]:
    """Whether the heads of a layer are what its weights say."""
    if not opened:
        return
    heads, values = first["head_out", layer][0], first["v", layer][0]
    values = values.repeat_interleave(layout.heads // layout.kv_heads, dim=2)
    weights = opened["attn_pattern", layer][0].to(values.dtype)
    attended = torch.einsum("rqhk,rkhw->rqhw", weights, values)
    yield "head_out = attn_pattern @ v", _is_close(attended, heads, values.abs().max())


def _inputs(layout: Layout, layer: int, first: Values, again: _Again) -> Iterator[tuple[str, bool]]:
    """Whether heads and MLP of a layer are given the stream, and can be given another."""
    if not again.own:
        return
    own = {name: kept[0] for (name, at), kept in again.own.items() if at == layer}
    mirrored = {name: kept[0] for (name, at), kept in again.reversed.items() if at == layer}
    stream = first["resid_pre", layer][0]
    inputs = [name for name in layout.components if COMPONENTS[name].part]
    for name in inputs:
        yield f"{name} = resid_pre", bool((own[name] == stream[:, :, None]).all())
    if inputs:
        yield "q is made of q_in", _is_close(own["q"], mirrored["q"])
    if "k_in" in inputs:
        made = "attn_out is made of q_in, k_in and v_in"
        yield made, _is_close(own["attn_out"], mirrored["attn_out"])
    middle = "resid_mid" if "resid_mid" in own else "resid_pre"
    yield f"mlp_in = {middle}", bool((own["mlp_in"] == own.get(middle, stream)).all())
    made_before = first if middle == "resid_mid" else again.reversed  # in reverse in both
    made_of = _is_close(own["mlp_out"], made_before["mlp_out", layer][0])
    yield "mlp_out is made of mlp_in", made_of
    added = [name for name in ("attn_out", "mlp_out") if middle == "resid_pre" or name == "mlp_out"]
    norm = layout.module(layout.family.norms[1], layer) if layout.family.norms else None
    terms = (own.get(middle, stream), *(layout.factor * own[name] for name in added))
    yield "mlp_in leaves the stream as it is", _is_sum(own["resid_post"], terms, norm)


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


def _is_close(made: Tensor, expected: Tensor, size: Tensor | None = None) -> bool:
    """Whether a tensor is another one that was computed in another way, through a softmax.

    Scores of size s are rounded by s * eps, and so the weights change by that share.
    """
    bound = min(0.25, 8192 * torch.finfo(expected.dtype).eps)
    size = expected.abs().max() if size is None else size
    return bool(((made - expected).abs() <= bound * size).all())


def _is_sum(result: Tensor, terms: tuple[Tensor, ...], norm: Any = None) -> bool:
    """Whether a tensor is the sum of others, or the norm of their sum, but for rounding."""
    eps = torch.finfo(result.dtype).eps
    total = sum(terms[1:], start=terms[0])
    if norm is not None:
        return bool(((norm(total) - result).abs() <= 4 * eps * result.abs().max()).all())
    size = sum((term.abs() for term in terms[1:]), start=terms[0].abs())
    return bool(((total - result).abs() <= 2 * eps * size).all())
