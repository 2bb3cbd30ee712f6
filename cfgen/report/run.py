"""Runs: what is tested, and what came out, for somebody who reads nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cfgen.counterfactuals import ALL, NONE, Site
from cfgen.documents import (
    Block,
    Column,
    Document,
    Facts,
    Gap,
    Heading,
    Inline,
    Item,
    Listing,
    Look,
    Paragraph,
    Phrase,
    Table,
    faint,
    strong,
)
from cfgen.lm import COMPONENTS
from cfgen.paths import display
from cfgen.report.pairs import pair_view
from cfgen.stats import with_interval

if TYPE_CHECKING:
    from cfgen.experiments import Cell, Inquiry, Results, Share, VacuousCell

FILES = {
    "experiment.yaml": "what was asked: `cfgen run` with it gives the same",
    "results.json": "all numbers, with what they depend on",
    "outputs.parquet": "what the LM said, per pair and layer",
    "pairs.parquet": "the pairs, with their predictions",
}
ABREAST = 3
"""Hypotheses next to each other in one table; with ``none`` they fit into 80 columns."""
NAME_WIDTH = 16
"""Width at which the name of a hypothesis is broken, after an underscore."""


def run_introduction(inquiry: Inquiry) -> Document:
    """Say what is tested, with one pair and what each hypothesis predicts for it."""
    source, sites = inquiry.source, inquiry.sites
    claims = [(strong(name), _claim(inquiry, name, site)) for name, site in sites.items()]
    nothing = (strong(NONE), "nothing happens: the original's answer stays")
    return Document(
        (
            Heading("What is tested"),
            Facts((*claims, nothing)),
            Heading(f"One of the {len(source.pairs)} pairs"),
            *pair_view(source.pairs[0], sites).blocks,
        )
    )


def _claim(inquiry: Inquiry, name: str, site: Site) -> Inline:
    description = inquiry.source.descriptions.get(name, "")
    return (f"{description}\n" if description else "", faint(f"swapped: {site.label}"))


def run_view(results: Results, folder: Path) -> Document:
    """What came out of a run, from the LM's own answers to the files that were written.

    Args:
        results: What came out.
        folder: Where the files are.
    """
    return Document(
        (
            Heading("Without any swap"),
            Paragraph(_behaviour(results)),
            Heading("With swaps: share of pairs on which the LM says what is predicted (IIA)"),
            *layer_tables(results.cells, results.vacuous),
            Paragraph(_how_to_read(results)),
            Heading("In words"),
            Listing(tuple(sentences(results))),
            Heading("How the swaps were run"),
            Paragraph(_engine(results)),
            Heading("Checks that ran, all passed"),
            Facts(tuple(_checks(results))),
            Heading("Files"),
            Item(f"in {display(folder)}:", (Facts(tuple(FILES.items())),), indent=2),
        )
    )


def _behaviour(results: Results) -> Inline:
    clean = results.clean["both"]
    accuracy = (
        (
            "clean accuracy ",
            strong(_rate(clean)),
            f" (n = {clean.n} prompts), ",
        )
        if clean
        else ""
    )
    dropped = [f"dropped {count}: {reason}" for reason, count in results.dropped.items()]
    unaligned = [
        f"not swapped at {label} {count}: {reason}"
        for label, reasons in results.unaligned.items()
        for reason, count in reasons.items()
    ]
    return (
        f"{results.model} on {results.device} in {results.dtype}: ",
        accuracy,
        "keep rate ",
        strong(_rate(results.keep)),
        f" (n = {results.keep.n} pairs).",
        " A pair is kept if the LM answers both of its prompts correctly.",
        *(Phrase(f"\n  {line}", ("caution",)) for line in (*dropped, *unaligned)),
    )


def _rate(share: Share) -> str:
    return with_interval(share.rate, share.low, share.high)


def _how_to_read(results: Results) -> Inline:
    return faint(
        "Each entry: interchange intervention accuracy (IIA), then its "
        f"{results.confidence:.0%} Wilson interval. > marks the best layers of a hypothesis."
    )


# Layer by layer


def layer_tables(cells: Iterable[Cell], vacuous: Iterable[VacuousCell] = ()) -> list[Block]:
    """One table for every site: a row per layer, a column per hypothesis and one for ``none``.

    Every entry is an IIA with its 95 % interval; the best layers of a hypothesis are marked. Layers
    that have no number are named below.
    """
    sites: dict[tuple[str, str], tuple[list[Cell], list[VacuousCell]]] = {}
    for cell in cells:
        sites.setdefault((cell.component, cell.position), ([], []))[0].append(cell)
    for empty in vacuous:
        sites.setdefault((empty.component, empty.position), ([], []))[1].append(empty)
    blocks: list[Block] = []
    for (component, position), (here, without) in sites.items():
        # What nobody named is called by what it is; what was named also by its name.
        name = "" if component == Site().component else f"{component}, "
        blocks += [Heading(f"at {position}: {name}{COMPONENTS[component].meaning}", 3), Gap()]
        names = [name for name in dict.fromkeys(c.hypothesis for c in here) if name != NONE]
        for first in range(0, len(names) if here else 0, ABREAST):
            blocks += [_table(here, [*names[first : first + ABREAST], NONE]), Gap()]
        if without:
            where = _layers(empty.layer for empty in without)
            blocks += [Paragraph((Phrase(f"{where}: {_NO_NUMBER}", ("caution",)),)), Gap()]
    return blocks


_NO_NUMBER = (
    "no number: in every pair, what was copied here is the same as what was there, so that no "
    "swap could show anything"
)


def best_cell(cells: Iterable[Cell], hypothesis: str) -> Cell:
    """The cell of a hypothesis with the highest IIA; the earliest layer among equals."""
    return max((c for c in cells if c.hypothesis == hypothesis), key=lambda c: c.iia)


def _table(cells: Sequence[Cell], names: Sequence[str]) -> Table:
    here = {(cell.hypothesis, cell.layer): cell for cell in cells}
    best = {name: best_cell(cells, name) for name in names if (name, cells[0].layer) in here}
    titles = [f"{_broken(name)}\nn = {cell.n}" for name, cell in best.items()]
    highest = {name: cell.iia for name, cell in best.items() if name != NONE and cell.iia}
    rows = (
        (str(layer), *(_entry(here[name, layer], highest.get(name)) for name in best))
        for layer in sorted({cell.layer for cell in cells})
    )
    return Table(tuple(Column(title, "right") for title in ("layer", *titles)), tuple(rows))


def _broken(name: str) -> str:
    """A name over several lines, broken after underscores where it is too long for one."""
    if name == NONE:
        return f"{NONE}: nothing\nhappened"
    lines = [""]
    for part in name.replace("_", "_\0").split("\0"):
        if lines[-1] and len(lines[-1]) + len(part) > NAME_WIDTH:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def _entry(cell: Cell, highest: float | None) -> Inline:
    marked = cell.iia == highest
    looks: tuple[Look, ...] = ("strong", "good") if marked else () if cell.low > 0.5 else ("faint",)
    iia = f"{'>' if marked else ''}{cell.iia:.2f}"
    return (Phrase(iia, looks), Phrase(f" {cell.low:.2f}-{cell.high:.2f}", looks or ("faint",)))


# In words


def sentences(results: Results) -> list[str]:
    """Two sentences per hypothesis: where it did best, and what else would explain that."""
    return [
        _verdict(results.cells, name) + _coincidence(results.coincides[name])
        for name in results.sites
    ]


def _verdict(cells: Sequence[Cell], name: str) -> str:
    if not any(cell.hypothesis == name for cell in cells):
        return f"{name}: nothing can be said: no value that was swapped differs in any pair."
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


def _coincidence(same: Sequence[str]) -> str:
    """Which others predict the same as a hypothesis on every pair, so that no IIA differs."""
    if not same:
        return ""
    listed = " and ".join("copying everything (all)" if each == ALL else each for each in same)
    return f" On every pair it predicts the same as {listed}."


def _cell(cell: Cell) -> str:
    return with_interval(cell.iia, cell.low, cell.high)


def _engine(results: Results) -> Inline:
    engine = results.engine
    tokens = engine.clean.passes + engine.swaps.passes
    known = [
        f", {count:,} known without a run ({reason})" for reason, count in engine.filled.items()
    ]
    whole = ", ".join(f"{count:,} {reason}" for reason, count in engine.whole.items())
    shrunk = (
        f"\n  memory did not suffice {engine.shrunk} times: down to {engine.budget:,} tokens "
        "per forward"
    )
    return (
        f"{engine.name} engine: {engine.run:,} swaps run",
        *known,
        f"; {tokens:,} tokens x layers computed.",
        f"\n  run whole: {whole}" if whole else "",
        Phrase(shrunk if engine.shrunk else "", ("caution",)),
        Phrase(f"\n  {engine.note}" if engine.note else "", ("caution",)),
    )


def _checks(results: Results) -> Iterable[tuple[Inline, Inline]]:
    counts: Counter[tuple[str, str]] = Counter()
    for check in results.checks:
        counts[check.name, check.note] += check.cases
    for (name, note), cases in counts.items():
        yield name, f"{cases:,} {note}"
