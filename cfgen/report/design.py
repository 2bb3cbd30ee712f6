"""Design search: what was found, as people read it and as a record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from cfgen.counterfactuals import Design
from cfgen.counterfactuals.evaluate import Question
from cfgen.counterfactuals.goals import Two
from cfgen.counterfactuals.search import Found, Search
from cfgen.report.design_example import example_of, example_words
from cfgen.report.style import heading

SHORT = 6
"""Couples of hypotheses up to which all are named."""
Plan = Mapping[str, int]
"""Name of a design -> pairs that are needed."""


def design_view(
    question: Question, result: Search, declared: Sequence[Found], plan: Plan, share: float
) -> RenderableType:
    """Everything that a search found, from top to bottom."""
    goal = result.goal
    parts: list[RenderableType] = [Text(_summary(result))]
    groups = [group for group in goal.classes if len(group) > 1]
    if groups:
        parts.append(heading("One and the same for every pair of inputs (see cfgen prove)"))
        parts += [Text("  " + " = ".join(group)) for group in groups]
    parts.append(heading("Best designs"))
    if not result.found:
        parts.append(Text("  none does what is required"))
    for number, found in enumerate(result.found, start=1):
        parts += [_found_view(question, result, found, f"{number}.")]
    if declared:
        parts.append(heading("The task's own designs, by the same measure"))
        parts += _declared_lines(result, declared)
    parts += _cover_view(result, plan, share)
    return Group(*parts)


def _summary(result: Search) -> str:
    goal, symmetry = result.goal, result.settled.symmetry
    cases = len(result.settled.columns.outputs)
    text = f"{_counted(result.compositions, 'composition')} of edits, judged over all of "
    text += _counted(cases, "case")
    if symmetry.reduced:
        text += f" (pairs up to the names of interchangeable words: {', '.join(symmetry.reduced)})"
    for pool, reason in symmetry.kept.items():
        text += f"\nWords of {pool} are told apart: {reason}."
    if result.left_out:
        text += f"\nNot tried, or they would be too many: {result.left_out}."
    couples = [f"{one} / {other}" for one, other in goal.required]
    text += f"\nTo be told apart: {_first(couples, SHORT) or 'nothing'}."
    if goal.coinciding:
        same = [f"{one} / {other}" for one, other in goal.coinciding]
        text += f"\nNothing tells apart: {_first(same, SHORT)}."
    return text


def _found_view(question: Question, result: Search, found: Found, title: str) -> RenderableType:
    design, changed = found.judged.design, found.changed
    decisive = share_text(found.decisive)
    if not found.decisive:
        decisive += f" (at most {_answers(result, found)} different answers at once)"
    lines = [
        f"{title} decisive: {decisive}; separates "
        f"{len(asked(result, found))} of {len(result.goal.required)}; "
        f"changes {len(changed)} input{'s' * (len(changed) != 1)}"
        + (f"; {found.alike:,} others do the same" if found.alike else "")
    ]
    lines += [f"   {line}" for line in code_lines(design)]
    example = example_of(question, result.goal, found.judged)
    if example:
        lines += [f"   {line}" for line in example_words(example)]
    return Text("\n".join(lines))


def _declared_lines(result: Search, declared: Sequence[Found]) -> Iterable[Text]:
    most = len(result.goal.required)
    width = max(len(found.judged.design.name) for found in declared)
    for found in declared:
        line = f"decisive: {share_text(found.decisive)}; separates "
        line += f"{len(asked(result, found))} of {most}"
        if most <= SHORT and (reason := why(result, found)):
            line += f": {reason}"
        yield Text(f"  {found.judged.design.name:{width}}  {line}")


def _cover_view(result: Search, plan: Plan, share: float) -> list[RenderableType]:
    """The smallest set of designs, with the number of pairs of each."""
    if not result.goal.required:
        return []
    often = "in every pair" if share == 1 else f"in at least {share:.0%} of the pairs"
    parts: list[RenderableType] = [heading(f"The fewest designs that separate all, {often}")]
    shown = {tuple(code_lines(f.judged.design)): n for n, f in enumerate(result.found, start=1)}
    for found in result.cover:
        design = found.judged.design
        lines = code_lines(design)
        known = shown.get(tuple(lines))
        separated = len(asked(result, found))
        text = f"  {plan.get(design.name, 0):,} pairs, which separate {separated} of "
        text += f"{len(result.goal.required)}"
        text += f": design {known}" if known else "".join(f"\n   {line}" for line in lines)
        parts.append(Text(text))
    if result.apart:
        couples = [f"{one} / {other}" for one, other in result.apart]
        parts.append(
            Text(f"  No composition separates so often: {_first(couples, SHORT)}.", "yellow")
        )
    return parts


def _answers(result: Search, found: Found) -> int:
    """The most different outputs in one case, of what is to be told apart."""
    judged = found.judged
    names = {name for couple in result.goal.required for name in couple}
    columns = [judged.labels.index(name) for name in names]
    rows = judged.columns.outputs[:, columns].tolist()
    return max((len(set(row)) for row, chance in zip(rows, judged.chances, strict=True) if chance))


def asked(result: Search, found: Found) -> dict[Two, Fraction]:
    """What a design separates, of what is to be told apart."""
    return {c: share for c, share in found.separates.items() if c in result.goal.required}


def why(result: Search, found: Found) -> str:
    """Why a design is never decisive, if so."""
    if found.decisive:
        return ""
    never = [
        f"{other} predicts what {one} predicts"
        for one, other in result.goal.required
        if not found.judged.differ(one, other)
    ]
    cases = found.judged.cases
    where = f"in all {_counted(cases, 'case')}" if cases != 1 else "in its only case"
    return f"{_first(never, 3)}, {where}" if never else "some always coincide"


def share_text(share: Fraction) -> str:
    """A share, exactly where that is short."""
    if share.denominator == 1:
        return "every pair" if share else "no pair"
    exact = f"{share} = " if share.denominator < 1000 else ""
    return f"{exact}{float(share):.3f} of pairs"


def code_lines(design: Design) -> list[str]:
    """The edits as they stand in a task file."""
    lines = []
    for name, steps in (("original", design.original), ("counterfactual", design.counterfactual)):
        if steps:
            lines.append(f"{name}=[{', '.join(edit.code for edit in steps)}],")
    return lines


def design_record(
    question: Question, result: Search, declared: Sequence[Found], plan: Plan
) -> dict[str, Any]:
    """The same for JSON; shares as numbers and as exact fractions."""
    goal, symmetry = result.goal, result.settled.symmetry
    return {
        "exact": True,
        "cases": len(result.settled.columns.outputs),
        "compositions": result.compositions,
        "not_tried": result.left_out,
        "interchangeable": dict(symmetry.reduced),
        "told_apart": dict(symmetry.kept),
        "classes": [list(group) for group in goal.classes],
        "required": [list(couple) for couple in goal.required],
        "coinciding": [list(couple) for couple in goal.coinciding],
        "found": [_record(question, result, found) for found in result.found],
        "declared": [_record(question, result, found) for found in declared],
        "cover": [
            {**_record(question, result, f), "pairs": plan.get(f.judged.design.name)}
            for f in result.cover
        ],
        "never_separated": [list(couple) for couple in result.apart],
    }


def _record(question: Question, result: Search, found: Found) -> dict[str, Any]:
    design = found.judged.design
    example = example_of(question, result.goal, found.judged)
    return {
        "name": design.name,
        "original": [edit.code for edit in design.original],
        "counterfactual": [edit.code for edit in design.counterfactual],
        "decisive": float(found.decisive),
        "decisive_exact": str(found.decisive),
        "separates": [[*couple, float(share)] for couple, share in found.separates.items()],
        "changed": list(found.changed),
        "cases": found.judged.cases,
        "alike": found.alike,
        "example": example,
        "why_not": why(result, found),
    }


def _counted(n: int, what: str) -> str:
    return f"{n:,} {what}{'s' * (n != 1)}"


def _first(items: Iterable[str], most: int) -> str:
    listed = list(items)
    rest = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + rest
