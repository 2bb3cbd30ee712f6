"""The engine: executes runs, with every check on the way, and says what came out.

    engine = choose_engine(lm)
    outcomes = engine.outcomes(runs)

Runs are executed in stages, so that what values are taken from is there before it is needed. The
``reference`` engine executes each of them whole; the ``packed`` one computes of each what can
differ from its base, and must come to the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cfgen.interventions.batches import Budget, by_length
from cfgen.interventions.execution import Execution
from cfgen.interventions.language import Read, Run
from cfgen.interventions.outcomes import Outcomes, Work, joined
from cfgen.interventions.question import NOTHING, Question
from cfgen.interventions.readout import Head
from cfgen.interventions.validity import (
    Where,
    check_made,
    check_reads,
    check_rotations,
    check_runs,
    check_tracked,
    in_order,
    where_of,
)
from cfgen.interventions.verification import check_blocking, draw, verify
from cfgen.interventions.whole import Machine
from cfgen.lm import LM, Layout, LMFacts, Place, check_prompts

BATCH_SIZE = 16
"""Whole prompts per forward."""
STORE_BYTES = 2**30
"""What is read of runs, and kept until nobody needs it any more, takes about as much at most."""

USUAL = Question()

TokenIds = Sequence[Sequence[int]]
"""For every run, ids of tokens whose logits are wanted."""


@dataclass(frozen=True, slots=True)
class Engine:
    """How runs are executed on an LM.

    Attributes:
        lm: The LM.
        layout: Where everything is in it.
        facts: What is true of it.
        name: ``packed`` or ``reference``.
        note: Why it is not the one that would have been chosen; empty if it is.
        batch_size: Whole prompts per forward.
        budget: Tokens per forward.
        store_bytes: What may be kept of what is read of runs. Runs that need more together are
            executed in groups.
        padding: How much the longest prompt of a batch is padded, besides.
        fill: Whether runs that can't differ from their base are left out.
    """

    lm: LM
    layout: Layout
    facts: LMFacts
    name: str
    note: str
    batch_size: int
    budget: Budget
    store_bytes: int = STORE_BYTES
    padding: int = 0
    fill: bool = True

    @property
    def packed(self) -> bool:
        """Whether runs are computed upon others."""
        return self.name == "packed"

    def outcomes(
        self,
        runs: Sequence[Run],
        tracked: TokenIds | None = None,
        question: Question = USUAL,
        *,
        verified: int = 0,
        gradients: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> Outcomes:
        """Execute runs.

        Args:
            runs: The runs; equal ones are executed once.
            tracked: For each, tokens whose logits are wanted; None for none.
            question: What else is to be known.
            verified: How many of them, drawn at random, to execute again on the reference engine.
            gradients: Whether the graph is kept that gradients flow back through, from logits to
                the tensors of values. Nothing is verified then.
            progress: Called with numbers of runs as they are done.

        Returns:
            What came out, in the order of ``runs``.

        Raises:
            CfgenError: The LM can't read a prompt (see :func:`cfgen.lm.check_prompts`), there are
                not tracked tokens for every run (``tracked-impossible``), a run is impossible
                (see :func:`cfgen.interventions.validity.check_runs`), what a prompt
                comes to depends on those next to it (``rotations-depend-on-length``), memory
                does not suffice (``lm-memory-run``), or a check failed: logits are not finite
                (``logits-not-finite``), an edit was not made once (``edit-did-not-fire``) or over
                another token (``edit-off-target``), what was taken to differ in nothing does
                differ (``filled-cell-differs``), blocked keys are looked at
                (``block-not-kept``), the engines disagree (``engines-disagree``).
        """
        self._check(runs)
        tracked = [()] * len(runs) if tracked is None else tracked
        check_tracked(self.lm, self.facts, runs, tracked)
        machine = self.machine(question, tracked, gradients=gradients)
        checked = machine.packed and not gradients
        sample = draw(runs, verified) if checked else []
        blocks = check_blocking(machine, runs) if checked else 0
        kept = {runs[i] for i in sample}
        parts = []
        for group in self._groups(runs):
            some = [runs[i] for i in group]
            execution = Execution(machine, question, kept)
            parts.append(execution.outcomes(some, [tuple(tracked[i]) for i in group]))
            if progress:
                progress(len(group))
        found = joined([outcomes for outcomes, _ in parts])
        rows = {run: row for _, kept_rows in parts for run, row in kept_rows.items()}
        verify(machine, [runs[i] for i in sample], rows)
        return replace(found, work=found.work + Work(verified=len(sample), blocks=blocks))

    def values(self, reads: Sequence[Read], *, gradients: bool = False) -> list[Tensor]:
        """Read what runs have at places: what means, probes and bases are made of.

        Args:
            reads: What to read; run, positions and place are all said.
            gradients: Whether the graph is kept that gradients flow back through.

        Returns:
            For each (positions, *shape), with the shape that one token has at the place.

        Raises:
            CfgenError: As :meth:`outcomes`.
        """
        check_reads(self.layout, reads)
        self._check([read.run for read in reads if read.run is not None])
        machine = self.machine(NOTHING, gradients=gradients)
        return Execution(machine, NOTHING).values(reads)

    def _check(self, runs: Sequence[Run]) -> None:
        """Check that runs can be made, and that the LM can read their prompts."""
        check_made(runs)
        ordered = in_order(runs)
        prompts = dict(enumerate(dict.fromkeys(run.prompt for run in ordered)))
        check_prompts(self.lm, self.facts, prompts)
        check_rotations(self.lm, {len(prompt) for prompt in prompts.values()})
        check_runs(self.layout, self.facts, ordered)

    def machine(
        self, question: Question, tracked: TokenIds = (), *, gradients: bool = False
    ) -> Machine:
        """What runs are executed on, as this engine does.

        Args:
            question: What is to be known of them.
            tracked: For each, tokens whose logits are wanted.
            gradients: Whether the graph is kept.
        """
        every = tuple(sorted({token for tokens in tracked for token in tokens}))
        return Machine(
            lm=self.lm,
            layout=self.layout,
            facts=self.facts,
            # Something has to be projected: where nothing is asked for, one token is the least.
            head=Head(None if question.whole else every or (0,)),
            batch_size=self.batch_size,
            budget=self.budget,
            padding=self.padding,
            packed=self.packed,
            fill=self.fill,
            gradients=gradients,
        )

    def units(self, lengths: Sequence[int]) -> list[list[int]]:
        """Split prompts into units whose runs are best executed together.

        A packed forward is the fuller, the more bases there are to build upon.

        Args:
            lengths: Tokens of each prompt that is edited.

        Returns:
            Indices per unit; shortest prompts first.
        """
        if not self.packed:
            return by_length(lengths, self.batch_size)
        return by_length(lengths, UNIT * self.batch_size, UNIT * self.budget.tokens)

    def _groups(self, runs: Sequence[Run]) -> Iterator[list[int]]:
        """Portions of runs that read no more, together, than may be kept."""
        group: list[int] = []
        known: set[tuple[int, Where, tuple[int, ...]]] = set()
        used = 0
        for index, run in enumerate(runs):
            new = {read: size for read, size in self._read_of(run) if read not in known}
            if group and used + sum(new.values()) > self.store_bytes:
                yield group
                group, used, new = [], 0, dict(self._read_of(run))
                known = set()
            group.append(index)
            known |= new.keys()
            used += sum(new.values())
        yield group

    def _read_of(self, run: Run) -> Iterator[tuple[tuple[int, Where, tuple[int, ...]], int]]:
        """What a run, and those that it is made from, read, with the bytes that it takes."""
        width = torch.finfo(self.lm.dtype).bits // 8
        rest, seen = [run], {run}
        while rest:
            one = rest.pop()
            for edit in one.edits:
                for read in edit.reads:
                    assert read.place is not None
                    assert read.positions is not None
                    where = where_of(read.place)
                    shape = self.layout.shape_of(Place(*where), len((read.run or one).prompt))
                    numbers = len(read.positions) * math.prod(shape)
                    yield (hash(read.run or one), where, read.positions), numbers * width
                    if read.run is not None and read.run.edits and read.run not in seen:
                        seen.add(read.run)
                        rest.append(read.run)


UNIT = 4
"""Batches, and forwards' tokens, whose keys, values and states are kept at once."""
