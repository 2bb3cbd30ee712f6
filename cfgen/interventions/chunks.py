"""Run interventions chunk by chunk: prompts unchanged first, then what is changed in them.

A chunk is a set of prompts and interventions on them that is handled at once. Big jobs are run so,
chunk by chunk, and memory does not grow with them (:mod:`cfgen.interventions.jobs`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from cfgen.interventions.answers import Answers
from cfgen.interventions.clean import CleanRuns, run_within
from cfgen.interventions.edits import Branch
from cfgen.interventions.engine import Engine, check_rotations
from cfgen.interventions.packed import PackedChunk, open_packed, run_packed, run_self_tests
from cfgen.interventions.reference import run_all
from cfgen.interventions.values import needed


@dataclass(frozen=True, slots=True)
class BranchChunk:
    """Prompts that were run unchanged, and interventions on them that can be run now.

    Attributes:
        prompts: Token ids; those that are not part of the chunk are not touched.
        branches: Index -> intervention.
        clean: What the prompts of the chunk give unchanged.
        built: What the packed engine builds upon; None for the reference.
        padding: How much the longest prompt of a batch is padded.
    """

    prompts: Sequence[Sequence[int]]
    branches: Mapping[int, Branch]
    clean: CleanRuns
    built: PackedChunk | None
    padding: int


def open_chunk(
    engine: Engine,
    prompts: Sequence[Sequence[int]],
    branches: Mapping[int, Branch],
    *,
    also: Iterable[int] = (),
    fill: bool = True,
    padding: int = 0,
) -> BranchChunk:
    """Run the prompts of some interventions unchanged, keeping what those need.

    Args:
        engine: How to run them.
        prompts: Token ids of all prompts.
        branches: Index -> intervention; see :func:`cfgen.interventions.edits.check_branches`.
        also: Further prompts to run.
        fill: Whether the packed engine may leave out what can't change anything.
        padding: How much to pad the longest prompt of each batch.

    Returns:
        The chunk.

    Raises:
        CfgenError: What the LM computes for a prompt would depend on the prompts next to it
            (``rotations-depend-on-length``), or memory does not suffice (``lm-memory-run``).
    """
    bases = {branch.prompt for branch in branches.values()}
    sources = {prompt for branch in branches.values() for prompt in branch.sources}
    check_rotations(
        engine.lm, {len(prompts[p]) for p in bases | sources | set(also)}, engine.answer_tokens
    )
    others = sorted((sources | set(also)) - bases)
    if engine.name == "packed":
        built = open_packed(engine, prompts, branches, others, fill=fill, padding=padding)
        clean = built.clean
    else:
        built = None
        reads = needed(edit for branch in branches.values() for edit in branch.edits)
        clean = run_within(engine, prompts, reads, [*sorted(bases), *others], padding)
    engine.tally.clean += clean.cost
    return BranchChunk(prompts, branches, clean, built, padding)


def run_chunk(
    engine: Engine, chunk: BranchChunk, wanted: Collection[int] | None = None
) -> Iterator[Answers]:
    """Run interventions.

    Args:
        engine: How to run them.
        chunk: Where they are.
        wanted: Indices of those to run; None for all.

    Yields:
        What the LM says, each intervention once, in no particular order.

    Raises:
        CfgenError: A check failed: an edit did not fire exactly once (``edit-did-not-fire``), one
            was about to be written over another token (``edit-off-target``), or what was taken to
            change nothing does change something (``filled-cell-differs``).
    """
    indices = set(chunk.branches) if wanted is None else set(wanted)
    if chunk.built:
        answers = _packed(engine, chunk.built, indices)
    else:
        some = {index: branch for index, branch in chunk.branches.items() if index in indices}
        engine.tally.run += len(some)
        answers = run_all(engine, chunk.prompts, chunk.clean.values, some, chunk.padding)
    for answered in answers:
        engine.tally.cost += answered.cost
        yield answered


def _packed(engine: Engine, chunk: PackedChunk, indices: set[int]) -> Iterator[Answers]:
    known = [one for one in chunk.known if one.index in indices]
    engine.tally.filled.update(one.reason for one in known)
    engine.tally.run += len(indices) - len(known)
    tested, cost = run_self_tests(engine, chunk)
    engine.tally.self_tested += tested
    engine.tally.cost += cost
    yield from run_packed(engine, chunk, indices)
