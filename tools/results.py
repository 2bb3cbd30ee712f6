"""Run every study of the results page on a real LM, and write the page from what came out.

What was computed is kept in `runs/`: stopped at any moment, the same command goes on where it was,
and studies that are finished are only read. The page is written anew after every study.

    python tools/results.py                  # all studies: docs/results.md and its figures
    python tools/results.py --only lookback  # compute those whose name has this in it; no page
"""

from __future__ import annotations

import argparse
import itertools
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cfgen
from cfgen.circuits import CircuitResults
from cfgen.counterfactuals import NONE
from cfgen.experiments import METHODS, Cell, Results
from cfgen.report import best_cell, curve_figure, figure_bytes, figure_of, value_text

ROOT = Path(__file__).parents[1]
EXAMPLES, PAGE, FIGURES = ROOT / "docs/examples", ROOT / "docs/results.md", ROOT / "docs/results"
HALF = 0.5
"""IIA from which on a hypothesis is said to show in a layer."""
MOST_SHOWN = 10
"""Percent of the edges from which on circuits are not listed, as they are nearly whole."""
Found = Results | CircuitResults
LOOKBACKS = "Prakash et al. 2025, [arXiv 2505.14685](https://arxiv.org/abs/2505.14685)"
MIB = "Mueller et al. 2025, [arXiv 2504.13151](https://arxiv.org/abs/2504.13151)"
IOI = "Wang et al. 2022, [arXiv 2211.00593](https://arxiv.org/abs/2211.00593)"


@dataclass(frozen=True, eq=False)
class Study:
    """One experiment, and what others have found with theirs.

    Attributes:
        name: Of the experiment file in `docs/examples`.
        title: Heading.
        published: Row of the table -> the values of a paper.
        source: Which paper, and of which LM.
    """

    name: str
    title: str
    published: Mapping[str, str] = field(default_factory=dict)
    source: str = ""

    @property
    def picture(self) -> str:
        """Name of its figure's file."""
        return f"{self.name.rpartition('/')[2]}.svg"


MENG = (
    "Meng et al. 2022, [arXiv 2202.05262](https://arxiv.org/abs/2202.05262); GPT-2 XL (48 layers), "
    "1,000 facts"
)
LLAMA = f"{LOOKBACKS}; Llama-3-70B-Instruct (80 layers), 80 pairs"
STUDIES = (
    Study(
        "answer-lookback",
        "Answer lookback: which drink, and the drink itself",
        {
            "answer_pointer": "L33 .54, L34 .93, L38 1.0, L52 .93, L56 .11",
            "answer_payload": "L53 .19, L56 .80, L61 .96, from L64 1.0",
        },
        LLAMA,
    ),
    Study(
        "binding-lookback",
        "Binding lookback: address and payload at the drinks",
        {"binding_address_and_payload": "L29 .09, L32 .61, L34 .975, L35-38 .76-.83, L39 .14"},
        LLAMA,
    ),
    Study(
        "query-pointer",
        "Binding lookback: the pointer at the question",
        {"joint_query_pointer": "L17-24 .91-.93, L34 0"},
        LLAMA,
    ),
    Study(
        "character-ids",
        "Ordering ids of characters",
        {
            "character_oi": "L13 .64, L16 .94",
            "query_character_oi": "L14-19 1.0, L30 .40, L34 0",
        },
        LLAMA,
    ),
    Study(
        "container-ids",
        "Ordering ids of containers",
        {
            "container_oi": "L21 .90, L30-34 1.0",
            "query_container_oi": "L17-29 .89-.94, L30 .20",
        },
        LLAMA,
    ),
    Study(
        "visibility-lookback",
        "Visibility lookback: who can observe whom",
        {
            "visibility_source": "L12-17 .95-.975, L26 .03",
            "visibility_payload": "L30 .13, from L33 .98-1.0, falls L52-56",
            "visibility_address_and_pointer": "about 1.0 over L20-38",
        },
        LLAMA,
    ),
    Study(
        "binding-source",
        "Source of the binding lookback, with the drinks frozen and without",
        {
            "source_frozen": "L13 .18, L20-34 .85-.93, L40 .29",
            "source_unfrozen": "the other drink stays at or below .16",
        },
        LLAMA,
    ),
    Study("methods/mediation", "Mediation: how much of another story goes through the last token"),
    Study("methods/gender", "Mediation: how much of a definite noun goes through the profession"),
    Study(
        "methods/tracing",
        "Tracing: which states bring a fact back",
        {
            "TE": ".186",
            "IE": ".087, last subject token, L15",
        },
        MENG,
    ),
    Study(
        "methods/tracing-mlp",
        "Tracing: which MLPs bring a fact back, ten layers at a time",
        {"IE": ".066, last subject token"},
        MENG,
    ),
    Study(
        "methods/tracing-attention",
        "Tracing: whose attention brings a fact back, ten layers at a time",
        {"IE": ".016, last subject token"},
        MENG,
    ),
    Study("methods/ablation", "Ablation: what agreement loses without what attention adds"),
    Study("methods/knockout", "Knockout: what is lost if the last token cannot look at a drink"),
    Study(
        "methods/paths",
        "Path patching: heads that write the name",
        {
            "relative": "9.9 -.672, 9.6 -.263, 10.0 -.216, 10.10 -.139, 10.7 +.411, 11.10 +.247, "
            "11.2 +.095"
        },
        f"{IOI}; GPT-2 small (12 layers)",
    ),
    Study(
        "methods/circuit",
        "Circuits: how faithful the best edges are by themselves",
        {"CPR": "1.85", "CMD": ".03"},
        f"{MIB}; GPT-2 small, EAP-IG (inputs)",
    ),
)


def main() -> None:
    """Compute, and write after every study."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", help="compute those whose name has this in it")
    parser.add_argument("-n", type=int, help="pairs of every study, not as many as its file says")
    options = parser.parse_args()
    asked = {} if options.n is None else {"n": options.n}
    found: dict[Study, Found] = {}
    for study in (study for study in STUDIES if options.only in study.name):
        print(f"{study.name} ...", file=sys.stderr, flush=True)
        file = EXAMPLES / f"{study.name}.yaml"
        found[study] = cfgen.run(file, progress=_progress, **asked).results
        if not options.only:
            FIGURES.mkdir(exist_ok=True)
            (FIGURES / study.picture).write_bytes(_picture(found[study]))
            PAGE.write_text(page(found), encoding="utf-8", newline="\n")
            print(f"written: {PAGE.relative_to(ROOT)}", file=sys.stderr)


def _progress(step: str, done: int, total: int | None) -> None:
    if total and done == total:
        print(f"  {step}: {done}", file=sys.stderr, flush=True)


def _picture(results: Found) -> bytes:
    circuits = isinstance(results, CircuitResults)
    return figure_bytes(curve_figure(results) if circuits else figure_of(results), "svg")


def page(found: Mapping[Study, Found]) -> str:
    """The page, from its head to its last study."""
    some = next(iter(found.values()))
    versions = ", ".join(f"{name} {version}" for name, version in some.versions.items())
    parts = [
        "# What came out",
        "Experiments on real LMs that run on a laptop, with every layer, beside published values "
        "of other LMs where there are any. `make results` computes all of it, which can be stopped "
        "at any moment and goes on where it was, and writes this page. Intervals are 95 %: "
        "Wilson's of shares, Student's of averages.",
        "`smollm2-belief` is SmolLM2-135M-Instruct with an adapter that was taught to track "
        "beliefs: that a mechanism shows in it says nothing of the large LM of the paper, in whose "
        "80 layers the same variables live elsewhere. What can be compared is their order.",
        f"Made with {versions}, in {some.dtype} on {some.device} ({platform.machine()}).",
    ]
    for study, results in found.items():
        parts += [f"## {study.title}", *_section(study, results)]
    left = [study.title for study in STUDIES if study not in found]
    if left:
        parts += ["## Not computed yet", "\n".join(f"- {title}" for title in left)]
    return "\n\n".join(parts) + "\n"


def _section(study: Study, results: Found) -> Iterable[str]:
    method = METHODS[results.experiment.method]
    command = f"cfgen run docs/examples/{study.name}.yaml -n {results.experiment.n}"
    yield (
        f"`{command}`: {method.summary} Model `{results.model}`, design `{results.design}`; "
        f"{results.kept} of {results.n} pairs kept."
    )
    if isinstance(results, CircuitResults):
        rows = _circuits(study, results)
    else:
        rows = _effects(study, results) if method.effects else _hypotheses(study, results)
    yield _table(list(rows))
    if study.source:
        yield f"Published: {study.source}."
    yield f"![{study.title}](results/{study.picture})"


def _hypotheses(study: Study, results: Results) -> Iterable[Sequence[str]]:
    """A row for each hypothesis: in which layers it shows, and where most."""
    layers = f"IIA >= {HALF} in layers"
    yield "hypothesis", "swapped at", layers, "most", "`none` there", "n", "published"
    for name, site in results.sites.items():
        cells = [c for c in results.cells if c.hypothesis == name and c.measure == "iia"]
        best = best_cell(cells, name)
        shown = [cell.layer for cell in cells if cell.value is not None and cell.value >= HALF]
        yield (
            f"`{name}`",
            site.label,
            _ranges(shown) or "none",
            f"{_value(best)} at {best.layer}" if best else "",
            _value(_control(best, results)) if best else "",
            str(best.n if best else 0),
            study.published.get(name, ""),
        )


def _control(best: Cell, results: Results) -> Cell:
    """What `none`, under which nothing happens, reaches at a place."""
    where = (*best.place, best.measure)
    return next(
        cell
        for cell in results.cells
        if cell.hypothesis == NONE and (*cell.place, cell.measure) == where
    )


def _effects(study: Study, results: Results) -> Iterable[Sequence[str]]:
    """A row for each effect and place at which it is largest."""
    method = METHODS[results.experiment.method]
    yield "effect", "largest at", "value", "n", "published"
    for name in method.effects:
        mine = [c for c in results.cells if c.hypothesis == name and c.value is not None]
        once = method.effects[name].placeless  # but some places are not in all pairs
        mine.sort(key=lambda cell: -(cell.n if once else abs(cell.value or 0.0)))
        for number, cell in enumerate(mine[: 1 if once else 4]):
            place = "wherever" if once else _place(cell)
            published = study.published.get(name, "") if number == 0 else ""
            yield name, place, _value(cell), str(cell.n), published


def _circuits(study: Study, results: CircuitResults) -> Iterable[Sequence[str]]:
    """What circuits of growing size are worth, by size of score, and how large the smallest are."""
    yield "number", "value", "n", "published"
    n = str(len(results.judged_on))
    numbers = {"CPR": results.cpr, "CMD": results.cmd, "CMD, random edges": results.random_cmd}
    for name, number in numbers.items():
        yield name, value_text(number), n, study.published.get(name, "")
    for point in results.curve:
        if point.ranking == "absolute" and point.percent < MOST_SHOWN:
            name = f"faithfulness of {point.percent:g} % ({point.edges:,} edges)"
            yield name, value_text(point.faithfulness), n, ""


def _place(cell: Cell) -> str:
    head = "" if cell.head is None else f", head {cell.head}"
    return f"{cell.token or cell.position}, layer {cell.layer}{head}"


def _value(cell: Cell) -> str:
    if cell.value is None:
        return ""
    if cell.low is None or cell.high is None:
        return f"{cell.value:.2f}"
    return f"{cell.value:.2f} [{cell.low:.2f}, {cell.high:.2f}]"


def _ranges(numbers: Sequence[int]) -> str:
    """Whole numbers, with neighbours as ranges: ``3-5, 9``."""
    runs = []
    for _, group in itertools.groupby(
        enumerate(sorted(numbers)), key=lambda pair: pair[1] - pair[0]
    ):
        members = [number for _, number in group]
        runs.append(f"{members[0]}-{members[-1]}" if len(members) > 1 else str(members[0]))
    return ", ".join(runs)


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    lines = ["| " + " | ".join(row) + " |" for row in (head, *body)]
    return "\n".join([lines[0], "|" + " --- |" * len(head), *lines[1:]])


if __name__ == "__main__":
    main()
