"""The engine: executes runs, with every check on the way, and says what came out.

    engine = choose_engine(lm)
    outcomes = engine.outcomes(runs)

Runs are executed in stages, so that what values are taken from is there before it is needed. The
``reference`` engine executes each of them whole; the ``packed`` one computes of each what can
differ from its base, and must come to the same.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from cfgen.errors import CfgenError, Problem
from cfgen.interventions.batches import Budget, by_length, within_memory
from cfgen.interventions.language import Run
from cfgen.interventions.outcomes import (
    Outcomes,
    Question,
    Work,
    disagreement,
    joined,
)
from cfgen.interventions.packed import branch_of, run_rows
from cfgen.interventions.packing import Branch, pack
from cfgen.interventions.reach import OUT_OF_REACH, flow_of
from cfgen.interventions.readout import Head, Readout
from cfgen.interventions.schedule import Schedule, make_schedule
from cfgen.interventions.store import Store
from cfgen.interventions.validity import Where, check_runs, in_order, shown, where_of
from cfgen.interventions.whole import Foundation, Machine, Part, join, run_whole
from cfgen.lm import LM, Layout, Place, attention_windows

BATCH_SIZE = 16
"""Whole prompts per forward."""
STORE_BYTES = 2**30
"""What is read of runs, and kept until nobody needs it any more, takes about as much at most."""

USUAL = Question()

Tracked = Sequence[Sequence[int]]
"""For every run, ids of tokens whose logits are wanted."""


@dataclass(frozen=True, slots=True)
class Engine:
    """How runs are executed on an LM.

    Attributes:
        lm: The LM.
        layout: Where everything is in it.
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
        tracked: Tracked | None = None,
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
            CfgenError: A run is impossible (see :func:`cfgen.interventions.validity.check_runs`),
                memory does not suffice (``lm-memory-run``), or a check failed: logits are not
                finite (``logits-not-finite``), an edit was not made once (``edit-did-not-fire``)
                or over another token (``edit-off-target``), what was taken to differ in nothing
                does differ (``filled-cell-differs``), the engines disagree
                (``engines-disagree``).
        """
        check_runs(self.layout, in_order(runs))
        tracked = [()] * len(runs) if tracked is None else tracked
        every = tuple(sorted({token for tokens in tracked for token in tokens}))
        head = Head(None if question.whole or not every else every)
        sample = _sample(runs, verified) if self.packed and not gradients else []
        parts = []
        for group in self._groups(runs):
            task = _Task(
                engine=self,
                runs=[runs[i] for i in group],
                tracked=[tuple(tracked[i]) for i in group],
                question=question,
                kept={runs[i] for i in sample},
                head=head,
                gradients=gradients,
            )
            parts.append(task.execute())
            if progress:
                progress(len(group))
        found = joined([outcomes for outcomes, _ in parts])
        rows = {run: row for _, kept in parts for run, row in kept.items()}
        _verify(self, [runs[i] for i in sample], rows, head)
        return replace(found, work=found.work + Work(verified=len(sample)))

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
        for one in in_order([run]):
            for edit in one.edits:
                for read in edit.reads:
                    assert read.place is not None
                    assert read.positions is not None
                    where = where_of(read.place)
                    shape = self.layout.shape_of(Place(*where), len((read.run or one).prompt))
                    numbers = len(read.positions) * torch.Size(shape).numel()
                    yield (hash(read.run or one), where, read.positions), numbers * width


UNIT = 4
"""Batches, and forwards' tokens, whose keys, values and states are kept at once."""


@dataclass(slots=True)
class _Task:
    """Some runs that are executed together, and what has come out so far."""

    engine: Engine
    runs: Sequence[Run]
    tracked: Sequence[tuple[int, ...]]
    question: Question
    kept: set[Run]
    head: Head
    gradients: bool
    schedule: Schedule = field(init=False)
    readout: Readout = field(init=False)
    store: Store = field(default_factory=Store)
    foundations: list[Foundation] = field(default_factory=list)
    rows: dict[int, Tensor] = field(default_factory=dict)
    changed: set[int] = field(default_factory=set)
    work: Work = field(default_factory=Work)

    def execute(self) -> tuple[Outcomes, dict[Run, Tensor]]:
        """Execute the runs; what came out, and all logits of those for which they are kept."""
        engine, question = self.engine, self.question
        cleans = [Run(run.prompt) for run in self.runs] if question.kl else []
        flow = flow_of(engine.layout, self._windows)
        self.schedule = make_schedule(
            flow, self.runs, packed=engine.packed, fill=engine.fill, cleans=cleans
        )
        self.readout = Readout(question, self.head, self._tracked(), self.gradients)
        shrunk = engine.budget.shrunk
        for stage in range(self.schedule.stages):
            self._whole(stage)
            self._branches(stage)
        self._fill()
        numbers = [self.schedule.number[run] for run in self.runs]
        self.work += Work(whole=self.schedule.whole, shrunk=engine.budget.shrunk - shrunk)
        changed = [number in self.changed for number in numbers]
        found = self.readout.outcomes(numbers, self.tracked, changed, self.work)
        rows = {run: self.readout.answers[self.schedule.number[run]].row for run in self.runs}
        return found, {run: row for run, row in rows.items() if row is not None}

    @property
    def _windows(self) -> tuple[int | None, ...]:
        return attention_windows(self.engine.lm.model.config, self.engine.layout.layers)

    @property
    def _machine(self) -> Machine:
        engine = self.engine
        return Machine(
            engine.lm, engine.layout, self.head, engine.batch_size, engine.padding, self.gradients
        )

    def _tracked(self) -> dict[int, tuple[int, ...]]:
        found: dict[int, dict[int, None]] = {}
        for run, tokens in zip(self.runs, self.tracked, strict=True):
            found.setdefault(self.schedule.number[run], {}).update(dict.fromkeys(tokens))
        return {number: tuple(tokens) for number, tokens in found.items()}

    def _whole(self, stage: int) -> None:
        """Execute what is whole of a stage: bases apart, since more is kept of them."""
        steps = self.schedule.steps
        branches = [step for step in steps if step.base is not None and step.executed]
        bases = {step.base for step in branches}
        levels = {
            level for step in branches if step.reach for level in step.reach.enters.values()
        } - {0}
        here = [n for n, step in enumerate(steps) if step.stage == stage and step.base is None]
        for is_base in (True, False):
            for edited in (False, True):
                some = [
                    n
                    for n in here
                    if (n in bases) == is_base and bool(steps[n].run.edits) == edited
                ]
                for part in self._portions(some, levels if is_base else None):
                    self._take(part, edited=edited)
                    if part.foundation:
                        self.foundations.append(part.foundation)

    def _portions(self, numbers: list[int], levels: set[int] | None) -> Iterator[Part]:
        rest = sorted(numbers, key=lambda n: len(self.schedule.steps[n].run.prompt))
        while rest:

            def attempt(tokens: int, rest: list[int] = rest) -> Part:
                some = self._fitting(rest, tokens)
                return run_whole(self._machine, self.schedule, some, self.store, levels)

            part = within_memory(self.engine.budget, attempt)
            rest = rest[len(part.numbers) :]
            yield part

    def _fitting(self, numbers: list[int], tokens: int) -> list[int]:
        """As many of some steps, which become longer, as fit into a forward; one at least."""
        count = 1
        for count, number in enumerate(numbers[: self.engine.batch_size], start=1):
            length = len(self.schedule.steps[number].run.prompt) + self.engine.padding
            if count * length > tokens:
                return numbers[: max(1, count - 1)]
        return numbers[:count]

    def _branches(self, stage: int) -> None:
        """Execute what is computed upon bases, of a stage."""
        here = [
            branch_of(self.schedule, number)
            for number, step in enumerate(self.schedule.steps)
            if step.stage == stage and step.base is not None and step.executed
        ]
        if not here:
            return
        self.foundations = [join(self.foundations)]
        layers, budget = self.engine.layout.layers, self.engine.budget
        about = self._machine, self.schedule, self.foundations[0], self.store
        for rows in pack(here, layers, budget.tokens):
            together = [branch for row in rows for branch in row.branches]

            def attempt(tokens: int, some: list[Branch] = together) -> list[Part]:
                packs = pack(some, layers, tokens)
                return [run_rows(*about, packed, self._windows) for packed in packs]

            for part in within_memory(budget, attempt):
                self._take(part, edited=True)
            self.work += Work(run=len(together))

    def _take(self, part: Part, *, edited: bool) -> None:
        """Take what came out of a forward."""
        steps, tests = self.schedule.steps, self.schedule.tests
        _check_finite(part.logits)
        self.changed |= set(part.changed)
        self.work += Work(edited=part.cost) if edited else Work(clean=part.cost)
        answering = []
        for row, number in enumerate(part.numbers):
            step = steps[number]
            if step.base is None:
                self.rows[number] = part.logits[row]
            if number in tests:
                self._compare(number, part.logits[row])
            elif step.asked:
                answering.append(row)
        if not self.engine.packed and edited:
            self.work += Work(run=len(part.numbers))
        self._read([part.numbers[row] for row in answering], part.logits[answering])

    def _read(self, numbers: Sequence[int], logits: Tensor) -> None:
        steps = self.schedule.steps
        cleans = None
        if self.question.kl:
            of = [self.schedule.number[Run(steps[number].run.prompt)] for number in numbers]
            cleans = [self.rows[number] for number in of]
        kept = [self.question.vocabulary or steps[n].run in self.kept for n in numbers]
        self.readout.take(numbers, logits, cleans, kept)

    def _fill(self) -> None:
        """Give runs whose answer can't differ from their base's that answer."""
        steps = self.schedule.steps
        left = [
            number
            for number, step in enumerate(steps)
            if step.asked and number not in self.readout.answers
        ]
        filled: Counter[str] = Counter()
        for number in left:
            step = steps[number]
            assert step.base is not None
            assert step.reach is not None
            reason = self.schedule.tests.get(number) or step.reach.reason or OUT_OF_REACH
            filled[reason] += 1
            if reason == OUT_OF_REACH:
                self.changed.add(number)
        if left:
            bases = [self.rows[steps[number].base or 0] for number in left]
            self._read(left, torch.stack(bases))
        self.work += Work(filled=filled, self_tested=len(self.schedule.tests))

    def _compare(self, number: int, logits: Tensor) -> None:
        """Check that a run that was taken to differ in nothing does not."""
        step = self.schedule.steps[number]
        assert step.base is not None
        off = disagreement(self.rows[step.base][None], logits[None], self.engine.lm.dtype)
        if off:
            reason = self.schedule.tests[number]
            message = (
                f"a run was taken to change nothing ({reason}), but it changes the logits ({off})"
            )
            hint = "run with --engine reference, and please report this LM"
            detail = shown(step.run)
            raise CfgenError(Problem("filled-cell-differs", message, hint=hint, detail=detail))


def _check_finite(logits: Tensor) -> None:
    if not bool(torch.isfinite(logits).all()):
        message = "the LM's logits are not finite"
        hint = "use --dtype bfloat16 or float32, or another LM"
        raise CfgenError(Problem("logits-not-finite", message, hint=hint))


def _sample(runs: Sequence[Run], size: int) -> list[int]:
    """Which runs are executed again: drawn at random, but the same for the same runs."""
    edited = [index for index, run in enumerate(runs) if run.edits]
    seed = f"{len(runs)} {runs[0].prompt if runs else ''}"
    return sorted(random.Random(seed).sample(edited, min(size, len(edited))))


def _verify(engine: Engine, runs: Sequence[Run], rows: Mapping[Run, Tensor], head: Head) -> None:
    """Execute runs on the reference engine: the same must come out."""
    if not runs:
        return
    reference = replace(engine, name="reference")
    again = reference.outcomes(runs, question=Question(vocabulary=True))
    assert again.vocabulary is not None
    for run, logits in zip(runs, again.vocabulary, strict=True):
        row = rows[run]
        expected = logits if head.tokens is None else logits[list(head.tokens)]
        off = disagreement(expected[None], row[None], engine.lm.dtype)
        if off:
            message = (
                f"the {engine.name} engine gives another outcome than the reference: logits "
                f"differ {off} ({shown(run)})"
            )
            hint = "run with --engine reference, and please report this LM"
            detail = engine.lm.tokenizer.decode(list(run.prompt))
            raise CfgenError(Problem("engines-disagree", message, hint=hint, detail=detail))
