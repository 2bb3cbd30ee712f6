"""Run interventions: choose the engine, run what has to be run, keep the tally.

A chunk is a set of prompts and interventions on them that is handled at once: the prompts go
through the LM unchanged, then the interventions are run. Big jobs are run chunk by chunk, so that
memory does not grow with them (:mod:`cfgen.interventions.jobs`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cfgen.errors import CfgenError, Problem, did_you_mean
from cfgen.interventions import packed, reference
from cfgen.interventions.answers import Answers, Cost
from cfgen.interventions.batches import TOKEN_BUDGETS, Budget, by_length
from cfgen.interventions.clean import CleanRuns, run_within
from cfgen.interventions.edits import Branch
from cfgen.interventions.masks import FULL, SLIDING
from cfgen.interventions.values import needed
from cfgen.lm import LM, Layout, find_layout

ENGINES = ("auto", "packed", "reference")
BATCH_SIZE = 16
"""Whole prompts per forward."""
CHUNK = 4
"""Batches, and forwards' tokens, whose keys, values and states the packed engine keeps at once."""
MASKED = ("sdpa", "eager")
"""Attention implementations that take a mask for every query and key."""
LONG, DYNAMIC = "longrope", "dynamic"
"""Kinds of rotary positions whose frequencies depend on the longest prompt of a batch."""


@dataclass(slots=True)
class EngineTally:
    """What was done so far; it grows as interventions are run.

    Attributes:
        engine: ``packed`` or ``reference``.
        note: Why it is not the one that would have been chosen; empty if it is.
        budget: Tokens per forward of the packed engine.
        clean: Cost of the prompts' unchanged runs.
        cost: Cost of the interventions.
        run: Interventions that were run.
        filled: Reason -> interventions that needed no run.
        self_tested: How many of those were run all the same, and changed nothing.
    """

    engine: str
    note: str
    budget: Budget
    clean: Cost = field(default_factory=Cost)
    cost: Cost = field(default_factory=Cost)
    run: int = 0
    filled: Counter[str] = field(default_factory=Counter)
    self_tested: int = 0


def check_rotations(lm: LM, lengths: Collection[int], answer_tokens: int) -> None:
    """Check that what the LM computes for a prompt doesn't depend on the prompts next to it.

    Some scaled rotary positions take other frequencies once a prompt of the batch is longer than
    those of the pretraining.

    Args:
        lm: The LM.
        lengths: Tokens of the prompts.
        answer_tokens: How many tokens the LM says.

    Raises:
        CfgenError: It does (``rotations-depend-on-length``).
    """
    config: Any = lm.model.config
    scaling = getattr(config, "rope_parameters", None) or {}
    each = [part for part in (scaling, *scaling.values()) if isinstance(part, dict)]
    for part in each:
        limit = part.get("original_max_position_embeddings") or config.max_position_embeddings
        kind, last = part.get("rope_type"), answer_tokens - 1
        beyond = [length for length in lengths if length + last > limit]
        straddling = len(beyond) < len(lengths) or any(n <= limit for n in beyond)
        if beyond and (kind == DYNAMIC or (kind == LONG and straddling)):
            message = (
                f"the rotary positions ({kind}) of {lm.name!r} change for all prompts of a batch "
                f"once one has more than {limit} tokens; here there are {min(lengths)} to "
                f"{max(lengths) + last}"
            )
            which = "prompts" if kind == DYNAMIC else "prompts that are all longer, or all"
            hint = f"use {which} of at most {limit} tokens, answer included"
            raise CfgenError(Problem("rotations-depend-on-length", message, hint=hint))


def why_not_packed(lm: LM) -> str:
    """Say why interventions on an LM can't be packed.

    Args:
        lm: The LM.

    Returns:
        The reason; empty if they can.
    """
    config: Any = lm.model.config
    attention = getattr(config, "_attn_implementation", None)
    if attention not in MASKED:
        return f"its attention ({attention}) takes no mask for every query and key"
    types = set(getattr(config, "layer_types", None) or ())
    if other := sorted(types - {FULL, SLIDING}):
        return f"it has layers that are not plain attention ({', '.join(other)})"
    return ""


@dataclass(frozen=True, slots=True)
class Engine:
    """How interventions are run on an LM.

    Attributes:
        lm: The LM.
        layout: Where everything is in it.
        name: ``packed`` or ``reference``.
        batch_size: Whole prompts per forward.
        answer_tokens: How many tokens the LM says.
        tally: What was done so far.
    """

    lm: LM
    layout: Layout
    name: str
    batch_size: int
    answer_tokens: int
    tally: EngineTally

    def chunks(self, lengths: Sequence[int]) -> list[list[int]]:
        """Split prompts into chunks that are handled at once.

        A packed forward is the fuller, the more originals there are to take branches from.

        Args:
            lengths: Tokens of each prompt that is edited.

        Returns:
            Indices per chunk; shortest prompts first.
        """
        if self.name == "reference":
            return by_length(lengths, self.batch_size)
        return by_length(lengths, CHUNK * self.batch_size, CHUNK * self.tally.budget.tokens)


def choose_engine(
    lm: LM,
    wanted: str = "auto",
    *,
    batch_size: int = BATCH_SIZE,
    token_budget: int | None = None,
    answer_tokens: int = 1,
) -> Engine:
    """Choose how to run interventions on an LM.

    Args:
        lm: The LM.
        wanted: ``packed``, ``reference``, or ``auto``: packed where that is possible.
        batch_size: Whole prompts per forward.
        token_budget: Tokens per packed forward; None for the device's default.
        answer_tokens: How many tokens to let the LM say, greedily.

    Returns:
        The engine.

    Raises:
        CfgenError: There is no such engine (``unknown-engine``), ``packed`` is impossible with
            this LM (``cannot-pack``), or its architecture is unknown
            (``unsupported-architecture``).
    """
    if wanted not in ENGINES:
        hint = did_you_mean(wanted, ENGINES)
        raise CfgenError(Problem("unknown-engine", f"there is no engine {wanted!r}", hint=hint))
    reason = why_not_packed(lm) if wanted != "reference" else ""
    if reason and wanted == "packed":
        message = f"interventions on {lm.name!r} can't be packed: {reason}"
        raise CfgenError(Problem("cannot-pack", message, hint="use --engine auto or reference"))
    name = "reference" if reason or wanted == "reference" else "packed"
    if token_budget is None:
        token_budget = TOKEN_BUDGETS.get(lm.device.type, TOKEN_BUDGETS["cpu"])
    return Engine(
        lm=lm,
        layout=find_layout(lm.model),
        name=name,
        batch_size=batch_size,
        answer_tokens=answer_tokens,
        tally=EngineTally(name, f"not packed: {reason}" if reason else "", Budget(token_budget)),
    )


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
    built: packed.PackedChunk | None
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
    built = None
    if engine.name == "packed":
        clean, built = packed.open_packed(
            engine.lm,
            engine.layout,
            prompts,
            branches,
            others,
            engine.tally.budget,
            batch_size=engine.batch_size,
            fill=fill,
            padding=padding,
        )
    else:
        clean = run_within(
            engine.lm,
            engine.layout,
            prompts,
            needed(edit for branch in branches.values() for edit in branch.edits),
            [*sorted(bases), *others],
            engine.tally.budget,
            batch_size=engine.batch_size,
            padding=padding,
        )
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
    answers = _packed(engine, chunk, indices) if chunk.built else _reference(engine, chunk, indices)
    for answered in answers:
        engine.tally.cost += answered.cost
        yield answered


def _packed(engine: Engine, chunk: BranchChunk, indices: set[int]) -> Iterator[Answers]:
    built, common = chunk.built, (engine.lm, engine.layout, chunk.prompts, chunk.clean)
    assert built is not None
    known = [one for one in built.known if one.index in indices]
    engine.tally.filled.update(one.reason for one in known)
    engine.tally.run += len(indices) - len(known)
    tested, cost = packed.run_self_tests(*common, built, engine.tally.budget)
    engine.tally.self_tested += tested
    engine.tally.cost += cost
    yield from packed.run_packed(
        *common, built, indices, engine.tally.budget, answer_tokens=engine.answer_tokens
    )


def _reference(engine: Engine, chunk: BranchChunk, indices: set[int]) -> Iterator[Answers]:
    some = {index: branch for index, branch in chunk.branches.items() if index in indices}
    engine.tally.run += len(some)
    yield from reference.run_all(
        engine.lm,
        engine.layout,
        chunk.prompts,
        chunk.clean.values,
        some,
        engine.tally.budget,
        batch_size=engine.batch_size,
        answer_tokens=engine.answer_tokens,
        padding=chunk.padding,
    )
