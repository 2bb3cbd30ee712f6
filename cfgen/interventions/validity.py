"""What makes runs impossible, found before anything is computed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cache

from cfgen.errors import CfgenError, Problem
from cfgen.interventions.language import HERE, Edit, Read, Run, check_read, malformed, outside
from cfgen.interventions.values import Block
from cfgen.lm import (
    COMPONENTS,
    LM,
    SHOWN,
    Layout,
    LMFacts,
    Place,
    Stage,
    check_known,
    check_places,
    rotations_of,
)

Where = tuple[str, int]
"""Component and layer: a tensor of the LM."""


def where_of(place: Place) -> Where:
    """The tensor that a place is in, named one way: what enters a block left the one before."""
    return _one_name(place.component, place.layer)


@cache
def _one_name(component: str, layer: int) -> Where:
    """Asked for again and again, by whoever plans what is read and written."""
    same = Place(component, layer).canonical
    return same.component, same.layer


def moment_of(where: Where) -> tuple[int, Stage]:
    """When a tensor comes by."""
    return where[1], COMPONENTS[where[0]].stage


def in_order(runs: Iterable[Run]) -> list[Run]:
    """Runs and all that they are made from, each once, sources and bases first.

    Raises:
        CfgenError: A run is made from itself (``runs-in-a-circle``).
    """
    done: dict[Run, None] = {}
    open_: set[int] = set()

    # An own stack: runs may be made from runs many times over.
    stack: list[tuple[Run, Iterator[Run]]] = []

    def enter(run: Run) -> None:
        if id(run) in open_:
            names = " from ".join(shown(one) for one, _ in [*stack, (run, iter(()))])
            message = f"a run takes values from itself: {names}"
            raise CfgenError(Problem("runs-in-a-circle", message, hint=_NO_CIRCLE))
        open_.add(id(run))
        base = () if run.base is None else (run.base,)
        stack.append((run, iter((*run.sources, *base))))

    for run in runs:
        if run not in done:
            enter(run)
        while stack:
            current, rest = stack[-1]
            following = next((one for one in rest if one not in done), None)
            if following is None:
                done[current] = None
                open_.discard(id(current))
                stack.pop()
            else:
                enter(following)
    return list(done)


def shown(run: Run) -> str:
    """A run in a few words."""
    edits = "; ".join(
        f"{type(edit.value).__name__} at {edit.place}, positions "
        f"{', '.join(map(str, edit.positions[:SHOWN]))}"
        for edit in run.edits[:SHOWN]
    )
    return f"a prompt of {len(run.prompt)} tokens ({edits or 'no edits'})"


def check_made(runs: object) -> None:
    """Raise a CfgenError (``edit-malformed``) for what is no sequence of runs."""
    if not isinstance(runs, Iterable):
        raise CfgenError(malformed("what is to be executed", runs, "sequence of runs"))
    for run in runs:
        if not isinstance(run, Run):
            raise CfgenError(malformed("one of the runs", run, "Run"))


def check_runs(layout: Layout, facts: LMFacts, runs: Sequence[Run]) -> None:
    """Check that runs can be made.

    Args:
        layout: Where everything is in the LM.
        facts: What is true of it.
        runs: Runs and all that they are made from, as :func:`in_order` gives them.

    Raises:
        CfgenError: The LM has no such place (see :func:`cfgen.lm.layout.check_places`), a position
            isn't there, values have the wrong shape or can't be written there
            (``edit-impossible``), an edit reads what comes by later in its own run
            (``edit-reads-ahead``), or a base is no base (``base-impossible``). All problems at
            once.
    """
    edits = [edit for run in runs for edit in run.edits]
    read = [read.place for edit in edits for read in edit.reads if read.place is not None]
    check_places(layout, (edit.place for edit in edits))
    check_places(layout, read, write=False)
    problems: list[Problem] = []
    for run in runs:
        if not run.prompt:
            problems.append(_impossible(run, "its prompt has no token"))
            continue
        for edit in run.edits:
            problems += [_impossible(run, text) for text in _wrong(layout, run, edit)]
            problems += _ahead(edit)
        problems += [_impossible(run, text) for text in _all_blocked(facts, run)]
        problems += _wrong_base(run)
        if len(problems) >= SHOWN:
            break
    if problems:
        raise CfgenError(problems[:SHOWN])


LONG, DYNAMIC = "longrope", "dynamic"
"""Kinds of rotary positions whose frequencies depend on the longest prompt of a batch."""


def check_rotations(lm: LM, lengths: Collection[int]) -> None:
    """Check that what the LM computes for a prompt doesn't depend on the prompts next to it.

    Some scaled rotary positions take other frequencies once a prompt of the batch is longer than
    those of the pretraining.

    Args:
        lm: The LM.
        lengths: Tokens of the prompts.

    Raises:
        CfgenError: It does (``rotations-depend-on-length``).
    """
    for rotation in rotations_of(lm.model):
        kind, limit = rotation.kind, rotation.limit
        beyond = [length for length in lengths if length > limit]
        if beyond and (kind == DYNAMIC or (kind == LONG and len(beyond) < len(lengths))):
            message = (
                f"the rotary positions ({kind}) of {lm.name!r} change for all prompts of a batch "
                f"once one has more than {limit} tokens; here there are {min(lengths)} to "
                f"{max(lengths)}"
            )
            which = "prompts" if kind == DYNAMIC else "prompts that are all longer, or all"
            hint = f"use {which} of at most {limit} tokens, what is read of the answer included"
            raise CfgenError(Problem("rotations-depend-on-length", message, hint=hint))


def check_reads(layout: Layout, reads: Sequence[Read]) -> None:
    """Check that reads say what they read, and that it is there.

    Raises:
        CfgenError: A read names no run, place or positions, or positions that aren't there
            (``read-impossible``), or the LM has no such place.
    """
    for read in reads:
        check_read(read)
    check_places(layout, (read.place for read in reads if read.place is not None), write=False)
    problems = []
    for read in reads:
        if read.run is None or read.place is None or read.positions is None:
            text = "a read has to name its run, its positions and its place"
        else:
            text = outside(read.positions, len(read.run.prompt), "the prompt that is read")
        if text:
            hint = "positions count from 0"
            problems.append(Problem("read-impossible", text, hint=hint))
    if problems:
        raise CfgenError(problems[:SHOWN])


def check_tracked(
    lm: LM, facts: LMFacts, runs: Sequence[Run], tracked: Sequence[Sequence[int]]
) -> None:
    """Check that there are tracked tokens for every run, and that the LM knows them.

    Raises:
        CfgenError: There are those of more or fewer runs, or no sequences of them
            (``tracked-impossible``), or the LM has no such token (``token-beyond-vocabulary``).
    """
    if len(tracked) != len(runs):
        message = f"there are {len(runs)} runs, but tokens to track for {len(tracked)}"
        hint = "give a sequence of token ids for every run; an empty one tracks none"
        raise CfgenError(Problem("tracked-impossible", message, hint=hint))
    for tokens in tracked:
        if not isinstance(tokens, Iterable) or isinstance(tokens, str):
            message = f"{tokens!r} are no tokens to track"
            hint = "give a sequence of token ids for every run, such as (17,)"
            raise CfgenError(Problem("tracked-impossible", message, hint=hint))
    check_known(lm, facts, {token for tokens in tracked for token in tokens})


_NO_CIRCLE = "values can only be taken from runs that are made before"


def _impossible(run: Run, text: str) -> Problem:
    hint = "positions count from 0; values need one row for every position"
    return Problem("edit-impossible", f"{text}: {shown(run)}", hint=hint)


def _wrong(layout: Layout, run: Run, edit: Edit) -> Iterator[str]:
    length, place = len(run.prompt), edit.place
    if not edit.positions:
        yield "an edit without a position"
        return
    if text := outside(edit.positions, length, "the prompt"):
        yield text
        return
    if len(set(edit.positions)) != len(edit.positions):
        yield "a position is named twice in one edit"
    if isinstance(edit.value, Block) and not place.row.over_keys:
        yield f"keys are blocked at attn_pattern, not at {place.component}"
        return
    shape = layout.shape_of(place, edit.keys or length)
    yield from edit.value.problems(shape)
    for tensor in edit.value.rows:
        if tuple(tensor.shape[:1]) != (len(edit.positions),):
            count = tensor.shape[0] if tensor.dim() else "none"
            yield f"{len(edit.positions)} positions, but values for {count}"
        elif tuple(tensor.shape[1:]) != shape:
            given = tuple(tensor.shape[1:])
            yield f"values of shape {given} where one token has {shape} at {place}"
    yield from _wrong_reads(layout, run, edit, shape)


def _wrong_reads(layout: Layout, run: Run, edit: Edit, shape: tuple[int, ...]) -> Iterator[str]:
    place, keys = edit.place, edit.keys or len(run.prompt)
    for read in edit.reads:
        source = run if read.run is None else read.run
        assert read.positions is not None
        assert read.place is not None
        if text := outside(read.positions, len(source.prompt), "the prompt that is read"):
            yield text
        elif len(read.positions) != len(edit.positions):
            yield f"{len(edit.positions)} positions take their values from {len(read.positions)}"
        there = keys if read.run is None else len(source.prompt)
        if not place.row.fits(keys, there):
            yield f"attention patterns of prompts with {there} and {keys} tokens"
        elif (other := layout.shape_of(read.place, there)) != shape:
            yield f"{read.place} has {other}, but {place} {shape}"


def _all_blocked(facts: LMFacts, run: Run) -> Iterator[str]:
    """Positions that are left without any key: a softmax over nothing."""
    blocks = [e for e in run.edits if isinstance(e.value, Block) and e.place.row.over_keys]
    if not blocks:
        return
    for layer in sorted({edit.place.layer for edit in blocks}):
        if layer in facts.sinks:
            yield f"the attention of layer {layer} has a sink, which would have to share"
        here = [edit for edit in blocks if edit.place.layer == layer]
        for head in {edit.place.head for edit in here}:
            blocked: dict[int, set[int]] = {}
            for edit in here:
                if edit.place.head in (None, head) and isinstance(edit.value, Block):
                    for position in edit.positions:
                        blocked.setdefault(position, set()).update(edit.value.keys)
            for position, keys in blocked.items():
                first = max(0, position + 1 - (facts.windows[layer] or position + 1))
                if keys.issuperset(range(first, position + 1)):
                    yield f"every key that position {position} sees is blocked"


def _ahead(edit: Edit) -> Iterator[Problem]:
    """Reads of the run that an edit is in that are not over when the edit is made: a circle."""
    made = moment_of(where_of(edit.place))
    for read in edit.value.reads:
        if read.run is not None or read == HERE:
            continue
        place = read.place or edit.place
        if not moment_of(where_of(place)) < made:
            message = (
                f"the edit at {edit.place} reads {place} of its own run, which is made from it or "
                "not made yet"
            )
            hint = "read an earlier place, or another run"
            yield Problem("edit-reads-ahead", message, hint=hint)


def _wrong_base(run: Run) -> Iterator[Problem]:
    base = run.base
    if base is None:
        return
    why = ""
    if base.prompt != run.prompt:
        why = "it has another prompt"
    elif base.base is not None:
        why = "it has a base itself"
    if why:
        message = f"a run can't be computed upon its base: {why}"
        hint = "a base is computed whole: give the run that all have in common, of the same prompt"
        yield Problem("base-impossible", message, hint=hint)
