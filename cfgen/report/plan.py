"""Plans: what a run will take, before it is begun."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cfgen.documents import Document, Facts, Heading, Inline, Paragraph, Phrase, faint
from cfgen.paths import display

if TYPE_CHECKING:
    from cfgen.experiments import PlannedRun

_UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def plan_view(planned: PlannedRun) -> Document:
    """What a run will take, and how that is known."""
    plan = planned.plan
    rows: list[tuple[Inline, Inline]] = [
        ("pairs", f"{plan.pairs:,}, of which {plan.keep_rate:.0%} are expected to be kept"),
        ("changes", f"{plan.swaps:,} in {plan.cells:,} cells"),
        ("work", f"{plan.passes:,} tokens x layers"),
        ("units", f"{plan.units:,}, of which {plan.done:,} are there"),
        ("time", f"{_duration(plan.seconds)} from here"),
        ("memory", f"{_size(plan.memory)} at most until now"),
        ("disk", f"up to {_size(planned.disk)} in {display(planned.folder)}"),
        ("engine", _engine(planned)),
    ]
    if plan.generated:
        rows.append(("generated", f"up to {plan.generated:,} tokens, beside all that"))
    how = (
        "Measured on the first units, which are kept: the same command without --plan goes on "
        "from there."
    )
    return Document((Heading("What it will take"), Facts(tuple(rows)), Paragraph(faint(how))))


def plan_record(planned: PlannedRun) -> dict[str, Any]:
    """A plan, for JSON."""
    return {"folder": str(planned.folder.absolute()), **asdict(planned.plan), "disk": planned.disk}


def _engine(planned: PlannedRun) -> Inline:
    plan = planned.plan
    whole = [
        f"\nrun whole, of the {plan.measured:,} measured: {count:,} {reason}"
        for reason, count in plan.whole.items()
    ]
    note = [f"\n{plan.note}"] if plan.note else []
    return (plan.engine, *(Phrase(line, ("caution",)) for line in (*note, *whole)))


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"about {max(seconds, 0):.0f} s"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.1f} h"


def _size(count: float) -> str:
    for size, name in _UNITS:
        if count >= size:
            return f"{count / size:.1f} {name}"
    return f"{count:.0f} bytes"
