"""Comparing: what several runs have asked differently, and where they came out differently."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cfgen.counterfactuals import NONE
from cfgen.errors import CfgenError, Problem
from cfgen.experiments.cells import Cell
from cfgen.experiments.results import Results
from cfgen.stats import Interval, difference

Place = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class CellDifference:
    """A cell in two runs.

    Attributes:
        one: The cell in the first run.
        other: The cell in the other.
        by: How much larger the first one is, with the interval of a difference of two samples.
    """

    one: Cell
    other: Cell
    by: Interval

    @property
    def clear(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.by.low > 0 or self.by.high < 0


@dataclass(frozen=True, slots=True)
class RunComparison:
    """Two runs or more next to each other.

    Attributes:
        runs: Name of a run -> what came out.
        asked: Field that is not the same for all -> what it is for each.
        cells: Cells that two runs have in common; empty for more than two.
    """

    runs: Mapping[str, Results]
    asked: Mapping[str, tuple[object, ...]]
    cells: tuple[CellDifference, ...]


def compare_runs(runs: Mapping[str, Results]) -> RunComparison:
    """Put runs next to each other.

    Args:
        runs: Name of a run -> what came out of it; two at least.

    Raises:
        CfgenError: There are not two runs (``nothing-to-compare``).
    """
    if len(runs) < 2:
        hint = "name the folders of two runs or more; `cfgen runs` lists them"
        raise CfgenError(Problem("nothing-to-compare", "one run alone was named", hint=hint))
    said = [dict(_fields(_asked(results))) for results in runs.values()]
    names = dict.fromkeys(name for each in said for name in each)
    values = {name: tuple(each.get(name) for each in said) for name in names}
    differing = {name: each for name, each in values.items() if len(set(map(repr, each))) > 1}
    cells = _differences(*runs.values()) if len(runs) == 2 else ()
    return RunComparison(runs, differing, cells)


def _asked(results: Results) -> dict[str, Any]:
    """What was asked, of what, and where it was computed."""
    return {
        **results.experiment.model_dump(exclude={"models"}),
        "model": results.model,
        "revision": results.revision,
        "pairs run": results.n,
        "device": results.device,
        "dtype": results.dtype,
        "engine used": results.engine.name,
        "source": results.source,
        "versions": results.versions,
    }


def _fields(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Every field by its path, such as ``sweep.over``."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _fields(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _differences(one: Results, other: Results) -> tuple[CellDifference, ...]:
    def key(cell: Cell) -> Place:
        return (cell.measure, cell.hypothesis, *cell.place)

    there = {key(cell): cell for cell in other.cells}
    both = ((cell, there[key(cell)]) for cell in one.cells if key(cell) in there)
    return tuple(
        CellDifference(mine, its, difference(first, second))
        for mine, its in both
        if mine.hypothesis != NONE and (first := _estimate(mine)) and (second := _estimate(its))
    )


def _estimate(cell: Cell) -> Interval | None:
    if cell.value is None or cell.low is None or cell.high is None:
        return None
    return Interval(cell.value, cell.low, cell.high)


def furthest(cells: Sequence[CellDifference]) -> list[CellDifference]:
    """Of every measure and hypothesis, the cell in which two runs differ most."""
    found: dict[tuple[str, str], CellDifference] = {}
    for each in cells:
        key = each.one.measure, each.one.hypothesis
        if key not in found or abs(each.by.value) > abs(found[key].by.value):
            found[key] = each
    return list(found.values())
