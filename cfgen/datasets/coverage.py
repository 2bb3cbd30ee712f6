"""Coverage: which combinations of inputs, template and answer a split has, and which it lacks."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from cfgen.causal import Distinct, Domain, Words
from cfgen.counterfactuals import Design, apply_edits, output_text
from cfgen.tasks import Task

LEVELS = 32
"""An input with more values than this is open, as words are."""
CASES = 4096
"""Combinations of closed inputs that are tried, to find out which can occur."""
NAMED = 20
"""How many missing combinations are named."""
TABLE = 1 << 20
"""Combinations of values up to which those that occur are marked in a table."""
ANSWER = "answer"
Combination = tuple[tuple[int, str], ...]
"""Numbers of factors and their values."""
Ints = NDArray[np.int64]


# What can occur.


@dataclass(frozen=True, slots=True)
class CoverageFactor:
    """An input, or one element of an input, or the answer.

    Attributes:
        name: Its slot, or ``answer``.
        input: The input it belongs to; empty for the answer.
        element: Which element of that, None for all of it.
        values: All its values if it is open: words of a lexicon, or many numbers. None if closed.
    """

    name: str
    input: str
    element: int | None
    values: tuple[str, ...] | None

    def of(self, inputs: Mapping[str, Any]) -> str:
        """The value that an input has, as text."""
        value = inputs[self.input]
        return str(value if self.element is None else value[self.element])

    def column(self, inputs: Mapping[str, pa.Array], answers: pa.Array) -> tuple[list[str], Ints]:
        """The values that many rows have: all different ones, and per row the number of its own."""
        values = inputs[self.input] if self.input else answers
        if self.element is not None:
            values = pc.list_element(values, self.element)
        if pa.types.is_nested(values.type):  # tuples as one value
            values = pa.array([str(tuple(value)) for value in values.to_pylist()], pa.string())
        encoded = values.dictionary_encode(null_encoding="encode")
        return list(map(str, encoded.dictionary.to_pylist())), encoded.indices.to_numpy()


@dataclass(frozen=True, slots=True)
class FactorSpace:
    """What can occur in one split.

    Attributes:
        factors: The factors, the answer last.
        cases: Values of the closed factors that occur together, each with the answers that go
            with them: one text, or the words of a lexicon.
        exact: Whether every combination of closed inputs was tried.
    """

    factors: tuple[CoverageFactor, ...]
    cases: frozenset[tuple[tuple[str, ...], tuple[str, ...]]]
    exact: bool


def find_space(task: Task, design: Design, domains: Mapping[str, Domain]) -> FactorSpace:
    """Find out which values the inputs, the template and the answer can have together.

    Closed inputs are enumerated, if they have no more than :data:`CASES` combinations; the others
    are drawn. The causal model says the answer; if it is a word of a lexicon that the prompt
    draws from, any other word could stand in its place.

    Args:
        task: The task.
        design: How the original is prepared.
        domains: Input -> what it is drawn from in this split.
    """
    factors = _input_factors(task, domains)
    closed = [factor for factor in factors if factor.values is None]
    names = list(dict.fromkeys(factor.input for factor in closed))
    rng = random.Random(0)
    enumerated = math.prod(domains[name].count() for name in names) <= CASES
    # What a requirement says of words as well may leave out a combination by chance.
    requirements = task.causal_model.program.requirements
    exact = enumerated and all({*parents} <= {*names} for *_, parents in requirements)
    made = []
    for chosen in _chosen(names, domains, rng, enumerated):
        drawn = {name: d.sample(rng) for name, d in domains.items() if name not in chosen}
        inputs = apply_edits(design.original, {**drawn, **chosen}, domains, rng)
        if task.supports(inputs):
            made.append(inputs)
    model = task.causal_model
    columns = {name: [inputs[name] for inputs in made] for name in domains}
    outputs = model.program.run_columns(columns, len(made))[model.output]
    cases = {
        (
            tuple(factor.of(inputs) for factor in closed),
            _exchangeable(output_text(output), inputs, domains),
        )
        for inputs, output in zip(made, outputs, strict=True)
    }
    return FactorSpace((*factors, CoverageFactor(ANSWER, "", None, None)), frozenset(cases), exact)


def _input_factors(task: Task, domains: Mapping[str, Domain]) -> list[CoverageFactor]:
    factors = []
    for name, slots in task.causal_model.slots.items():
        domain = domains[name]
        single = domain.of if isinstance(domain, Distinct) else domain
        values = None
        if isinstance(single, Words) or single.count() > LEVELS:
            values = tuple(map(str, single)) if single.count() <= CASES else ()
        for index, slot in enumerate(slots):
            element = None if domain.arity is None else index
            factors.append(CoverageFactor(slot, name, element, values))
    return factors


def _chosen(
    names: Sequence[str], domains: Mapping[str, Domain], rng: random.Random, exact: bool
) -> Iterator[dict[str, Any]]:
    if not exact:
        for _ in range(CASES):
            yield {name: domains[name].sample(rng) for name in names}
        return
    number = math.prod(domains[name].count() for name in names)
    for values in itertools.product(*(domains[name] for name in names)):
        for _ in range(max(1, min(8, CASES // number))):  # what edits draw comes out several ways
            yield dict(zip(names, values, strict=True))


def _exchangeable(
    answer: str | None, inputs: Mapping[str, Any], domains: Mapping[str, Domain]
) -> tuple[str, ...]:
    """The answers that could stand in the place of this one."""
    for name, domain in domains.items():
        shown = inputs[name] if domain.arity is not None else (inputs[name],)
        if answer in shown:
            for words in domain.pools.values():
                return tuple(words)
    return (str(answer),)


# What occurs.


class Spread(BaseModel):
    """How evenly the values of one factor are used.

    Attributes:
        values: How many values it can have.
        used: How many it has.
        least: Rows with the rarest value; 0 if one is not used.
        most: Rows with the commonest value.
    """

    model_config = ConfigDict(frozen=True)

    values: int
    used: int
    least: int
    most: int


class Coverage(BaseModel):
    """Coverage of one split.

    Attributes:
        strength: How many factors are combined: 2 for pairs.
        covered: Combinations that occur.
        possible: Combinations that can occur.
        share: The one divided by the other; 1 where nothing can occur.
        missing: Some of those that do not occur, as ``factor=value, factor=value``.
        exact: Whether what can occur was enumerated; else it was drawn, and may lack something.
        spread: Factor -> how evenly its values are used.
    """

    model_config = ConfigDict(frozen=True)

    strength: int
    covered: int
    possible: int
    share: float
    missing: tuple[str, ...]
    exact: bool
    spread: dict[str, Spread]


class CoverageAudit:
    """Counts the rows of one split, in portions; what it holds does not grow with the rows.

    Counted is which combinations of values of any ``strength`` factors the rows have. Factors are
    the inputs (tuples element by element), the template among them, and the answer. Lexicons are
    samples of open sets, so of every combination at most one factor is a word (or a number from a
    large range, or the answer, where that is a word).

    Args:
        space: The factors, and what can occur, see :func:`find_space`.
        strength: How many factors are combined.
    """

    def __init__(self, space: FactorSpace, strength: int = 2) -> None:
        self._space = space
        self._strength = min(strength, len(space.factors))
        self._seen: set[Combination] = set()
        self._used: list[Counter[str]] = [Counter() for _ in space.factors]
        self._subsets = list(_subsets(space, self._strength))

    def add(self, inputs: Mapping[str, pa.Array], answers: pa.Array) -> None:
        """Count some rows, given as a column for each of the original's inputs and its answers."""
        columns = [factor.column(inputs, answers) for factor in self._space.factors]
        for used, (values, numbers) in zip(self._used, columns, strict=True):
            for value, count in zip(values, np.bincount(numbers).tolist(), strict=True):
                used[value] += count
        for subset in self._subsets:
            some = [columns[index] for index in subset]
            for found in _combinations(some):
                self._seen.add(tuple(zip(subset, found, strict=True)))

    def result(self) -> Coverage:
        """The coverage so far."""
        factors = self._space.factors
        possible = _possible(self._space, self._subsets) | self._seen
        missing = sorted(possible - self._seen)
        levels: list[set[str]] = [set() for _ in factors]
        for combination in possible:
            for index, value in combination:
                levels[index].add(value)
        return Coverage(
            strength=self._strength,
            covered=len(self._seen),
            possible=len(possible),
            share=len(self._seen) / len(possible) if possible else 1.0,
            missing=tuple(
                ", ".join(f"{factors[index].name}={value}" for index, value in combination)
                for combination in missing[:NAMED]
            ),
            exact=self._space.exact,
            spread={
                factor.name: Spread(
                    values=len(known | used.keys()),
                    used=len(used),
                    least=min((used[value] for value in known | used.keys()), default=0),
                    most=max(used.values(), default=0),
                )
                for factor, known, used in zip(factors, levels, self._used, strict=True)
            },
        )


def _combinations(columns: Sequence[tuple[list[str], Ints]]) -> Iterator[tuple[str, ...]]:
    """The different combinations of values in some columns."""
    values = [known for known, _ in columns]
    shape = tuple(map(len, values))
    flat = np.ravel_multi_index(tuple(numbers for _, numbers in columns), shape)
    if math.prod(shape) <= TABLE:  # marking what is there takes less time than sorting
        there = np.zeros(math.prod(shape), bool)
        there[flat] = True
        flat = np.flatnonzero(there)
    else:
        flat = np.unique(flat)
    for found in zip(*(each.tolist() for each in np.unravel_index(flat, shape)), strict=True):
        yield tuple(column[number] for column, number in zip(values, found, strict=True))


def _open(space: FactorSpace) -> list[bool]:
    """Per factor, whether it is open; the answer is where it ever is one of several words."""
    answers = any(len(answers) > 1 for _, answers in space.cases)
    return [factor.values is not None for factor in space.factors[:-1]] + [answers]


def _subsets(space: FactorSpace, strength: int) -> Iterator[tuple[int, ...]]:
    """Numbers of factors that are combined: at most one of them is open."""
    is_open = _open(space)
    for subset in itertools.combinations(range(len(space.factors)), strength):
        if sum(is_open[index] for index in subset) <= 1:
            yield subset


def _possible(space: FactorSpace, subsets: Sequence[tuple[int, ...]]) -> set[Combination]:
    last = len(space.factors) - 1
    places = {
        index: place
        for place, index in enumerate(
            index for index, factor in enumerate(space.factors[:-1]) if factor.values is None
        )
    }
    found: set[Combination] = set()
    for subset in subsets:
        for values, answers in space.cases:
            choices: list[Sequence[str]] = []
            for index in subset:
                known = space.factors[index].values
                if index == last:
                    choices.append(answers)
                elif known is None:
                    choices.append((values[places[index]],))
                else:
                    choices.append(known)
            found.update(tuple(zip(subset, c, strict=True)) for c in itertools.product(*choices))
    return found
