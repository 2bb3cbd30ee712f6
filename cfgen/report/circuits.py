"""Circuits: what is looked for, and how well the edges that were found do by themselves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cfgen.documents import (
    Block,
    Column,
    Document,
    Facts,
    Heading,
    Inline,
    Item,
    Listing,
    Paragraph,
    Phrase,
    Table,
    faint,
    strong,
)
from cfgen.experiments import METHODS
from cfgen.paths import display
from cfgen.report.cells import value_text
from cfgen.report.pairs import pair_view
from cfgen.stats import with_interval

if TYPE_CHECKING:
    from cfgen.circuits import (
        Circuit,
        CircuitResults,
        ExactSample,
        NodeLoss,
        RunCount,
        SubsetGap,
    )
    from cfgen.experiments import Experiment, Inquiry

SHOWN = 3
"""Nodes of a set that are named in a table."""
STRONGEST = 12
"""Edges that are listed."""
FILES = {
    "experiment.yaml": "what was asked: `cfgen run` with it gives the same",
    "results.json": "all numbers, with what they depend on",
    "circuit.json": "the circuit that is written down: cfgen.circuits.read_circuit",
    "circuit.dot": "the same for Graphviz",
    "edges.parquet": "every edge of the LM with its score",
    "curve.parquet": "the measure of every circuit, per pair",
    "pairs.parquet": "the pairs",
}
NAMES = {"signed": "by score", "absolute": "by size of score", "random": "at random (control)"}


def circuit_introduction(inquiry: Inquiry) -> Document:
    """Say what is looked for, with one pair."""
    method, experiment = METHODS["circuit"], inquiry.experiment
    facts: list[tuple[Inline, Inline]] = [
        (strong("circuit"), method.summary),
        ("estimate", estimate_name(experiment)),
        ("selection", _selection(experiment)),
    ]
    return Document(
        (
            Heading("What is looked for"),
            Facts(tuple(facts)),
            Heading(f"One of the {len(inquiry.source.pairs)} pairs"),
            *pair_view(inquiry.source.pairs[0], {}).blocks,
        )
    )


def circuit_plan_view(steps: Sequence[RunCount]) -> Document:
    """How much a search runs, step by step."""
    rows: list[tuple[Inline, ...]] = [
        (one.step, f"{one.pairs:,}", f"{one.each:,}", f"{one.forwards:,}")
        for one in steps
        if one.forwards
    ]
    rows.append(("in all", "", "", f"{sum(one.forwards for one in steps):,}"))
    columns = (
        Column("step"),
        *(Column(title, "right") for title in ("pairs", "forwards each", "forwards")),
    )
    how = (
        "Forwards of one prompt, at most: fewer pairs may be kept. A gradient counts as two more. "
        "Those in which every head is given an input of its own take longer; --time 20m stops, and "
        "the same command goes on."
    )
    return Document(
        (Heading("What it will take"), Table(columns, tuple(rows)), Paragraph(faint(how)))
    )


def estimate_name(experiment: Experiment) -> str:
    """How edges are scored, as the literature calls it."""
    if experiment.steps == 1:
        return "EAP: gradients of the clean run"
    return f"EAP-IG (inputs): integrated gradients, m = {experiment.steps}, k = 1 ... m"


def _selection(experiment: Experiment) -> str:
    if experiment.selection == "greedy":
        return "greedy: the best edges that lead to what was chosen before, from the logits on"
    return "top: the best edges wherever they are"


def circuit_view(results: CircuitResults, circuit: Circuit, folder: Path) -> Document:
    """What came out of a search for circuits.

    Args:
        results: The numbers.
        circuit: The circuit that was written down.
        folder: Where the files are.
    """
    return Document(
        (
            Heading("Without any changes"),
            Paragraph(_pairs(results)),
            Heading("Faithfulness of circuits of growing size"),
            _curve(results),
            Paragraph(faint(_how(results))),
            Heading("A circuit"),
            *_circuit(results, circuit),
            *_completeness(results),
            Heading("In words"),
            Listing(tuple(circuit_sentences(results))),
            Heading("Checks that ran, all passed"),
            Facts(tuple((c.name, f"{c.cases:,} {c.note}") for c in results.checks)),
            Heading("Files"),
            Item(f"in {display(folder)}:", (Facts(tuple(FILES.items())),), indent=2),
        )
    )


def _pairs(results: CircuitResults) -> Inline:
    keep, clean = results.keep, results.clean
    accuracy = (
        f"clean accuracy {with_interval(clean.rate, clean.low, clean.high)} (n = {clean.n} "
        "prompts), "
        if clean
        else ""
    )
    lost = [f"dropped {count}: {reason}" for reason, count in results.dropped.items()]
    lost += [f"not usable {count}: {reason}" for reason, count in results.unusable.items()]
    return (
        f"{results.model} on {results.device} in {results.dtype}: {accuracy}keep rate "
        f"{with_interval(keep.rate, keep.low, keep.high)} (n = {keep.n} pairs).\n"
        f"{len(results.chosen_on)} pairs choose edges, {len(results.judged_on)} others judge. "
        f"Logit difference with all {results.edges:,} edges {value_text(results.every)}, with "
        f"all corrupted {value_text(results.none)}, in nats.",
        *(Phrase(f"\n  {line}", ("caution",)) for line in lost),
    )


def _curve(results: CircuitResults) -> Table:
    percents = dict.fromkeys(point.percent for point in results.curve)
    rankings = dict.fromkeys(point.ranking for point in results.curve)
    by = {(point.ranking, point.percent): point for point in results.curve}
    rows: list[tuple[Inline, ...]] = []
    for percent in percents:
        point = by["absolute", percent]
        shown = [value_text(by[ranking, percent].faithfulness) for ranking in rankings]
        sizes = (f"{point.edges:,}", f"{point.connected:,}", f"{point.nodes:,}")
        rows.append((f"{percent:g} %", *sizes, *shown))
    titles = ("edges", "connected", "nodes", *(NAMES[ranking] for ranking in rankings))
    columns = (Column("size", "right"), *(Column(title, "right") for title in titles))
    return Table(columns, tuple(rows))


def _how(results: CircuitResults) -> str:
    return (
        "0 is as with every edge corrupted, 1 as with none. With each value stands its "
        f"{results.confidence:.0%} interval over pairs that were drawn again (n = "
        f"{len(results.judged_on)}), for edges as they were chosen. Connected edges and nodes are "
        "those by size of score that lie on a way from the input to the logits."
    )


def _circuit(results: CircuitResults, circuit: Circuit) -> Iterable[Block]:
    if not circuit.edges:
        yield Paragraph(
            f"None of the {results.experiment.edges:g} % of the edges with the largest scores lies "
            "on a way from the input to the logits: write down more (--edges), or choose them from "
            "the logits on (--selection greedy)."
        )
        return
    scored = zip(circuit.edges, circuit.scores, strict=True)
    rows = tuple((edge.sender, edge.receiver, f"{score:+.3g}") for edge, score in scored)
    yield Paragraph(
        f"{len(circuit.edges):,} edges between {len(circuit.nodes)} nodes, of the "
        f"{results.experiment.edges:g} % with the largest scores; the {min(len(rows), STRONGEST)} "
        "strongest:"
    )
    columns = (Column("from"), Column("to"), Column("score, nats", "right"))
    yield Table(columns, rows[:STRONGEST])


def _completeness(results: CircuitResults) -> Iterable[Block]:
    """A table of the sets of nodes without which circuit and LM were run."""
    if not results.gaps:
        return
    rows: list[tuple[Inline, ...]] = []
    for one in sorted(results.gaps, key=lambda gap: -_size(gap)):
        names = ", ".join(one.nodes[:SHOWN]) + (", ..." if len(one.nodes) > SHOWN else "")
        numbers = (value_text(part) for part in (one.circuit, one.model, one.gap))
        rows.append((f"{one.how}, {len(one.nodes)}", names or "-", *numbers))
    columns = (
        Column("nodes left out"),
        Column("such as"),
        *(Column(title, "right") for title in ("circuit", "LM", "gap")),
    )
    yield Heading("Completeness")
    yield Table(columns, tuple(rows))
    yield Paragraph(
        faint(
            "Faithfulness of the circuit, and of the whole LM, where these nodes are corrupted as "
            "well. In a complete circuit, the two are the same whichever nodes are left out."
        )
    )


def _size(found: SubsetGap) -> float:
    """How far circuit and LM lie apart."""
    return abs(found.gap.value or 0.0)


def circuit_sentences(results: CircuitResults) -> list[str]:
    """What the numbers say, each with what it is to be compared with."""
    asked = results.experiment
    size = f"{asked.edges:g} %"
    point = next(p for p in results.curve if p.ranking == "absolute" and p.percent == asked.edges)
    said = [
        f"CPR {value_text(results.cpr)} (more is better), CMD {value_text(results.cmd)} (0 "
        f"is best); edges in random order have CMD {value_text(results.random_cmd)}.",
        f"A circuit of {size} of the edges has faithfulness {value_text(point.faithfulness)}; "
        f"without it, all else has {value_text(results.without)}.",
        f"Pairs drawn again choose {size} of the edges that share "
        f"{value_text(results.stability)} with these (Jaccard): other circuits may do as well.",
    ]
    if results.losses:
        idle = [loss.node for loss in results.losses if not _matters(loss)]
        least = f"; {', '.join(idle)} cost nothing that could be told from 0" if idle else ""
        most = max(results.losses, key=lambda loss: abs(loss.loss.value or 0))
        said.append(
            f"Without one of its {len(results.losses)} strongest nodes, the circuit loses most "
            f"without {most.node}: {value_text(most.loss)} of its faithfulness{least}."
        )
    if results.gaps:
        worst = max(results.gaps, key=_size)
        what = f"{len(worst.nodes)} of its nodes ({worst.how})" if worst.nodes else "any loss"
        without = "without" if worst.nodes else "before"
        drawn = [_size(one) for one in results.gaps if one.how == "random"]
        usual = f", {sum(drawn) / len(drawn):.2f} on average over sets at random" if drawn else ""
        said.append(
            f"Circuit and LM lie furthest apart {without} {what}: "
            f"{value_text(worst.gap)} of faithfulness{usual}; 0 is complete."
        )
    return said + [_exactly(sample) for sample in results.exact]


def _matters(found: NodeLoss) -> bool:
    """Whether a loss is not 0, as far as that is known."""
    low, high = found.loss.low, found.loss.high
    return low is not None and high is not None and not low <= 0 <= high


def _exactly(sample: ExactSample) -> str:
    among = {"all": "all", "circuit": "those of the circuit"}[sample.among]
    if sample.correlation is None:
        counted = "one edge" if sample.edges == 1 else f"{sample.edges} edges"
        return f"Of {counted} drawn from {among} and run, too few differ for a rank correlation."
    return (
        f"Of {sample.edges} edges drawn from {among} and run, estimates and exact effects have "
        f"rank correlation {with_interval(sample.correlation, sample.low, sample.high)} (Spearman; "
        f"{sample.pairs} pairs); the largest effect is {sample.largest:.3g}, the largest error "
        f"{sample.furthest:.3g} nats."
    )
