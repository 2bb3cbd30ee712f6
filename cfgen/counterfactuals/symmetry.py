"""Symmetry: which words are interchangeable is found out by running the causal model, not assumed.

Every run that an answer rests on is made with opaque words (:mod:`.opaque_words`), so a mechanism
that looks into a word is noticed in the very case where it does. Its words are then told apart, and
all is run again. In addition, plain words are permuted at random, and every variable has to follow.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cfgen.causal import Domain, Program
from cfgen.counterfactuals.atoms import (
    Atoms,
    Kind,
    State,
    elements_of,
    make_atoms,
    pool_of,
    pools_of,
)
from cfgen.counterfactuals.evaluate import (
    Columns,
    Question,
    evaluate,
    inputs_of,
    opaque_words,
)
from cfgen.counterfactuals.factors import Indices
from cfgen.counterfactuals.opaque_words import (
    LookedInto,
    OpaqueWord,
    Watch,
    replaced,
    texts_within,
)
from cfgen.counterfactuals.predictions import Predictor
from cfgen.errors import CfgenError

TRIALS = 100
"""Random pairs whose words are permuted."""
Cases = tuple[Sequence[State], Sequence[State], Indices, Indices]
"""Originals, counterfactuals, and for every pair the index of each."""


@dataclass(frozen=True, slots=True)
class Symmetry:
    """What is interchangeable, and how that was found out.

    Attributes:
        reduced: Lexicon (or input) -> number of its words that are interchangeable.
        kept: Lexicon (or input) -> why its words are not, or not all of them.
        alone: Words that stand for themselves, as the task file names them.
        runs: Runs of the model with opaque words.
        trials: Pairs of plain words that were permuted.
    """

    reduced: Mapping[str, int]
    kept: Mapping[str, str]
    alone: tuple[str, ...]
    runs: int
    trials: int


@dataclass(frozen=True, slots=True)
class Settled:
    """Cases, and what everything predicts for them.

    Attributes:
        atoms: Kinds of values.
        names: Inputs that matter.
        cases: The cases.
        columns: The predictions.
        symmetry: What they rest on.
    """

    atoms: Atoms
    names: tuple[str, ...]
    cases: Cases
    columns: Columns
    symmetry: Symmetry


def settle(
    question: Question,
    names: Sequence[str],
    cases_of: Callable[[Atoms], Cases],
    pinned: frozenset[str] = frozenset(),
    trials: int = TRIALS,
) -> Settled:
    """Find out which words are interchangeable, and predict for all cases.

    Args:
        question: What is compared.
        names: Inputs that matter.
        cases_of: Makes the cases, given kinds of values.
        pinned: Words that stand for themselves from the start: those that edits name.
        trials: Random pairs whose plain words are permuted.

    Raises:
        CfgenError: If a mechanism fails on plain words as well.
        TooManyCases: If there are too many cases, perhaps because words had to be told apart.
    """
    domains = {name: question.domains[name] for name in names}
    mechanisms = [mechanism for _, mechanism, _ in question.program.steps]
    whole: dict[int, str] = {}
    hashed = False
    while True:
        atoms = make_atoms(domains, pinned, whole)
        watch = Watch()
        cases = cases_of(atoms)
        columns, failed = _run_opaque(question, atoms, names, cases, watch)
        words = _reduced_words(atoms)
        more = watch.compared
        if watch.hashed and not hashed:
            hashed, more = True, more | texts_within(mechanisms)
        looked = _pools_with(atoms, watch.looked)
        why = "a mechanism does more with a word than to compare it"
        if failed and not looked:
            looked, why = _pools_with(atoms, words), "a mechanism fails if it only can compare them"
        if not (more & words or looked):
            assert columns is not None
            looked = {} if not words else _permuted(question, atoms, trials)
            why = "a variable does not follow when words trade places"
            if not looked:
                symmetry = _describe(domains, atoms, whole, columns.runs if words else 0, trials)
                return Settled(atoms, tuple(names), cases, columns, symmetry)
        pinned |= more & words
        whole |= {pool: why for pool in looked}


def _run_opaque(
    question: Question, atoms: Atoms, names: Sequence[str], cases: Cases, watch: Watch
) -> tuple[Columns | None, bool]:
    """Predict with opaque words; None and whether it failed if that cannot be done."""
    befores, afters, before, after = cases
    words: Mapping[Any, OpaqueWord] = opaque_words(atoms, (*befores, *afters), watch)
    first, second = (
        [inputs_of(question, atoms, names, state, words) for state in states]
        for states in (befores, afters)
    )
    reduced = frozenset(_reduced_words(atoms))
    try:
        columns = evaluate(question, first, second, before, after, watch, reduced)
    except LookedInto:
        return None, False
    except CfgenError:
        if not words:
            raise
        return None, True
    return columns, False


def _reduced_words(atoms: Atoms) -> set[str]:
    return {word for kind in atoms.kinds if kind.reduced for word in kind.values}


def _pools_with(atoms: Atoms, words: set[str]) -> dict[int, None]:
    """The sets of values that interchangeable words among these are in."""
    kinds = [kind for kind in atoms.kinds if kind.reduced and words & {*kind.values}]
    return {pool: None for kind in kinds for pool in sorted(kind.pools)}


def _permuted(question: Question, atoms: Atoms, trials: int) -> dict[int, None]:
    """Permute plain words at random; the sets whose words make a variable not follow."""
    rng = random.Random(0)
    kinds = [index for index, kind in enumerate(atoms.kinds) if kind.reduced]
    predict = Predictor(question.program, question.hypotheses)
    wrong: dict[int, None] = {}
    for _ in range(trials):
        sides = [{n: d.sample(rng) for n, d in question.domains.items()} for _ in range(2)]
        for kind in kinds:
            if not _follows(question.program, predict, sides, atoms.kinds[kind], rng):
                wrong |= dict.fromkeys(sorted(atoms.kinds[kind].pools))
    return wrong


def _follows(
    program: Program,
    predict: Predictor,
    sides: Sequence[Mapping[str, Any]],
    kind: Kind,
    rng: random.Random,
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


def _describe(
    domains: Mapping[str, Domain], atoms: Atoms, whole: Mapping[int, str], runs: int, trials: int
) -> Symmetry:
    pools = pools_of(domains)
    labels: dict[int, list[str]] = {}
    for name, domain in domains.items():
        if elements_of(domain)[1]:
            labels.setdefault(pools.index(pool_of(domain)), []).extend(domain.pools or [name])
    reduced: dict[str, int] = {}
    for index, names in labels.items():
        count = sum(len(k.values) for k in atoms.kinds if k.reduced and index in k.pools)
        if count:
            reduced[", ".join(dict.fromkeys(names))] = count
    kept = {", ".join(dict.fromkeys(labels[index])): why for index, why in whole.items()}
    alone = tuple(
        kind.values[0]
        for kind in atoms.kinds
        if not kind.reduced and kind.pools & labels.keys() and not kind.pools & whole.keys()
    )
    return Symmetry(reduced, kept, alone, runs, trials if reduced else 0)
