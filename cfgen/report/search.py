"""What holds for all pairs: designs that a search found, and certificates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

from cfgen.counterfactuals import ALL, NONE, Design
from cfgen.documents import Block, CodeBlock, Document, Heading, Item, Listing, Paragraph, Phrase
from cfgen.search import Assessment, Certificate, SampledResult, SearchResult, example_of

SHORT = 6
"""Couples of hypotheses up to which all are named."""
Plan = Mapping[str, int]
"""Name of a design -> pairs that are needed."""


def design_view(result: SearchResult, plan: Plan, share: float) -> Document:
    """Everything that a search found, from top to bottom."""
    blocks: list[Block] = [Paragraph(_summary(result))]
    groups = [group for group in result.goal.classes if len(group) > 1]
    if groups:
        blocks.append(Heading("One and the same for every pair of inputs (see cfgen prove)"))
        blocks += [Paragraph("  " + " = ".join(group)) for group in groups]
    blocks.append(Heading("Best designs"))
    if not result.best:
        blocks.append(Paragraph("  none does what is required"))
    else:
        best = tuple(_best(result, found) for found in result.best)
        blocks.append(Listing(best, numbered=True))
    if result.declared:
        blocks.append(Heading("The task's own designs, by the same measure"))
        blocks += _declared(result)
    return Document((*blocks, *_cover(result, plan, share)))


def _summary(result: SearchResult) -> str:
    goal, symmetry = result.goal, result.table.symmetry
    cases = len(result.table.cases.before)
    text = f"{_counted(result.compositions, 'composition')} of edits, judged over all of "
    text += _counted(cases, "case")
    if symmetry.interchangeable:
        pools = ", ".join(symmetry.interchangeable)
        text += f" (pairs up to the names of interchangeable words: {pools})"
    for pool, reason in symmetry.told_apart.items():
        text += f"\nWords of {pool} are told apart: {reason}."
    if result.left_out:
        text += f"\nNot tried, or they would be too many: {result.left_out}."
    couples = [f"{one} / {other}" for one, other in goal.required]
    text += f"\nTo be told apart: {_first(couples, SHORT) or 'nothing'}."
    if goal.coinciding:
        same = [f"{one} / {other}" for one, other in goal.coinciding]
        text += f"\nNothing tells apart: {_first(same, SHORT)}."
    return text


def _best(result: SearchResult, found: Assessment) -> Item:
    changed = found.changed
    decisive = share_text(found.decisive)
    if not found.decisive:
        decisive += f" (at most {_answers(result, found)} different answers at once)"
    title = (
        f"decisive: {decisive}; separates "
        f"{len(result.asked(found))} of {len(result.goal.required)}; "
        f"changes {len(changed)} input{'s' * (len(changed) != 1)}"
        + (f"; {found.alike:,} others do the same" if found.alike else "")
    )
    example = example_of(result.goal, found)
    words = example_words(example) if example else []
    return Item(title, (*_code(found.design), *map(Paragraph, words)))


def _declared(result: SearchResult) -> Iterable[Paragraph]:
    most = len(result.goal.required)
    width = max(len(found.design.name) for found in result.declared)
    for found in result.declared:
        line = f"decisive: {share_text(found.decisive)}; separates "
        line += f"{len(result.asked(found))} of {most}"
        if most <= SHORT and (reason := why(result, found)):
            line += f": {reason}"
        yield Paragraph(f"  {found.design.name:{width}}  {line}")


def _cover(result: SearchResult, plan: Plan, share: float) -> list[Block]:
    """The smallest set of designs, with the number of pairs of each."""
    if not result.goal.required:
        return []
    often = "in every pair" if share == 1 else f"in at least {share:.0%} of the pairs"
    blocks: list[Block] = [Heading(f"The fewest designs that separate all, {often}")]
    shown = {tuple(code_lines(each.design)): n for n, each in enumerate(result.best, start=1)}
    for found in result.cover:
        known = shown.get(tuple(code_lines(found.design)))
        text = f"  {plan.get(found.design.name, 0):,} pairs, which separate "
        text += f"{len(result.asked(found))} of {len(result.goal.required)}"
        if known:
            blocks.append(Paragraph(f"{text}: design {known}"))
        else:
            blocks.append(Item(text, _code(found.design), indent=3))
    if result.apart:
        couples = [f"{one} / {other}" for one, other in result.apart]
        text = f"  No composition separates so often: {_first(couples, SHORT)}."
        blocks.append(Paragraph(Phrase(text, ("caution",))))
    return blocks


def sampled_view(result: SampledResult) -> Document:
    """The designs found on pairs drawn at random, with intervals."""
    goal = result.goal
    blocks: list[Block] = [
        Paragraph(
            "There are too many pairs of inputs to look at all of them: pairs were drawn at random."
        ),
        Paragraph(
            f"{result.compositions:,} compositions of edits looked at; there may be better ones."
        ),
    ]
    groups = [group for group in goal.classes if len(group) > 1]
    if groups:
        blocks.append(Paragraph("Never told apart by the pairs drawn, which proves nothing:"))
        blocks += [Paragraph("  " + " = ".join(group)) for group in groups]
    items: list[Item] = []
    for found in result.best:
        share = found.decisive / found.pairs
        separated = sum(couple in goal.required for couple in found.separates)
        title = (
            f"decisive: {share:.3f} of {found.pairs:,} pairs "
            f"(95 % {found.low:.3f} to {found.high:.3f}); separates {separated} of "
            f"{len(goal.required)}; changes {', '.join(found.changed) or 'nothing'}"
        )
        items.append(Item(title, _code(found.design)))
    nothing = Paragraph("No design found does what is required.")
    return Document((*blocks, Listing(tuple(items), numbered=True) if items else nothing))


def proof_view(certificate: Certificate) -> Document:
    """What a certificate says, what it rests on, and the pair if there is one."""
    one, other = certificate.hypotheses
    under = f"under design {certificate.design}" if certificate.design else "for any pair of inputs"
    lines = {
        "differ": f"{one} and {other} can be told apart {under.replace('for any', 'by a')}:",
        "same": f"{one} and {other} never differ {under}: proved by looking at "
        f"{_cases(certificate)}.",
        "undecided": f"Undecided after {certificate.cases:,} pairs drawn at random: {one} and "
        f"{other} never differed, but there are too many pairs to look at all of them.",
    }
    text = [lines[certificate.answer]]
    witness = certificate.witness
    if witness:
        for title, side in (
            ("original", witness.original),
            ("counterfactual", witness.counterfactual),
        ):
            text.append(f"  {title}: " + "; ".join(f"{n} {_joined(v)}" for n, v in side.items()))
        text += [f"  {name} predicts {said}" for name, said in witness.predictions.items()]
    for pool, reason in certificate.told_apart.items():
        text.append(f"Words of {pool} are told apart: {reason}.")
    if certificate.interchangeable:
        words = ", ".join(f"{name} ({n})" for name, n in certificate.interchangeable.items())
        text.append(f"Interchangeable words: {words}.")
    if certificate.looked_at:
        looks = "; ".join(certificate.looked_at)
        text.append(f"Only words that are alike in all that is looked at: {looks}.")
    if certificate.wording:
        text.append(
            f"Left out, since they only change the wording: {_joined(certificate.wording)}."
        )
    text.append(f"Checked: {'; '.join(certificate.checked)}.")
    text.append(f"Assumed: {'; '.join(certificate.assumed)}.")
    return Document(tuple(map(Paragraph, text)))


def _cases(certificate: Certificate) -> str:
    cases = _counted(certificate.cases, "case")
    if certificate.pairs == certificate.cases:
        return cases
    return f"{cases}, which stand for {certificate.pairs:,} pairs"


def _joined(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


# In words.


def _answers(result: SearchResult, found: Assessment) -> int:
    """The most different outputs in one case, of what is to be told apart."""
    table = found.shares.table
    names = {name for couple in result.goal.required for name in couple}
    rows = zip(*(table.column(name).tolist() for name in names), strict=True)
    chances = found.shares.chances
    return max((len(set(row)) for row, chance in zip(rows, chances, strict=True) if chance))


def why(result: SearchResult, found: Assessment) -> str:
    """Why a design is never decisive, if so."""
    if found.decisive:
        return ""
    never = [
        f"{other} predicts what {one} predicts"
        for one, other in result.goal.required
        if not found.shares.differ(one, other)
    ]
    cases = found.shares.cases
    where = f"in all {_counted(cases, 'case')}" if cases != 1 else "in its only case"
    return f"{_first(never, 3)}, {where}" if never else "some always coincide"


def share_text(share: Fraction) -> str:
    """A share, exactly where that is short."""
    if share.denominator == 1:
        return "every pair" if share else "no pair"
    exact = f"{share} = " if share.denominator < 1000 else ""
    return f"{exact}{float(share):.3f} of pairs"


def _code(design: Design) -> tuple[Block, ...]:
    lines = code_lines(design)
    return (CodeBlock("\n".join(lines), "python"),) if lines else ()


def code_lines(design: Design) -> list[str]:
    """The edits as they stand in a task file."""
    lines = []
    for name, steps in (("original", design.original), ("counterfactual", design.counterfactual)):
        if steps:
            lines.append(f"{name}=[{', '.join(edit.code for edit in steps)}],")
    return lines


def example_words(example: Mapping[str, Any]) -> list[str]:
    """The example as sentences."""
    first, second = example["original"], example["counterfactual"]
    changed = {name: value for name, value in second.items() if value != first[name]}
    said, kinds = example["predictions"], example["kinds"]
    groups: dict[tuple[str, str], list[str]] = {}
    for name, text in said.items():
        if name not in (NONE, ALL):
            groups.setdefault((_answer(text), kinds[name]), []).append(name)
    endings = {
        "original": "as if nothing were swapped",
        "counterfactual": "the counterfactual's answer",
        "third": "a third answer",
    }
    return [
        f"Original: {_values(first)}. Answer: {_answer(said[NONE])}.",
        f"Counterfactual: the same, but {_values(changed) or 'for nothing'}. "
        f"Answer: {_answer(said[ALL])}.",
        *(
            f"Swapping {' or '.join(names)} gives {text}, {endings[kind]}."
            for (text, kind), names in groups.items()
        ),
    ]


def _values(inputs: Mapping[str, Any]) -> str:
    return "; ".join(f"{name} {_joined(value)}" for name, value in inputs.items())


def _answer(text: str | None) -> str:
    return "(none)" if text is None else text


def _counted(n: int, what: str) -> str:
    return f"{n:,} {what}{'s' * (n != 1)}"


def _first(items: Iterable[str], most: int) -> str:
    listed = list(items)
    rest = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + rest


# As plain values for JSON.


def design_record(result: SearchResult, plan: Plan) -> dict[str, Any]:
    """What a search found; shares as numbers and as exact fractions."""
    goal, symmetry = result.goal, result.table.symmetry
    return {
        "exact": True,
        "cases": len(result.table.cases.before),
        "compositions": result.compositions,
        "not_tried": result.left_out,
        "interchangeable": dict(symmetry.interchangeable),
        "told_apart": dict(symmetry.told_apart),
        "classes": [list(group) for group in goal.classes],
        "required": [list(couple) for couple in goal.required],
        "coinciding": [list(couple) for couple in goal.coinciding],
        "found": [_record(result, found) for found in result.best],
        "declared": [_record(result, found) for found in result.declared],
        "cover": [
            {**_record(result, found), "pairs": plan.get(found.design.name)}
            for found in result.cover
        ],
        "never_separated": [list(couple) for couple in result.apart],
    }


def _record(result: SearchResult, found: Assessment) -> dict[str, Any]:
    return {
        **_design_record(found.design),
        "decisive": float(found.decisive),
        "decisive_exact": str(found.decisive),
        "separates": [[*couple, float(share)] for couple, share in found.separates.items()],
        "changed": list(found.changed),
        "cases": found.shares.cases,
        "alike": found.alike,
        "example": example_of(result.goal, found),
        "why_not": why(result, found),
    }


def sampled_record(result: SampledResult) -> dict[str, Any]:
    """What a search on pairs drawn at random found."""
    return {
        "exact": False,
        "compositions": result.compositions,
        "classes": [list(group) for group in result.goal.classes],
        "required": [list(couple) for couple in result.goal.required],
        "found": [
            {
                **_design_record(found.design),
                "pairs": found.pairs,
                "decisive": found.decisive / found.pairs,
                "low": found.low,
                "high": found.high,
                "separates": [[*couple, share] for couple, share in found.separates.items()],
                "changed": list(found.changed),
            }
            for found in result.best
        ],
    }


def _design_record(design: Design) -> dict[str, Any]:
    return {
        "name": design.name,
        "original": [edit.code for edit in design.original],
        "counterfactual": [edit.code for edit in design.counterfactual],
    }
