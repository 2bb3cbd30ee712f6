"""The language of interventions: runs, the edits in them, and the values that edits write.

Everything that is done to an LM is said in it. A run is a prompt with edits; an edit overwrites
tokens at a place with a value; a value may take numbers from other runs, which may have edits too.
Runs refer to each other directly, so that they form a graph without circles. The kinds of values
that there are stand in :mod:`cfgen.interventions.values`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from types import UnionType
from typing import Any, ClassVar, get_args, get_origin, get_type_hints

from torch import Tensor

from cfgen.errors import CfgenError, Problem
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

    @property
    def further(self) -> Value | None:
        """What is written at a token behind the prompt, if the edit is made there, too.

        That is for one token, and what the last one is given; None if nothing says what it is.
        """
        return None

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
        check_fields(self)
        check_fields(self.value)
        for read in self.value.reads:
            check_read(read)
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


@dataclass(frozen=True, slots=True, eq=False)
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
    base: Run | None = field(default=None, repr=False)
    _hash: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_fields(self)
        for edit in self.edits:
            if not isinstance(edit, Edit):
                raise CfgenError(malformed("an edit of a run", edit, "Edit"))
        # Runs lie within runs: their hashes are asked for often and would each descend to the last.
        object.__setattr__(self, "_hash", hash((self.prompt, self.edits)))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Run):
            return NotImplemented
        mine, theirs = (self.prompt, self.edits), (other.prompt, other.edits)
        same = self._hash == other._hash and mine == theirs
        if same:  # They share their edits from now on: to compare them again takes no time, from
            # however many runs that are made from them.
            object.__setattr__(other, "edits", self.edits)
        return same

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


def outside(positions: Sequence[int], length: int, what: str) -> str:
    """What is wrong with positions in so many tokens, as a clause; empty if nothing is."""
    if not positions:
        return "no position at all"
    if not all(isinstance(position, int) for position in positions):
        return f"positions are whole numbers, not {', '.join(map(repr, positions))}"
    if min(positions) >= 0 and max(positions) < length:
        return ""
    wrong = next(p for p in positions if not 0 <= p < length)
    return f"{what} has positions 0 to {length - 1}, not {wrong}"


def check_fields(record: Any) -> None:
    """Check that the fields of a record are of the kinds that it takes, where it is made.

    Raises:
        CfgenError: One is not (``edit-malformed``).
    """
    for name, kinds in _kinds(type(record)):  # type: ignore[arg-type]
        given = getattr(record, name)
        if not isinstance(given, kinds):
            wanted = " or ".join(kind.__name__.removesuffix("Type") for kind in kinds)
            raise CfgenError(malformed(f"{name} of {type(record).__name__}", given, wanted))


def check_read(read: object) -> None:
    """Raise a CfgenError (``edit-malformed``) for what is no read, or is made wrongly."""
    if not isinstance(read, Read):
        raise CfgenError(malformed("a read", read, "Read"))
    check_fields(read)


def malformed(what: str, given: object, wanted: str) -> Problem:
    """What to say of something that is not of the kind that is wanted."""
    shown = f"{given!r:.60}".partition("\n")[0]
    hint = "write (4,) for one position, tuple(ids) for a list, torch.tensor(...) for numbers"
    return Problem("edit-malformed", f"{what} is {shown}, which is no {wanted}", hint=hint)


@cache
def _kinds(record: type[Any]) -> tuple[tuple[str, tuple[type, ...]], ...]:
    """Names and kinds of the fields that a record is made of."""
    hints = get_type_hints(record)
    found = []
    for one in (one for one in fields(record) if one.init):
        hint = hints[one.name]
        parts = get_args(hint) if isinstance(hint, UnionType) else (hint,)
        found.append((one.name, tuple(get_origin(part) or part for part in parts)))
    return tuple(found)
