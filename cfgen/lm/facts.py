"""What is true of an LM as it runs, read off its modules and off a short forward.

A configuration says what somebody wrote into a file: a window that the architecture ignores, sizes
that another part of it overrules. So nothing here is taken from the top of the configuration where
the modules that compute can be asked instead. How far back a block sees is read off the mask that
its attention is given.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cfgen.lm.attention import MASKED_KERNELS, kernel_of
from cfgen.lm.layout import Layout

COLUMNS, WINDOW = 8, 3
"""Tokens of the short forward, and the window that the LM has in it if it has one at all."""
DYNAMIC = "dynamic"
"""Rotary positions that are stretched as prompts grow, beyond what the configuration calls most."""
QUANTISERS = (
    "aqlm", "auto_gptq", "awq", "bitsandbytes", "eetq", "gptqmodel", "hqq", "optimum", "torchao"
)  # fmt: skip
"""Libraries whose modules or tensors hold weights of few bits."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """Rotary positions of an LM, or of some of its layers.

    Attributes:
        kind: How they are scaled, as transformers names it (``default``, ``dynamic``, ...).
        limit: Tokens of the prompts that it was pretrained with.
    """

    kind: str
    limit: int


@dataclass(frozen=True, slots=True)
class LMFacts:
    """What matters of an LM to whoever runs it.

    Attributes:
        kernel: Which implementation computes its attention, as transformers names it; several are
            joined by commas.
        windows: Per block, how many tokens a token sees, itself included; None for all before it.
        odd: Blocks whose attention is given a mask of another kind.
        positions: How many tokens a prompt may have; None if nothing bounds it.
        vocabulary: How many tokens the embedding has a row for.
        rotations: Its rotary positions, one record per kind.
        experts: Blocks whose MLP is a mixture of experts.
        sinks: Blocks whose attention has a sink: a share of the weights that goes to no token.
        quantised: How its weights are quantised; empty if they are numbers of its dtype.
        devices: Per block, where it is computed.
    """

    kernel: str
    windows: tuple[int | None, ...]
    odd: tuple[int, ...]
    positions: int | None
    vocabulary: int
    rotations: tuple[Rotation, ...]
    experts: tuple[int, ...]
    sinks: tuple[int, ...]
    quantised: str
    devices: tuple[torch.device, ...]


def find_facts(layout: Layout) -> LMFacts:
    """Find out what is true of an LM, in one forward over a few tokens.

    Args:
        layout: Of an LM in evaluation mode.
    """
    blocks = list(enumerate(layout.blocks))
    attentions = [layout.module(layout.family.attn, layer) for layer, _ in blocks]
    kernels = dict.fromkeys([kernel_of(body_of(layout)), *map(kernel_of, attentions)])
    kernel = ", ".join(str(name) for name in kernels)
    windows, odd = find_windows(layout) if kernel in MASKED_KERNELS else _declared(attentions)
    return LMFacts(
        kernel=kernel,
        windows=windows,
        odd=odd,
        positions=positions_of(layout),
        vocabulary=vocabulary_of(layout.model),
        rotations=rotations_of(layout.model),
        experts=tuple(layer for layer, block in blocks if _has_experts(block)),
        sinks=tuple(n for n, module in enumerate(attentions) if hasattr(module, "sinks")),
        quantised=quantisation_of(layout.model),
        devices=tuple(device_of(block) for block in layout.blocks),
    )


def packing_obstacle(facts: LMFacts) -> str:
    """Why interventions on an LM can't be packed; empty if they can.

    A packed forward gives a token another mask and other neighbours than the prompt alone would.
    So the kernel must take any mask, the mask of every block must be known, and what a token
    becomes must not depend on which tokens share the forward with it. Mixtures of experts and
    quantised weights do not guarantee the last: experts are chosen by comparing numbers, which a
    rounding turns over, and some quantisers scale the states of all tokens of a forward together.
    Sinks are no obstacle, since a sink is one more score beside those that the mask is added to.
    """
    if facts.kernel not in MASKED_KERNELS:
        return f"its attention ({facts.kernel}) takes no mask for every query and key"
    if facts.odd:
        return f"the masks of {_layers(facts, facts.odd)} are neither causal nor a window of that"
    if facts.experts:
        where = _layers(facts, facts.experts)
        return f"the MLP of {where} is a mixture of experts, whose choice can hang on a rounding"
    if facts.quantised:
        return f"its weights are quantised ({facts.quantised})"
    return ""


def body_of(layout: Layout) -> nn.Module:
    """The module that holds the blocks, makes their masks, and has the configuration they obey."""
    return layout.module(layout.family.blocks.rpartition(".")[0])


def device_of(module: nn.Module) -> torch.device:
    """Where a module computes, which is not where its weights are while accelerate offloads them.

    Args:
        module: One with weights, of its own or further down.
    """
    hook = getattr(module, "_hf_hook", None)
    for part in (hook, *getattr(hook, "hooks", ())):
        place = getattr(part, "execution_device", None)
        if place is not None:
            return torch.device(f"cuda:{place}" if isinstance(place, int) else place)
    weight = next(module.parameters(), None)
    if weight is not None and weight.device.type != "meta":
        return weight.device
    return next((device_of(part) for part in module.children()), torch.device("cpu"))


def input_device(model: nn.Module) -> torch.device:
    """Where a model takes its token ids: the device of its embedding."""
    embedding: Any = model
    return device_of(embedding.get_input_embeddings())


def dtype_of(model: nn.Module) -> torch.dtype:
    """What a model computes its logits in: the dtype of its head."""
    owner: Any = model
    head = owner.get_output_embeddings() or owner.get_input_embeddings()
    dtype: torch.dtype = head.weight.dtype
    return dtype


def vocabulary_of(model: nn.Module) -> int:
    """How many tokens the embedding of a model has a row for."""
    embedding: Any = model
    return len(embedding.get_input_embeddings().weight)


def short_text(model: nn.Module, columns: int = COLUMNS) -> Tensor:
    """Token ids that are spread over the vocabulary (1, columns), where the model takes them."""
    ids = torch.linspace(1, vocabulary_of(model) - 1, columns).long()
    return ids[None].to(input_device(model))


def positions_of(layout: Layout) -> int | None:
    """How many tokens a prompt of an LM may have; None if nothing bounds it.

    Learned positions have that many rows; rotary ones, what the part of the configuration says that
    the blocks obey. Dynamically scaled ones stretch it by a factor.
    """
    config: Any = body_of(layout).config
    said = getattr(config, "max_position_embeddings", None)
    bounds = [said] if said is not None else []
    if layout.family.pos_embed:
        table: Any = layout.module(layout.family.pos_embed)
        bounds.append(len(table.weight) - getattr(table, "offset", 0))
    factors = [
        float(part.get("factor") or 1)
        for part in _scalings(config)
        if part.get("rope_type") == DYNAMIC
    ]
    return int(min(bounds) * min(factors, default=1)) if bounds else None


def rotations_of(model: nn.Module) -> tuple[Rotation, ...]:
    """The rotary positions of a model, from the modules that compute them."""
    found: dict[Rotation, None] = {}
    for module in model.modules():
        kinds, config = getattr(module, "rope_type", None), getattr(module, "config", None)
        if kinds is None or config is None:
            continue
        for part in _scalings(config):
            limit = part.get("original_max_position_embeddings") or config.max_position_embeddings
            found[Rotation(str(part.get("rope_type", "default")), int(limit))] = None
    return tuple(found)


def quantisation_of(model: nn.Module) -> str:
    """How the weights of a model are quantised; empty if they are plain numbers."""
    for module in model.modules():
        library = type(module).__module__.partition(".")[0]
        if library in QUANTISERS:
            return _method(model) or library
        for _, weight in (*module.named_parameters(recurse=False), *_weights_kept(module)):
            library = type(weight.data).__module__.partition(".")[0]
            small = weight.is_floating_point() and weight.element_size() < 2
            if library in QUANTISERS or small or not weight.is_floating_point():
                return _method(model) or type(module).__name__
    return ""


def find_windows(layout: Layout) -> tuple[tuple[int | None, ...], tuple[int, ...]]:
    """How far back each block sees, from the masks that its attention is given.

    The window of the configuration, if it has one, is made shorter than the text meanwhile: so it
    shows in the masks of the blocks that obey it, however long it is, and in no others.

    Args:
        layout: Of an LM in evaluation mode, whose kernel takes masks.

    Returns:
        The window of each block, None for all tokens before; and the blocks whose masks are of
        another kind.
    """
    body: Any = body_of(layout)
    given: dict[int, Tensor | None] = {}
    window = getattr(body.config, "sliding_window", None)
    with ExitStack() as stack:
        for layer in range(layout.layers):
            module = layout.module(layout.family.attn, layer)
            handle = module.register_forward_pre_hook(_noter(given, layer), with_kwargs=True)
            stack.callback(handle.remove)
        if window is not None:
            stack.enter_context(_windowed(layout.model))
        with torch.inference_mode():
            layout.model(input_ids=short_text(layout.model), use_cache=False)
    causal = torch.ones(COLUMNS, COLUMNS, dtype=torch.bool).tril()
    near = causal & ~causal.tril(-WINDOW)
    seen = {layer: causal if mask is None else _seen(mask) for layer, mask in given.items()}
    sliding = {layer for layer, mask in seen.items() if window is not None and mask.equal(near)}
    whole = {layer for layer, mask in seen.items() if mask.equal(causal)}
    odd = tuple(n for n in range(layout.layers) if n not in sliding | whole)
    return tuple(window if n in sliding else None for n in range(layout.layers)), odd


@contextmanager
def _windowed(model: nn.Module) -> Iterator[None]:
    """Shorten the windows in all configurations of a model for a while, whoever makes the masks."""
    owned = [module.config for module in model.modules() if hasattr(module, "config")]
    inner = [getattr(config, "text_config", None) for config in owned]
    every = {id(config): config for config in (*owned, *inner)}.values()
    former = [(config, getattr(config, "sliding_window", None)) for config in every]
    sliding: list[tuple[Any, Any]] = [pair for pair in former if pair[1] is not None]
    try:
        for config, _ in sliding:
            config.sliding_window = WINDOW
        yield
    finally:
        for config, window in sliding:
            config.sliding_window = window


def _noter(given: dict[int, Tensor | None], layer: int) -> Any:
    def note(_module: Any, _given: tuple[Any, ...], named: dict[str, Any]) -> None:
        given[layer] = named.get("attention_mask")

    return note


def _seen(mask: Tensor) -> Tensor:
    """Which key each query sees (queries, keys), from a mask (1, 1, queries, keys) of any kind."""
    seen = mask if mask.dtype == torch.bool else mask >= 0
    return seen[0, 0].cpu()


def _declared(attentions: Sequence[Any]) -> tuple[tuple[int | None, ...], tuple[int, ...]]:
    """The windows that modules of kernels without masks say they have."""
    return tuple(getattr(module, "sliding_window", None) for module in attentions), ()


def _scalings(config: Any) -> list[dict[str, Any]]:
    """Entries of rotary positions: one for all layers, or one for each kind of layer."""
    found: dict[str, Any] = getattr(config, "rope_parameters", None) or {}
    nested = [part for part in found.values() if isinstance(part, dict)]
    return nested or ([found] if found else [])


def _has_experts(block: nn.Module) -> bool:
    return any(name.rpartition(".")[2] == "experts" for name, _ in block.named_modules())


def _weights_kept(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Buffers that are weights, as quantisers keep them."""
    for name, buffer in module.named_buffers(recurse=False):
        if name in ("weight", "qweight"):
            yield name, buffer


def _method(model: Any) -> str:
    """What the configuration calls the quantiser; the modules have shown that there is one."""
    entries = getattr(model.config, "quantization_config", None)
    if entries is None:
        return ""
    found = entries.get if isinstance(entries, dict) else lambda key: getattr(entries, key, "")
    method = found("quant_method")
    return str(getattr(method, "value", method) or "")


def _layers(facts: LMFacts, layers: Sequence[int]) -> str:
    if len(layers) == len(facts.windows):
        return "every layer"
    return f"layer{'s' * (len(layers) > 1)} {', '.join(map(str, layers))}"
