"""Which engine runs interventions on an LM, how much it may do at once, and what it has done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from cfgen.errors import CfgenError, Problem, did_you_mean
from cfgen.interventions.answers import Cost
from cfgen.interventions.batches import TOKEN_BUDGETS, Budget, by_length
from cfgen.lm import (
    LM,
    Layout,
    LMFacts,
    check_lm,
    count_problems,
    find_facts,
    find_layout,
    packing_obstacle,
    rotations_of,
)

ENGINES = ("auto", "packed", "reference")
BATCH_SIZE = 16
"""Whole prompts per forward."""
CHUNK = 4
"""Batches, and forwards' tokens, whose keys, values and states the packed engine keeps at once."""
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
    for rotation in rotations_of(lm.model):
        kind, limit, last = rotation.kind, rotation.limit, answer_tokens - 1
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
    return packing_obstacle(find_facts(find_layout(lm.model)))


@dataclass(frozen=True, slots=True)
class Engine:
    """How interventions are run on an LM.

    Attributes:
        lm: The LM.
        layout: Where everything is in it.
        facts: What is true of it.
        name: ``packed`` or ``reference``.
        batch_size: Whole prompts per forward.
        answer_tokens: How many tokens the LM says.
        tally: What was done so far.
    """

    lm: LM
    layout: Layout
    facts: LMFacts
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
        CfgenError: There is no such engine (``unknown-engine``), an amount is none
            (``bad-amount``), ``packed`` is impossible with this LM (``cannot-pack``), its
            architecture is unknown (``unsupported-architecture``), or it is not fit to run
            (:func:`cfgen.lm.check_lm`).
    """
    if wanted not in ENGINES:
        hint = did_you_mean(wanted, ENGINES)
        raise CfgenError(Problem("unknown-engine", f"there is no engine {wanted!r}", hint=hint))
    amounts = {"batch_size": batch_size, "token_budget": token_budget}
    if problems := count_problems(**amounts, answer_tokens=answer_tokens):
        raise CfgenError(problems)
    check_lm(lm)
    layout = find_layout(lm.model)
    facts = find_facts(layout)
    reason = packing_obstacle(facts) if wanted != "reference" else ""
    if reason and wanted == "packed":
        message = f"interventions on {lm.name!r} can't be packed: {reason}"
        raise CfgenError(Problem("cannot-pack", message, hint="use --engine auto or reference"))
    name = "reference" if reason or wanted == "reference" else "packed"
    if token_budget is None:
        token_budget = TOKEN_BUDGETS.get(lm.device.type, TOKEN_BUDGETS["cpu"])
    return Engine(
        lm=lm,
        layout=layout,
        facts=facts,
        name=name,
        batch_size=batch_size,
        answer_tokens=answer_tokens,
        tally=EngineTally(name, f"not packed: {reason}" if reason else "", Budget(token_budget)),
    )
