"""The kinds of values that edits write: a class for each.

To add one, add a subclass of :class:`cfgen.interventions.language.Value` here, and its name to the
package's face. What it takes from where, what it writes, and what is wrong with it is all there is
to say; both engines ask it, and nothing else. ``overwrites``, ``copies``, ``keeps_zeros`` and
``kin`` are right as they are inherited, if slower than need be.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from cfgen.interventions.language import HERE, Read, Run, Value, outside


@dataclass(frozen=True, slots=True, eq=False)
class Copy(Value):
    """What a run has at the place of the edit, clean or itself edited (an interchange).

    Attributes:
        run: The run.
        positions: Its token positions, one for each of the edit; None for the same ones.
    """

    overwrites: ClassVar[bool] = True
    copies: ClassVar[bool] = True
    run: Run
    positions: tuple[int, ...] | None = None

    @property
    @override
    def reads(self) -> tuple[Read, ...]:
        return (Read(self.run, self.positions),)

    @property
    @override
    def kin(self) -> Hashable:
        return "Copy"

    @override
    def write(self, now: Tensor, *operands: Tensor) -> Tensor:
        return operands[0]


@dataclass(frozen=True, slots=True, eq=False)
class Constant(Value):
    """Numbers that are given: zeros, a mean, a clamp.

    Attributes:
        numbers: (positions, *shape), with the shape that one token has at the place: (width,);
            (heads, head width), or (head width,) for one head; (neurons,). For an attention
            pattern the last dimension is the length of the prompt.
        name: What the numbers are, where they come from runs; empty if that does not matter.
    """

    overwrites: ClassVar[bool] = True
    numbers: Tensor
    name: str = ""

    @property
    @override
    def rows(self) -> tuple[Tensor, ...]:
        return (self.numbers,)

    @property
    @override
    def kin(self) -> Hashable:
        return "Constant"

    @property
    @override
    def further(self) -> Constant:
        return Constant(self.numbers[-1:], self.name)

    @override
    def write(self, now: Tensor, *operands: Tensor) -> Tensor:
        return operands[0]


@dataclass(frozen=True, slots=True, eq=False)
class Add(Value):
    """What is there and a vector: steering, or noise.

    Attributes:
        numbers: What is added (positions, *shape).
        name: What the numbers are; empty if that does not matter.
    """

    numbers: Tensor
    name: str = ""

    @property
    @override
    def rows(self) -> tuple[Tensor, ...]:
        return (self.numbers,)

    @property
    @override
    def kin(self) -> Hashable:
        return "Add"

    @property
    @override
    def further(self) -> Add:
        return Add(self.numbers[-1:], self.name)

    @override
    def write(self, now: Tensor, *operands: Tensor) -> Tensor:
        return now + operands[0]


@dataclass(frozen=True, slots=True, eq=False)
class Affine(Value):
    """A linear map of what is there, and an offset: erasure.

    Attributes:
        matrix: (size, size); what a token has, as one row of numbers, is multiplied by it from the
            right.
        offset: (size,).
        name: What the map is; empty if that does not matter.
    """

    matrix: Tensor
    offset: Tensor
    name: str = ""

    @property
    @override
    def further(self) -> Affine:
        return self

    @override
    def write(self, now: Tensor, *operands: Tensor) -> Tensor:
        flat = now.flatten(1)  # (tokens, size)
        return (flat @ self.matrix.to(flat) + self.offset.to(flat)).view_as(now)

    @override
    def problems(self, shape: tuple[int, ...]) -> Iterator[str]:
        size = torch.Size(shape).numel()
        if self.matrix.shape != (size, size):
            yield f"a matrix {tuple(self.matrix.shape)} where {(size, size)} is needed"
        if self.offset.shape != (size,):
            yield f"an offset {tuple(self.offset.shape)} where {(size,)} is needed"


@dataclass(frozen=True, slots=True, eq=False)
class Rotate(Value):
    """Another run's part in a subspace, one's own outside: ``own + Q m Qᵀ (other - own)``.

    With weights of one, the distributed interchange intervention (Geiger et al., 2023, section 3);
    with the unit matrix as basis and weights between 0 and 1, a mask of neurons.

    Attributes:
        basis: Q (size, rank), with orthonormal columns.
        source: What the other run has.
        weights: m, the weight of each direction (rank,); None for one.
        name: What the basis is; empty if that does not matter.
    """

    basis: Tensor
    source: Copy
    weights: Tensor | None = None
    name: str = ""

    @property
    @override
    def reads(self) -> tuple[Read, ...]:
        return self.source.reads

    @property
    @override
    def kin(self) -> Hashable:
        basis, _source, weights, _name = self._key()
        return "Rotate", basis, weights

    @override
    def write(self, now: Tensor, *operands: Tensor) -> Tensor:
        # In float32: the difference of two large states is small, and the basis may be learned.
        own = now.flatten(1).float()  # (tokens, size)
        parts = (operands[0].flatten(1).float() - own) @ self.basis.to(own)  # (tokens, rank)
        if self.weights is not None:
            parts = parts * self.weights.to(own)
        return (own + parts @ self.basis.to(own).T).view_as(now)

    @override
    def problems(self, shape: tuple[int, ...]) -> Iterator[str]:
        size = torch.Size(shape).numel()
        if self.basis.dim() != 2 or self.basis.shape[0] != size:
            yield f"a basis {tuple(self.basis.shape)} where ({size}, rank) is needed"
            return
        if self.weights is not None and self.weights.shape != self.basis.shape[1:]:
            yield f"weights {tuple(self.weights.shape)} for {self.basis.shape[1]} directions"
        square = (self.basis.T @ self.basis).detach().float()
        if (square - torch.eye(len(square)).to(square)).abs().amax() > 1e-3:
            yield "a basis whose columns are not orthonormal"


@dataclass(frozen=True, slots=True, eq=False)
class Mix(Value):
    """A weighted sum of reads: of other runs, and of earlier places of the run itself.

    What an edge of a circuit needs: the input of a later part is what it is, minus what an earlier
    part added to it, plus what that part adds in another run.

    Attributes:
        terms: Weight and read; ``HERE`` is what is there.
    """

    terms: tuple[tuple[float, Read], ...]

    @property
    @override
    def reads(self) -> tuple[Read, ...]:
        return tuple(read for _, read in self.terms if read != HERE)

    @property
    @override
    def kin(self) -> Hashable:
        return "Mix", tuple((weight, read == HERE) for weight, read in self.terms)

    @property
    @override
    def further(self) -> Mix | None:
        return None if self.reads else self

    @override
    def write(self, now: Tensor, *operands: Tensor) -> Tensor:
        others = iter(operands)
        parts = (w * (now if read == HERE else next(others).to(now)) for w, read in self.terms)
        return sum(parts, start=torch.zeros_like(now))

    @override
    def problems(self, shape: tuple[int, ...]) -> Iterator[str]:
        if not self.terms:
            yield "a sum without terms"


@dataclass(frozen=True, slots=True, eq=False)
class Block(Value):
    """Attention without some keys (attention knockout; Geva et al., 2023, section 5).

    Written at ``attn_pattern``, whose positions are the tokens that look. As if the scores of the
    keys were minus infinity before the softmax: ``A' = A / (1 - sum of A over the keys)`` for those
    that are left.

    Attributes:
        keys: Token positions that are not looked at.
    """

    keeps_zeros: ClassVar[bool] = True
    keys: tuple[int, ...]

    @override
    def write(self, now: Tensor, *operands: Tensor) -> Tensor:
        left = now.clone()  # (tokens, heads, keys), or (tokens, keys) for one head
        left[..., list(self.keys)] = 0
        return left / left.sum(dim=-1, keepdim=True)

    @override
    def problems(self, shape: tuple[int, ...]) -> Iterator[str]:
        if text := outside(self.keys, shape[-1], "the prompt"):
            yield text
