"""Checking a certificate again, without trusting it and without the code that made it.

Nothing of the file is used but the question it answers. A witness is run through the causal model
as a user would do it. For a proof all cases are enumerated anew, with plain words and by a direct
recursion; only which words are interchangeable comes from the same check as before, run again.
"""

from __future__ import annotations

from functools import cache

from cfgen.causal import CausalModel, Setting
from cfgen.counterfactuals import ALL, NONE, Design, Hypothesis
from cfgen.counterfactuals.atoms import elements_of, key_of
from cfgen.counterfactuals.draws import TooManyCases
from cfgen.errors import CfgenError
from cfgen.tasks.certificates import Case, Certificate, as_text, digest_of
from cfgen.tasks.plain_cases import can_draw, cases_in
from cfgen.tasks.proving import get_hypothesis, prove
from cfgen.tasks.questions import question_of
from cfgen.tasks.records import Task


def recheck(certificate: Certificate, task: Task) -> list[str]:
    """Find everything that is wrong with a certificate.

    Args:
        certificate: What is claimed.
        task: The task as it is now.

    Returns:
        What is wrong, in words; nothing if the certificate holds.
    """
    if certificate.task != task.name:
        named = f"it is about task {certificate.task!r}, not {task.name!r}"
        return [f"{named}: name the task that it is about, if you trust that task's file"]
    if certificate.content_hash != task.content_hash:
        return ["the task has changed since: its file, its templates or its words"]
    wrong = []
    if certificate.version != task.version:
        wrong.append(f"the task's version is {task.version!r}, not {certificate.version!r}")
    if len(certificate.hypotheses) != 2:
        return [*wrong, "it does not name two hypotheses"]
    try:
        for name in certificate.hypotheses:
            get_hypothesis(task, name)
        question_of(task, certificate.templates)
        design = None if certificate.design is None else task.design(certificate.design)
    except CfgenError as error:
        return [*wrong, *(problem.message for problem in error.problems)]
    has = {"witness": certificate.witness is not None, "digest": certificate.digest is not None}
    due = {"witness": certificate.answer == "differ", "digest": certificate.answer == "same"}
    wrong += [
        f"there is {'a' if has[part] else 'no'} {part}, but the answer is {certificate.answer!r}"
        for part in has
        if has[part] != due[part]
    ]
    if wrong:
        return wrong
    if certificate.answer == "differ":
        wrong += _witness_problems(certificate, task, design)
    elif certificate.answer == "same":
        wrong += _proof_problems(certificate, task, design)
    return wrong or _record_problems(certificate, task)


def _record_problems(certificate: Certificate, task: Task) -> list[str]:
    """Fields that are not what the same question gives now."""
    again = prove(
        task,
        *certificate.hypotheses,
        design=certificate.design,
        templates=certificate.templates or ["all"],
        sampled=certificate.cases if certificate.answer == "undecided" else 1,
    )
    kept = {"witness"} if certificate.answer == "differ" else set[str]()
    if certificate.answer == "differ" and again.answer == "undecided":
        return []  # found at random; the witness itself has been run
    one, other = (found.model_dump(exclude=kept) for found in (certificate, again))
    return [
        f"{name} is {one[name]!r}, but comes out as {other[name]!r}"
        for name in one
        if one[name] != other[name]
    ]


def predicted(
    model: CausalModel, name: str, hypothesis: Hypothesis | None, before: Setting, after: Setting
) -> str | None:
    """What a hypothesis predicts, by an interchange on the causal model."""
    if hypothesis is None:
        return as_text((before if name == NONE else after)[model.output])
    sources = {variable: (after, source) for variable, source in hypothesis.sources.items()}
    return as_text(model.interchange(before, sources, hold=hypothesis.hold)[model.output])


def _witness_problems(certificate: Certificate, task: Task, design: Design | None) -> list[str]:
    witness = certificate.witness
    assert witness is not None
    model = task.causal_model
    question = question_of(task, certificate.templates)
    try:
        sides = [model.complete(side) for side in (witness.original, witness.counterfactual)]
    except CfgenError as error:
        return [f"the witness is no pair of inputs: {p.message}" for p in error.problems]
    for name, domain in question.domains.items():
        known = {key_of(value) for value in elements_of(domain)[0]}
        for side in sides:
            values = (side[name],) if domain.arity is None else side[name]
            if any(key_of(value) not in known for value in values):
                return [f"the witness has a value of {name!r} that is never drawn: {side[name]!r}"]
    if question.shown is not None and not question.shown(*sides):
        return ["no template shows the witness"]
    if design is not None and not can_draw(design, question, *sides):
        return [f"design {design.name!r} never makes the witness"]
    before, after = (model.run(side) for side in sides)
    wrong = []
    said = {
        name: predicted(model, name, get_hypothesis(task, name), before, after)
        for name in dict.fromkeys((NONE, ALL, *certificate.hypotheses))
    }
    if said != witness.predictions:
        wrong.append(f"the witness's predictions are {said}, not {witness.predictions}")
    if len({said[name] for name in certificate.hypotheses}) < 2:
        wrong.append("both hypotheses predict the same for the witness")
    return wrong


def _proof_problems(certificate: Certificate, task: Task, design: Design | None) -> list[str]:
    """Enumerate all cases anew, and interchange for each."""
    model = task.causal_model
    hypotheses = {name: get_hypothesis(task, name) for name in certificate.hypotheses}
    question = question_of(task, certificate.templates, [h for h in hypotheses.values() if h])
    try:
        found = cases_in(question, design)
    except TooManyCases:
        return ["there are too many cases to look at all of them"]
    rest = {n: next(iter(d)) for n, d in question.domains.items() if n not in found.names}
    run = cache(lambda side: model.run({**rest, **dict(zip(found.names, side, strict=True))}))
    cases: list[Case] = []
    for before, after in found.pairs:
        first, second = run(before), run(after)
        if question.shown is not None and not question.shown(first, second):
            continue
        said = [predicted(model, name, h, first, second) for name, h in hypotheses.items()]
        sides = [dict(zip(found.names, side, strict=True)) for side in (before, after)]
        if said[0] != said[-1]:
            return [f"{certificate.hypotheses} predict {said} for {sides[0]} and {sides[1]}"]
        cases.append((*sides, said[0], said[-1]))  # type: ignore[arg-type]
    if len(cases) != certificate.cases:
        return [f"there are {len(cases):,} cases, not {certificate.cases:,}"]
    if digest_of(cases) != certificate.digest:
        return ["the digest is not that of the cases"]
    return []
