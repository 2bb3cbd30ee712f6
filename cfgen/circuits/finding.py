"""A search for circuits, answered in a folder like any run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfgen.circuits.circuit import CIRCUIT_FILE, DOT_FILE, Circuit, chosen_circuit, read_circuit
from cfgen.circuits.halves import PairHalves, make_halves
from cfgen.circuits.results import (
    CURVE_FILE,
    EDGES_FILE,
    CircuitResults,
    EdgeCheck,
)
from cfgen.documents import Document, Listing, html
from cfgen.experiments import (
    EVERYTHING_NOW,
    PAIRS,
    PartialRun,
    Portion,
    Remainder,
    Request,
    finished_content,
    folder_of,
    load_for,
    opened_store,
    read_as,
    share_of,
    versions_used,
)
from cfgen.faces import found_later
from cfgen.paths import display
from cfgen.progress import Progress, no_progress
from cfgen.stats import CONFIDENCE

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

    from cfgen.circuits.searching import Search
    from cfgen.experiments import Behaviour, FilterOutcome, RunStore
    from cfgen.interventions import Check
    from cfgen.lm import LM


@dataclass(frozen=True, slots=True, repr=False)
class CircuitRun:
    """What came out of a request for circuits.

    Attributes:
        folder: Where it is written.
        results: The numbers.
        found: Whether it was there already.
    """

    folder: Path
    results: CircuitResults
    found: bool

    @property
    def circuit(self) -> Circuit:
        """The circuit that was written down."""
        return read_circuit(self.folder)

    def to_pandas(self) -> pandas.DataFrame:
        """The circuits of growing size: a row per ranking and size."""
        import pandas

        points = [point.model_dump() for point in self.results.curve]
        return pandas.DataFrame([{**p, **p.pop("faithfulness")} for p in points])

    def edges(self) -> pandas.DataFrame:
        """Every edge of the LM with its score."""
        import pandas

        return pandas.read_parquet(self.folder / EDGES_FILE)

    def plot(self) -> Figure:
        """The curve of faithfulness.

        Raises:
            CfgenError: matplotlib is not installed (``no-matplotlib``).
        """
        figure: Figure = found_later("cfgen.report", "curve_figure")(self.results)
        return figure

    def __repr__(self) -> str:
        found = self.results
        return (
            f"CircuitRun({found.task}, {found.design}, {found.model}, n={found.n}, "
            f"kept={found.kept}, edges={found.edges:,}, folder='{display(self.folder)}')"
        )

    def _repr_html_(self) -> str:
        """The curve, and what the numbers say."""
        figure: Any = self.plot()
        said = found_later("cfgen.report", "circuit_sentences")(self.results)
        return f"<div>{figure._repr_svg_()}{html(Document((Listing(tuple(said)),)))}</div>"


def find_circuits(
    request: Request,
    out: Path | None = None,
    *,
    again: bool = False,
    portion: Portion = EVERYTHING_NOW,
    lm: LM | None = None,
    progress: Progress = no_progress,
) -> CircuitRun | PartialRun:
    """Look for circuits, or show what was found before; what was begun is gone on with.

    Args:
        request: What is asked, with ``method: circuit``.
        out: The folder; one below ``runs`` if not given, whose name says what is asked.
        again: Whether to compute everything anew, in a folder beside the one that there is.
        portion: When to stop.
        lm: The LM, if it is loaded already.
        progress: Called with progress.

    Raises:
        CfgenError: As :func:`cfgen.experiments.answer`; the LM's heads don't add up
            (``no-such-component``); too few pairs can be used (``no-circuit-pairs``); or a check
            failed (``circuit-does-not-add-up``).
    """
    folder = folder_of(request, out, again=again)
    found = _found(folder, request)
    if found:
        return found
    with opened_store(request, folder, "", progress, alone=again) as store:
        # another process may have finished it while this one waited for the folder
        return _found(folder, request) or _compute(store, request, portion, lm, progress)


def _found(folder: Path, request: Request) -> CircuitRun | None:
    content = finished_content(folder, request)
    if content is None:
        return None
    return CircuitRun(folder, read_as(CircuitResults, content), found=True)


def _compute(
    store: RunStore, request: Request, portion: Portion, lm: LM | None, progress: Progress
) -> CircuitRun | PartialRun:
    progress("loading libraries", 0, None)
    from cfgen.circuits.completeness import GREEDY_NODES
    from cfgen.circuits.measuring import TimeUpError, blocks_of, make_ledger
    from cfgen.circuits.searching import EXACT_PAIRS, RANKINGS, search
    from cfgen.experiments import Workbench, check_any_kept, check_sites, filter_pairs, grade
    from cfgen.interventions import choose_engine

    lm, inquiry = lm or load_for(request, progress), request.inquiry
    options, experiment = inquiry.experiment.engine, inquiry.experiment
    engine = choose_engine(lm, options.name, batch_size=options.batch_size)
    bench = Workbench(engine, store, progress)
    ledger = make_ledger(bench, portion)
    found = filter_pairs(bench, inquiry, portion)
    if isinstance(found, Remainder):
        return PartialRun(store.folder, found)
    seen = grade(found.encoded, found.said)
    check_any_kept(seen, found.encoded, found.said, lm.tokenizer)
    halves = make_halves([found.encoded[index] for index in seen.kept])
    checks = found.checks + check_sites(bench, [])
    try:
        made = search(ledger, halves, experiment)
    except TimeUpError:
        several = len(list(blocks_of(halves.judging)))
        several *= 3 + len(RANKINGS) + 2 * bool(experiment.nodes)
        units = several + len(list(blocks_of(halves.choosing)))
        units += min(len(halves.choosing), EXACT_PAIRS) if experiment.exact else 0
        units += min(GREEDY_NODES, experiment.nodes)
        before = found.computed.there
        remainder = Remainder(before + ledger.there, before + units, late=True)
        return PartialRun(store.folder, remainder)
    results = _results(lm, request, found, seen, made, checks)
    circuit = _circuit(results, made)
    circuit.check_unseen(results.judged_on)
    tables = {
        EDGES_FILE: made.edges_table(),
        CURVE_FILE: made.curve_table(),
        PAIRS: inquiry.source.table([one.pair for one in found.encoded]),
    }
    texts = {CIRCUIT_FILE: circuit.text(), DOT_FILE: circuit.dot()}
    store.finish(results.model_dump(mode="json"), tables, texts)
    return CircuitRun(store.folder, results, found=False)


def _results(
    lm: LM,
    request: Request,
    found: FilterOutcome,
    seen: Behaviour,
    made: Search,
    checks: list[Check],
) -> CircuitResults:
    from cfgen.circuits.searching import mean_estimate

    pairs = [one.pair for one in found.encoded]
    halves, inquiry = made.halves, request.inquiry
    curve = made.curves["absolute"]
    return CircuitResults(
        model=lm.name,
        task="+".join(sorted({pair.task for pair in pairs})),
        design="+".join(sorted({pair.design for pair in pairs})),
        n=len(pairs),
        kept=len(seen.kept),
        keep=share_of(seen.keep),
        clean=share_of(seen.clean) if seen.clean else None,
        dropped=seen.dropped,
        unusable=dict(halves.unusable),
        chosen_on=tuple(pair.name for pair in halves.choosing),
        judged_on=tuple(pair.name for pair in halves.judging),
        edges=len(made.graph),
        nodes=len(made.graph.nodes),
        every=mean_estimate(curve.every),
        none=mean_estimate(curve.none),
        curve=made.points(),
        **made.areas(),
        without=made.left(),
        losses=made.losses(),
        gaps=made.gaps(),
        exact=made.exact,
        stability=made.stability(),
        circuit=int(made.chosen.sum()),
        checks=(*(EdgeCheck(name=c.name, cases=c.cases, note=c.note) for c in checks), *_own(made)),
        confidence=CONFIDENCE,
        revision=lm.revision,
        device=str(lm.device),
        dtype=lm.dtype_name,
        attention=lm.attention,
        versions=versions_used(),
        experiment=inquiry.experiment,
        source=dict(inquiry.source.facts),
    )


def _own(made: Search) -> list[EdgeCheck]:
    """The checks that the search made."""
    halves: PairHalves = made.halves
    name, note = "every edge corrupted is the other run", "pairs; and none corrupted, one's own"
    checks = [EdgeCheck(name=name, cases=len(halves.judging), note=note)]
    if made.exact:
        name, note = "circuits in one run are edits one by one", "pairs, in two edges each"
        checks.append(EdgeCheck(name=name, cases=made.exact[0].pairs, note=note))
    return checks


def _circuit(results: CircuitResults, made: Search) -> Circuit:
    """The circuit that is written down."""
    from cfgen.circuits.searching import mean_scores

    asked = results.experiment
    return chosen_circuit(
        made.graph,
        made.chosen,
        mean_scores(made.scores),
        model=results.model,
        revision=results.revision,
        task=results.task,
        design=results.design,
        measure=asked.measures[0],
        steps=asked.steps,
        ranking="absolute",
        selection=asked.selection,
        percent=asked.edges,
        pairs=results.chosen_on,
    )
