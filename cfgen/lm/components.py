"""What of an LM can be read and written: one table, a row for each component.

Everything that differs between components is said here, and everything that handles components
asks the table: which module to hook and how (:mod:`cfgen.lm.hooks`), which an architecture has
(:mod:`cfgen.lm.layout`), what adds up to what (:mod:`cfgen.lm.sums`), what an edit can change
(:mod:`cfgen.interventions.reach`), what may be copied from where. No module is needed to read it
that imports torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Literal

from cfgen.errors import Problem, did_you_mean


class Stage(IntEnum):
    """When a component comes by in a block. What is of one stage depends on none of the same."""

    EMBEDDING = 0
    INPUT = 1
    HEAD_INPUT = 2
    PROJECTION = 3
    WEIGHTS = 4
    HEADS = 5
    RESULTS = 6
    ATTENTION = 7
    MIDDLE = 8
    MLP_INPUT = 9
    NEURONS = 10
    MLP = 11
    OUTPUT = 12


@dataclass(frozen=True, slots=True)
class Component:
    """Something that every token has in every block, or once before the blocks.

    Attributes:
        name: What it is called.
        meaning: What it is, in a few words.
        stage: When it comes by.
        module: The field of :class:`cfgen.lm.families.Family` that names its module; empty for the
            block itself.
        tap: Whether it is what goes into its module, what comes out of it, the weights of the
            attention in between, for which the attention has to be opened
            (:mod:`cfgen.lm.attention`), or a copy of the residual stream of its module's own, from
            which norm and projection are made again (:mod:`cfgen.lm.inputs`).
        axes: What one token has there: sizes of :class:`cfgen.lm.layout.Layout` by name, heads
            first; ``keys`` are the tokens that attention looks at.
        form: How its module lays it out: a function of :mod:`cfgen.lm.hooks`.
        behind_keys: Whether it comes behind the keys and values of its block: what is written
            there at one position is seen by no other position before the next block.
        decided_by: What its value at a position hangs on in an unchanged run: the token there
            alone, the position alone, or all tokens up to it.
        role: Whether it is a state of the residual stream, what is added to that (times the
            layout's factor) between two states, or neither.
        boundary: For the residual stream between blocks, what it enters: 0 for the block of its
            own number, 1 for the next; so ``resid_post`` of a block and ``resid_pre`` of the next
            are one tensor. None for what is inside of blocks or before them.
        in_place: Whether the block uses the same tensor once more behind the module, so that a
            write must change the tensor itself and not what the module is given.
        one_row: Whether its module may give one row for all prompts.
        recomputed: Whether what is written there takes effect by making norm and projection again,
            so that only whole prompts can be run with it.
        instead: For what is only made to be looked at, and from which nothing is computed, the
            component to write instead.
        part: For the input of one head's projection, the projection's component. Where query
            heads share that, no one value of it is left once the input of one is written.
        needs: The property of :class:`cfgen.lm.layout.Layout` that says whether an architecture
            has it; empty if it has it with the module.
        absence: Why an architecture may lack it, as the end of "it has none, since ..."; empty if
            all have it.
    """

    name: str
    meaning: str
    stage: Stage
    module: str = ""
    tap: Literal["input", "output", "attention", "own"] = "output"
    axes: tuple[str, ...] = ("width",)
    form: Literal["tokens", "heads", "projection", "weights", "results"] = "tokens"
    behind_keys: bool = True
    decided_by: Literal["token", "position", "prefix"] = "prefix"
    role: Literal["stream", "addend", ""] = ""
    boundary: int | None = None
    in_place: bool = False
    one_row: bool = False
    recomputed: bool = False
    instead: str = ""
    part: Literal["", "q", "k", "v"] = ""
    needs: str = ""
    absence: str = ""

    @property
    def by_head(self) -> bool:
        """Whether every head has its own part of it."""
        return self.axes[0] in ("heads", "kv_heads")

    @property
    def read_only(self) -> bool:
        """Whether it can be read, but not written."""
        return bool(self.instead)

    @property
    def by_neuron(self) -> bool:
        """Whether single numbers of it can be chosen: neurons, or dimensions of a state."""
        return len(self.axes) == 1

    @property
    def over_keys(self) -> bool:
        """Whether a token has a number there for every token that it looks at.

        Such values fit only a prompt of the same length, and their last axis must follow wherever
        the keys of a forward lie.
        """
        return self.axes[-1] == "keys"

    def fits(self, length: int, other: int) -> bool:
        """Whether a prompt of one length can be given what a prompt of another length has there."""
        return length == other or not self.over_keys

    @property
    def before_blocks(self) -> bool:
        """Whether there is only one, before the first block; its layer is 0."""
        return self.stage is Stage.EMBEDDING


_TABLE = (
    Component(
        "embed",
        "output of the token embedding",
        Stage.EMBEDDING,
        module="embed",
        axes=("embed_width",),  # not the LM's own width where it is projected (OPT 350M)
        behind_keys=False,
        decided_by="token",
    ),
    Component(
        "pos_embed",
        "output of the learned position embedding",
        Stage.EMBEDDING,
        module="pos_embed",
        behind_keys=False,
        decided_by="position",
        one_row=True,
        absence="it has no learned position embedding",
    ),
    Component(
        "resid_pre",
        "residual stream before the block",
        Stage.INPUT,
        tap="input",
        behind_keys=False,
        role="stream",
        boundary=0,
    ),
    # What single heads are given is before the norm, so that it can be put together of what was
    # added to the residual stream. Keys and values count by query heads here, even if these share
    # them: the keys that one head sees are changed for that head alone.
    Component(
        "q_in",
        "residual stream as the query of a head is made from it",
        Stage.HEAD_INPUT,
        module="q",
        tap="own",
        axes=("heads", "width"),
        recomputed=True,
        part="q",
        needs="separates_heads",
        absence="a norm of its queries reaches over all heads, so that none has one of its own",
    ),
    Component(
        "k_in",
        "residual stream as the keys that a query head sees are made from it",
        Stage.HEAD_INPUT,
        module="k",
        tap="own",
        axes=("heads", "width"),
        behind_keys=False,
        recomputed=True,
        part="k",
        needs="separates_keys",
        absence="its attention can't give the heads of a group different keys",
    ),
    Component(
        "v_in",
        "residual stream as the values that a query head sees are made from it",
        Stage.HEAD_INPUT,
        module="v",
        tap="own",
        axes=("heads", "width"),
        behind_keys=False,
        recomputed=True,
        part="v",
        needs="separates_keys",
        absence="its attention can't give the heads of a group different values",
    ),
    # q, k and v are as projected: before norms of queries and keys, before rotation. A query is
    # read by its own token only, so it counts as behind the keys though it is of their stage.
    Component(
        "q",
        "queries of the heads",
        Stage.PROJECTION,
        module="q",
        axes=("heads", "head_width"),
        form="projection",
    ),
    Component(
        "k",
        "keys of the key-value heads",
        Stage.PROJECTION,
        module="k",
        axes=("kv_heads", "head_width"),
        form="projection",
        behind_keys=False,
    ),
    Component(
        "v",
        "values of the key-value heads",
        Stage.PROJECTION,
        module="v",
        axes=("kv_heads", "head_width"),
        form="projection",
        behind_keys=False,
    ),
    Component(
        "attn_pattern",
        "weights of the attention, after the softmax",
        Stage.WEIGHTS,
        module="pattern",
        tap="attention",
        axes=("heads", "keys"),
        form="weights",
    ),
    Component(
        "head_out",
        "outputs of the heads, which the attention's output projection takes",
        Stage.HEADS,
        module="out_proj",
        tap="input",
        axes=("heads", "head_width"),
        form="heads",
    ),
    Component(
        "head_result",
        "what a head adds to the attention's output, in front of the bias",
        Stage.RESULTS,
        module="out_proj",
        tap="input",
        axes=("heads", "width"),
        form="results",
        instead="head_out",
        needs="adds_heads",
        absence="a norm follows its attention, so that what heads give does not simply add up",
    ),
    Component(
        "attn_out",
        "what the attention adds to the residual stream",
        Stage.ATTENTION,
        module="attn_out",
        role="addend",
    ),
    Component(
        "resid_mid",
        "residual stream between attention and MLP",
        Stage.MIDDLE,
        module="mid",
        tap="input",
        role="stream",
        in_place=True,  # the block adds the same tensor to its MLP's output
        absence="its attention and MLP run side by side, with nothing in between",
    ),
    Component(
        "mlp_in",
        "residual stream as the MLP is given it, before its norm",
        Stage.MLP_INPUT,
        module="mlp_in",
        tap="own",
        recomputed=True,
    ),
    Component(
        "mlp_neuron",
        "neurons of the MLP, which its down projection takes",
        Stage.NEURONS,
        module="down_proj",
        tap="input",
        axes=("neurons",),
        absence="its MLP is a mixture of experts, each with neurons of its own for some tokens",
    ),
    Component(
        "mlp_out",
        "what the MLP adds to the residual stream",
        Stage.MLP,
        module="mlp_out",
        role="addend",
    ),
    Component(
        "resid_post",
        "residual stream after the block",
        Stage.OUTPUT,
        role="stream",
        boundary=1,
    ),
)

COMPONENTS: dict[str, Component] = {row.name: row for row in _TABLE}
"""Every component by name, in the order in which they come by."""


@dataclass(frozen=True, slots=True)
class Place:
    """A component of one layer, or one head's part of it, or some of its numbers.

    Attributes:
        component: One of :data:`COMPONENTS`.
        layer: Block, counted from 0; 0 for what is before the blocks.
        head: Head, counted from 0, of a component that heads have parts of; None for all heads.
        neurons: Which numbers of a component that has no heads: neurons of ``mlp_neuron``,
            dimensions of all others; empty for all.
    """

    component: str
    layer: int = 0
    head: int | None = None
    neurons: tuple[int, ...] = ()

    @property
    def row(self) -> Component:
        """Its component's row of the table. Raises KeyError if there is none."""
        return COMPONENTS[self.component]

    @property
    def canonical(self) -> Place:
        """The same tensor under one name: what enters a block is what leaves the one before."""
        if self.layer and self.row.boundary == 0:
            left = next(row.name for row in COMPONENTS.values() if row.boundary == 1)
            return replace(self, component=left, layer=self.layer - 1)
        return self

    @property
    def whole(self) -> Place:
        """Its component, with all heads and neurons."""
        return Place(self.component, self.layer)

    def __str__(self) -> str:
        known = COMPONENTS.get(self.component)
        parts = [self.component]
        if self.layer or not (known and known.before_blocks):
            parts.append(f"layer {self.layer}")
        if self.head is not None:
            parts.append(f"head {self.head}")
        if self.neurons:
            parts.append(f"neurons {', '.join(map(str, self.neurons))}")
        return ", ".join(parts)


def place_problems(
    place: Place,
    *,
    layers: int | None = None,
    heads: int | None = None,
    neurons: int | None = None,
    write: bool = True,
) -> list[Problem]:
    """What is wrong with a place: its component, or numbers of layers, heads and neurons.

    Args:
        place: The place.
        layers: How many layers there are; None where no LM is at hand.
        heads: How many heads a component with heads has.
        neurons: How many neurons a component with neurons has.
        write: Whether something is to be written there.

    Returns:
        Problems ``unknown-component``, ``component-read-only``, ``no-such-layer``,
        ``no-such-head``, ``no-such-neuron``.
    """
    name, row = place.component, COMPONENTS.get(place.component)
    if row is None:
        hint = did_you_mean(name, COMPONENTS)
        return [Problem("unknown-component", f"no component {name!r}", hint=hint)]
    head = () if place.head is None else (place.head,)
    problems = []
    if write and row.read_only:
        message = f"{name} can be read, not written: nothing is computed from it"
        problems.append(Problem("component-read-only", message, hint=f"write {row.instead}"))
    if wrong := _outside("layer", (place.layer,), 1 if row.before_blocks else layers, name):
        problems.append(Problem("no-such-layer", wrong[0], hint=wrong[1]))
    if wrong := _outside("head", head, heads if row.by_head else 0, name):
        problems.append(Problem("no-such-head", wrong[0], hint=wrong[1]))
    if wrong := _outside("neuron", place.neurons, neurons if row.by_neuron else 0, name):
        problems.append(Problem("no-such-neuron", wrong[0], hint=wrong[1]))
    return problems


def _outside(
    what: str, chosen: Iterable[int], count: int | None, component: str
) -> tuple[str, str] | None:
    """What is wrong with some numbers, and a hint; None if all are below the count."""
    wrong = [number for number in chosen if not _is_below(number, count)]
    if not wrong:
        return None
    several = "s" * (len(wrong) > 1)
    hint = f"{what}s count from 0" if count is None else f"there are {what}s 0 to {count - 1}"
    if count in (0, 1):
        hint = f"its {what} is 0" if count else f"{component} has no {what}s"
    return f"{component} has no {what}{several} {', '.join(map(str, wrong))}", hint


def _is_below(number: object, count: int | None) -> bool:
    return isinstance(number, int) and number >= 0 and (count is None or number < count)
