"""Where every component is in one model, found from its module tree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from torch import Tensor, nn

from cfgen.errors import CfgenError, Problem
from cfgen.lm.attention import shows_weights
from cfgen.lm.components import COMPONENTS, Component, Place, place_problems
from cfgen.lm.families import FAMILIES, Family


@dataclass(frozen=True, slots=True)
class Layout:
    """The modules of a model that matter, and its sizes.

    Attributes:
        model: The LM.
        family: What its architecture is like.
        blocks: Its blocks, first layer first.
        heads: Query heads per layer.
        kv_heads: Key-value heads per layer.
        head_width: Width of a head.
        width: Width of the residual stream.
        neurons: Neurons of the MLP per layer; 0 for a mixture of experts.
        factor: What ``attn_out`` and ``mlp_out`` are multiplied by before they are added.
    """

    model: nn.Module
    family: Family
    blocks: nn.ModuleList
    heads: int
    kv_heads: int
    head_width: int
    width: int
    neurons: int
    factor: float

    @property
    def layers(self) -> int:
        """How many blocks there are."""
        return len(self.blocks)

    @property
    def embed_width(self) -> int:
        """Width of the token embedding, which some models project to that of the stream."""
        embed: Any = self.module(self.family.embed)
        width: int = embed.weight.shape[1]
        return width

    @property
    def components(self) -> tuple[str, ...]:
        """The components that this architecture has, in the order in which they come by."""
        ordered = sorted(COMPONENTS.values(), key=lambda row: row.stage)
        return tuple(row.name for row in ordered if self.has(row))

    def has(self, row: Component) -> bool:
        """Whether this architecture has a component."""
        if not row.absence:
            return True
        return bool(getattr(self, row.needs) if row.needs else getattr(self.family, row.module))

    @property
    def parallel(self) -> bool:
        """Whether the MLP of a block is not given what the block's own attention adds."""
        return not self.family.mid

    @property
    def grouped(self) -> bool:
        """Whether several query heads share keys and values."""
        return self.kv_heads < self.heads

    @property
    def separates_heads(self) -> bool:
        """Whether every head has queries and keys that hang on its own part of the projection."""
        return not self.family.joint_norm

    @property
    def separates_keys(self) -> bool:
        """Whether every query head can be given keys and values of its own.

        Where heads share them, the attention has to say by its attributes how it counts them.
        """
        counts = "num_key_value_heads" if self.family.fused else "num_key_value_groups"
        countable = not self.grouped or hasattr(self.module(self.family.attn, 0), counts)
        return self.separates_heads and countable

    @property
    def adds_heads(self) -> bool:
        """Whether what the heads give, times the output projection, adds up to ``attn_out``."""
        return self.family.attn_out == self.family.attn and not self.family.norms

    def heads_of(self, component: str) -> int:
        """How many heads a component has; 0 if heads have no parts of it."""
        row = COMPONENTS[component]
        return self.size(row.axes[0]) if row.by_head else 0

    def size(self, axis: str) -> int:
        """The size of an axis of components that all prompts share."""
        size: int = getattr(self, axis)
        return size

    def shape_of(self, place: Place, keys: int) -> tuple[int, ...]:
        """What one token has at a place: (width,), or (heads, head width), and so on.

        Args:
            place: The place.
            keys: How many tokens its prompt has.
        """
        axes = place.row.axes if place.head is None else place.row.axes[1:]
        if place.neurons:
            return (len(place.neurons),)
        return tuple(keys if axis == "keys" else self.size(axis) for axis in axes)

    def module_of(self, place: Place) -> nn.Module:
        """The module that a place's component goes into or comes out of."""
        path = getattr(self.family, place.row.module) if place.row.module else ""
        if not path:
            return self.blocks[place.layer]
        return self.module(path, None if place.row.before_blocks else place.layer)

    def module(self, path: str, layer: int | None = None) -> nn.Module:
        """A module by its path, from the model or, with a layer, from that block."""
        root = self.model if layer is None else self.blocks[layer]
        found: nn.Module = attrgetter(path)(root)
        return found


def find_layout(model: nn.Module, families: Sequence[Family] = FAMILIES) -> Layout:
    """Find the components of a decoder-only LM from its module tree.

    Another architecture may be built of modules with the same names:
    :func:`cfgen.lm.sums.check_sums` tells whether they compute the same.

    Args:
        model: A causal LM of transformers.
        families: What it may be like.

    Raises:
        CfgenError: No known family has such a tree (``unsupported-architecture``).
    """
    config: Any = getattr(model, "config", None)
    encoder = getattr(config, "is_encoder_decoder", False)
    kind = getattr(config, "model_type", "")
    fitting = [] if encoder else [family for family in families if _fits(model, family)]
    fitting.sort(key=lambda family: kind not in family.model_types)
    layouts = (_measure(model, family) for family in fitting)
    found = next((layout for layout in layouts if layout is not None), None)
    if found is None:
        names = ", ".join(dict.fromkeys(family.name for family in families))
        message = f"the modules of {type(model).__name__} are not those of a known family ({names})"
        hint = "use a decoder-only LM of one of these, or add an adapter: docs/adapters.md"
        raise CfgenError(Problem("unsupported-architecture", message, hint=hint))
    return found


def check_places(layout: Layout, places: Iterable[Place], *, write: bool = True) -> None:
    """Check that a model has all of some places, and that they can be written.

    Args:
        layout: Of the model.
        places: The places.
        write: Whether something is to be written there.

    Raises:
        CfgenError: Every place that it doesn't have: ``unknown-component``, ``no-such-component``,
            ``component-read-only``, ``no-such-layer``, ``no-such-head``, ``no-such-neuron``,
            ``attention-not-open``.
    """
    unique = dict.fromkeys(places)
    problems = [problem for place in unique for problem in _check(layout, place, write)]
    if problems:
        raise CfgenError(problems)


def matrix(projection: Any) -> Tensor:
    """The weights of a linear layer (inputs, outputs), whichever way it keeps them."""
    weight: Tensor = projection.weight
    return weight.T if hasattr(projection, "in_features") else weight


def _fits(model: nn.Module, family: Family) -> bool:
    blocks = _follow(model, family.blocks)
    outer = (family.embed, *filter(None, [family.pos_embed]))
    return (
        isinstance(blocks, nn.ModuleList)
        and len(blocks) > 0
        and all(isinstance(_follow(model, path), nn.Module) for path in outer)
        and all(_fits_block(block, family) for block in blocks)
    )


def _fits_block(block: nn.Module, family: Family) -> bool:
    named = {path.partition(".")[0] for path in (*family.paths, *family.has)}
    weighty = {name.partition(".")[0] for name, _ in block.named_parameters()}
    wanted = (*family.has, *filter(None, [family.factor]))
    return (
        all(isinstance(_follow(block, path), nn.Module) for path in family.paths)
        and all(_is_there(block, name) for name in wanted)
        and not any(_is_there(block, name) for name in family.lacks)
        and weighty <= named
    )


def _is_there(block: nn.Module, name: str) -> bool:
    found = _follow(block, name)
    return found is not None and found is not False


def _follow(module: nn.Module, path: str) -> Any:
    found: Any = module
    for name in path.split("."):
        found = getattr(found, name, None)
    return found


def _measure(model: nn.Module, family: Family) -> Layout | None:
    """The sizes of a model; None if they are not those of the family, or differ by layer."""
    blocks: nn.ModuleList = _follow(model, family.blocks)
    paths = (family.out_proj, family.q, family.k, family.v, family.down_proj)
    sizes = {tuple(_sizes(_follow(block, path)) for path in paths if path) for block in blocks}
    body = _follow(model, family.blocks.rpartition(".")[0])  # a wrapper has no heads of its own
    heads: int = _follow(body, "config.num_attention_heads") or 0
    (inside, width), (_, q), (_, k), (_, v), *down = sizes.pop()
    neurons = down[0][0] if down else 0
    head_width = inside // max(heads, 1)
    if family.fused == "stacked":  # all three are one projection
        k = v = (q - inside) // 2
        q = q - k - v
    elif family.fused == "interleaved":
        q = k = v = q // 3
    if sizes or q != inside or k != v or heads * head_width != inside or k % head_width:
        return None
    factor = getattr(blocks[0], family.factor) if family.factor else 1.0
    return Layout(
        model=model,
        family=family,
        blocks=blocks,
        heads=heads,
        kv_heads=k // head_width,
        head_width=head_width,
        width=width,
        neurons=neurons,
        factor=float(factor),
    )


def _sizes(projection: Any) -> tuple[int, int]:
    """Input and output width of a linear layer; that of GPT-2 keeps its weight transposed."""
    if hasattr(projection, "in_features"):
        return projection.in_features, projection.out_features
    return projection.nx, projection.nf


def _check(layout: Layout, place: Place, write: bool) -> list[Problem]:
    row = COMPONENTS.get(place.component)
    if row is None:
        return place_problems(place)
    problems = []
    if not layout.has(row):
        message = f"{layout.family.name} has no {row.name}: {row.absence}"
        problems.append(Problem("no-such-component", message, hint="choose another component"))
    if row.tap == "attention" and not shows_weights(layout.module(layout.family.attn, 0)):
        message = f"{row.name} can't be had: the LM was loaded with a kernel that has no weights"
        hint = 'load it with attn_implementation="sdpa", or "eager"'
        problems.append(Problem("attention-not-open", message, hint=hint))
    heads, layers = layout.heads_of(row.name), layout.layers
    neurons = layout.size(row.axes[0]) if row.by_neuron else 0
    return problems + place_problems(
        place, layers=layers, heads=heads, neurons=neurons, write=write
    )
