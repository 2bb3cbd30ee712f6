"""What single heads, and the MLP, are given: the residual stream in front of the norm.

A block makes one norm of the residual stream and one projection of that for all heads. For a head
to be given something else, both are made again from it, for this head and at those tokens only
where it differs, so that all else stays as it is, bit by bit.

Query heads that share keys and values are given keys of their own by widening: while something is
written, the projections give every query head a copy of what its group shares, and the attention is
told that nothing is shared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from cfgen.errors import CfgenError, Problem
from cfgen.lm.attention import Use
from cfgen.lm.components import COMPONENTS, Place, Stage
from cfgen.lm.layout import Layout, matrix
from cfgen.lm.projections import PARTS, Projection, projected, split
from cfgen.lm.taps import Removable, put_tap, tapped

LAST = max(Stage) + 1
"""The stage of what must see all that others wrote."""


@dataclass(frozen=True, slots=True, eq=False)
class OwnUse:
    """A function that sees, or writes, what a head or the MLP is given.

    Attributes:
        inputs: Those of its layer.
        place: What it sees.
        use: The function.
        write: Whether it changes the tensor in place.
    """

    inputs: OwnInputs
    place: Place
    use: Use
    write: bool

    def remove(self) -> None:
        """Take it off; the last one leaves the block as it was."""
        self.inputs.drop(self)


@dataclass(frozen=True, slots=True, eq=False)
class Watch:
    """A function that sees what a block projects.

    Attributes:
        inputs: Those of its layer.
        use: The function, called with each projection.
    """

    inputs: OwnInputs
    use: Callable[[Projection], None]

    def remove(self) -> None:
        """Take it off; the last one leaves the block as it was."""
        self.inputs.drop(self)


@dataclass(frozen=True, slots=True)
class Remade:
    """One head's queries, keys or values where it was given something else.

    Attributes:
        head: The query head.
        where: At which tokens (rows, columns).
        values: What was made there (tokens, head width).
        kept: Which of these tokens were given just what was there before. They keep what they had,
            but for gradients, which pass through what they were given.
    """

    head: int
    where: Tensor
    values: Tensor
    kept: Tensor

    def put(self, heads: Tensor) -> None:
        """Put it among those of all heads (rows, columns, heads, head width)."""
        heads[:, :, self.head][self.where] = self.instead_of(heads[:, :, self.head][self.where])

    def instead_of(self, there: Tensor) -> Tensor:
        """The values, or what is there with their gradients (tokens, head width)."""
        same = there.detach() + (self.values - self.values.detach())
        return torch.where(self.kept[:, None], same, self.values.to(there.dtype))


@dataclass(slots=True, eq=False)
class OwnInputs:
    """The functions at what is given to the heads and the MLP of one block, and its hooks.

    Attributes:
        layout: Of the model.
        layer: The block.
        uses: The functions, in the order in which they were put there.
        watches: Those that see what is projected, for every query head by itself.
        taps: The hooks.
        stream: What the block's attention was given in this forward, before the norm.
        waiting: Keys or values of single heads that wait for the projection to be widened.
        former: Attributes of the attention that widening has changed, as they were.
    """

    layout: Layout
    layer: int
    uses: list[OwnUse] = field(default_factory=list)
    watches: list[Watch] = field(default_factory=list)
    taps: list[Removable] = field(default_factory=list)
    stream: Tensor | None = None
    waiting: dict[str, list[Remade]] = field(default_factory=dict)
    former: dict[str, int] = field(default_factory=dict)

    def add(self, use: OwnUse | Watch) -> None:
        """Put a function there."""
        if not self.taps:
            self._put_taps()
        if isinstance(use, Watch):
            self.watches.append(use)
        else:
            self.uses.append(use)
        self._tell_attention()

    def drop(self, use: OwnUse | Watch) -> None:
        """Take a function off; does nothing if it is not there."""
        self.uses[:] = [one for one in self.uses if one is not use]
        self.watches[:] = [one for one in self.watches if one is not use]
        self._tell_attention()
        if not self.uses and not self.watches:
            for tap in self.taps:
                tap.remove()
            self.taps.clear()
            self._forget()
            _INPUTS.pop(self.layout.blocks[self.layer], None)

    def writes(self, *names: str) -> bool:
        """Whether something is written to one of some components, or may be."""
        if self.watches and {"k_in", "v_in"} & {*names}:
            return True
        return any(use.write and use.place.component in names for use in self.uses)

    @property
    def widened(self) -> bool:
        """Whether every query head is given keys and values of its own."""
        return bool(self.former)

    def _tell_attention(self) -> None:
        """Have the attention count as many key-value heads as it is given."""
        attention: Any = self._module(self.layout.family.attn)
        wide = self.layout.grouped and self.writes("k_in", "v_in")
        if wide and not self.former:
            counts = {"num_key_value_groups": 1, "num_key_value_heads": self.layout.heads}
            self.former = {n: getattr(attention, n) for n in counts if hasattr(attention, n)}
            for name in self.former:
                setattr(attention, name, counts[name])
        elif not wide:
            for name, value in self.former.items():
                setattr(attention, name, value)
            self.former = {}

    def _put_taps(self) -> None:
        """Hooks that note the residual stream and make again what comes of it."""
        family = self.layout.family
        self._tap(family.norm or family.attn, "input", LAST, self._note)
        paths = dict.fromkeys(getattr(family, part) for part in PARTS)
        for path in paths:
            parts = tuple(part for part in PARTS if getattr(family, part) == path)
            self._tap(path, "output", Stage.HEAD_INPUT, lambda t, p=parts: self._projected(t, p))
            self._tap(path, "output", LAST, lambda t, p=parts: self._wide(t, p))
        if family.mlp_shares_norm:
            self._tap(family.mlp_in, "input", Stage.MLP_INPUT, self._mlp)
        block = self.layout.blocks[self.layer]
        self.taps.append(put_tap(block, "output", LAST, "", self._finish))
        path, axis = family.key_norm or ("", 0)
        if self.layout.grouped and path and hasattr(self._module(family.attn), path.split(".")[-1]):
            self._tap(path, "input", LAST, lambda t: self._fold(t, axis))
            self._tap(path, "output", LAST, lambda t: self._unfold(t, axis))

    def _tap(self, path: str, side: Any, stage: int, change: Any) -> None:
        self.taps.append(put_tap(self._module(path), side, stage, "", change))

    def _module(self, path: str) -> nn.Module:
        return self.layout.module(path, self.layer)

    def _note(self, stream: Tensor) -> Tensor:
        self.stream = stream
        return stream

    def _forget(self) -> None:
        self.stream = None
        self.waiting.clear()

    def _finish(self, output: Tensor) -> Tensor:
        """Keep nothing of a forward, nor of its gradients."""
        self._forget()
        return output

    def _norm(self, tokens: Tensor) -> Tensor:
        """What the attention makes of tokens (tokens, width) before it projects them."""
        path = self.layout.family.norm
        norm: Any = self._module(path) if path else None
        # not by calling it, which would note this as what the block is given
        normed: Tensor = tokens if norm is None else norm.forward(tokens)
        return normed

    def _projected(self, output: Tensor, parts: Sequence[str]) -> Tensor:
        """What a projection gives, made again for the heads that were given something else."""
        for part in parts:
            remade = self._remade(part)
            if part != "q" and self.widened:
                self.waiting[part] = remade
            elif remade:
                output = output.clone()
                for one in remade:
                    one.put(projected(self.layout, part, output))
        return output

    def _remade(self, part: str) -> list[Remade]:
        """Let the functions at a part's input see it, and project what they wrote."""
        uses = [use for use in self.uses if use.place.row.part == part]
        if not uses:
            return []
        chosen = {use.place.head for use in uses}
        every = range(self.layout.heads)
        heads = every if None in chosen else [head for head in every if head in chosen]
        stream = self._stream()[:, :, None]  # (rows, columns, 1, width)
        own = stream.expand(-1, -1, len(heads), -1)  # (rows, columns, heads, width)
        writing = any(use.write for use in uses)
        own = own.clone() if writing else own
        for use in uses:
            head = use.place.head
            use.use(own if head is None else own.select(2, heads.index(head)))
        if not writing:
            return []
        pairs = zip(heads, own.unbind(2), strict=True)
        remade = (self._of_head(part, head, given) for head, given in pairs)
        return [one for one in remade if one is not None]

    def _of_head(self, part: str, head: int, given: Tensor) -> Remade | None:
        """A head's part of the projection of what it was given (rows, columns, width)."""
        where, kept = _differing(given, self._stream())
        if not where.any():
            return None
        module = self._module(getattr(self.layout.family, part))
        at = head * self.layout.heads_of(part) // self.layout.heads  # query heads share keys
        weight = projected(self.layout, part, matrix(module))[:, at]  # (width, head width)
        values = self._norm(given[where]) @ weight  # (tokens, head width)
        bias: Tensor | None = getattr(module, "bias", None)
        if bias is not None:
            values = values + projected(self.layout, part, bias)[at]
        return Remade(head, where, values, kept)

    def _wide(self, output: Tensor, parts: Sequence[str]) -> Tensor:
        """What a projection gives, with keys and values for every query head."""
        wide = self.widened and parts != ("q",)
        output = self._widened(output, parts) if wide else output
        for watch in self.watches:
            projection = Projection(self.layout, self.layer, tuple(parts), output, wide)
            watch.use(projection)
        return output

    def _widened(self, output: Tensor, parts: Sequence[str]) -> Tensor:
        pieces = []
        for part in parts:
            heads = projected(self.layout, part, output)  # (rows, columns, its heads, head width)
            if part != "q":
                heads = heads.repeat_interleave(self.layout.heads // self.layout.kv_heads, dim=2)
                for one in self.waiting.pop(part, ()):
                    one.put(heads)
            pieces.append(heads.flatten(2))
        return torch.cat(pieces, dim=-1)

    def _fold(self, keys: Tensor, axis: int) -> Tensor:
        """Keys of all query heads as those of more rows, so that a norm sees as many as it has."""
        if not self.widened:
            return keys
        groups = split(keys, axis, (self.layout.kv_heads, -1))
        return groups.movedim(axis + 1, 0).flatten(0, 1)  # (members * rows, ...)

    def _unfold(self, keys: Tensor, axis: int) -> Tensor:
        """The other way round."""
        if not self.widened:
            return keys
        members = self.layout.heads // self.layout.kv_heads
        groups = split(keys, 0, (members, -1)).movedim(0, axis + 1)
        return groups.flatten(axis, axis + 1)

    def _mlp(self, normed: Tensor) -> Tensor:
        """What the MLP reads, where its norm is that of the attention (rows, columns, width)."""
        uses = [use for use in self.uses if not use.place.row.part]
        stream = self._stream()
        own = stream.clone() if self.writes("mlp_in") else stream
        for use in uses:
            use.use(own)
        if own is stream:
            return normed
        where, kept = _differing(own, stream)
        if not where.any():
            return normed
        given = normed[:, :, None].clone()  # (rows, columns, 1, width)
        Remade(0, where, self._norm(own[where]), kept).put(given)
        return given[:, :, 0]

    def _stream(self) -> Tensor:
        """What the block was given in this forward (rows, columns, width)."""
        assert self.stream is not None, "the projection runs after the norm"
        return self.stream


_INPUTS: WeakKeyDictionary[nn.Module, OwnInputs] = WeakKeyDictionary()
"""Blocks -> what is done at the inputs of their heads and MLPs."""


def hook_inputs(layout: Layout, place: Place, use: Use, *, write: bool) -> OwnUse:
    """Let a function see what a head or the MLP of a block is given, or write it.

    Args:
        layout: Of the model.
        place: One whose component is recomputed.
        use: Called once per forward with a tensor (rows, columns, heads, width), without the heads'
            axis if the place is one head's or the MLP's.
        write: Whether ``use`` changes the tensor in place.

    Raises:
        CfgenError: Its heads share what somebody else looks at (``component-shared``).
    """
    row = place.row
    if write and row.part in ("k", "v") and layout.grouped:
        projection = layout.module(getattr(layout.family, row.part), place.layer)
        if row.part in tapped(projection, "output"):
            raise _shared(row.part, place)
    inputs = _INPUTS.setdefault(layout.blocks[place.layer], OwnInputs(layout, place.layer))
    own = OwnUse(inputs, place, use, write)
    inputs.add(own)
    return own


def watch_projections(layout: Layout, layer: int, use: Callable[[Projection], None]) -> Watch:
    """Let a function see what a block makes of the residual stream for every query head.

    Heads that share keys and values are given copies of their own, so that a gradient there is that
    of one head (:func:`cfgen.lm.projections.pull_back`).

    Args:
        layout: Of the model.
        layer: The block.
        use: Called once per forward with the projection of each module.

    Raises:
        CfgenError: Somebody else looks at what the heads share (``component-shared``).
    """
    for part in PARTS[1:] if layout.grouped else ():
        if part in tapped(layout.module(getattr(layout.family, part), layer), "output"):
            raise _shared(part, Place(f"{part}_in", layer))
    inputs = _INPUTS.setdefault(layout.blocks[layer], OwnInputs(layout, layer))
    watch = Watch(inputs, use)
    inputs.add(watch)
    return watch


def check_shared(layout: Layout, place: Place) -> None:
    """Check that the heads of a group still have the same keys, or values, in a forward.

    Raises:
        CfgenError: An input of a single head is written there (``component-shared``).
    """
    inputs = _INPUTS.get(layout.blocks[place.layer])
    if inputs is not None and layout.grouped and inputs.writes(f"{place.component}_in"):
        raise _shared(place.component, place)


def shares(layout: Layout, place: Place, written: Place) -> bool:
    """Whether a place has no one value in forwards in which another place is written.

    Those are the keys of a group of heads once one of them is given something else to make its keys
    of (``k`` and ``k_in``), and its values. Such places can't be hooked together.
    """
    part = written.row.part
    same = place.component == part and place.layer == written.layer
    return same and layout.grouped and part != "q"


def _differing(own: Tensor, stream: Tensor) -> tuple[Tensor, Tensor]:
    """At which tokens something has to be made again, and which of these are given the same.

    Args:
        own: What is given (rows, columns, width).
        stream: What was there (rows, columns, width).

    Returns:
        Tokens (rows, columns), and for each of them whether it is the same (tokens,).
    """
    differs = (own != stream).any(dim=-1)  # (rows, columns)
    # What was written may have gradients where it happens to be what was there.
    where = torch.ones_like(differs) if own.requires_grad else differs
    return where, ~differs[where]


def _shared(part: str, place: Place) -> CfgenError:
    message = (
        f"{part}, layer {place.layer} and {part}_in, layer {place.layer} can't be used in one "
        f"forward if the second is written: heads that share {COMPONENTS[part].meaning.split()[0]} "
        "have different ones then"
    )
    hint = "use them in different forwards"
    return CfgenError(Problem("component-shared", message, hint=hint))
