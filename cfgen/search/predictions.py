"""Predictions for all cases, and which words are interchangeable, found out by making them.

Whether a case may stand for all that differ from it by a renaming of words depends on the causal
model, and is not assumed. Every run that an answer rests on is made with opaque words
(:mod:`.opaque`), so a mechanism that looks into a word is noticed in the very case where it does.
Its words are then told apart, which makes other cases, and all is run again: from few kinds of
words to more of them, until nothing new is noticed. In addition, plain words are permuted at
random, and every variable has to follow.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfgen.causal import Domain, Program
from cfgen.counterfactuals import Design, Predictor
from cfgen.errors import CfgenError
from cfgen.search.atoms import Atom, Atoms, Kind, State, elements_of, make_atoms, pool_of, pools_of
from cfgen.search.cases import Cases, Indices, all_cases, design_cases
from cfgen.search.comparison import Comparison, Inputs
from cfgen.search.opaque import (
    OpaqueWord,
    WordInspection,
    WordWatch,
    freeze,
    replaced,
    texts_within,
    word_of,
)

TRIALS = 100
"""Random pairs whose words are permuted."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """What everything predicts for some cases.

    Attributes:
        outputs: Number of the output, one row for every case, one column for every label.
        texts: Number -> the output: text, None, or the atom of an interchangeable word.
        shown: Which cases can be shown.
        runs: How often a program was run.
    """

    outputs: NDArray[np.int32]
    texts: tuple[Any, ...]
    shown: NDArray[np.bool_]
    runs: int


@dataclass(frozen=True, slots=True)
class Symmetry:
    """What is interchangeable, and how that was found out.

    Attributes:
        interchangeable: Lexicon (or input) -> number of its words that are.
        told_apart: Lexicon (or input) -> why its words are not, or not all of them.
        alone: Words that stand for themselves, as the task file names them.
        runs: Runs of the model with opaque words.
        trials: Pairs of plain words that were permuted.
    """

    interchangeable: Mapping[str, int]
    told_apart: Mapping[str, str]
    alone: tuple[str, ...]
    runs: int
    trials: int


@dataclass(frozen=True, slots=True)
class CaseTable:
    """Cases, and what everything predicts for them.

    Attributes:
        comparison: What is compared.
        names: Inputs that matter.
        atoms: Kinds of their values.
        cases: The cases.
        predictions: The predictions.
        symmetry: What they rest on.
    """

    comparison: Comparison
    names: tuple[str, ...]
    atoms: Atoms
    cases: Cases
    predictions: Predictions
    symmetry: Symmetry

    def column(self, label: str) -> NDArray[np.int32]:
        """Number of the output that a hypothesis predicts, for every case."""
        return self.predictions.outputs[:, self.comparison.labels.index(label)]

    def inputs(self, state: State) -> dict[str, Any]:
        """Inputs with plain words that one side of a case stands for."""
        return _inputs(self.comparison, self.atoms, self.names, state, {})


def case_table(
    comparison: Comparison, design: Design | None = None, trials: int = TRIALS
) -> CaseTable:
    """Find out which words are interchangeable, and predict for all cases.

    Args:
        comparison: What is compared.
        design: Only for pairs that this design draws; for all pairs of inputs if None.
        trials: Random pairs whose plain words are permuted.

    Raises:
        CfgenError: If a mechanism fails on plain words as well, or the design resamples more words
            than there are.
        TooManyCases: If there are too many cases, perhaps because words had to be told apart.
    """
    names = comparison.inputs_that_matter(design)
    domains = {name: comparison.domains[name] for name in names}
    alone = comparison.constants(design)
    whole: dict[int, str] = {}
    while True:
        atoms = make_atoms(domains, alone, whole)
        cases = all_cases(atoms, names) if design is None else design_cases(atoms, names, design)
        watch = WordWatch()
        predictions = _predicted(comparison, names, atoms, cases, watch)
        more, told_apart = _to_be_told_apart(comparison, atoms, watch, predictions is None)
        if predictions is not None and not more and not told_apart:
            told_apart = _permuted(comparison, atoms, trials)
            if not told_apart:
                symmetry = _symmetry(domains, atoms, whole, predictions.runs, trials)
                return CaseTable(comparison, names, atoms, cases, predictions, symmetry)
        alone |= more
        whole |= told_apart


def _predicted(
    comparison: Comparison, names: Sequence[str], atoms: Atoms, cases: Cases, watch: WordWatch
) -> Predictions | None:
    """Predict with opaque words; None if that cannot be done, for whatever reason."""
    used = {atom for side in (cases.befores, cases.afters) for s in side for v in s for atom in v}
    words: Mapping[Atom, OpaqueWord] = {
        atom: OpaqueWord(atoms.concrete(atom), watch)
        for atom in sorted(used)
        if atoms.kinds[atom[0]].interchangeable
    }
    befores, afters = (
        [_inputs(comparison, atoms, names, state, words) for state in states]
        for states in (cases.befores, cases.afters)
    )
    try:
        return _predict(comparison, befores, afters, cases, _Outputs(watch, _words_of(atoms)))
    except WordInspection:
        return None
    except CfgenError:
        if not words:
            raise
        return None


def _to_be_told_apart(
    comparison: Comparison, atoms: Atoms, watch: WordWatch, failed: bool
) -> tuple[set[str], dict[int, str]]:
    """What a run with opaque words says that must not be taken for interchangeable.

    Returns:
        Words that stand for themselves, and sets of values all of which do, with the reason.
    """
    words = _words_of(atoms)
    compared = set(watch.compared)
    if watch.hashed:
        # An opaque word in a dictionary or a set is only compared with texts that have its hash,
        # so that the others that it could have met are not noted. They are looked for in the code.
        compared |= texts_within([mechanism for _, mechanism, _ in comparison.program.steps])
    why = "a mechanism does more with a word than to compare it"
    told_apart = _pools_with(atoms, watch.inspected)
    if failed and not told_apart:
        why = "a mechanism fails if it only can compare them"
        told_apart = _pools_with(atoms, words)
    return compared & words, dict.fromkeys(told_apart, why)


def _words_of(atoms: Atoms) -> set[str]:
    """The words that are taken for interchangeable."""
    return {word for kind in atoms.kinds if kind.interchangeable for word in kind.values}


def _pools_with(atoms: Atoms, words: set[str]) -> list[int]:
    """The sets of values that interchangeable words among these are in."""
    kinds = [kind for kind in atoms.kinds if kind.interchangeable and words & {*kind.values}]
    return [pool for kind in kinds for pool in sorted(kind.pools)]


def _inputs(
    comparison: Comparison,
    atoms: Atoms,
    names: Sequence[str],
    state: State,
    words: Mapping[Atom, OpaqueWord],
) -> dict[str, Any]:
    """A full assignment of inputs; those that do not matter have the first value they can have."""
    domains = comparison.domains
    made = {name: next(iter(domain)) for name, domain in domains.items() if name not in names}
    for name, value in zip(names, state, strict=True):
        elements = tuple(words.get(atom) or atoms.concrete(atom) for atom in value)
        made[name] = elements[0] if domains[name].arity is None else elements
    return {name: made[name] for name in domains}


# Predictions: each mechanism is run once for what it depends on.


class _Outputs:
    """Numbers outputs, equal ones alike, as texts that the LM should say.

    Attributes:
        numbers: Text, None, or interchangeable word -> its number.
    """

    def __init__(self, watch: WordWatch, words: set[str]) -> None:
        self.numbers: dict[Any, int] = {}
        self._watch = watch
        self._words = words

    def column(self, values: Iterable[Any]) -> NDArray[np.int32]:
        """The numbers of some outputs."""
        return np.array([self._number(value) for value in values], dtype=np.int32)

    def _number(self, value: Any) -> int:
        word = word_of(value)
        if word is not None:
            return self.numbers.setdefault(word, len(self.numbers))
        text = None if value is None else str(value)
        if text in self._words:  # made in the mechanism, and yet one that may be anywhere in a pair
            self._watch.compared.add(text)
        return self.numbers.setdefault(text, len(self.numbers))


def _predict(
    comparison: Comparison,
    befores: Sequence[Inputs],
    afters: Sequence[Inputs],
    cases: Cases,
    outputs: _Outputs,
) -> Predictions:
    """Compute what every hypothesis predicts for every case.

    There are far more cases than different sides. A hypothesis depends on the original as a whole,
    and of the counterfactual on nothing but the values that are interchanged: it is run once for
    every original and every combination of these.
    """
    program, output = comparison.program, comparison.program.graph.output
    firsts, seconds = _settings(program, befores), _settings(program, afters)
    columns = [
        outputs.column(firsts[output])[cases.before],
        outputs.column(seconds[output])[cases.after],
    ]
    runs = len(befores) + len(afters)
    coded: dict[str, Indices] = {}
    for hypothesis in comparison.hypotheses:
        sources = hypothesis.sources.values()
        coded |= {name: _distinct(seconds[name]) for name in sources if name not in coded}
        taken, examples = _together([coded[name] for name in sources])
        keys = cases.before * len(examples) + taken[cases.after]
        unique, inverse = np.unique(keys, return_inverse=True)
        one = _rows(firsts, (unique // len(examples)).tolist())
        other = _rows(seconds, np.array(examples)[unique % len(examples)].tolist())
        made = Predictor(program, [hypothesis]).columns(one, other)[hypothesis.name]
        columns.append(outputs.column(made)[inverse.ravel()])
        runs += len(unique)
    shown = np.ones(len(cases.before), dtype=np.bool_)
    if comparison.shown is not None:
        pairs = zip(cases.before.tolist(), cases.after.tolist(), strict=True)
        for place, (first, second) in enumerate(pairs):
            shown[place] = comparison.shown(befores[first], afters[second])
    return Predictions(np.stack(columns, axis=1), tuple(outputs.numbers), shown, runs)


def _settings(program: Program, inputs: Sequence[Inputs]) -> dict[str, Sequence[Any]]:
    """All variables, in columns, for some inputs."""
    columns = {name: [values[name] for values in inputs] for name in program.graph.inputs}
    return program.run_columns(columns, len(inputs))


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


# Plain words that trade places.


def _permuted(comparison: Comparison, atoms: Atoms, trials: int) -> dict[int, str]:
    """Permute plain words at random; the sets whose words make a variable not follow.

    This finds what opaque words cannot: they are hashed as the words that they stand for, so a
    mechanism that takes the first element of a set gets one and the same of them every time.
    """
    rng = random.Random(0)
    kinds = [kind for kind in atoms.kinds if kind.interchangeable]
    predict = Predictor(comparison.program, comparison.hypotheses)
    wrong: dict[int, None] = {}
    for _ in range(trials if kinds else 0):
        sides = [{n: d.sample(rng) for n, d in comparison.domains.items()} for _ in range(2)]
        for kind in kinds:
            if not _follows(comparison.program, predict, sides, kind, rng):
                wrong |= dict.fromkeys(sorted(kind.pools))
    return dict.fromkeys(wrong, "a variable does not follow when words trade places")


def _follows(
    program: Program, predict: Predictor, sides: Sequence[Inputs], kind: Kind, rng: random.Random
) -> bool:
    """Whether all variables and predictions of a pair follow when words of a kind trade places."""
    values = list(kind.values)
    rng.shuffle(values)
    names = dict(zip(kind.values, values, strict=True))

    def rename(value: Any) -> Any:
        return names.get(value, value) if type(value) is str else value

    before = [program.run(side) for side in sides]
    after = [program.run(replaced(dict(side), rename)) for side in sides]
    said, then = predict(*before), predict(*after)
    return all(
        replaced(one[name], rename) == other[name]
        for one, other in (*zip(before, after, strict=True), (said, then))
        for name in one
    )


def _symmetry(
    domains: Mapping[str, Domain], atoms: Atoms, whole: Mapping[int, str], runs: int, trials: int
) -> Symmetry:
    """What was found out, in the terms of a task: lexicons, or inputs that draw from none."""
    pools = pools_of(domains)
    labels: dict[int, list[str]] = {}
    for name, domain in domains.items():
        if elements_of(domain)[1]:
            labels.setdefault(pools.index(pool_of(domain)), []).extend(domain.pools or [name])
    named = {index: ", ".join(dict.fromkeys(names)) for index, names in labels.items()}
    counts: dict[str, int] = {}
    for index, name in named.items():
        kinds = [k for k in atoms.kinds if k.interchangeable and index in k.pools]
        if kinds:
            counts[name] = sum(len(kind.values) for kind in kinds)
    alone = tuple(
        kind.values[0]
        for kind in atoms.kinds
        if not kind.interchangeable and kind.pools & labels.keys() and not kind.pools & whole.keys()
    )
    any_left = any(kind.interchangeable for kind in atoms.kinds)
    return Symmetry(
        counts,
        {named[index]: why for index, why in whole.items()},
        alone,
        runs if any_left else 0,
        trials if counts else 0,
    )
