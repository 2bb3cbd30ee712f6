"""Comparisons: several runs in one table, and where two of them differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cfgen.documents import (
    Block,
    Column,
    Document,
    Gap,
    Heading,
    Inline,
    Paragraph,
    Table,
    faint,
    strong,
)
from cfgen.experiments import METHODS, effects_on, furthest
from cfgen.report.cells import (
    best_cell,
    best_layers,
    layers_text,
    magnitude,
    spot_name,
    value_text,
)
from cfgen.stats import with_interval

if TYPE_CHECKING:
    from cfgen.experiments import Cell, CellDifference, Results, RunComparison

SHOWN = 40
"""Characters of a field that are shown."""


def comparison_view(comparison: RunComparison) -> Document:
    """What was asked differently, what came out of each run, and where two differ."""
    blocks: list[Block] = [Heading("What differs in the question")]
    names = _numbered(comparison.runs)
    if comparison.asked:
        rows = tuple(
            (name, *(_shortened(value) for value in values))
            for name, values in comparison.asked.items()
        )
        blocks.append(Table((Column("field"), *(Column(name) for name in names)), rows))
    else:
        blocks.append(Paragraph("nothing"))
    blocks += runs_table(comparison.runs)
    if comparison.cells:
        blocks += _differing(comparison.cells)
    elif len(comparison.runs) == 2:
        blocks.append(Paragraph("The two runs have no cell in common, so none can be compared."))
    return Document(tuple(blocks))


def comparison_record(comparison: RunComparison) -> dict[str, Any]:
    """A comparison, for JSON."""
    return {
        "runs": list(comparison.runs),
        "asked": {name: list(values) for name, values in comparison.asked.items()},
        "cells": [asdict(each) for each in comparison.cells],
    }


def runs_table(runs: Mapping[str, Results]) -> list[Block]:
    """The runs with the LM's own answers, and where in each a hypothesis did best.

    Of a run that measured effects, where each is largest.
    """
    rows: list[tuple[Inline, ...]] = []
    for number, results in zip(_numbered(runs), runs.values(), strict=True):
        first = results.experiment.measures[0]
        cells = [cell for cell in results.cells if cell.measure == first]
        effects = effects_on(METHODS[results.experiment.method], first)
        for hypothesis in effects or results.sites:
            best = best_cell(cells, hypothesis, magnitude if effects else None)
            came = ("no number", "") if best is None else (value_text(best), _where(best, cells))
            rows.append((number, hypothesis, *came))
    listed = [
        Paragraph((strong(number), faint(f"  {name}: {_own_answers(results)}")))
        for number, (name, results) in zip(_numbered(runs), runs.items(), strict=True)
    ]
    tested = any(not METHODS[results.experiment.method].effects for results in runs.values())
    what = ("hypothesis", "best") if tested else ("effect", "largest")
    columns = tuple(Column(title) for title in ("run", *what, "where"))
    return [Heading("What came out"), *listed, Gap(), Table(columns, tuple(rows)), Gap()]


def _own_answers(results: Results) -> str:
    clean = results.clean["both"]
    accuracy = f"clean accuracy {clean.rate:.2f}, " if clean else ""
    return f"{results.model}, {accuracy}{results.kept} of {results.n} pairs kept"


def _numbered(runs: Mapping[str, Results]) -> list[str]:
    return [f"run {number}" for number in range(1, len(runs) + 1)]


def _where(best: Cell, cells: Iterable[Cell]) -> str:
    return f"{spot_name(best)}, {layers_text(best_layers(best, cells))}"


def _shortened(value: object) -> str:
    shown = "-" if value is None or value == () else str(value)
    return shown if len(shown) <= SHOWN else f"{shown[: SHOWN - 1]}…"


def _differing(cells: Iterable[CellDifference]) -> list[Block]:
    listed = list(cells)
    rows = tuple(
        (
            each.one.hypothesis,
            each.one.measure,
            f"{spot_name(each.one)}, layer {each.one.layer}",
            f"{each.one.value:.2f}",
            f"{each.other.value:.2f}",
            with_interval(each.by.value, each.by.low, each.by.high),
        )
        for each in furthest(listed)
    )
    titles = ("hypothesis", "measure", "where they differ most", "run 1", "run 2", "difference")
    clear = sum(each.clear for each in listed)
    chance = 0.05 * len(listed)
    how = (
        f"In {clear} of {len(listed)} cells that both runs have, the 95% interval of the "
        f"difference leaves 0 out; by chance alone it does in about {chance:.0f}. The intervals "
        "are those of independent samples (Newcombe 1998): for the same pairs, rather too wide."
    )
    return [
        Heading("Where they differ"),
        Table(tuple(Column(title) for title in titles), rows),
        Gap(),
        Paragraph(faint(how)),
    ]
