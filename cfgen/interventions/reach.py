"""What of a run has to be computed, if its base is known.

A run can differ from its base only where edits differ, and where that spreads to. So a set of
*dirty* positions is followed from block to block: attention spreads it to all later positions that
see one, overwriting with what the base has cleans it, and attention that is overwritten everywhere
stops it. A second pass goes back from what is asked for, and keeps of the dirty positions those
that anything needed looks at. Sets of positions are whole numbers here, a bit for each position.

Wrong by one position or layer, this gives wrong numbers without an error. So whatever is in doubt
counts as dirty; some runs that need no execution are executed all the same, and some of all are
executed again whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from cfgen.interventions.language import Edit, Run
from cfgen.interventions.validity import Where, where_of
from cfgen.lm import COMPONENTS, Component, Layout, Stage

SAME_VALUES = "the values written are those that are there"
OUT_OF_REACH = "nothing after the edits leads to the answer"

EMBEDDED: Where = ("resid_pre", 0)
"""The state that enters the first block."""


def bits(positions: Iterable[int]) -> int:
    """A set of positions."""
    found = 0
    for position in positions:
        found |= 1 << position
    return found


def positions_of(mask: int) -> tuple[int, ...]:
    """The positions in a set, in order."""
    found = []
    while mask:
        low = mask & -mask
        found.append(low.bit_length() - 1)
        mask ^= low
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Flow:
    """How what is written flows through an LM.

    Attributes:
        windows: Per block how many tokens a token sees, itself included; None for all.
        looking: Components that only the token itself looks from: queries and what they are of.
        keys: Components that other tokens look at: keys, values, and what they are of.
        attention: Components between the softmax and what the attention adds.
        mlp: Components of the MLP, up to what it adds.
        middle: Whether there is a state between attention and MLP.
    """

    windows: tuple[int | None, ...]
    looking: tuple[str, ...]
    keys: tuple[str, ...]
    attention: tuple[str, ...]
    mlp: tuple[str, ...]
    middle: bool

    @property
    def layers(self) -> int:
        """Number of blocks."""
        return len(self.windows)


def flow_of(layout: Layout, windows: tuple[int | None, ...]) -> Flow:
    """How what is written flows through an LM, from the table of components."""
    rows = [COMPONENTS[name] for name in layout.components]
    rows = [row for row in rows if row.boundary is None and not row.before_blocks]

    def named(chosen: Iterable[Component]) -> tuple[str, ...]:
        return tuple(row.name for row in chosen)

    before = [row for row in rows if row.stage < Stage.WEIGHTS]
    return Flow(
        windows=windows,
        looking=named(row for row in before if row.behind_keys),
        keys=named(row for row in before if not row.behind_keys),
        attention=named(r for r in rows if Stage.WEIGHTS <= r.stage <= Stage.ATTENTION),
        mlp=named(r for r in rows if r.stage > Stage.ATTENTION and r.role != "stream"),
        middle=any(row.stage is Stage.MIDDLE for row in rows),
    )


@dataclass(frozen=True, slots=True)
class Dirt:
    """The dirty positions of a run: where it may differ from another of the same prompt.

    Attributes:
        raw: Per block, and behind the last, those of the state that enters, before the edits there.
        states: The same with the edits made.
        keys: Per block those whose keys or values may differ.
        attended: Per block those of what the attention adds.
        ahead: Per block those whose weights are written so that they may look at what comes behind
            them, or beyond their window, in this run or the other.
        edited: Tensor -> those at it with the edits made, in blocks that have edits.
        flow: How things flow through the LM.
    """

    raw: tuple[int, ...]
    states: tuple[int, ...]
    keys: tuple[int, ...]
    attended: tuple[int, ...]
    ahead: tuple[int, ...]
    edited: Mapping[Where, int]
    flow: Flow

    def at(self, where: Where) -> int:
        """The dirty positions at a tensor, with its edits made."""
        name, layer = where
        if where in self.edited:
            return self.edited[where]
        if COMPONENTS[name].before_blocks:
            return 0
        if name in ("resid_pre", "resid_post"):
            return self.states[layer + (name == "resid_post")]
        if name in self.flow.looking or name in self.flow.keys:
            return self.states[layer]
        if name in self.flow.attention:
            return self.attended[layer]
        return self.raw[layer + 1]

    @property
    def empty(self) -> bool:
        """Whether nothing can differ anywhere."""
        return not any(self.states) and not any(self.edited.values())


@dataclass(slots=True)
class DirtFinder:
    """Finds out where runs may differ. It remembers what it has found of sources.

    Attributes:
        flow: How things flow through the LM.
    """

    flow: Flow
    _edited: dict[Run, Dirt] = field(default_factory=dict)
    _common: dict[tuple[int, int], int] = field(default_factory=dict)
    _kept: list[tuple[int, ...]] = field(default_factory=list)
    _looks: dict[Run, Mapping[int, int]] = field(default_factory=dict)

    def spread(self, run: Run, base: Run) -> Dirt:
        """Where a run may differ from its base, a run of the same prompt."""
        mine, theirs = _by_tensor(run.edits), _by_tensor(base.edits)
        touched = mine.keys() | theirs.keys()
        layers = {layer for _, layer in touched}
        mine_ahead, theirs_ahead = self._ahead(run), self._ahead(base)
        ahead = tuple(
            mine_ahead.get(layer, 0) | theirs_ahead.get(layer, 0)
            for layer in range(self.flow.layers)
        )
        edited: dict[Where, int] = {}

        def made(where: Where, mask: int, *, cleans: bool = True) -> int:
            """A set with the edits at a tensor made."""
            if where in touched:
                edits = mine.get(where, ()), theirs.get(where, ())
                mask = self._edited_mask(mask, base, edits, cleans)
            edited[where] = mask
            return mask

        state = made(("embed", 0), 0) | made(("pos_embed", 0), 0)
        raw, states, keys, attended = [state], [made(EMBEDDED, state)], [], []
        for layer in range(self.flow.layers):
            state = states[-1]
            if layer in layers:
                looked_at, added, after = self._block(
                    layer, state, ahead[layer], len(run.prompt), made
                )
                raw.append(after)
                states.append(made(("resid_post", layer), after))
            else:  # the same without edits, of which most blocks have none
                looked_at = state
                added = _seeing(state, self.flow.windows[layer], len(run.prompt)) if state else 0
                raw.append(state | added)
                states.append(state | added)
            keys.append(looked_at)
            attended.append(added)
        return Dirt(
            raw=tuple(raw),
            states=tuple(states),
            keys=tuple(keys),
            attended=tuple(attended),
            ahead=ahead,
            edited=edited,
            flow=self.flow,
        )

    def _block(
        self, layer: int, state: int, ahead: int, length: int, made: Callable[..., int]
    ) -> tuple[int, int, int]:
        """Dirty keys, dirty positions of what the attention adds, and of what leaves a block."""
        flow = self.flow
        # Nothing is cleaned here: a query that is the base's own still looks at dirty keys, and a
        # key that is the base's own has a dirty value.
        looking, looked_at = state, state
        for name in flow.looking:
            looking |= made((name, layer), state, cleans=False)
        for name in flow.keys:
            looked_at |= made((name, layer), state, cleans=False)
        added = looking | _seeing(looked_at, flow.windows[layer], length)
        added |= ahead if looked_at else 0
        for name in flow.attention:
            # behind the weights values still come in, so weights alone clean nothing
            added = made((name, layer), added, cleans=name != "attn_pattern")
        middle = state | added
        if flow.middle:
            middle = made(("resid_mid", layer), middle)
        # where attention and MLP run side by side the MLP reads the block's input
        mlp = middle if flow.middle else state
        for name in flow.mlp:
            mlp = made((name, layer), mlp)
        return looked_at, added, middle | mlp

    def _ahead(self, run: Run) -> Mapping[int, int]:
        """Block -> positions whose weights may look where the LM itself lets none look."""
        if run not in self._looks:
            found: dict[int, int] = {}
            for edit in run.edits:
                if edit.place.row.over_keys and not edit.value.keeps_zeros:
                    layer = edit.place.layer
                    found[layer] = found.get(layer, 0) | self._strange(edit)
            self._looks[run] = found
        return self._looks[run]

    def _strange(self, edit: Edit) -> int:
        """Positions of an edit of weights that are not given what the LM computed for them."""
        if not edit.value.copies:
            return bits(edit.positions)
        (read,) = edit.reads
        assert read.run is not None
        assert read.positions is not None
        theirs = self._ahead(read.run).get(edit.place.layer, 0)
        couples = zip(edit.positions, read.positions, strict=True)
        return bits(p for p, q in couples if p != q or theirs >> q & 1)

    def _edited_mask(
        self, mask: int, base: Run, edits: tuple[tuple[Edit, ...], tuple[Edit, ...]], cleans: bool
    ) -> int:
        mine, theirs = edits
        shared = [edit for edit in theirs if edit in mine]
        # Unless they come first and in order, they are made on something else than in the base.
        if shared != list(mine[: len(shared)]):
            return mask | bits(p for edit in (*mine, *theirs) for p in edit.positions)
        for number, edit in enumerate(mine):
            here, whole = bits(edit.positions), edit.place.head is None and not edit.place.neurons
            # by its number: what the base makes once may be made again, on what that left there
            if number < len(shared):
                # Made on the same, it gives the same; but of its own run it may read what differs.
                if any(read.run is None for read in edit.value.reads):
                    mask |= here
                same = here if edit.value.overwrites else 0
            else:
                same = self._same(edit, base)
                mask |= here & ~same
            if whole and cleans:
                mask &= ~same
        return mask | bits(p for edit in theirs if edit not in shared for p in edit.positions)

    def _same(self, edit: Edit, base: Run) -> int:
        """Positions at which an edit writes what the base has there."""
        if not edit.value.copies:
            return 0
        (read,) = edit.reads
        source, where = read.run, where_of(edit.place)
        assert source is not None
        assert read.positions is not None
        couples = zip(edit.positions, read.positions, strict=True)
        if source == base:
            return bits(p for p, q in couples if p == q)
        unlike = self._differs(source, where) | self._differs(base, where)
        rule = edit.place.row.decided_by
        if rule == "token":
            ids, others = base.prompt, source.prompt
            same = bits(
                p
                for p, q in couples
                if ids[p] == others[q] and not unlike >> p & 1 and not unlike >> q & 1
            )
            return same
        # Prompts that begin alike have the same there, as no token sees what comes behind it.
        common = max(len(base.prompt), len(source.prompt))
        if rule == "prefix":
            common = self._beginning(base.prompt, source.prompt)
        return bits(p for p, q in couples if p == q and p < common) & ~unlike

    def _differs(self, run: Run, where: Where) -> int:
        """Where a run may differ from its prompt's clean run."""
        if not run.edits:
            return 0
        if run not in self._edited:
            self._edited[run] = self.spread(run, Run(run.prompt))
        return self._edited[run].at(where)

    def _beginning(self, one: tuple[int, ...], other: tuple[int, ...]) -> int:
        """How many tokens two prompts have in common at the start."""
        if one is other:
            return len(one)
        key = id(one), id(other)
        if key not in self._common:
            self._kept += [one, other]  # so that no other tuple gets their numbers
            self._common[key] = next(
                (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
                min(len(one), len(other)),
            )
        return self._common[key]


@dataclass(frozen=True, slots=True)
class Reach:
    """What of a run is computed, upon its base.

    Attributes:
        enters: Position -> the block from which on its state is computed; the number of blocks for
            what leaves the last. The other positions are the base's.
        answers: Whether the answer can differ from the base's.
        reason: Why nothing is computed; empty if something is.
    """

    enters: Mapping[int, int]
    answers: bool
    reason: str

    def made(self, where: Where) -> set[int]:
        """Positions at which a tensor is computed, and edits there are made."""
        last = entered_by(where)
        return {position for position, level in self.enters.items() if level <= last}

    def gives(self, where: Where, position: int) -> bool:
        """Whether a tensor at a position can be read; else it is the base's."""
        row = COMPONENTS[where[0]]
        return self.enters.get(position, 1 << 30) <= where[1] or (
            row.before_blocks and self.enters.get(position) == 0
        )


def entered_by(where: Where) -> int:
    """The last block that a token can enter before and still have a tensor made."""
    return where[1] + (COMPONENTS[where[0]].boundary or 0)


def find_reach(
    flow: Flow, run: Run, spread: Dirt, wanted: Mapping[Where, int], *, asked: bool
) -> Reach:
    """Work out what of a run is computed.

    Args:
        flow: How things flow through the LM.
        run: The run.
        spread: Where it may differ from its base.
        wanted: Tensor -> positions that are read there.
        asked: Whether its answer is asked for.

    Returns:
        What is computed.
    """
    last = len(run.prompt) - 1
    overwritten = _overwritten(run.edits)
    needed = 1 << last if asked else 0
    at_end = needed & spread.states[flow.layers]
    computed = [0] * flow.layers
    for layer in reversed(range(flow.layers)):
        if not needed and not wanted:
            break
        post = "resid_post", layer
        # What is overwritten in any case need not be right before that.
        own = needed & ~overwritten.get(post, 0) & spread.raw[layer + 1]
        own |= wanted.get(post, 0) & spread.states[layer + 1]
        inner, looking = 0, own & ~overwritten.get(("attn_out", layer), 0)
        for where, mask in wanted.items():
            if where[1] == layer and where != post:
                read = mask & spread.at(where)
                inner |= read
                if COMPONENTS[where[0]].stage >= Stage.WEIGHTS:
                    looking |= read
        # Of the keys and values that differ, those at or before a token that looks are looked at.
        seen = spread.keys[layer]
        if not looking & spread.ahead[layer]:
            seen &= (1 << looking.bit_length()) - 1
        needed = computed[layer] = own | inner | seen
    enters: dict[int, int] = {}
    there = 0
    for layer, found in enumerate([*computed, at_end]):
        enters |= dict.fromkeys(positions_of(found & ~there), layer)
        there |= found
    reason = ""
    if not enters:
        reason = SAME_VALUES if spread.empty else OUT_OF_REACH
    return Reach(enters, bool(at_end), reason)


def _by_tensor(edits: Iterable[Edit]) -> dict[Where, tuple[Edit, ...]]:
    found: dict[Where, tuple[Edit, ...]] = {}
    for edit in edits:
        where = where_of(edit.place)
        found[where] = (*found.get(where, ()), edit)
    return found


def _overwritten(edits: Iterable[Edit]) -> dict[Where, int]:
    """Tensor -> positions at which what is written does not depend on what is there."""
    found: dict[Where, int] = {}
    for edit in edits:
        if edit.value.overwrites and edit.place.head is None and not edit.place.neurons:
            where = where_of(edit.place)
            found[where] = found.get(where, 0) | bits(edit.positions)
    return found


def _seeing(mask: int, window: int | None, length: int) -> int:
    """The positions that see any of a set."""
    if not mask:
        return 0
    first = (mask & -mask).bit_length() - 1
    end = length if window is None else min(length, mask.bit_length() - 1 + window)
    return (1 << end) - (1 << first)
