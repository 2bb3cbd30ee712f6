"""Predictions for many abstract pairs at once: each program is run once for what it depends on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfgen.causal import Domain, Program
from cfgen.counterfactuals.atoms import Atom, Atoms, State
from cfgen.counterfactuals.factors import Indices
from cfgen.counterfactuals.hypotheses import ALL, NONE, Hypothesis
from cfgen.counterfactuals.opaque_words import OpaqueWord, Watch, freeze, word_of
from cfgen.counterfactuals.predictions import Predictor

Inputs = Mapping[str, Any]
Shown = Callable[[Inputs, Inputs], bool]
"""Whether some template can show a pair of inputs."""
Outputs = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Question:
    """What hypotheses are compared, and over which inputs.

    Attributes:
        program: The causal model.
        hypotheses: The hypotheses; ``none`` and ``all`` are always there as well.
        domains: Input -> domain that it is drawn from.
        shown: Which pairs can be shown at all; None if all can.
        shown_by: Inputs that this depends on.
    """

    program: Program
    hypotheses: tuple[Hypothesis, ...]
    domains: Mapping[str, Domain]
    shown: Shown | None = None
    shown_by: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of everything that predicts, in the order of columns."""
        return (NONE, ALL, *(hypothesis.name for hypothesis in self.hypotheses))

    @property
    def names(self) -> tuple[str, ...]:
        """Inputs that some prediction depends on; the others only change the wording."""
        graph = self.program.graph
        wanted = {graph.output, *self.shown_by}
        for hypothesis in self.hypotheses:
            wanted |= {*hypothesis.sources, *hypothesis.sources.values(), *hypothesis.hold}
        reached = wanted.union(*(graph.ancestors(name) for name in wanted if name in graph.order))
        return tuple(name for name in graph.inputs if name in reached)


@dataclass(frozen=True, slots=True)
class Columns:
    """Predictions for pairs.

    Attributes:
        outputs: Number of the output, one row for every pair, one column for every label.
        texts: Number -> the output: text, None, or the atom of an interchangeable word.
        shown: Which pairs can be shown.
        runs: How often a program was run.
    """

    outputs: Outputs
    texts: tuple[Any, ...]
    shown: NDArray[np.bool_]
    runs: int


def inputs_of(
    question: Question, atoms: Atoms, names: Sequence[str], state: State, words: Mapping[Atom, Any]
) -> dict[str, Any]:
    """A full assignment of inputs; those that do not matter have the first value they can have."""
    made = {
        name: next(iter(domain)) for name, domain in question.domains.items() if name not in names
    }
    for name, value in zip(names, state, strict=True):
        elements = tuple(words.get(atom) or atoms.concrete(atom) for atom in value)
        scalar = question.domains[name].arity is None
        made[name] = elements[0] if scalar else elements
    return {name: made[name] for name in question.domains}


def opaque_words(atoms: Atoms, states: Sequence[State], watch: Watch) -> dict[Atom, OpaqueWord]:
    """An opaque word for every atom that stands for interchangeable words."""
    used = {atom for state in states for value in state for atom in value}
    return {
        atom: OpaqueWord(atoms.concrete(atom), watch)
        for atom in sorted(used)
        if atoms.kinds[atom[0]].reduced
    }


def evaluate(
    question: Question,
    befores: Sequence[Inputs],
    afters: Sequence[Inputs],
    before: Indices,
    after: Indices,
    watch: Watch | None = None,
    reduced: frozenset[str] = frozenset(),
) -> Columns:
    """Compute what every hypothesis predicts for every pair.

    Args:
        question: What is compared.
        befores: Inputs of originals.
        afters: Inputs of counterfactuals.
        before: For every pair, the index of its original.
        after: For every pair, the index of its counterfactual.
        watch: Where it is noted that an output is the text of an interchangeable word.
        reduced: The interchangeable words.
    """
    program, output = question.program, question.program.graph.output
    firsts, seconds = _settings(question, befores), _settings(question, afters)
    numbers: dict[Any, int] = {}

    def number(value: Any) -> int:
        word = word_of(value)
        text = value if value is None or word is not None else str(value)
        if text is not None and word is None and text in reduced and watch:
            watch.compared.add(text)
        key = None if text is None else word if word is not None else text
        return numbers.setdefault(key, len(numbers))

    columns = [
        np.array([number(value) for value in firsts[output]], dtype=np.int32)[before],
        np.array([number(value) for value in seconds[output]], dtype=np.int32)[after],
    ]
    runs = len(befores) + len(afters)
    coded: dict[str, Indices] = {}
    for hypothesis in question.hypotheses:
        for source in hypothesis.sources.values():
            if source not in coded:
                coded[source] = _distinct(seconds[source])
        taken, examples = _together([coded[source] for source in hypothesis.sources.values()])
        keys = before * len(examples) + taken[after]
        unique, inverse = np.unique(keys, return_inverse=True)
        one = _rows(firsts, (unique // len(examples)).tolist())
        other = _rows(seconds, np.array(examples)[unique % len(examples)].tolist())
        outputs = Predictor(program, [hypothesis]).columns(one, other)[hypothesis.name]
        made = np.array([number(value) for value in outputs], dtype=np.int32)
        columns.append(made[inverse.ravel()])
        runs += len(unique)
    shown = np.ones(len(before), dtype=np.bool_)
    if question.shown is not None:
        for place, (one, other) in enumerate(zip(before.tolist(), after.tolist(), strict=True)):
            shown[place] = question.shown(befores[one], afters[other])
    return Columns(np.stack(columns, axis=1), tuple(numbers), shown, runs)


def _settings(question: Question, inputs: Sequence[Inputs]) -> dict[str, Sequence[Any]]:
    """All variables, in columns, for some inputs."""
    columns = {name: [values[name] for values in inputs] for name in question.program.graph.inputs}
    return question.program.run_columns(columns, len(inputs))


def _rows(columns: Mapping[str, Sequence[Any]], rows: Sequence[int]) -> dict[str, Sequence[Any]]:
    return {name: [column[row] for row in rows] for name, column in columns.items()}


def _distinct(values: Iterable[Any]) -> Indices:
    """Number values, equal ones alike; one that cannot be compared counts as different from all."""
    known: dict[Any, int] = {}
    numbers = []
    for value in values:
        try:
            key = freeze(value)
        except TypeError:
            key = len(known)
        numbers.append(known.setdefault(key, len(known)))
    return np.array(numbers, dtype=np.int64)


def _together(columns: Sequence[Indices]) -> tuple[Indices, list[int]]:
    """Number rows of several columns, equal ones alike; and one row for every number."""
    joint = columns[0]
    for column in columns[1:]:
        joint = joint * (int(column.max()) + 1) + column
        _, joint = np.unique(joint, return_inverse=True)
    _, examples, numbers = np.unique(joint, return_index=True, return_inverse=True)
    return numbers.ravel(), examples.tolist()
