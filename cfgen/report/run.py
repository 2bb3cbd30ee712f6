"""Runs: what is tested, and what came out, for somebody who reads nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from cfgen.counterfactuals import ALL, NONE, Pair, Site
from cfgen.paths import display
from cfgen.report.layers import best_cell, layer_tables
from cfgen.report.pairs import pair_view
from cfgen.report.style import grid, heading
from cfgen.tasks import Task

if TYPE_CHECKING:
    from cfgen.analysis import Cell, Results, Share

FILES = {
    "results.json": "all numbers, with what they depend on",
    "outputs.parquet": "what the LM said, per pair and layer",
    "pairs.parquet": "the pairs, with their predictions",
}


def run_introduction(task: Task, pair: Pair, sites: Mapping[str, Site], n: int) -> RenderableType:
    """Say what is tested, with one pair and what each hypothesis predicts for it.

    Args:
        task: The task.
        pair: An example.
        sites: Hypothesis -> where it is tested.
        n: Number of pairs.
    """
    rows = [(Text(name, "bold"), _claim(task, name, site)) for name, site in sites.items()]
    return Group(
        heading("What is tested"),
        grid([*rows, (Text(NONE, "bold"), Text("nothing happens: the original's answer stays"))]),
        heading(f"One of the {n} pairs"),
        pair_view(pair, sites),
    )


def _claim(task: Task, name: str, site: Site) -> Text:
    description = task.hypotheses[name].description
    text = Text(f"{description}\n" if description else "")
    return text.append(f"swapped: {site.label}", "dim")


def run_view(results: Results, pairs: Sequence[Pair], folder: Path) -> RenderableType:
    """What came out of a run, from the LM's own answers to the files that were written.

    Args:
        results: What came out.
        pairs: The pairs that were run.
        folder: Where the files are.
    """
    parts: list[RenderableType] = [
        heading("Without any swap"),
        _behaviour(results),
        heading("With swaps: share of pairs on which the LM says what is predicted (IIA)"),
        layer_tables(results.cells),
        _how_to_read(results),
        heading("In words"),
        grid([("-", sentence) for sentence in sentences(results, pairs)]),
        heading("How the swaps were run"),
        _engine(results),
        heading("Checks that ran, all passed"),
        grid(_checks(results)),
        heading("Files"),
        Text(f"in {display(folder)}:"),
        grid((f"  {name}", FILES.get(name, "")) for name in results.files),
    ]
    return Group(*parts)


def _behaviour(results: Results) -> Text:
    text = Text(f"{results.model} on {results.device} in {results.dtype}: ")
    clean = results.clean["both"]
    if clean:
        text.append("clean accuracy ").append(_rate(clean), "bold")
        text.append(f" (n = {clean.n} prompts), ")
    text.append("keep rate ").append(_rate(results.keep), "bold")
    text.append(f" (n = {results.keep.n} pairs).")
    text.append(" A pair is kept if the LM answers both of its prompts correctly.")
    for reason, count in results.dropped.items():
        text.append(f"\n  dropped {count}: {reason}", "yellow")
    for label, reasons in results.unaligned.items():
        for reason, count in reasons.items():
            text.append(f"\n  not swapped at {label} {count}: {reason}", "yellow")
    return text


def _rate(share: Share) -> str:
    return f"{share.rate:.2f} [{share.low:.2f}, {share.high:.2f}]"


def _how_to_read(results: Results) -> Text:
    return Text(
        "Each entry: interchange intervention accuracy (IIA), then its "
        f"{results.confidence:.0%} Wilson interval. > marks the best layers of a hypothesis.",
        "dim",
    )


def sentences(results: Results, pairs: Sequence[Pair]) -> list[str]:
    """Two sentences per hypothesis: where it did best, and what else would explain that."""
    return [
        _verdict(results.cells, name) + _coincidence(pairs, name, results.sites)
        for name in results.sites
    ]


def _verdict(cells: Sequence[Cell], name: str) -> str:
    best = best_cell(cells, name)
    tried = len({cell.layer for cell in cells})
    if best.iia == 0:
        where = f"any of the {tried} layers" if tried > 1 else f"layer {best.layer}"
        return f"{name}: the LM never says what it predicts, in {where}; n {best.n}."
    equal = [cell.layer for cell in cells if cell.hypothesis == name and cell.iia == best.iia]
    where = f"best at {_layers(equal)}" + (f" of {tried} tried" if tried > 1 else "")
    said = f"{name}: {where}, IIA {_cell(best)}, n {best.n}"
    there = [cell for cell in cells if cell.layer in equal and cell.position == best.position]
    others = dict.fromkeys(cell.hypothesis for cell in there if cell.hypothesis != name)
    rivals = [best_cell(there, other) for other in others]
    overlapping = [cell for cell in rivals if cell.high >= best.low]
    if overlapping:
        named = " and ".join(f"{cell.hypothesis} {_cell(cell)}" for cell in overlapping)
        return f"{said}. Not told apart from {named} there: the intervals overlap."
    named = ", ".join(f"{cell.hypothesis} {_cell(cell)}" for cell in rivals)
    return f"{said}; there the others reach {named}."


def _layers(numbers: Iterable[int]) -> str:
    """Layers as ``layer 4``, ``layers 3, 20-22``."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    shown = [f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
    plural = "s" if len(runs) > 1 or len(runs[0]) > 1 else ""
    return f"layer{plural} {', '.join(shown)}"


def _coincidence(pairs: Sequence[Pair], name: str, tested: Iterable[str]) -> str:
    """Which others predict the same as this hypothesis on every pair, so that no IIA differs."""
    same = [
        other
        for other in dict.fromkeys((NONE, ALL, *tested))
        if other != name and all(p.predictions[other] == p.predictions[name] for p in pairs)
    ]
    if not same:
        return ""
    listed = " and ".join("copying everything (all)" if each == ALL else each for each in same)
    return f" On every pair it predicts the same as {listed}."


def _cell(cell: Cell) -> str:
    return f"{cell.iia:.2f} [{cell.low:.2f}, {cell.high:.2f}]"


def _engine(results: Results) -> Text:
    engine = results.engine
    text = Text(f"{engine.name} engine: {engine.run:,} swaps run")
    for reason, count in engine.filled.items():
        text.append(f", {count:,} known without a run ({reason})")
    tokens = engine.clean.passes + engine.swaps.passes
    text.append(f"; {tokens:,} tokens x layers computed.")
    if engine.shrunk:
        text.append(
            f"\n  memory did not suffice {engine.shrunk} times: down to {engine.budget:,} tokens "
            "per forward",
            "yellow",
        )
    if engine.note:
        text.append(f"\n  {engine.note}", "yellow")
    return text


def _checks(results: Results) -> Iterable[tuple[Text, str]]:
    counts: Counter[tuple[str, str]] = Counter()
    for check in results.checks:
        counts[check.name, check.note] += check.cases
    for (name, note), cases in counts.items():
        yield Text(name), f"{cases:,} {note}"
