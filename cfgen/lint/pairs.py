"""Checks of designs, hypotheses and answers, on sampled pairs."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from cfgen.counterfactuals import ALL, NONE, Hypothesis, Pair, Side, answers_of
from cfgen.datasets import Shortcut, audit_shortcuts, pairs_table
from cfgen.errors import CfgenError
from cfgen.lint.findings import Finding, from_error
from cfgen.lint.sample import Sample, own_design, possible_answers
from cfgen.prompts import WHOLE_PROMPT, find_spans, parse_position
from cfgen.tasks import Task, accepted_texts, default_positions

SHORTCUT_MARGIN = 0.15
"""By how much a rule has to beat chance to be found; a sample of pairs says no less."""


def check_spans(task: Task, sample: Sample) -> Iterable[Finding]:
    """Positions that name a span which some prompt of their design does not have."""
    for hypothesis in task.hypotheses.values():
        site, design = hypothesis.site, own_design(task, hypothesis.name)
        sides = [s for pair in sample.pairs[design] for s in (pair.original, pair.counterfactual)]
        named = (*site.positions, *site.frozen)
        what, where = f"hypothesis {hypothesis.name!r}", hypothesis.where
        yield from _missing(
            task, f"{what}, design {design!r}", named, sides, where, hypothesis.name
        )
    named = default_positions(task.defaults)
    for design, pairs in sample.pairs.items() if named else ():
        sides = [pair.original for pair in pairs]
        yield from _missing(task, f"defaults, design {design!r}", named, sides, task.where, design)


def _missing(
    task: Task, what: str, named: Iterable[str], sides: Iterable[Side], where: str, name: str
) -> Iterable[Finding]:
    """Of each template one position that a prompt with it does not have."""
    wanted = [parse_position(text) for text in named if text not in WHOLE_PROMPT]
    missing: dict[str, tuple[str, str]] = {}
    for side in sides:
        template = task.template_of(side.inputs).id
        for position in wanted:
            try:
                find_spans(side.prompt, position)
            except CfgenError as error:
                problem = error.problems[0]
                missing.setdefault(template, (problem.message, problem.hint))
    for template, (message, hint) in missing.items():
        yield Finding(
            "span-missing",
            f"{what}, template {template!r}: {message}",
            where,
            hint or "mark the phrase with {% span %}, or restrict the design to templates",
            name,
        )


def check_trivial(task: Task, sample: Sample) -> Iterable[Finding]:
    """Hypotheses that predict what a trivial rival predicts, on every pair of their own design."""
    for hypothesis in task.hypotheses.values():
        design = own_design(task, hypothesis.name)
        pairs = sample.pairs[design]
        if not pairs:
            continue
        what = f"hypothesis {hypothesis.name!r} predicts on all of {len(pairs)} pairs of design "
        if _same(pairs, hypothesis.name, NONE):
            yield Finding(
                "predicts-as-none",
                f"{what}{design!r} what the original answers, as if nothing had been swapped",
                hypothesis.where,
                "name another design=, or let the design move what these variables depend on",
                hypothesis.name,
            )
        elif _same(pairs, hypothesis.name, ALL):
            yield Finding(
                "predicts-as-all",
                f"{what}{design!r} what the counterfactual answers, as if everything was swapped",
                hypothesis.where,
                "only a comparison of layers can tell it from that; name another design=, "
                "or allow it with that reason",
                hypothesis.name,
            )


def check_separated(task: Task, sample: Sample) -> Iterable[Finding]:
    """Classes of hypotheses that predict the same under every design."""
    pairs = [pair for found in sample.pairs.values() for pair in found]
    classes: dict[tuple[str | None, ...], list[Hypothesis]] = {}
    for hypothesis in task.hypotheses.values() if pairs else ():
        said = tuple(pair.predictions[hypothesis.name] for pair in pairs)
        classes.setdefault(said, []).append(hypothesis)
    for same in classes.values():
        if len(same) > 1:
            yield Finding(
                "hypotheses-never-separated",
                f"hypotheses {', '.join(repr(item.name) for item in same)} predict the same on all "
                f"of {len(pairs):,} pairs drawn from {len(sample.pairs)} designs",
                same[-1].where,
                "add a design that moves what the one depends on and the other does not; if they "
                "differ in their sites alone, allow it with that reason",
                ",".join(item.name for item in same),
            )


def check_designs(task: Task, sample: Sample) -> Iterable[Finding]:
    """Designs that decide nothing, or make no other prompt."""
    for design in task.designs.values():
        pairs = sample.pairs[design.name]
        if not pairs:
            continue
        if all(pair.original.prompt.text == pair.counterfactual.prompt.text for pair in pairs):
            yield Finding(
                "design-changes-nothing",
                f"design {design.name!r}: both prompts are the same in all of {len(pairs)} pairs",
                design.where,
                "add an edit of an input that the templates show",
                design.name,
            )
        if design.contrast and not any(pair.decisive for pair in pairs):
            yield Finding(
                "design-never-decides",
                f"design {design.name!r} made no decisive pair in {len(pairs)}: its contrast "
                f"{', '.join(design.contrast)} and 'none' never all predict different outputs",
                design.where,
                "add edits that move the values these hypotheses differ in, or change contrast=",
                design.name,
            )


def _same(pairs: Iterable[Pair], one: str, other: str) -> bool:
    return all(pair.predictions[one] == pair.predictions[other] for pair in pairs)


def check_answers(task: Task, sample: Sample) -> Iterable[Finding]:
    """Answers with spaces around them, and answers that are spellings of one another."""
    model = task.causal_model
    where = model.places[model.output]
    answers = possible_answers(task, sample)
    spaced = [repr(answer) for answer in answers if answer != answer.strip() or not answer]
    if spaced:
        yield Finding(
            "answer-space",
            f"{', '.join(spaced)}: answers that are empty, or begin or end in a space",
            where,
            "the space before an answer is the template's `answer_prefix`",
            model.output,
        )
    spelled: dict[str, list[str]] = {}
    for answer in answers:
        normal = unicodedata.normalize("NFKC", answer).casefold()
        spelled.setdefault("".join(normal.split()), []).append(answer)
    for spellings in spelled.values():
        if len(spellings) > 1:
            yield Finding(
                "answer-spelling",
                f"{', '.join(map(repr, spellings))} are different answers, but one word",
                where,
                "spell it in one way everywhere: in lexicons and in mechanisms",
                spellings[0],
            )


def check_candidates(task: Task, sample: Sample) -> Iterable[Finding]:
    """Answers that the task does not declare, or of which its ``accept`` makes no texts."""
    model = task.causal_model
    answers = possible_answers(task, sample)
    met = answers_of(pair for pairs in sample.pairs.values() for pair in pairs)
    for answer, where in met.items() if task.candidates else ():
        if answer not in task.candidates:
            yield Finding(
                "answer-undeclared",
                f"{where} is {answer!r}, which `candidates` does not list",
                model.places[model.output],
                "add it to candidates=[...], or leave them out: a run finds them out by itself",
                answer,
            )
    try:
        accepted_texts(task.accept, task.candidates or answers, task.where)
    except CfgenError as error:
        yield from from_error(error, task.where)


def check_shortcuts(task: Task, sample: Sample) -> Iterable[Finding]:
    """Designs in which a rule that knows nothing of the task finds the original's answer.

    Each design is audited as a dataset of its own would be, see
    :func:`cfgen.datasets.shortcuts.audit_shortcuts`.
    """
    for design in task.designs.values():
        rows = pairs_table(task, sample.pairs[design.name])
        found = [item for item in audit_shortcuts({design.name: rows}) if _counts(item)]
        if found:
            rules = ", ".join(f"{i.rule!r} {i.accuracy:.2f} (chance {i.chance:.2f})" for i in found)
            yield Finding(
                "shortcut",
                f"design {design.name!r}: rules that read no story find the answer in {len(rows)} "
                f"pairs: {rules}",
                design.where,
                "balance what the rule goes by, or allow it with the reason why it does no harm",
                design.name,
            )


def _counts(item: Shortcut) -> bool:
    """Whether a rule is a shortcut for an LM, which never reads the counterfactual to copy it."""
    return item.flagged and item.rule != "copy" and item.accuracy >= item.chance + SHORTCUT_MARGIN
