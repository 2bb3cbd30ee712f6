"""Predictions for all cases, and which words are interchangeable, found out by making them.

Whether a case may stand for all that differ from it by a renaming of words depends on the causal
model, and is not assumed. Every run that an answer rests on is made with opaque words
(:mod:`.opaque`) by mechanisms that are followed step by step (:mod:`.following`), so what one finds
out about a word is noticed in the very case where it does. Its words are then told apart, so far as
needed, which makes other cases, and all is run again: from few kinds of words to more of them,
until nothing new is noticed. In addition, plain words are permuted at random, and every variable
has to follow; that proves nothing, but would show a fault of the following.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfgen.causal import Domain, Program
from cfgen.counterfactuals import Design, Predictor
from cfgen.errors import CfgenError
from cfgen.search.atoms import (
    Atom,
    Atoms,
    State,
    TooManyCases,
    elements_of,
    make_atoms,
    pool_of,
    pools_of,
)
from cfgen.search.cases import Cases, Indices, all_cases, design_cases
from cfgen.search.comparison import Comparison, Inputs
from cfgen.search.contents import freeze, is_opaque
from cfgen.search.following import Follower
from cfgen.search.opaque import (
    EVERYTHING,
    Look,
    OpaqueText,
    OpaqueWord,
    WordInspection,
    WordWatch,
    form_of,
    may_coincide,
    plain_text,
)
from cfgen.search.trials import permuted

TRIALS = 100
"""Random pairs whose words are permuted."""
MOST_ROUNDS = 200
"""So often words are told apart at most; mechanisms that find out ever more keep a state."""


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
        looks: What mechanisms find out about words; those of which all of it is the same are
            interchangeable.
        runs: Runs of the model with opaque words.
        trials: Pairs of plain words that were permuted.
    """

    interchangeable: Mapping[str, int]
    told_apart: Mapping[str, str]
    alone: tuple[str, ...]
    looks: tuple[str, ...]
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
    apart = Distinctions(comparison.constants(design), {}, {})
    for _ in range(MOST_ROUNDS):
        atoms = make_atoms(domains, apart.alone, apart.whole, apart.looks)
        cases = all_cases(atoms, names) if design is None else design_cases(atoms, names, design)
        watch = WordWatch(_kind_of(atoms))
        predictions = _predicted(comparison, names, atoms, cases, watch)
        more = _noticed(atoms, watch)
        if predictions is None and apart.include(more):
            why = "a mechanism fails if it only can compare them"
            whole = dict.fromkeys(_pools_with(atoms, _words_of(atoms)), why)
            more = Distinctions(frozenset(), whole, {})
        if predictions is not None and apart.include(more):
            more = Distinctions(frozenset(), permuted(comparison, atoms, trials), {})
            if apart.include(more):
                symmetry = _symmetry(domains, atoms, apart, predictions.runs, trials)
                return CaseTable(comparison, names, atoms, cases, predictions, symmetry)
        apart = apart.with_(more)
    raise TooManyCases("mechanisms find out ever more about words, as if they kept a state")


@dataclass(frozen=True, slots=True)
class Distinctions:
    """What tells words apart.

    Attributes:
        alone: Words that stand for themselves.
        whole: Indices of sets of values all of which stand for themselves -> why.
        looks: What mechanisms find out about words.
    """

    alone: frozenset[str]
    whole: Mapping[int, str]
    looks: Mapping[Hashable, Look]

    def include(self, others: Distinctions) -> bool:
        """Whether all of these are told apart already."""
        return (
            others.alone <= self.alone
            and others.whole.keys() <= self.whole.keys()
            and others.looks.keys() <= self.looks.keys()
        )

    def with_(self, others: Distinctions) -> Distinctions:
        """Both together."""
        alone, looks = self.alone | others.alone, {**others.looks, **self.looks}
        return Distinctions(alone, {**others.whole, **self.whole}, looks)


def _kind_of(atoms: Atoms) -> dict[str, tuple[str, ...]]:
    """Word -> all words that it is interchangeable with."""
    kinds = [kind.values for kind in atoms.kinds if kind.interchangeable]
    return {word: words for words in kinds for word in words}


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
    if words:
        comparison = replace(comparison, program=_followed(comparison.program, watch))
    try:
        return _predict(comparison, befores, afters, cases, _Outputs(watch, _words_of(atoms)))
    except WordInspection:
        return None
    except CfgenError:
        if not words:
            raise
        return None


def _followed(program: Program, watch: WordWatch) -> Program:
    """The program, with mechanisms that are followed."""
    follower = Follower(watch)
    steps, requirements = (
        tuple((name, follower.mechanism(function), parents) for name, function, parents in some)
        for some in (program.steps, program.requirements)
    )
    return Program(program.name, program.graph, steps, requirements)


def _noticed(atoms: Atoms, watch: WordWatch) -> Distinctions:
    """What a run with opaque words says that must not be taken for interchangeable."""
    words = _words_of(atoms)
    whole: dict[int, str] = {}
    for word, why in watch.inspected.items():
        for pool in _pools_with(atoms, words if word == EVERYTHING else {word}):
            whole.setdefault(pool, why)
    return Distinctions(frozenset(watch.compared & words), whole, dict(watch.looks))


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
        numbers: The output, with the words that stand for all others -> its number.
    """

    def __init__(self, watch: WordWatch, words: set[str]) -> None:
        self.numbers: dict[str | None, int] = {}
        self._watch = watch
        self._words = words
        self._forms: dict[Any, Any] = {}
        self._compared: set[Any] = set()

    def column(self, values: Iterable[Any]) -> NDArray[np.int32]:
        """The numbers of some outputs."""
        return np.array([self._number(value) for value in values], dtype=np.int32)

    def _number(self, value: Any) -> int:
        text = value if value is None or is_opaque(value) else str(value)
        if type(text) is str and text in self._words:
            self._watch.compared.add(text)  # it was made, and yet it may be anywhere in a pair
        if text is None:
            return self.numbers.setdefault(None, len(self.numbers))
        self._meet(text)
        return self.numbers.setdefault(plain_text(text), len(self.numbers))

    def _meet(self, text: Any) -> None:
        """Note for which words a text would be equal to another output.

        What holds of a text holds of all that have other words of the same kinds in their places.
        """
        form = form_of(text)
        if form not in self._forms:
            for other in self._forms.values():
                if OpaqueText in (type(text), type(other)):
                    may_coincide(text, other)
            self._forms[form] = text
        elif form not in self._compared and freeze(text) != freeze(self._forms[form]):
            may_coincide(text, self._forms[form])
            self._compared.add(form)


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
    shown = _shown(comparison, befores, afters, cases)
    kept = np.flatnonzero(shown)
    before, after = cases.before[kept], cases.after[kept]
    first_used, before = np.unique(before, return_inverse=True)
    second_used, after = np.unique(after, return_inverse=True)
    program, output = comparison.program, comparison.program.graph.output
    # Mechanisms need not know what to say of inputs that do not occur.
    firsts = _settings(program, [befores[place] for place in first_used.tolist()])
    seconds = _settings(program, [afters[place] for place in second_used.tolist()])
    columns = [outputs.column(firsts[output])[before], outputs.column(seconds[output])[after]]
    runs = len(first_used) + len(second_used)
    coded: dict[str, Indices] = {}
    for hypothesis in comparison.hypotheses if len(kept) else ():
        sources = hypothesis.sources.values()
        coded |= {name: _distinct(seconds[name]) for name in sources if name not in coded}
        taken, examples = _together([coded[name] for name in sources])
        keys = before * len(examples) + taken[after]
        unique, inverse = np.unique(keys, return_inverse=True)
        one = _rows(firsts, (unique // len(examples)).tolist())
        other = _rows(seconds, np.array(examples)[unique % len(examples)].tolist())
        made = Predictor(program, [hypothesis]).columns(one, other)[hypothesis.name]
        columns.append(outputs.column(made)[inverse.ravel()])
        runs += len(unique)
    predicted = np.zeros((len(shown), len(comparison.labels)), dtype=np.int32)
    if len(kept):
        predicted[kept] = np.stack(columns, axis=1)
    return Predictions(predicted, tuple(outputs.numbers), shown, runs)


def _shown(
    comparison: Comparison, befores: Sequence[Inputs], afters: Sequence[Inputs], cases: Cases
) -> NDArray[np.bool_]:
    """Which cases occur: both sides meet all requirements, and a template can show them."""
    met = [
        np.array([not comparison.program.broken(side) for side in sides], dtype=np.bool_)
        for sides in (befores, afters)
    ]
    shown = met[0][cases.before] & met[1][cases.after]
    if comparison.shown is not None:
        for place in np.flatnonzero(shown).tolist():
            sides = befores[cases.before[place]], afters[cases.after[place]]
            shown[place] = comparison.shown(*sides)
    return shown


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


def _symmetry(
    domains: Mapping[str, Domain], atoms: Atoms, apart: Distinctions, runs: int, trials: int
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
        if not kind.interchangeable
        and kind.pools & labels.keys()
        and not kind.pools & apart.whole.keys()
    )
    any_left = any(kind.interchangeable for kind in atoms.kinds)
    return Symmetry(
        counts,
        {named[index]: why for index, why in apart.whole.items()},
        alone,
        tuple(dict.fromkeys(look.text for look in apart.looks.values())),
        runs if any_left else 0,
        trials if counts else 0,
    )
