"""Design search on pairs drawn at random: what was found, in words and as a record."""

from __future__ import annotations

from typing import Any

from cfgen.counterfactuals.sampled import SampledSearch
from cfgen.report.design import code_lines


def sampled_text(result: SampledSearch) -> str:
    """The designs found, with intervals."""
    goal = result.goal
    lines = [
        "There are too many pairs of inputs to look at all of them: pairs were drawn at random.",
        f"{result.compositions:,} compositions of edits looked at; there may be better ones.",
    ]
    groups = [group for group in goal.classes if len(group) > 1]
    if groups:
        lines.append("Never told apart by the pairs drawn, which proves nothing:")
        lines += ["  " + " = ".join(group) for group in groups]
    if not result.found:
        lines.append("No design found does what is required.")
    for number, found in enumerate(result.found, start=1):
        share = found.decisive / found.pairs
        separated = sum(couple in goal.required for couple in found.separates)
        lines.append(
            f"{number}. decisive: {share:.3f} of {found.pairs:,} pairs "
            f"(95 % {found.low:.3f} to {found.high:.3f}); separates {separated} of "
            f"{len(goal.required)}; changes {', '.join(found.changed) or 'nothing'}"
        )
        lines += [f"   {line}" for line in code_lines(found.design)]
    return "\n".join(lines)


def sampled_record(result: SampledSearch) -> dict[str, Any]:
    """The same for JSON."""
    return {
        "exact": False,
        "compositions": result.compositions,
        "classes": [list(group) for group in result.goal.classes],
        "required": [list(couple) for couple in result.goal.required],
        "found": [
            {
                "name": found.design.name,
                "original": [edit.code for edit in found.design.original],
                "counterfactual": [edit.code for edit in found.design.counterfactual],
                "pairs": found.pairs,
                "decisive": found.decisive / found.pairs,
                "low": found.low,
                "high": found.high,
                "separates": [[*couple, share] for couple, share in found.separates.items()],
                "changed": list(found.changed),
            }
            for found in result.found
        ],
    }
