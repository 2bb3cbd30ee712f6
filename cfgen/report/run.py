"""Runs: what is tested, and what came out, for somebody who reads nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cfgen.counterfactuals import ALL, NONE, Site
from cfgen.documents import (
    Block,
    Document,
    Facts,
    Heading,
    Inline,
    Item,
    Listing,
    Paragraph,
    Phrase,
    faint,
    strong,
)
from cfgen.experiments import MEASURES, METHODS
from cfgen.paths import display
from cfgen.report.cells import (
    best_cell,
    best_layers,
    left_out_note,
    places_text,
    sweep_tables,
    value_text,
)
from cfgen.report.continuations import continuation_blocks, goes_on
from cfgen.report.effects import (
    NOT_RUN,
    effect_blocks,
    effect_sentences,
    effects_introduction,
    guidance_blocks,
)
from cfgen.report.pairs import pair_view
from cfgen.stats import with_interval

if TYPE_CHECKING:
    from cfgen.experiments import Cell, Inquiry, Results, Share

FILES = {
    "experiment.yaml": "what was asked: `cfgen run` with it gives the same",
    "results.json": "all numbers, with what they depend on",
}
OF_SWAPS = {
    "outputs.parquet": "what the LM said, per pair and layer",
    "pairs.parquet": "the pairs, with their predictions",
}
OF_EFFECTS = {"effects.parquet": "the effects, per pair and layer", "pairs.parquet": "the pairs"}


def run_introduction(inquiry: Inquiry) -> Document:
    """Say what is tested, with one pair and what each hypothesis predicts for it."""
    source, sites = inquiry.source, inquiry.sites
    method = METHODS[inquiry.experiment.method]
    if method.effects:
        return effects_introduction(inquiry, method)
    claims = [(strong(name), _claim(inquiry, name, site)) for name, site in sites.items()]
    nothing = (strong(NONE), "nothing happens: the original's answer stays")
    return Document(
        (
            Heading("What is tested"),
            Facts((*claims, nothing, *goes_on(inquiry.experiment))),
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
    method = METHODS[results.experiment.method]
    changes = "changes" if method.effects else "swaps"
    files = {**FILES, **(OF_EFFECTS if method.effects else OF_SWAPS)}
    if results.experiment.generate:
        files["continuations.parquet"] = "how the LM goes on, per pair and place"
    return Document(
        (
            Heading(f"Without any {changes.removesuffix('s')}"),
            Paragraph(_behaviour(results)),
            *(effect_blocks(results) if method.effects else _swaps(results)),
            *continuation_blocks(results, folder),
            Heading("In words"),
            Listing(tuple(sentences(results))),
            Heading(f"How the {changes} were run"),
            Paragraph(_engine(results)),
            Heading("Checks that ran, all passed"),
            Facts(tuple(_checks(results))),
            Heading("Files"),
            Item(f"in {display(folder)}:", (Facts(tuple(files.items())),), indent=2),
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
        f" A pair is kept if the LM answers {_graded(results)} correctly.",
        *(Phrase(f"\n  {line}", ("caution",)) for line in (*dropped, *unaligned)),
    )


def _graded(results: Results) -> str:
    """Which prompts decide whether a pair is kept."""
    graded = METHODS[results.experiment.method].graded
    return f"its {graded[0]}" if len(graded) == 1 else "both of its prompts"


def _rate(share: Share) -> str:
    return with_interval(share.rate, share.low, share.high)


def _swaps(results: Results) -> list[Block]:
    """The cells, measure by measure."""
    blocks = guidance_blocks(results)
    for name in results.experiment.measures:
        cells = [cell for cell in results.cells if cell.measure == name]
        blocks += [Heading(f"With swaps: {_what_is_counted(name)}")]
        blocks += sweep_tables(
            cells, results.vacuous, results.tokens, picked=bool(results.guidance)
        )
        blocks += left_out_note(cells)
    shares = {MEASURES[name].share for name in results.experiment.measures}
    kinds = {True: "Wilson's of a share", False: "Student's of an average"}
    interval = " and ".join(text for share, text in kinds.items() if share in shares)
    how = (
        f"With each value stands its {results.confidence:.0%} interval, {interval}. > marks the "
        "best layers of a hypothesis."
    )
    if results.guidance:
        how += f" {NOT_RUN}"
    return [*blocks, Paragraph(faint(how))]


def _what_is_counted(measure: str) -> str:
    if measure == "iia":
        return "share of pairs on which the LM says what is predicted (IIA)"
    return f"{MEASURES[measure].meaning}, on average"


# In words


def sentences(results: Results) -> list[str]:
    """Two sentences per hypothesis: where it did best, and what else would explain that.

    They are of the first measure.
    """
    first = results.experiment.measures[0]
    cells = [cell for cell in results.cells if cell.measure == first]
    method = METHODS[results.experiment.method]
    if method.effects:
        return effect_sentences(cells, method)
    return [_verdict(cells, name) + _coincidence(results.coincides[name]) for name in results.sites]


def _verdict(cells: Sequence[Cell], name: str) -> str:
    best = best_cell(cells, name)
    if best is None:
        return f"{name}: nothing can be said: no value that was swapped differs in any pair."
    measure = MEASURES[best.measure]
    label = "IIA" if best.measure == "iia" else measure.meaning
    mine = [cell for cell in cells if cell.hypothesis == name]
    spots = {cell.spot for cell in mine}
    if measure.share and best.value == 0:
        tried = len({cell.layer for cell in mine})
        where = f"any of the {tried} layers" if tried > 1 else f"layer {best.layer}"
        where += f" at any of {len(spots)} places" if len(spots) > 1 else ""
        return f"{name}: the LM never says what it predicts, in {where}; n {best.n}."
    said = f"{name}: best at {places_text(best, mine)}, {label} {value_text(best)}, n {best.n}"
    equal = best_layers(best, mine)
    there = [cell for cell in cells if cell.spot == best.spot and cell.layer in equal]
    others = dict.fromkeys(cell.hypothesis for cell in there if cell.hypothesis != name)
    rivals = [cell for other in others if (cell := best_cell(there, other))]
    overlapping = [cell for cell in rivals if _overlap(cell, best)]
    if overlapping:
        named = " and ".join(f"{cell.hypothesis} {value_text(cell)}" for cell in overlapping)
        return f"{said}. Not told apart from {named} there: the intervals overlap."
    named = ", ".join(f"{cell.hypothesis} {value_text(cell)}" for cell in rivals)
    return f"{said}; there the others reach {named}." if named else f"{said}."


def _overlap(cell: Cell, best: Cell) -> bool:
    """Whether a rival's interval reaches that of the best; one of no width is anybody's."""
    ends = (cell.low, cell.high, best.low, best.high)
    if None in ends:
        return True
    low, high, its_low, its_high = (end for end in ends if end is not None)
    return low <= its_high if MEASURES[best.measure].low_is_good else high >= its_low


def _coincidence(same: Sequence[str]) -> str:
    """Which others predict the same as a hypothesis on every pair, so that no IIA differs."""
    if not same:
        return ""
    listed = " and ".join("copying everything (all)" if each == ALL else each for each in same)
    return f" On every pair it predicts the same as {listed}."


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
