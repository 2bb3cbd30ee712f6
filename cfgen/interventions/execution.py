"""Executing runs: stage by stage, whole or upon their bases, until all that is asked is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from cfgen.errors import CfgenError, Problem
from cfgen.interventions.batches import within_memory
from cfgen.interventions.language import Read, Run
from cfgen.interventions.outcomes import Outcomes, Work, disagreement
from cfgen.interventions.packed import branch_of, run_rows
from cfgen.interventions.packing import Branch, pack
from cfgen.interventions.question import Question
from cfgen.interventions.reach import OUT_OF_REACH
from cfgen.interventions.readout import Readout
from cfgen.interventions.schedule import Schedule, make_schedule
from cfgen.interventions.store import Store
from cfgen.interventions.validity import shown, where_of
from cfgen.interventions.whole import ForwardResult, Foundation, Machine, join, run_whole
from cfgen.lm import Place, shares


@dataclass(slots=True)
class Execution:
    """Executes some runs together, stage by stage; it is used once.

    Attributes:
        machine: What they are executed on.
        question: What is to be known of them.
        kept: Runs of which all projected logits are kept.
        cached: Whether keys and values of all whole runs are kept, and not of bases alone.
        schedule: How they are executed.
        readout: Takes what is to be known.
        store: What was read of runs.
        foundations: What is kept of bases.
        rows: Number of a whole run's step -> all its projected logits (projected tokens,).
        changed: Steps of which an edit changed something.
        work: What has been done.
    """

    machine: Machine
    question: Question
    kept: Collection[Run] = ()
    cached: bool = False
    schedule: Schedule = field(init=False)
    readout: Readout = field(init=False)
    store: Store = field(default_factory=Store)
    foundations: list[Foundation] = field(default_factory=list)
    rows: dict[int, Tensor] = field(default_factory=dict)
    changed: set[int] = field(default_factory=set)
    work: Work = field(default_factory=Work)

    def outcomes(
        self, runs: Sequence[Run], tracked: Sequence[tuple[int, ...]]
    ) -> tuple[Outcomes, dict[Run, Tensor]]:
        """Execute runs.

        Args:
            runs: The runs.
            tracked: For each, tokens whose logits are wanted.

        Returns:
            What came out, and all projected logits of those of which they are kept.
        """
        cleans = [Run(run.prompt) for run in runs] if self.question.kl else []
        self._execute(runs, tracked, [Read(clean, (), None) for clean in cleans])
        self._fill()
        numbers = [self.schedule.number[run] for run in runs]
        spared = [self.schedule.steps[number].spared for number in numbers]
        changed = [n in self.changed or idle for n, idle in zip(numbers, spared, strict=True)]
        found = self.readout.outcomes(numbers, tracked, changed, self.work)
        rows = {run: self.readout.answers[self.schedule.number[run]].row for run in runs}
        return found, {run: row for run, row in rows.items() if row is not None}

    def values(self, reads: Sequence[Read]) -> list[Tensor]:
        """Execute what reads need, and read it: for each (positions, *shape)."""
        self._execute([], [], reads)
        found = []
        for read in reads:
            assert read.run is not None
            assert read.place is not None
            where, number = where_of(read.place), self.schedule.number[read.run]
            holders = [(self.schedule.holder(number, where, p), p) for p in read.positions or ()]
            found.append(self.store.take(read.place, where, holders, len(read.run.prompt)))
        return found

    def _execute(
        self, runs: Sequence[Run], tracked: Sequence[tuple[int, ...]], reads: Sequence[Read]
    ) -> None:
        machine = self.machine
        self.schedule = make_schedule(
            machine.flow, runs, reads, packed=machine.packed, fill=machine.fill
        )
        of: dict[int, dict[int, None]] = {}
        for run, tokens in zip(runs, tracked, strict=True):
            of.setdefault(self.schedule.number[run], {}).update(dict.fromkeys(tokens))
        tokens_of = {number: tuple(tokens) for number, tokens in of.items()}
        self.readout = Readout(self.question, machine.head, tokens_of, machine.gradients)
        shrunk = machine.budget.shrunk
        for stage in range(self.schedule.stages):
            self._whole(stage)
            self._branches(stage)
        shrunk = machine.budget.shrunk - shrunk
        self.work += Work(whole=self.schedule.whole, shrunk=shrunk)

    def _whole(self, stage: int) -> None:
        """Execute what is whole of a stage: bases apart, since more is kept of them.

        Runs without edits come first, as others are compared with them.
        """
        steps = self.schedule.steps
        branches = [step for step in steps if step.base is not None and step.executed]
        bases = {step.base for step in branches}
        levels = {
            level for step in branches if step.reach for level in step.reach.enters.values()
        } - {0}
        here = [n for n, step in enumerate(steps) if step.stage == stage and step.base is None]
        for edited in (False, True):
            for is_base in (True, False):
                some = [
                    n
                    for n in here
                    if (n in bases) == is_base and bool(steps[n].run.edits) == edited
                ]
                kept = levels if is_base else set() if self.cached else None
                for together in self._compatible(some):
                    for part in self._portions(together, kept):
                        self._take(part, edited=edited)
                        if part.foundation:
                            self.foundations.append(part.foundation)

    def _compatible(self, numbers: Sequence[int]) -> list[list[int]]:
        """Parts of steps whose edits can be made in one forward.

        Where query heads share keys, there is none for all of them any more once one of them is
        given another input. So nobody can ask for those keys in the same forward.
        """
        steps, layout = self.schedule.steps, self.machine.layout
        inputs = {
            n: frozenset(e.place for e in steps[n].run.edits if e.place.row.part) for n in numbers
        }
        written = {place for places in inputs.values() for place in places}
        hooked = {Place(*where) for n in numbers for where in steps[n].wanted}
        hooked |= {replace(e.place, head=None) for n in numbers for e in steps[n].run.edits}
        if not any(shares(layout, one, other) for one in hooked for other in written):
            return [list(numbers)]
        groups: dict[frozenset[Place], list[int]] = {}
        for n in numbers:
            groups.setdefault(inputs[n], []).append(n)
        return list(groups.values())

    def _portions(self, numbers: list[int], levels: set[int] | None) -> Iterator[ForwardResult]:
        rest = sorted(numbers, key=lambda n: len(self.schedule.steps[n].run.prompt))
        while rest:

            def attempt(tokens: int, rest: list[int] = rest) -> ForwardResult:
                some = self._fitting(rest, tokens)
                return run_whole(self.machine, self.schedule, some, self.store, levels)

            part = within_memory(self.machine.budget, attempt)
            rest = rest[len(part.numbers) :]
            yield part

    def _fitting(self, numbers: list[int], tokens: int) -> list[int]:
        """As many of some steps, which become longer, as fit into a forward; one at least."""
        count = 1
        for count, number in enumerate(numbers[: self.machine.batch_size], start=1):
            length = len(self.schedule.steps[number].run.prompt) + self.machine.padding
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
        layers, budget = self.machine.layout.layers, self.machine.budget
        about = self.machine, self.schedule, self.foundations[0], self.store
        for rows in pack(here, layers, budget.tokens):
            together = [branch for row in rows for branch in row.branches]

            def attempt(tokens: int, some: list[Branch] = together) -> list[ForwardResult]:
                packs = pack(some, layers, tokens)
                return [run_rows(*about, packed) for packed in packs]

            for part in within_memory(budget, attempt):
                self._take(part, edited=True)
            self.work += Work(run=len(together))

    def _take(self, part: ForwardResult, *, edited: bool) -> None:
        """Take what came out of a forward."""
        steps, tests = self.schedule.steps, self.schedule.tests
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
        if not self.machine.packed and edited:
            self.work += Work(run=len(part.numbers))
        all_answer = len(answering) == len(part.numbers)  # then nothing need be copied
        logits = part.logits if all_answer else part.logits[answering]
        self._read([part.numbers[row] for row in answering], logits)

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
        alike: dict[Hashable, list[int]] = {}
        for number in left:
            step = steps[number]
            assert step.base is not None
            assert step.reach is not None
            reason = self.schedule.tests.get(number) or step.reach.reason or OUT_OF_REACH
            filled[reason] += 1
            key = step.base, self.readout.tracked.get(number), step.run in self.kept
            alike.setdefault(key, []).append(number)
        # Thousands of runs may have the answer of one base, which is read once then.
        firsts = [numbers[0] for numbers in alike.values()]
        if firsts:
            self._read(firsts, torch.stack([self.rows[steps[n].base or 0] for n in firsts]))
        for first, *others in alike.values():
            self.readout.answers |= dict.fromkeys(others, self.readout.answers[first])
        self.work += Work(filled=filled, self_tested=len(self.schedule.tests))

    def _compare(self, number: int, logits: Tensor) -> None:
        """Check that a run that was taken to differ in nothing does not."""
        step = self.schedule.steps[number]
        assert step.base is not None
        off = disagreement(self.rows[step.base][None], logits[None], self.machine.lm.dtype)
        if off:
            reason = self.schedule.tests[number]
            message = (
                f"a run was taken to change nothing ({reason}), but it changes the logits ({off})"
            )
            hint = "run with --engine reference, and please report this LM"
            detail = shown(step.run)
            raise CfgenError(Problem("filled-cell-differs", message, hint=hint, detail=detail))
