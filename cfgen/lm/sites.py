"""Where the residual stream is in a transformers model: its blocks, and a block's output.

A family is known by the path of its list of blocks in the module tree.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from cfgen.errors import CfgenError, Problem, did_you_mean

BLOCKS = {
    "llama-like (Llama, Mistral, Qwen, Gemma, SmolLM, ...)": "model.layers",
    "gpt2": "transformer.h",
    "gpt_neox (Pythia)": "gpt_neox.layers",
    "opt": "model.decoder.layers",
}
"""Family -> where its blocks are in the module tree."""

COMPONENTS = ("resid_post",)
"""What can be swapped: ``resid_post`` is the residual stream after a block."""


def decoder_blocks(model: nn.Module) -> nn.ModuleList:
    """Find the blocks of a decoder-only model.

    Args:
        model: A causal LM of transformers.

    Returns:
        Its blocks, first layer first.

    Raises:
        CfgenError: The architecture is not one of :data:`BLOCKS` (``unsupported-architecture``).
    """
    config = getattr(model, "config", None)
    if not getattr(config, "is_encoder_decoder", False):
        for path in BLOCKS.values():
            found = _follow(model, path)
            if isinstance(found, nn.ModuleList) and len(found):
                return found
    known = "; ".join(f"{family}: {path}" for family, path in BLOCKS.items())
    message = f"{type(model).__name__} keeps its blocks in none of the known places ({known})"
    hint = "use a decoder-only LM of one of these families"
    raise CfgenError(Problem("unsupported-architecture", message, hint=hint))


def check_component(component: str) -> None:
    """Raise a CfgenError (``unknown-component``) for what can't be swapped."""
    if component not in COMPONENTS:
        hint = did_you_mean(component, COMPONENTS)
        raise CfgenError(Problem("unknown-component", f"no component {component!r}", hint=hint))


def check_layers(model: nn.Module, layers: Iterable[int] | None) -> tuple[int, ...]:
    """Resolve which layers to sweep.

    Args:
        model: A causal LM.
        layers: Layers counted from 0; None for all.

    Returns:
        The layers in ascending order, without repeats.

    Raises:
        CfgenError: A layer that the model doesn't have, or none at all (``no-such-layer``).
    """
    count = len(decoder_blocks(model))
    chosen = tuple(range(count)) if layers is None else tuple(sorted(set(layers)))
    wrong = [layer for layer in chosen if not 0 <= layer < count]
    if wrong or not chosen:
        message = f"no layer {', '.join(map(str, wrong))}" if wrong else "no layer was chosen"
        hint = f"the LM has layers 0 to {count - 1}"
        raise CfgenError(Problem("no-such-layer", message, hint=hint))
    return chosen


def read_residual(output: Any) -> Tensor:
    """The residual stream (rows, tokens, hidden) in what a block returns: a tensor or a tuple."""
    hidden: Tensor = output[0] if isinstance(output, tuple) else output
    return hidden


def replace_residual(output: Any, hidden: Tensor) -> Any:
    """What a block returns, with another residual stream in it."""
    return (hidden, *output[1:]) if isinstance(output, tuple) else hidden


def _follow(module: nn.Module, path: str) -> Any:
    found: Any = module
    for name in path.split("."):
        found = getattr(found, name, None)
    return found
