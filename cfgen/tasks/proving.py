"""Proving: find a pair on which two hypotheses predict differently, or look at all there are."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cfgen.counterfactuals import ALL, NONE, Design, Hypothesis, Predictor, draw_inputs
from cfgen.counterfactuals.atoms import Atoms, State
from cfgen.counterfactuals.draws import TooManyCases
from cfgen.counterfactuals.evaluate import Question, inputs_of
from cfgen.counterfactuals.factors import combined, factors_of
from cfgen.counterfactuals.judging import judge, names_for
from cfgen.counterfactuals.symmetry import Settled, settle
from cfgen.errors import CfgenError
from cfgen.tasks.certificates import FORMAT, Answer, Certificate, Witness, as_text, digest_of
from cfgen.tasks.questions import question_of
from cfgen.tasks.records import TEMPLATE_INPUT, Task, get_named

SAMPLED = 20_000
"""Pairs drawn where there are too many to look at all of them."""
ASSUMED = (
    "mechanisms are functions of their parents: no randomness, no state",
    "an output is compared as the text that the LM should say",
)


def prove(
    task: Task,
    one: str,
    other: str,
    *,
    design: str | None = None,
    templates: Sequence[str] = ("all",),
    sampled: int = SAMPLED,
) -> Certificate:
    """Decide whether two hypotheses ever predict different outputs.

    Args:
        task: The task.
        one: A hypothesis; ``none`` and ``all`` are hypotheses, too.
        other: Another one.
        design: Look only at the pairs that this design draws; at all pairs of inputs if None.
        templates: Templates that show the pairs.
        sampled: Pairs to draw at random where there are too many.

    Returns:
        A certificate; see :func:`cfgen.tasks.rechecking.recheck`.

    Raises:
        CfgenError: For names that do not exist, or if a mechanism fails.
    """
    chosen = [get_hypothesis(task, name) for name in dict.fromkeys((one, other))]
    question = question_of(task, templates, [found for found in chosen if found])
    used = None if design is None else task.design(design)
    shown = question.domains.get(TEMPLATE_INPUT, task.templates)
    common = {
        "format": FORMAT,
        "task": task.name,
        "version": task.version,
        "content_hash": task.content_hash,
        "hypotheses": [one, other],
        "design": design,
        "templates": [str(name) for name in shown],
        "assumed": list(ASSUMED),
    }
    try:
        settled = settled_cases(question, used)
    except (TooManyCases, CfgenError) as error:
        if isinstance(error, CfgenError) and error.problems[0].code != "not-enumerable":
            raise
        return _sample(question, used, (one, other), sampled, common)
    return _certificate(question, settled, (one, other), common)


def get_hypothesis(task: Task, name: str) -> Hypothesis | None:
    """A hypothesis by name; nothing for ``none`` and ``all``, which need no declaration.

    Raises:
        CfgenError: If there is no such hypothesis.
    """
    known: Mapping[str, Hypothesis | None] = {**task.hypotheses, NONE: None, ALL: None}
    return get_named("hypothesis", known, name, task.name)


def settled_cases(question: Question, design: Design | None) -> Settled:
    """All cases, with predictions: a design's, or all pairs of inputs.

    Raises:
        TooManyCases: If there are too many of them.
    """
    if design is not None:
        return judge(question, design).settled
    names = question.names
    return settle(question, names, lambda atoms: combined(factors_of(atoms, names), names))


def _certificate(
    question: Question, settled: Settled, pair: tuple[str, str], common: Mapping[str, Any]
) -> Certificate:
    symmetry, columns = settled.symmetry, settled.columns
    first, second = (columns.outputs[:, question.labels.index(name)] for name in pair)
    differing = np.flatnonzero((first != second) & columns.shown)
    befores, afters, before, after = settled.cases
    places = np.flatnonzero(columns.shown).tolist()
    states = [(befores[before[k]], afters[after[k]]) for k in places]
    witness, digest = None, None
    if differing.size:
        place = int(differing[0])
        sides = [
            inputs_of(question, settled.atoms, settled.names, state, {})
            for state in (befores[before[place]], afters[after[place]])
        ]
        witness = _witness(question, *sides)
    else:
        digest = digest_of(_listed(question, settled, places, first.tolist()))
    answer: Answer = "differ" if witness else "same"
    checked = [f"{symmetry.runs:,} runs with words that can only be compared and passed on"]
    if symmetry.trials:
        checked.append(
            f"{symmetry.trials:,} random pairs: every variable follows when words trade places"
        )
    return Certificate(
        **common,
        answer=answer,
        cases=len(places),
        pairs=sum(stands_for(settled.atoms, *state) for state in states),
        digest=digest,
        witness=witness,
        inputs=list(settled.names),
        wording=[name for name in question.domains if name not in settled.names],
        interchangeable=dict(symmetry.reduced),
        told_apart=dict(symmetry.kept),
        alone=[str(word) for word in symmetry.alone],
        checked=checked if symmetry.reduced else ["every value stands for itself"],
    )


def _listed(question: Question, settled: Settled, places: Sequence[int], outputs: Sequence[int]):  # type: ignore[no-untyped-def]
    """All cases with their outputs, words named in the order of the lexicon."""
    befores, afters, before, after = settled.cases
    sides = [
        [inputs_of(question, settled.atoms, settled.names, state, {}) for state in states]
        for states in (befores, afters)
    ]
    kept = [[{n: side[n] for n in settled.names} for side in states] for states in sides]
    texts = settled.columns.texts
    for place in places:
        said = texts[outputs[place]]
        yield kept[0][before[place]], kept[1][after[place]], said, said


def stands_for(atoms: Atoms, *states: State) -> int:
    """Number of pairs of values that an abstract pair stands for."""
    used = {atom for state in states for value in state for atom in value}
    kinds = [kind for kind, _ in used]
    return math.prod(
        math.perm(len(atoms.kinds[kind].values), kinds.count(kind)) for kind in set(kinds)
    )


def _witness(question: Question, original: dict[str, Any], other: dict[str, Any]) -> Witness:
    program = question.program
    predict = Predictor(program, question.hypotheses)
    said = predict(program.run(original), program.run(other))
    return Witness(
        original=original,
        counterfactual=other,
        predictions={name: as_text(output) for name, output in said.items()},
    )


def _sample(
    question: Question,
    design: Design | None,
    pair: tuple[str, str],
    sampled: int,
    common: Mapping[str, Any],
) -> Certificate:
    """Look for a witness among pairs drawn at random."""
    rng = random.Random(0)
    drawn = design or Design("any", ())
    predict = Predictor(question.program, question.hypotheses)
    witness, cases = None, 0
    while cases < sampled and witness is None:
        original, other = draw_inputs(drawn, question.domains, rng)
        if design is None:
            _, other = draw_inputs(drawn, question.domains, rng)
        cases += 1
        if question.shown is None or question.shown(original, other):
            said = predict(question.program.run(original), question.program.run(other))
            if as_text(said[pair[0]]) != as_text(said[pair[1]]):
                witness = _witness(question, original, other)
    names = names_for(question, drawn)
    return Certificate(
        **common,
        answer="differ" if witness else "undecided",
        cases=cases,
        pairs=cases,
        digest=None,
        witness=witness,
        inputs=list(names),
        wording=[name for name in question.domains if name not in names],
        interchangeable={},
        told_apart={},
        alone=[],
        checked=["pairs drawn at random, since there are too many to look at all of them"],
    )
