"""Continuations: how an LM goes on after changes, and how often that begins with an answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfgen.documents import Block, Column, Gap, Heading, Inline, Paragraph, Table, faint, strong
from cfgen.errors import CfgenError, Problem
from cfgen.experiments import CONTINUATIONS_FILE
from cfgen.paths import display
from cfgen.report.cells import number_name, row_name, row_of

if TYPE_CHECKING:
    from cfgen.experiments import ContinuationRate, Experiment, Results

LARGEST = 1 << 30
"""Bytes of the file of continuations, and of its rows."""
PLACES = 40
"""Places whose shares are shown."""
PAIRS = 8
"""Pairs whose texts are shown."""
WHEN = {
    "prompt": "The change is made in the prompt only: generated tokens see what it left there.",
    "always": "The change is made in the prompt and at every token that is generated.",
}
SHORT = {"prompt": "the prompt only", "always": "the prompt and every generated token"}


def goes_on(experiment: Experiment) -> list[tuple[Inline, Inline]]:
    """For how many tokens the LM goes on, and where it is changed meanwhile; nothing if not."""
    if not experiment.generate:
        return []
    text = f"for {experiment.generate} tokens, with the change in {SHORT[experiment.during]}"
    return [(strong("it goes on"), text)]


def continuation_blocks(results: Results, folder: Path) -> list[Block]:
    """Shares of continuations that begin with an answer, and texts at the place that changed most.

    Args:
        results: What came out.
        folder: Where the texts are.
    """
    experiment = results.experiment
    if not experiment.generate:
        return []
    places: dict[object, list[ContinuationRate]] = {}
    for rate in results.continuations:
        key = rate.place
        places.setdefault(key, []).append(rate)
    sides = list(dict.fromkeys(rate.answer for rate in results.continuations))
    rows = []
    for here in list(places.values())[:PLACES]:
        of = {rate.answer: rate for rate in here}
        shares = [_share(of.get(side)) for side in sides]
        rows.append((_name(here[0]), str(here[0].layer), *shares, str(here[0].n)))
    titles = [f"{side}'s answer\nunchanged -> changed" for side in sides]
    columns = [Column("at"), *(Column(title, "right") for title in ("layer", *titles, "n"))]
    how = "Share of pairs in which the text begins with that answer, with its 95% interval."
    if len(places) > PLACES:
        how += f" {len(places) - PLACES:,} more places are in results.json."
    return [
        Heading(f"How the LM goes on, for up to {experiment.generate} tokens"),
        Paragraph(WHEN[experiment.during]),
        Gap(),
        Table(tuple(columns), tuple(rows)),
        Gap(),
        Paragraph(faint(how)),
        *_texts(folder),
    ]


def _texts(folder: Path) -> list[Block]:
    """The texts of some pairs, at the place at which most of them change."""
    from cfgen.datasets import opened_table, table_batches

    file = folder / CONTINUATIONS_FILE
    try:
        with opened_table(file, LARGEST) as table:
            read = [row for batch in table_batches(table, LARGEST) for row in batch.to_pylist()]
    except (OSError, ValueError) as error:
        message, hint = (
            f"{display(file)}: {error}",
            "restore it, or compute everything anew with --again",
        )
        raise CfgenError(Problem("run-changed", message, hint=hint)) from error
    places: dict[object, list[dict[str, Any]]] = {}
    for row in read:
        key = [row[name] for name in ("component", "position", "head", "neuron", "token", "layer")]
        places.setdefault(tuple(key), []).append(row)
    if not places:
        return []
    best = max(places.values(), key=lambda rows: _changed(rows) / len(rows))
    first = best[0]
    row = first["head"], first["token"], first["neuron"]
    part = row_name(row, {}, number_name(first["component"]))
    where = f"{first['position']}{f', {part}' if part else ''}, layer {first['layer']}"
    texts = tuple((_line(row["unchanged"]), _line(row["changed"])) for row in best[:PAIRS])
    return [
        Heading(f"At {where}, where {_changed(best)} of {len(best)} texts change", 3),
        Gap(),
        Table((Column("unchanged"), Column("changed")), texts),
        Gap(),
        Paragraph(faint(f"All texts are in {CONTINUATIONS_FILE}.")),
    ]


def _changed(rows: list[dict[str, Any]]) -> int:
    return sum(row["unchanged"] != row["changed"] for row in rows)


def _line(text: str) -> str:
    """A text on one line, which shows where lines end."""
    return text.strip().replace("\n", " / ")


def _name(rate: ContinuationRate) -> str:
    part = row_name(row_of(rate), {}, number_name(rate.component))
    return f"{rate.position}{f', {part}' if part else ''}"


def _share(rate: ContinuationRate | None) -> str:
    if rate is None:
        return "no answer"
    return f"{rate.unchanged:.2f} -> {rate.value:.2f} {rate.low:.2f}-{rate.high:.2f}"
