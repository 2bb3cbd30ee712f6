"""The language of interventions: runs, the edits in them, and the values that edits write.

Everything that is done to an LM is said in it. A run is a prompt with edits; an edit overwrites
tokens at a place with a value; a value may take numbers from other runs, which may have edits too.
Runs refer to each other directly, so that they form a graph without circles.

To add a kind of value, add a subclass of :class:`Value` here, and its name to the package's face.
What it takes from where, what it writes, and what is wrong with it is all there is to say; both
engines ask it, and nothing else. ``overwrites``, ``copies``, ``keeps_zeros`` and ``kin`` are right
as they are inherited, if slower than need be.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field, fields, replace
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from cfgen.lm import Place


@dataclass(frozen=True, slots=True)
class Read:
    """Numbers that a run has at a place, one row for each token position.

    ``Read()`` is what is there, at the moment of the edit, where the edit is made.

    Attributes:
        run: The run; None for the one that the edit is in, of which only what comes by before the
            edit can be read.
        positions: Token positions in that run's prompt, one for each of the edit; None for the
            edit's own.
        place: Where; None for the edit's own place.
    """

    run: Run | None = None
    positions: tuple[int, ...] | None = None
    place: Place | None = None


HERE = Read()
"""What is there, where the edit is made."""


class Value:
    """What an edit writes. A kind of value is a frozen dataclass that derives from this.

    Two values are equal if all their fields are; a tensor counts as equal to itself only, or, where
    ``name`` says what it is, to another of that name. Its numbers are never compared.
    """

    __slots__ = ()

    overwrites: ClassVar[bool] = False
    """Whether what it writes does not depend on what is there."""
    copies: ClassVar[bool] = False
    """Whether it writes what its only read gives, as it is."""
    keeps_zeros: ClassVar[bool] = False
    """Whether zeros of an attention pattern stay zeros, so that no key is looked at that was not
    looked at before. Where that is not sure it has to be False: then all keys are computed."""

    @property
    def reads(self) -> tuple[Read, ...]:
        """What it takes from runs."""
        return ()

    @property
    def rows(self) -> tuple[Tensor, ...]:
        """Tensors of its own that have a row for each position (positions, *shape)."""
        return ()

    @property
    def kin(self) -> Hashable:
        """Values with equal ``kin`` are written by one call, their operands one after the other.

        So it must have everything that ``write`` looks at but for its arguments. All fields are
        sure to do; a kind whose fields are reads and rows only has nothing but its name.
        """
        return type(self).__name__, *self._key()

    def write(self, now: Tensor, *operands: Tensor) -> Tensor:
        """What is written.

        Args:
            now: What is there (tokens, *shape), with the shape that one token has at the place.
            *operands: What ``reads`` gave and then ``rows``, each (tokens, *shape).

        Returns:
            (tokens, *shape).
        """
        raise NotImplementedError

    def problems(self, shape: tuple[int, ...]) -> Iterator[str]:
        """What is wrong with its own tensors, or with writing it at a place.

        Args:
            shape: What one token has at the place of the edit.

        Yields:
            What is wrong, as a clause.
        """
        return iter(())

    def _key(self) -> tuple[Hashable, ...]:
        name = getattr(self, "name", "")
        parts = (getattr(self, one.name) for one in fields(self))  # type: ignore[arg-type]
        return tuple((name or id(part)) if isinstance(part, Tensor) else part for part in parts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Value):
            return NotImplemented
        return type(self) is type(other) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash((type(self).__name__, self._key()))


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
        weights = self.name or id(self.weights)
        return "Rotate", self.name or id(self.basis), self.weights is not None and weights

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
        yield from _wrong_positions(self.keys, shape[-1], "the prompt")


@dataclass(frozen=True, slots=True)
class Edit:
    """Overwrite what tokens have at one place.

    Attributes:
        place: Component, layer, and head or neurons.
        positions: Token positions in the prompt of the run. For ``attn_pattern`` these are the
            positions that look.
        value: What is written there.
        keys: Of an attention pattern, how many keys it is over: those of the prompt, if tokens
            follow that; None for all.
        reads: What the value takes from where, with everything that it leaves open filled in.
    """

    place: Place
    positions: tuple[int, ...]
    value: Value
    keys: int | None = None
    reads: tuple[Read, ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        # asked for again and again, by whoever plans what is read and written
        reads = tuple(
            Read(
                read.run,
                self.positions if read.positions is None else read.positions,
                self.place if read.place is None else read.place,
            )
            for read in self.value.reads
        )
        object.__setattr__(self, "reads", reads)


@dataclass(frozen=True, slots=True)
class Run:
    """A prompt with edits, which the LM is made to compute. Without edits it is *clean*.

    Edits of one place are made in the order of the tuple, each on what the one before left there.
    Two runs are equal if prompts and edits are, and equal runs are computed once.

    Attributes:
        prompt: Token ids.
        edits: What is overwritten.
        base: A run of the same prompt that this one is best computed upon, as it has most of its
            edits; None for the clean run. It changes no outcome.
    """

    prompt: tuple[int, ...]
    edits: tuple[Edit, ...] = ()
    base: Run | None = field(default=None, compare=False, repr=False)
    _hash: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        # Runs lie within runs: their hashes are asked for often and would each descend to the last.
        object.__setattr__(self, "_hash", hash((self.prompt, self.edits)))

    def __hash__(self) -> int:
        return self._hash

    def with_(self, *edits: Edit) -> Run:
        """This run with further edits, to be computed upon this one, or upon what this one is."""
        base = self.base or (self if self.edits else None)
        return Run(self.prompt, (*self.edits, *edits), base)

    def followed_by(self, tokens: tuple[int, ...]) -> Run:
        """This run, with tokens after its prompt that are not edited."""
        edits = (
            replace(edit, keys=edit.keys or len(self.prompt)) if edit.place.row.over_keys else edit
            for edit in self.edits
        )
        base = self.base and self.base.followed_by(tokens)
        return Run((*self.prompt, *tokens), tuple(edits), base)

    @property
    def sources(self) -> tuple[Run, ...]:
        """The runs that its values are taken from, each once."""
        found = (read.run for edit in self.edits for read in edit.value.reads)
        return tuple(dict.fromkeys(run for run in found if run is not None))


def _wrong_positions(positions: tuple[int, ...], length: int, what: str) -> Iterator[str]:
    if not positions:
        yield "no position at all"
    elif not (min(positions) >= 0 and max(positions) < length):
        wrong = next(p for p in positions if not 0 <= p < length)
        yield f"{what} has positions 0 to {length - 1}, not {wrong}"
