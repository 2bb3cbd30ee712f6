"""Slopes: what the edits of a run do to first order, for all its places from one backward pass.

A run that departs from another is that one with further edits. Made by a share s, an edit leaves
``now + s (write(now) - now)``, from what is there at s = 0 to what is written at s = 1. The slope
of a score at s = 0 is the sum over edits of ``<write(now) - now, d score / d now>``, taken in the
run that is departed from (attribution patching: Syed et al. 2023, arXiv 2310.10348, section 3.1).
Whatever a value writes, so is estimated what it does: the other run's numbers, zeros, an average,
attention without some keys.

What is done may be given on at one place alone, as a path leads to a receiver. Then the gradient
there comes first, and what counts of the run that departs is its product with what is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from cfgen.interventions.engine import Engine
from cfgen.interventions.language import Edit, Read, Run
from cfgen.interventions.question import Question
from cfgen.interventions.store import same_length
from cfgen.interventions.values import Add, Copy
from cfgen.lm import Place, own_part

GRAPH_NUMBERS = 1 << 30
"""Numbers that a graph of gradients holds, about."""
_OF_BLOCK = 34
"""Those of one token in one block, as multiples of the width (Korthikanti et al. 2022, section 4,
in bytes of half precision; about as many numbers, where attention keeps its pattern)."""


@dataclass(frozen=True, slots=True)
class Score:
    """A number from what the LM says after a run, whose gradient is taken.

    Attributes:
        right: Ids of the tokens any of which is the answer that it is of.
        wrong: Those of its rival; none if it has none.
        of: Gives it from their log-probabilities, both (); the second is minus infinity without a
            rival.
    """

    right: tuple[int, ...]
    wrong: tuple[int, ...]
    of: Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Slope:
    """A score to first order.

    Attributes:
        at: What it is in the run that is departed from.
        change: What is added to it by making all edits, to first order.
    """

    at: float
    change: float


@dataclass(frozen=True, slots=True)
class Departure:
    """A run, as one that departs from another.

    Attributes:
        start: What is departed from.
        run: That with further edits, behind its own.
        into: A place whose numbers in that run the first one is given, at all tokens, and nothing
            else; None if what is asked is of that run itself.
        held: Those of them that write what the start itself has, at the same place: they are made
            whole, since they change nothing but what gets past them.
        made: The others.
    """

    start: Run
    run: Run
    into: Place | None = None
    held: tuple[Edit, ...] = field(init=False)
    made: tuple[Edit, ...] = field(init=False)

    def __post_init__(self) -> None:
        own = len(self.start.edits)
        assert self.run.prompt == self.start.prompt
        assert self.run.edits[:own] == self.start.edits
        further = self.run.edits[own:]
        held = tuple(edit for edit in further if _holds(edit, self.start))
        object.__setattr__(self, "held", held)
        object.__setattr__(self, "made", tuple(edit for edit in further if edit not in held))


def find_slopes(
    engine: Engine, departures: Sequence[Departure], scores: Sequence[Sequence[Score]]
) -> list[list[Slope]]:
    """Estimate what runs come to, from gradients in the runs that they depart from.

    Departures from one run that hold the same share its passes, one forwards and one backwards per
    score; what their edits write is read of further runs, each once.

    Args:
        engine: How runs are executed; gradients are those of whole runs, whatever it is called.
        departures: The runs.
        scores: For each, what is asked of it.

    Returns:
        For each, its scores in order.

    Raises:
        CfgenError: As :meth:`cfgen.interventions.Engine.outcomes`.
    """
    whole = replace(engine, name="reference")
    stems: dict[_StemKey, list[int]] = {}
    for number, one in enumerate(departures):
        stems.setdefault((one.start, one.held, one.into), []).append(number)
    found: list[list[Slope]] = [[] for _ in departures]
    for together in _portions(whole, list(stems)):
        numbers = [number for stem in together for number in stems[stem]]
        there = _Numbers.read(whole, [departures[number] for number in numbers])
        made = [
            _Stem.of(whole, *stem, {n: (departures[n], scores[n]) for n in stems[stem]})
            for stem in together
        ]
        for stem, graded in zip(made, _gradients(whole, made), strict=True):
            for number, (one, asked) in stem.departures.items():
                changes = [there.change(one.start, edit) for edit in one.made]
                for score in asked:
                    at, gradients = graded[score]
                    total = sum(
                        stem.along(edit, change, gradients)
                        for edit, change in zip(one.made, changes, strict=True)
                    )
                    found[number].append(Slope(at, float(total)))
    return found


_StemKey = tuple[Run, tuple[Edit, ...], Place | None]
"""What departures have in common that are estimated together: their start, held and into."""


@dataclass(frozen=True, slots=True)
class _Stem:
    """A run in which gradients are taken, with zeros added wherever anything departs from it.

    Attributes:
        start: The run without zeros, and with nothing held.
        run: The run.
        into: The place alone that it is given on at; None if it says something itself.
        leaves: Place, without head and neurons -> its zeros (positions, *shape).
        rows: Likewise -> position -> row of them.
        departures: Number -> what departs from it, and what is asked of that.
    """

    start: Run
    run: Run
    into: Place | None
    leaves: Mapping[Place, Tensor]
    rows: Mapping[Place, Mapping[int, int]]
    departures: Mapping[int, tuple[Departure, Sequence[Score]]]

    @classmethod
    def of(
        cls,
        engine: Engine,
        start: Run,
        held: tuple[Edit, ...],
        into: Place | None,
        departures: Mapping[int, tuple[Departure, Sequence[Score]]],
    ) -> _Stem:
        """Put zeros into a run."""
        at: dict[Place, dict[int, None]] = {}
        for one, _ in departures.values():
            for edit in one.made:
                at.setdefault(edit.place.whole, {}).update(dict.fromkeys(edit.positions))
        return cls._with_zeros(engine, start, held, into, at, departures)

    @classmethod
    def _with_zeros(
        cls,
        engine: Engine,
        start: Run,
        held: tuple[Edit, ...],
        into: Place | None,
        at: Mapping[Place, Iterable[int]],
        departures: Mapping[int, tuple[Departure, Sequence[Score]]],
    ) -> _Stem:
        leaves, edits, rows = {}, [], {}
        for place, asked in at.items():
            positions = tuple(asked)
            shape = engine.layout.shape_of(place, len(start.prompt))
            zeros = torch.zeros(len(positions), *shape, dtype=engine.lm.dtype)
            leaves[place] = zeros.to(engine.lm.device).requires_grad_()
            rows[place] = {position: row for row, position in enumerate(positions)}
            edits.append(Edit(place, positions, Add(leaves[place])))
        run = Run(start.prompt, (*start.edits, *held, *edits))
        return cls(start, run, into, leaves, rows, departures)

    @classmethod
    def of_receivers(cls, engine: Engine, stems: Sequence[_Stem]) -> _Stem:
        """The one start of several alone, with zeros wherever any of them is given on."""
        start = stems[0].start
        every = range(len(start.prompt))
        at = {stem.into.whole: every for stem in stems if stem.into is not None}
        departures = {n: one for stem in stems for n, one in stem.departures.items()}
        return cls._with_zeros(engine, start, (), None, at, departures)

    @property
    def scores(self) -> list[Score]:
        """What is asked, each once."""
        return list(dict.fromkeys(s for _, asked in self.departures.values() for s in asked))

    def along(self, edit: Edit, change: Tensor, gradients: Mapping[Place, Tensor]) -> Tensor:
        """What a change at an edit's place (positions, *shape) does, by gradients ()."""
        place = edit.place.whole
        rows = [self.rows[place][position] for position in edit.positions]
        return (change * own_part(edit.place, gradients[place][rows])).sum()


GradientTable = dict[Score, tuple[float, dict[Place, Tensor]]]
"""Score -> what it is, and its gradients on the CPU, float32."""


def _gradients(engine: Engine, stems: Sequence[_Stem]) -> list[GradientTable]:
    """Scores of runs, and their gradients at all zeros."""
    said = [number for number, stem in enumerate(stems) if stem.into is None]
    given = [number for number, stem in enumerate(stems) if stem.into is not None]
    found = dict(zip(said, _said(engine, [stems[n] for n in said]), strict=True))
    found |= zip(given, _given_on(engine, [stems[n] for n in given]), strict=True)
    return [found[number] for number in range(len(stems))]


def _said(engine: Engine, stems: Sequence[_Stem]) -> list[GradientTable]:
    """Those of what runs say, in one forward and one backward a score."""
    if not stems:
        return []
    tracked = [
        sorted({token for score in stem.scores for token in (*score.right, *score.wrong)})
        for stem in stems
    ]
    asked = Question(said=False, normaliser=True)
    outcomes = engine.outcomes([stem.run for stem in stems], tracked, asked, gradients=True)
    logs = outcomes.log_probabilities
    return _backwards(stems, lambda row, score: _value(score, logs[row], tracked[row]))


def _given_on(engine: Engine, stems: Sequence[_Stem]) -> list[GradientTable]:
    """Those of what runs are given on for: its numbers, weighted by the gradients where it goes."""
    if not stems:
        return []
    starts: dict[Run, list[_Stem]] = {}
    for stem in stems:
        starts.setdefault(stem.start, []).append(stem)
    ends = [_Stem.of_receivers(engine, together) for together in starts.values()]
    known = dict(zip(starts, _said(engine, ends), strict=True))
    places = [stem.into for stem in stems if stem.into is not None]
    reads = [
        Read(stem.run, tuple(range(len(stem.run.prompt))), place.whole)
        for stem, place in zip(stems, places, strict=True)
    ]
    there = engine.values(reads, gradients=True)

    def weighted(row: int, score: Score) -> Tensor:
        place, numbers = places[row], there[row]
        _, gradients = known[stems[row].start][score]
        weights = gradients[place.whole].to(numbers.device)
        return (own_part(place, weights) * own_part(place, numbers).float()).sum()

    found = _backwards(stems, weighted)
    return [
        {score: (known[stem.start][score][0], slopes) for score, (_, slopes) in table.items()}
        for stem, table in zip(stems, found, strict=True)
    ]


def _backwards(
    stems: Sequence[_Stem], value: Callable[[int, Score], Tensor]
) -> list[GradientTable]:
    """Numbers of stems, by their row and what is asked, and their gradients at all zeros."""
    found = [GradientTable() for _ in stems]
    for turn in range(max((len(stem.scores) for stem in stems), default=0)):
        values, leaves, whose = [], [], []
        for row, stem in enumerate(stems):
            if turn < len(stem.scores):
                score = stem.scores[turn]
                values.append(value(row, score))
                found[row][score] = float(values[-1].detach()), {}
                leaves += list(stem.leaves.values())
                whose += [(row, score, place) for place in stem.leaves]
        if not leaves:
            continue
        more = any(turn + 1 < len(stem.scores) for stem in stems)
        slopes_of = torch.autograd.grad(
            torch.stack(values).sum(), leaves, retain_graph=more, allow_unused=True
        )
        for (row, score, place), leaf, slope in zip(whose, leaves, slopes_of, strict=True):
            # nothing of some places gets to where answers are read
            gradient = torch.zeros_like(leaf) if slope is None else slope
            found[row][score][1][place] = gradient.detach().float().cpu()
    return found


def _value(score: Score, logs: Tensor, tracked: Sequence[int]) -> Tensor:
    """A score, from log-probabilities of tracked tokens (tracked,)."""
    column = {token: at for at, token in enumerate(tracked)}
    sides = [
        logs[[column[token] for token in tokens]].logsumexp(dim=-1) if tokens else None
        for tokens in (score.right, score.wrong)
    ]
    right, wrong = (logs.new_tensor(-torch.inf) if side is None else side for side in sides)
    return score.of(right, wrong)


@dataclass(frozen=True, slots=True)
class _Numbers:
    """What runs have, wherever something departs from them or is taken of them.

    Attributes:
        tables: Run and place, without head and neurons -> what is there (positions, *shape), on the
            CPU.
        rows: Likewise -> position -> row.
    """

    tables: Mapping[tuple[Run, Place], Tensor]
    rows: Mapping[tuple[Run, Place], Mapping[int, int]]

    @classmethod
    def read(cls, engine: Engine, departures: Sequence[Departure]) -> _Numbers:
        """Read all that edits need."""
        at: dict[tuple[Run, Place], dict[int, None]] = {}
        for one in departures:
            for edit in one.made:
                for run, place, positions in _needs(one.start, edit):
                    at.setdefault((run, place), {}).update(dict.fromkeys(positions))
        reads = [Read(run, tuple(positions), place) for (run, place), positions in at.items()]
        tables = [table.cpu() for table in engine.values(reads)] if reads else []
        rows = {key: {p: row for row, p in enumerate(found)} for key, found in at.items()}
        return cls(dict(zip(at, tables, strict=True)), rows)

    def change(self, start: Run, edit: Edit) -> Tensor:
        """How what an edit writes differs from what is there, float32 (positions, *shape)."""
        now = self._take(start, edit.place, edit.positions)
        operands = []
        for read in edit.reads:
            assert read.place is not None
            assert read.positions is not None
            operand = self._take(read.run or start, read.place, read.positions)
            if edit.place.row.over_keys:  # prompts may be of other lengths
                operand = same_length(operand, now.shape[-1])
            operands.append(operand)
        written = edit.value.write(now, *operands, *(row.cpu() for row in edit.value.rows))
        return written.float() - now.float()

    def _take(self, run: Run, place: Place, positions: Sequence[int]) -> Tensor:
        key = run, place.whole
        return own_part(place, self.tables[key][[self.rows[key][p] for p in positions]])


def _needs(start: Run, edit: Edit) -> Iterator[tuple[Run, Place, tuple[int, ...]]]:
    """What is read for an edit: what is there, and what it writes."""
    yield start, edit.place.whole, edit.positions
    for read in edit.reads:
        assert read.place is not None
        assert read.positions is not None
        yield read.run or start, read.place.whole, read.positions


def _holds(edit: Edit, run: Run) -> bool:
    """Whether an edit writes what a run itself has at the same place."""
    if not isinstance(edit.value, Copy) or edit.value.run != run:
        return False
    return edit.reads[0].positions == edit.positions


def _portions(engine: Engine, stems: Sequence[_StemKey]) -> Iterator[list[_StemKey]]:
    """As many runs as go through the LM together with their graph, in order."""
    layout = engine.layout
    each = _OF_BLOCK * layout.size("width") * layout.layers
    portion: list[_StemKey] = []
    longest = 0
    for stem in stems:
        longer = max(longest, len(stem[0].prompt))
        size = (len(portion) + 1) * longer
        full = len(portion) == engine.batch_size or size * each > GRAPH_NUMBERS
        if portion and (full or size > engine.budget.tokens):
            yield portion
            portion, longer = [], len(stem[0].prompt)
        portion.append(stem)
        longest = longer
    if portion:
        yield portion
