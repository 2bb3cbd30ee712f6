"""Certificates: that two hypotheses predict differently for some pair, or for none there is.

To prove is to find a pair on which they do, or to look at all there are.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from cfgen.bounded import RECORD_BYTES, read_file
from cfgen.counterfactuals import (
    ALL,
    NONE,
    Design,
    Hypothesis,
    Predictor,
    draw_inputs,
    output_text,
)
from cfgen.errors import CfgenError, Problem
from cfgen.progress import Progress, no_progress
from cfgen.search.atoms import Atoms, State, TooManyCases
from cfgen.search.comparison import Comparison, comparison_of
from cfgen.search.predictions import CaseTable, Symmetry, case_table
from cfgen.tasks import TEMPLATE_INPUT, Task, get_named

FORMAT: Literal["cfgen-certificate-2"] = "cfgen-certificate-2"
MOST_MISSED = 10_000
"""Pairs that do not occur, one after the other, after which no more are drawn."""
SAMPLED = 20_000
"""Pairs drawn where there are too many to look at all of them."""
ASSUMED = (
    "mechanisms are functions of their parents: no randomness, no state",
    "an output is compared as the text that the LM should say",
)
Answer = Literal["differ", "same", "undecided"]
Evidence = Literal["a pair", "every pair", "every pair up to renaming", "a sample"]
Case = tuple[Mapping[str, Any], Mapping[str, Any], Any, Any]
"""Inputs of both sides (those that matter), and the outputs under both hypotheses."""


class Witness(BaseModel):
    """A pair on which two hypotheses predict different outputs.

    Attributes:
        original: Inputs of the original.
        counterfactual: Inputs of the counterfactual.
        predictions: Hypothesis -> output, for the two hypotheses and for ``none`` and ``all``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    original: dict[str, Any]
    counterfactual: dict[str, Any]
    predictions: dict[str, str | None]


def _plain(name: str) -> str:
    """A task's name as it is; what could be taken for a path or would upset a terminal is none."""
    if not name.isprintable() or name.startswith(".") or name.endswith(".py"):
        raise ValueError("not the name of a task")
    if not name or "/" in name or "\\" in name:
        raise ValueError("not the name of a task")
    return name


class Certificate(BaseModel):
    """What was found, with all that is needed to find it again.

    Attributes:
        format: Version of this form.
        task: Name of the task. It is only compared with the task that a user names: nothing is
            ever looked for, loaded or run by it.
        version: The task's version.
        content_hash: Hash of the task file, its templates and its words.
        hypotheses: The two that are compared.
        design: Only the pairs of this design are looked at; None for all pairs of inputs.
        templates: Templates that may show them.
        answer: ``differ`` (there is a witness), ``same`` (for every pair), or ``undecided``.
        evidence: What the answer rests on: ``a pair`` that shows it; ``every pair`` of inputs;
            ``every pair up to renaming`` words that no mechanism tells apart, which was found out
            by following each step of every mechanism; or ``a sample``, which proves nothing.
        cases: Cases looked at: pairs up to the names of interchangeable words or, if undecided,
            pairs drawn at random.
        pairs: Pairs of inputs that these cases stand for.
        digest: SHA-256 of all cases with both outputs, if the answer is ``same``.
        witness: The pair, if the answer is ``differ``.
        inputs: Inputs that the predictions can depend on.
        wording: Inputs that only change the wording; they are left out.
        interchangeable: Lexicon (or input) -> number of its words that are interchangeable.
        told_apart: Lexicon (or input) -> why its words are not.
        alone: Single words that stand for themselves.
        looked_at: What mechanisms find out about words; only those of which all of it is the same
            are interchangeable.
        assumed: What this rests on.
        checked: What was found out by running the causal model.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal["cfgen-certificate-2"]
    task: Annotated[str, AfterValidator(_plain)]
    version: str
    content_hash: str
    hypotheses: list[str]
    design: Annotated[str, Field(min_length=1)] | None
    templates: list[str]
    answer: Answer
    evidence: Evidence
    cases: int
    pairs: int
    digest: str | None
    witness: Witness | None
    inputs: list[str]
    wording: list[str]
    interchangeable: dict[str, int]
    told_apart: dict[str, str]
    alone: list[str]
    looked_at: list[str]
    assumed: list[str]
    checked: list[str]


def read_certificate(path: Path) -> Certificate:
    """Read a certificate; nothing in it is trusted yet.

    Raises:
        CfgenError: If the file cannot be read or is not a certificate.
    """
    try:
        return Certificate.model_validate_json(read_file(path, RECORD_BYTES))
    except OSError as error:
        problem = Problem(
            "no-certificate", f"{path} cannot be read: {error.strerror}", hint="check the path"
        )
        raise CfgenError(problem) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise CfgenError(
            Problem(
                "not-a-certificate",
                f"this is not a certificate: {f'{place}: ' if place else ''}{first['msg']}",
                str(path),
                "give a file that cfgen prove --out has written",
            )
        ) from error
    except ValueError as error:
        message, hint = f"{path} {error}", "give a file that cfgen prove --out has written"
        raise CfgenError(Problem("not-a-certificate", message, hint=hint)) from error


def digest_of(cases: Iterable[Case]) -> str:
    """SHA-256 of cases, in whatever order they come."""
    lines = sorted(json.dumps(case, sort_keys=True, ensure_ascii=False) for case in cases)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Thesis:
    """What is to be decided: whether two hypotheses ever predict different outputs.

    Attributes:
        task: The task.
        pair: The names of the two; ``none`` and ``all`` are hypotheses, too.
        design: Only the pairs that it draws are looked at; all pairs of inputs if None.
        comparison: The two hypotheses, over the inputs that the templates can show.
    """

    task: Task
    pair: tuple[str, str]
    design: Design | None
    comparison: Comparison

    @property
    def hypotheses(self) -> dict[str, Hypothesis | None]:
        """Name -> hypothesis; nothing for ``none`` and ``all``, which need no declaration."""
        known = {hypothesis.name: hypothesis for hypothesis in self.comparison.hypotheses}
        return {name: known.get(name) for name in self.pair}

    def certificate(self, **found: Any) -> Certificate:
        """What was found, with all that says what it was found about."""
        shown = self.comparison.domains.get(TEMPLATE_INPUT, self.task.templates)
        return Certificate(
            format=FORMAT,
            task=self.task.name,
            version=self.task.version,
            content_hash=self.task.content_hash,
            hypotheses=list(self.pair),
            design=None if self.design is None else self.design.name,
            templates=[str(name) for name in shown],
            assumed=list(ASSUMED),
            **found,
        )

    def witness(self, original: dict[str, Any], other: dict[str, Any]) -> Witness:
        """A pair, with what everything predicts for it."""
        program = self.comparison.program
        predict = Predictor(program, self.comparison.hypotheses)
        said = predict(program.run(original), program.run(other))
        return Witness(
            original=original,
            counterfactual=other,
            predictions={name: output_text(output) for name, output in said.items()},
        )


def thesis_of(
    task: Task,
    one: str,
    other: str,
    design: str | None = None,
    templates: Sequence[str] = ("all",),
) -> Thesis:
    """Look up the parts of a thesis by name.

    Raises:
        CfgenError: For names that do not exist.
    """
    known: Mapping[str, Hypothesis | None] = {**task.hypotheses, NONE: None, ALL: None}
    names = dict.fromkeys((one, other))
    chosen = [get_named("hypothesis", known, name, task.name) for name in names]
    comparison = comparison_of(task, templates, [found for found in chosen if found])
    used = None if design is None else task.design(design)
    return Thesis(task, (one, other), used, comparison)


def prove(
    task: Task,
    one: str,
    other: str,
    *,
    design: str | None = None,
    templates: Sequence[str] = ("all",),
    sampled: int = SAMPLED,
    progress: Progress = no_progress,
) -> Certificate:
    """Decide whether two hypotheses ever predict different outputs.

    Args:
        task: The task.
        one: A hypothesis; ``none`` and ``all`` are hypotheses, too.
        other: Another one.
        design: Look only at the pairs that this design draws; at all pairs of inputs if None.
        templates: Templates that show the pairs.
        sampled: Pairs to draw at random where there are too many.
        progress: Called with ``compare pairs``, and with ``draw pairs`` where there are too many.

    Returns:
        A certificate; see :func:`cfgen.search.recheck`.

    Raises:
        CfgenError: For names that do not exist, or if a mechanism fails.
    """
    thesis = thesis_of(task, one, other, design, templates)
    progress("compare pairs", 0, None)
    try:
        table = case_table(thesis.comparison, thesis.design)
    except TooManyCases:
        return sample(thesis, sampled, progress)
    return certify(thesis, table)


def certify(thesis: Thesis, table: CaseTable) -> Certificate:
    """Decide a thesis by all cases there are.

    Args:
        thesis: What is to be decided.
        table: The cases, with the predictions.
    """
    shown, symmetry = table.predictions.shown, table.symmetry
    first, second = (table.column(name) for name in thesis.pair)
    differing = np.flatnonzero((first != second) & shown).tolist()
    cases = [table.cases.pair(place) for place in np.flatnonzero(shown).tolist()]
    witness, digest = None, None
    if differing:
        witness = thesis.witness(*map(table.inputs, table.cases.pair(differing[0])))
    else:
        digest = digest_of(_plain_cases(table, first[shown].tolist()))
    checked = [f"{symmetry.runs:,} runs in which each step of every mechanism was followed"]
    if symmetry.trials:
        checked.append(
            f"{symmetry.trials:,} random pairs: the same hypotheses agree when words trade places"
        )
    return thesis.certificate(
        answer="differ" if witness else "same",
        evidence="a pair" if witness else _evidence(symmetry),
        cases=len(cases),
        pairs=sum(stands_for(table.atoms, *pair) for pair in cases),
        digest=digest,
        witness=witness,
        inputs=list(table.names),
        wording=[name for name in thesis.comparison.domains if name not in table.names],
        interchangeable=dict(symmetry.interchangeable),
        told_apart=dict(symmetry.told_apart),
        alone=[str(word) for word in symmetry.alone],
        looked_at=list(symmetry.looks),
        checked=checked if symmetry.interchangeable else ["every value stands for itself"],
    )


def _evidence(symmetry: Symmetry) -> Evidence:
    return "every pair up to renaming" if symmetry.interchangeable else "every pair"


def _plain_cases(table: CaseTable, outputs: Sequence[int]) -> Iterator[Case]:
    """All cases that are shown with their outputs, words named in the order of the lexicon."""
    befores, afters = (
        [{name: inputs[name] for name in table.names} for inputs in map(table.inputs, states)]
        for states in (table.cases.befores, table.cases.afters)
    )
    places = np.flatnonzero(table.predictions.shown)
    before, after = table.cases.before[places].tolist(), table.cases.after[places].tolist()
    for one, other, output in zip(before, after, outputs, strict=True):
        said = table.predictions.texts[output]
        yield befores[one], afters[other], said, said


def stands_for(atoms: Atoms, *states: State) -> int:
    """Number of pairs of values that an abstract pair stands for.

    Each of its words of a kind may be any word of that kind, but different ones differ.
    """
    used = {atom for state in states for value in state for atom in value}
    kinds = [kind for kind, _ in used]
    return math.prod(
        math.perm(len(atoms.kinds[kind].values), kinds.count(kind)) for kind in set(kinds)
    )


def sample(thesis: Thesis, sampled: int, progress: Progress = no_progress) -> Certificate:
    """Look for a witness among pairs drawn at random.

    Args:
        thesis: What is to be decided.
        sampled: Pairs that occur, to look at at most.
        progress: Called with ``draw pairs``.
    """
    comparison, rng = thesis.comparison, random.Random(0)
    drawn = thesis.design or Design("any", ())
    predict = Predictor(comparison.program, comparison.hypotheses)
    witness, cases, missed = None, 0, 0
    while cases < sampled and witness is None and missed < MOST_MISSED:
        original, other = draw_inputs(drawn, comparison.domains, rng)
        if thesis.design is None:
            _, other = draw_inputs(drawn, comparison.domains, rng)
        progress("draw pairs", cases, sampled)
        if not comparison.occurs(original, other):
            missed += 1
            continue
        cases, missed = cases + 1, 0
        said = predict(comparison.program.run(original), comparison.program.run(other))
        if len({output_text(said[name]) for name in thesis.pair}) > 1:
            witness = thesis.witness(original, other)
    names = comparison.inputs_that_matter(drawn)
    return thesis.certificate(
        answer="differ" if witness else "undecided",
        evidence="a pair" if witness else "a sample",
        cases=cases,
        pairs=cases,
        digest=None,
        witness=witness,
        inputs=list(names),
        wording=[name for name in comparison.domains if name not in names],
        interchangeable={},
        told_apart={},
        alone=[],
        looked_at=[],
        checked=["pairs drawn at random, since there are too many to look at all of them"],
    )
