"""The packed engine: every intervention of a sweep as a branch of the original's run.

The original runs once, and its keys, values and block inputs are kept. What a branch can change is
worked out first (:mod:`cfgen.interventions.reach`), branches are packed into few forwards
(:mod:`cfgen.interventions.packing`), and those are run on top of the original
(:mod:`cfgen.interventions.packed_forward`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from cfgen.errors import CfgenError, Problem
from cfgen.interventions.answers import Answers, Cost, disagreement, most_likely
from cfgen.interventions.batches import within_memory
from cfgen.interventions.clean import CleanRuns, batches_of, gather, run_part
from cfgen.interventions.edits import Branch
from cfgen.interventions.engine import Engine
from cfgen.interventions.original import Original, join, run_originals
from cfgen.interventions.packed_forward import run_forward
from cfgen.interventions.packing import pack
from cfgen.interventions.reach import NoReach, Reach, find_reach
from cfgen.interventions.values import needed
from cfgen.lm import Layout

SELF_TESTS = 2
"""Per chunk and reason, how many of the branches that need no run are run nevertheless."""


@dataclass(frozen=True, slots=True)
class PackedChunk:
    """Prompts that were run unchanged, and what that leaves for branches of them.

    Attributes:
        prompts: Token ids; those that are not part of the chunk are not touched.
        clean: What the prompts give unchanged.
        to_run: Branches that have to be run.
        known: Branches that need no run.
        tests: Some of those, with all their edits made, to be run all the same.
        original: What forwards build upon; None if there is no branch.
    """

    prompts: Sequence[Sequence[int]]
    clean: CleanRuns
    to_run: tuple[Reach, ...]
    known: tuple[NoReach, ...]
    tests: tuple[Reach, ...]
    original: Original | None


def open_packed(
    engine: Engine,
    prompts: Sequence[Sequence[int]],
    branches: Mapping[int, Branch],
    others: Sequence[int],
    *,
    fill: bool,
    padding: int,
) -> PackedChunk:
    """Run prompts unchanged, keeping what branches of them need.

    Args:
        engine: The LM, and how much of it may be run at once.
        prompts: Token ids of all prompts.
        branches: Index -> intervention.
        others: Prompts to run that no branch edits.
        fill: Whether to leave out branches that can't change anything.
        padding: How much to pad the longest prompt of each batch.

    Returns:
        What the prompts give, and what was kept.
    """
    lm, layout = engine.lm, engine.layout
    run, known = find_reach(prompts, branches, layout.layers, fill=fill)
    tested = {one.index: branches[one.index] for one in _some(known)}
    tests, _ = find_reach(prompts, tested, layout.layers, fill=False)
    reads = needed(edit for branch in (*run, *tests) for edit in branch.edits)
    bases = list(dict.fromkeys(branch.prompt for branch in branches.values()))
    unrun = [_unedited(one, prompts, layout) for one in known]
    longest = max(len(prompts[index]) for index in (*bases, *others)) + padding

    def attempt(tokens: int) -> tuple[CleanRuns, Original | None]:
        size = max(1, min(engine.batch_size, tokens // longest))
        originals = [
            run_originals(lm, layout, *each, (*run, *tests, *unrun), reads)
            for each in batches_of(lm, prompts, bases, size, padding)
        ]
        rest = [
            run_part(lm, layout, *each, reads)
            for each in batches_of(lm, prompts, others, size, padding)
        ]
        clean = gather([*(part for part, _ in originals), *rest])
        return clean, join([original for _, original in originals]) if originals else None

    clean, original = within_memory(engine.tally.budget, attempt)
    return PackedChunk(prompts, clean, tuple(run), tuple(known), tuple(tests), original)


def run_packed(engine: Engine, chunk: PackedChunk, wanted: Collection[int]) -> Iterator[Answers]:
    """Run branches.

    Args:
        engine: The LM, how much of it may be run at once, and how many tokens it says.
        chunk: Where the branches are.
        wanted: Which of them.

    Yields:
        What the LM says, each branch once, in no particular order.
    """
    here = [branch for branch in chunk.to_run if branch.index in wanted]
    known = [one for one in chunk.known if one.index in wanted]
    if engine.answer_tokens > 1:  # the answer goes on behind the first token: it has to be said
        here += [_unedited(one, chunk.prompts, engine.layout) for one in known]
    elif known:
        yield _filled(chunk.clean, known)
    yield from _run(engine, chunk, here, engine.answer_tokens)


def run_self_tests(engine: Engine, chunk: PackedChunk) -> tuple[int, Cost]:
    """Run some of the branches that need no run, with all their edits made: nothing may change.

    Returns:
        How many, and what it cost.

    Raises:
        CfgenError: One changed something (``filled-cell-differs``).
    """
    cost = Cost()
    known = {one.index: one for one in chunk.known}
    for answered in _run(engine, chunk, chunk.tests, 1):
        cost += answered.cost
        for index, logits in zip(answered.indices, answered.logits, strict=True):
            clean = chunk.clean.after(known[index].prompt)
            off = disagreement(clean[None], logits[None], engine.lm.dtype)
            if off:
                message = (
                    f"an intervention was taken to change nothing ({known[index].reason}), "
                    f"but it changes the logits ({off})"
                )
                hint = "run with --engine reference, and please report this LM"
                raise CfgenError(Problem("filled-cell-differs", message, hint=hint))
    return len(chunk.tests), cost


def _run(
    engine: Engine, chunk: PackedChunk, branches: Sequence[Reach], answer_tokens: int
) -> Iterator[Answers]:
    if chunk.original is None:
        return
    layers, budget = engine.layout.layers, engine.tally.budget
    lengths = {branch.prompt: len(chunk.prompts[branch.prompt]) for branch in branches}
    about = (engine, chunk.prompts, chunk.original, chunk.clean.values)
    for forward in pack(branches, lengths, layers, budget.tokens):
        together = [branch for row in forward for branch in row.branches]

        def attempt(tokens: int, some: Sequence[Reach] = together) -> list[Answers]:
            rows_of_each = pack(some, lengths, layers, tokens)
            return [run_forward(*about, rows, answer_tokens) for rows in rows_of_each]

        yield from within_memory(budget, attempt)


def _unedited(one: NoReach, prompts: Sequence[Sequence[int]], layout: Layout) -> Reach:
    """A branch that only says what the original says."""
    last = len(prompts[one.prompt]) - 1
    return Reach(one.index, one.prompt, layout.layers, (last,), ())


def _filled(clean: CleanRuns, known: Sequence[NoReach]) -> Answers:
    logits = clean.logits[[clean.row_of[one.prompt] for one in known]]
    indices = tuple(one.index for one in known)
    return Answers(indices, logits, most_likely(logits)[:, None].cpu(), Cost())


def _some(known: Sequence[NoReach]) -> list[NoReach]:
    """A few of each reason, spread over all."""
    found: list[NoReach] = []
    for reason in dict.fromkeys(one.reason for one in known):
        same = [one for one in known if one.reason == reason]
        found += same[:: max(1, len(same) // SELF_TESTS)][:SELF_TESTS]
    return found
