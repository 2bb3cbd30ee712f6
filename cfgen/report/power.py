"""Sample size, in words."""

from __future__ import annotations

from cfgen.datasets import PowerPlan

_HOW = {
    "holm": "Holm's correction, planned for its first step",
    "bonferroni": "Bonferroni's correction",
    "sidak": "Sidak's correction",
    "none": "no correction",
}


def power_text(plan: PowerPlan) -> str:
    """What a plan comes to: pairs, the test, and what it can find."""
    cells = f"{plan.cells} cells" if plan.cells > 1 else "one cell"
    least = "at least" if plan.iia > plan.against else "at most"
    lines = [
        f"{plan.pairs:,} pairs tell an IIA of {plan.iia:g} from {plan.against:g} in {cells}.",
        f"Test: exact one-sided binomial, level {plan.level:.2g} in each cell "
        f"({plan.alpha:g} over all, {_HOW[plan.correction]}).",
        f"Significant: {least} {plan.hits:,} of {plan.pairs:,} pairs as predicted. "
        f"Power: {plan.achieved:.3f} (wanted: {plan.power:g}).",
    ]
    if plan.keep < 1:
        lines.append(
            f"Draw {plan.draw:,} pairs: {plan.keep:g} of them are expected to be answered "
            "correctly, and kept."
        )
    return "\n".join(lines)
