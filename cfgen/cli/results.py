"""``cfgen runs``, ``results``, ``figure``, ``compare``, ``merge``: runs that there are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cfgen.cli.options import Json
from cfgen.cli.output import present, progress_shown, write_json
from cfgen.errors import CfgenError, Problem

RunFolder = Annotated[
    Path, typer.Argument(metavar="RUN", help="Folder of a run, such as runs/NAME.")
]


def runs(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where runs are.")] = Path(
        "runs"
    ),
    json: Json = False,
) -> None:
    """List the runs in a folder: what was asked, how far they are, what came out."""
    from cfgen.experiments import list_stores
    from cfgen.report import run_list, run_record

    listed = list_stores(folder)
    if json:
        write_json([run_record(one) for one in listed])
        return
    present(run_list(listed, folder))


def results(run: RunFolder, json: Json = False) -> None:
    """Show again what came out of a run."""
    from cfgen.circuits import is_circuit, read_circuit_results
    from cfgen.cli.behave import show_behaviour
    from cfgen.cli.circuits import show_circuits
    from cfgen.experiments import is_behaviour, read_behaviour, read_finished, read_results
    from cfgen.report import run_view

    content = read_finished(run)
    if content is not None and is_circuit(content):
        record = show_circuits(read_circuit_results(run), run, json=json)
        if json:
            write_json(record)
        return
    if content is not None and is_behaviour(content):
        record = show_behaviour(read_behaviour(run), run, json=json)
        if json:
            write_json(record)
        return
    found = read_results(run)
    if json:
        write_json({**found.model_dump(mode="json"), "folder": str(run.absolute())})
        return
    present(run_view(found, run))


def figure(
    run: RunFolder,
    out: Annotated[
        Path, typer.Option("-o", "--out", help="File to write: .pdf, .png or .svg.")
    ] = Path("figure.png"),
    measure: Annotated[
        str | None,
        typer.Option("--measure", help="What is drawn; the run's first measure if not given."),
    ] = None,
    circuit: Annotated[
        bool,
        typer.Option(
            "--circuit", help="Draw the circuit, not how faithful it is.", show_default=False
        ),
    ] = False,
    mediators: Annotated[
        bool,
        typer.Option(
            "--mediators", help="Draw places that were swapped together.", show_default=False
        ),
    ] = False,
) -> None:
    """Draw what came out of a run: lines over layers, maps of heads or tokens, or a circuit."""
    from cfgen.circuits import circuit_in, is_circuit, read_circuit_results
    from cfgen.experiments import read_finished, read_results
    from cfgen.paths import display
    from cfgen.report import (
        circuit_figure,
        curve_figure,
        figure_of,
        mediators_figure,
        save_figure,
    )

    if circuit:
        drawn = circuit_figure(circuit_in(run))
    elif is_circuit(read_finished(run) or {}):
        if measure is not None:
            message = f"this run looked for edges; its curve is no matter of {measure}"
            hint = "leave --measure away"
            raise CfgenError(Problem("unknown-measure", message, hint=hint))
        drawn = curve_figure(read_circuit_results(run))
    elif mediators:
        drawn = mediators_figure(read_results(run))
    else:
        drawn = figure_of(read_results(run), measure)
    written = save_figure(drawn, out)
    already = "" if written else " already; nothing was written"
    present(f"the figure is in {display(out)}{already}", wrap=False)


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs.")],
    json: Json = False,
) -> None:
    """Put runs next to each other: what was asked differently, and where they differ."""
    from cfgen.experiments import compare_runs, read_results
    from cfgen.paths import display
    from cfgen.report import comparison_record, comparison_view

    found = compare_runs({display(run): read_results(run) for run in runs})
    if json:
        write_json(comparison_record(found))
        return
    present(comparison_view(found))


def merge(
    shards: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of shards.")],
    out: Annotated[Path, typer.Option("--out", help="Folder that all of it is put into.")],
    task: Annotated[
        str | None,
        typer.Option("--task", help="The task, if the shards have one given by its path."),
    ] = None,
    json: Json = False,
) -> None:
    """Put what several machines computed of one experiment together, and count it."""
    from cfgen.cli.run import show_answer
    from cfgen.experiments import asked_in, merge_shards
    from cfgen.paths import display

    with progress_shown(quiet=json) as report:
        request = asked_in(shards[0], task=task, progress=report)
        found = merge_shards(request, shards, out, progress=report)
    file = display(out / "experiment.yaml")
    how = f"merge the other shards, too, or compute the rest: cfgen run {file} --out {display(out)}"
    record = show_answer(found, json=json, how=how)
    if json:
        write_json(record)
