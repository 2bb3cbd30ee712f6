"""In which order runs are executed, which of them whole, and what is read from which.

Runs take values from runs, so they are executed in stages. The packed engine executes whole only
what others build upon, and what it can't bound; the rest is computed upon a base, as far as it can
differ from that. What a run computed upon a base did not compute again is read from its base.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cfgen.interventions.language import Edit, Read, Run
from cfgen.interventions.reach import (
    OUT_OF_REACH,
    SAME_VALUES,
    Dirt,
    DirtFinder,
    Flow,
    Reach,
    bits,
    find_reach,
    positions_of,
)
from cfgen.interventions.validity import Where, in_order, where_of

Positions = dict[Where, int]
"""Tensor -> a set of positions."""


@dataclass(frozen=True, slots=True)
class Step:
    """How one run is executed.

    Attributes:
        run: The run.
        base: Number of the step that it is computed upon; None if it is executed whole.
        reach: What is computed of it; None if that is everything.
        asked: Whether its answer is asked for.
        wanted: Tensor -> positions that are read of it, by others or by its own edits.
        stage: Number of the stage that it is executed in.
        spared: Whether edits that its base has not, and that may change something, are not made,
            as that leads nowhere.
    """

    run: Run
    base: int | None
    reach: Reach | None
    asked: bool
    wanted: Positions
    stage: int
    spared: bool

    @property
    def executed(self) -> bool:
        """Whether anything of it is computed."""
        return self.reach is None or not self.reach.reason

    def makes(self, edit: Edit) -> tuple[int, ...]:
        """Which of an edit's positions are written, by their order in the edit."""
        if self.reach is None:
            return tuple(range(len(edit.positions)))
        made = self.reach.made(where_of(edit.place))
        return tuple(i for i, position in enumerate(edit.positions) if position in made)


@dataclass(frozen=True, slots=True)
class Schedule:
    """How runs are executed.

    Attributes:
        steps: One for every run, after those that it is made from.
        number: Run -> its step.
        whole: Reason -> how many runs with edits are whole for it.
        tests: Steps that need no execution and are executed all the same, with all their edits:
            the answer must be their base's.
    """

    steps: tuple[Step, ...]
    number: Mapping[Run, int]
    whole: Counter[str]
    tests: Mapping[int, str]

    @property
    def stages(self) -> int:
        """How many stages there are."""
        return 1 + max((step.stage for step in self.steps), default=-1)

    def holder(self, number: int, where: Where, position: int) -> int:
        """The step that has what a run has at a tensor and a position: its own, or its base's."""
        step = self.steps[number]
        if step.base is None or (step.reach is not None and step.reach.gives(where, position)):
            return number
        return step.base


def make_schedule(
    flow: Flow,
    asked: Sequence[Run],
    reads: Sequence[Read] = (),
    *,
    packed: bool,
    fill: bool = True,
) -> Schedule:
    """Work out how runs are executed.

    Args:
        flow: How things flow through the LM.
        asked: The runs whose answers are asked for.
        reads: What else is read; runs with nothing to read at are only executed.
        packed: Whether runs are computed upon bases; else all are executed whole.
        fill: Whether to leave out what can't differ from its base; else every edit is made.

    Returns:
        The schedule.
    """
    wanted_answers = set(asked)
    runs = in_order([*asked, *(read.run for read in reads if read.run is not None)])
    reasons = _unbounded(runs, reads) if packed else {}
    bases = {_base_of(run) for run in runs if run not in reasons}
    upon: dict[Run, Run] = {}
    if packed:
        upon = {
            run: _base_of(run)
            for run in runs
            if run.edits and run not in bases and run not in reasons
        }
        # clean runs are made from nothing, so they may come first
        runs = in_order([*sorted(upon.values(), key=lambda run: bool(run.edits)), *runs])
    number = {run: index for index, run in enumerate(runs)}
    stage = _stages(runs, upon)
    compare = DirtFinder(flow)
    spreads = {run: compare.spread(run, base) for run, base in upon.items()}
    asked_spreads = {run: spread for run, spread in spreads.items() if run in wanted_answers}
    tests = _tests(asked_spreads, number) if fill else {}
    steps: list[Step | None] = [None] * len(runs)
    wanted: list[Positions] = [{} for _ in runs]
    for read in reads:
        if read.run is not None and read.place is not None:
            _add(wanted[number[read.run]], where_of(read.place), bits(read.positions or ()))
    # Who reads comes behind who is read: going back, all that is read of a run is known in time.
    for index in reversed(range(len(runs))):
        run, base, reach, spared = runs[index], None, None, False
        is_asked = run in wanted_answers
        _want_own(run, wanted[index])
        if run in upon:
            base = number[upon[run]]
            spread = spreads[run]
            if not fill or index in tests:
                spread = _everywhere(run, spread)
            reach = find_reach(flow, run, spread, wanted[index], asked=is_asked)
            spared = _spares(run, upon[run], reach, spreads[run])
        step = Step(run, base, reach, is_asked, wanted[index], stage[run], spared)
        steps[index] = step
        if step.executed:
            _want_sources(step, number, wanted)
        if base is not None and reach is not None:
            _want_of_base(reach, wanted[index], wanted[base])
    made = tuple(step for step in steps if step is not None)
    return Schedule(made, number, Counter(reasons.values()), tests)


def _spares(run: Run, base: Run, reach: Reach, spread: Dirt) -> bool:
    """Whether edits of a run that may change something are not made."""
    for edit in run.edits:
        if edit not in base.edits:
            where = where_of(edit.place)
            changing = positions_of(bits(edit.positions) & spread.at(where))
            if not reach.made(where).issuperset(changing):
                return True
    return False


SELF_TESTS = 2
"""For each reason, how many of the runs that need no execution are executed nevertheless."""


def _tests(spreads: Mapping[Run, Dirt], number: Mapping[Run, int]) -> dict[int, str]:
    """Some of the runs that need no execution, spread over all, with the reason."""
    filled: dict[str, list[int]] = {SAME_VALUES: [], OUT_OF_REACH: []}
    for run, spread in spreads.items():
        if not spread.states[-1] >> len(run.prompt) - 1 & 1:
            filled[SAME_VALUES if spread.empty else OUT_OF_REACH].append(number[run])
    return {
        index: reason
        for reason, found in filled.items()
        for index in found[:: max(1, len(found) // SELF_TESTS)][:SELF_TESTS]
    }


def _base_of(run: Run) -> Run:
    """The run that one is computed upon."""
    base = run.base
    if base is None or any(edit.place.row.recomputed for edit in base.edits):
        # its keys may be those of single query heads, which nothing can be computed upon
        return Run(run.prompt)
    return base


def _unbounded(runs: Sequence[Run], reads: Sequence[Read]) -> dict[Run, str]:
    """Runs with edits that have to be executed whole, and why."""
    found: dict[Run, str] = {}
    for read in reads:
        if read.run is not None and read.place is not None and read.place.row.recomputed:
            found[read.run] = _RECOMPUTED.format(read.place.component)
    for run in runs:
        for edit in run.edits:
            if edit.place.row.recomputed:
                found.setdefault(run, _RECOMPUTED.format(edit.place.component))
            for read in edit.reads:
                assert read.place is not None
                if read.place.row.recomputed:
                    found.setdefault(read.run or run, _RECOMPUTED.format(read.place.component))
    return {run: reason for run, reason in found.items() if run.edits}


_RECOMPUTED = "{} is made again from the residual stream, in whole runs only"


def _stages(runs: Sequence[Run], upon: Mapping[Run, Run]) -> dict[Run, int]:
    stage: dict[Run, int] = {}
    for run in runs:
        needs = [*run.sources, *([upon[run]] if run in upon else [])]
        stage[run] = max((stage[one] + 1 for one in needs), default=0)
    return stage


def _want_own(run: Run, wanted: Positions) -> None:
    """Add what a run's edits read of the run itself."""
    for edit in run.edits:
        for read, own in zip(edit.reads, edit.value.reads, strict=True):
            if own.run is None and read.place is not None and read.positions is not None:
                _add(wanted, where_of(read.place), bits(read.positions))


def _want_sources(step: Step, number: Mapping[Run, int], wanted: list[Positions]) -> None:
    """Add what the edits that are made read of other runs."""
    for edit in step.run.edits:
        made = step.makes(edit)
        for read, own in zip(edit.reads, edit.value.reads, strict=True):
            if own.run is None or read.place is None or read.positions is None or not made:
                continue
            places = bits(read.positions[i] for i in made)
            _add(wanted[number[own.run]], where_of(read.place), places)


def _want_of_base(reach: Reach, wanted: Positions, of_base: Positions) -> None:
    """Add what is read of a run, and what that did not compute, to what is read of its base."""
    for where, mask in wanted.items():
        left = bits(p for p in positions_of(mask) if not reach.gives(where, p))
        if left:
            _add(of_base, where, left)


def _everywhere(run: Run, spread: Dirt) -> Dirt:
    """As if every edit changed something: behind the first everything is dirty.

    What differs without them is so as well: the base may have edits that the run has not.
    """
    start = min((min(edit.positions) for edit in run.edits), default=len(run.prompt) - 1)
    layer = min((edit.place.layer for edit in run.edits), default=0)
    dirty = (1 << len(run.prompt)) - (1 << start)

    def behind(masks: tuple[int, ...], first: int) -> tuple[int, ...]:
        return tuple(mask | dirty * (index >= first) for index, mask in enumerate(masks))

    return replace(
        spread,
        raw=behind(spread.raw, layer + 1),
        states=behind(spread.states, layer + 1),
        keys=behind(spread.keys, layer),
    )


def _add(wanted: Positions, where: Where, mask: int) -> None:
    wanted[where] = wanted.get(where, 0) | mask
