"""What an intervention can change, worked out before anything is run.

Under causal attention, an edit at a layer and a position changes nothing below the layer, nothing
before the position, and nothing at all if the value written is the one that is there. What is left
is what has to be computed again. All that differs between components comes from their table.

Wrong by one position or layer, this gives wrong numbers without an error. So some branches without
reach are run all the same, and some of all branches are run again on the reference engine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cfgen.interventions.edits import Branch, Edit, FromPrompt
from cfgen.lm import Stage

SAME_VALUES = "the values written are those that are there"
OUT_OF_REACH = "nothing after the edit leads to the answer"


@dataclass(frozen=True, slots=True)
class Reach:
    """What of a branch has to be computed.

    Attributes:
        index: Index of the branch.
        prompt: The prompt that is edited.
        level: The block whose input is the first to differ from the original's run at any token,
            or in which the first edit is made; the number of blocks for what leaves the last.
        tokens: Positions whose states may differ from the original's from there on, in order; the
            last of the prompt is always among them.
        edits: The edits that matter.
    """

    index: int
    prompt: int
    level: int
    tokens: tuple[int, ...]
    edits: tuple[Edit, ...]


@dataclass(frozen=True, slots=True)
class NoReach:
    """A branch that needs no run: it can't give another outcome than the original.

    Attributes:
        index: Index of the branch.
        prompt: The prompt that is edited.
        reason: Why not.
    """

    index: int
    prompt: int
    reason: str


def find_reach(
    prompts: Sequence[Sequence[int]],
    branches: Mapping[int, Branch],
    layers: int,
    *,
    fill: bool = True,
) -> tuple[list[Reach], list[NoReach]]:
    """Work out what of each branch has to be computed.

    Args:
        prompts: Token ids of the prompts.
        branches: Index -> intervention.
        layers: Number of blocks of the LM.
        fill: Whether to leave out what can't change anything; without, every edit is made.

    Returns:
        What is to be run, and what is known without running it; together every branch once.
    """
    shared: dict[tuple[int, int], int] = {}
    run: list[Reach] = []
    known: list[NoReach] = []
    for index, branch in branches.items():
        edits = _needed(prompts, branch, layers, shared) if fill else branch.edits
        if isinstance(edits, str):
            known.append(NoReach(index, branch.prompt, edits))
            continue
        last = len(prompts[branch.prompt]) - 1
        level = min((_enters(edit) for edit in edits), default=layers)
        start = min((min(edit.positions) for edit in edits), default=last)
        # The last token is run even if it is held: that is where the answer is read.
        held = _held(branch.prompt, edits, level, layers) - {last} if fill else set()
        tokens = tuple(p for p in range(start, last + 1) if p not in held)
        left = _without(edits, held) if held else edits
        run.append(Reach(index, branch.prompt, level, tokens, left))
    return run, known


def _needed(
    prompts: Sequence[Sequence[int]],
    branch: Branch,
    layers: int,
    shared: dict[tuple[int, int], int],
) -> tuple[Edit, ...] | str:
    """The edits that matter, or why there is none."""
    changing = [_changing(prompts, branch.prompt, edit, shared) for edit in branch.edits]
    if not any(changing):
        return SAME_VALUES
    last = len(prompts[branch.prompt]) - 1
    # In the last block, what comes behind the keys is read by its own position only, and of all
    # positions only the last one's state leads to the answer.
    reaching = [
        {p for p in found if p == last or not _late(edit, layers)}
        for edit, found in zip(branch.edits, changing, strict=True)
    ]
    if not any(reaching):
        return OUT_OF_REACH
    # Until the first change is made, in time and in position, everything is as in the original's
    # run: an edit before that writes what is there. Behind it, an edit that writes the original's
    # own value is no longer idle: it undoes what the change has done to that place.
    start = min(position for found in reaching for position in found)
    first = min(_moment(e) for e, found in zip(branch.edits, reaching, strict=True) if found)
    kept = []
    for edit, found in zip(branch.edits, reaching, strict=True):
        if not found and _moment(edit) < first:
            continue
        late = _late(edit, layers)
        edit = _only(edit, [p for p in edit.positions if p >= start and (p == last or not late)])
        if edit.positions:
            kept.append(edit)
    return tuple(kept)


def _changing(
    prompts: Sequence[Sequence[int]], prompt: int, edit: Edit, shared: dict[tuple[int, int], int]
) -> set[int]:
    """Positions at which an edit, made alone, writes another value than is there."""
    value = edit.value
    if not isinstance(value, FromPrompt):
        return set(edit.positions)
    if edit.place.row.decided_by == "token":
        ids, others = prompts[prompt], prompts[value.prompt]
        return {
            p for p, q in zip(edit.positions, value.positions, strict=True) if ids[p] != others[q]
        }
    # Prompts that begin alike have the same states there, as no token sees what comes behind it.
    key = prompt, value.prompt
    if key not in shared:
        shared[key] = _common(prompts[prompt], prompts[value.prompt])
    common = shared[key]
    pairs = zip(edit.positions, value.positions, strict=True)
    if edit.place.row.decided_by == "position":
        return {p for p, q in pairs if p != q}
    return {p for p, q in pairs if p != q or p >= common}


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two prompts have in common at the start."""
    if one is other:
        return len(one)
    return next(
        (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )


def _without(edits: Sequence[Edit], positions: set[int]) -> tuple[Edit, ...]:
    left = (_only(e, [p for p in e.positions if p not in positions]) for e in edits)
    return tuple(edit for edit in left if edit.positions)


def _held(prompt: int, edits: Sequence[Edit], level: int, layers: int) -> set[int]:
    """Positions that are held at the original's own states in every layer that counts.

    Such a position is the original's wherever another token looks at it, so it need not be run: the
    branch sees the original's keys and values there. It counts between all blocks from the first
    that differs on; what leaves the last block is read at the last position only.
    """
    boundaries: dict[int, set[int]] = {}
    touched: set[int] = set()
    for edit in edits:
        value = edit.value
        if (
            edit.place.row.boundary is not None
            and isinstance(value, FromPrompt)
            and value.prompt == prompt
            and value.positions == edit.positions
        ):
            for position in edit.positions:
                boundaries.setdefault(position, set()).add(_enters(edit))
        else:
            touched.update(edit.positions)
    needed = set(range(level + 1, layers))  # boundaries, by the block that is entered
    return {p for p, found in boundaries.items() if found >= needed and p not in touched}


def _only(edit: Edit, positions: Sequence[int]) -> Edit:
    """An edit of fewer positions."""
    if len(positions) == len(edit.positions):
        return edit
    wanted = set(positions)
    kept = [i for i, p in enumerate(edit.positions) if p in wanted]
    value = edit.value
    if isinstance(value, FromPrompt):
        value = replace(value, positions=tuple(value.positions[i] for i in kept))
    else:
        value = replace(value, values=value.values[kept])
    return Edit(edit.place, tuple(edit.positions[i] for i in kept), value)


def _enters(edit: Edit) -> int:
    """The block whose input is the last state that an edit leaves alone, or is what it writes."""
    return edit.place.layer + (edit.place.row.boundary or 0)


def _moment(edit: Edit) -> tuple[int, Stage]:
    """When an edit is made."""
    return edit.place.layer, edit.place.row.stage


def _late(edit: Edit, layers: int) -> bool:
    """Whether an edit in the last block is made where no other token sees it any more."""
    return edit.place.layer == layers - 1 and edit.place.row.behind_keys
