"""``cfgen run --method circuit``: look for edges that carry an answer, and say how well they do."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfgen.cli.output import present, progress_shown, remark, write_json
from cfgen.paths import display

if TYPE_CHECKING:
    from cfgen.circuits import CircuitResults
    from cfgen.experiments import Experiment, Portion


def ask_circuits(
    experiment: Experiment,
    out: Path | None,
    again: bool,
    portion: Portion,
    *,
    accept_license: bool,
    json: bool,
) -> None:
    """Look for circuits of every LM that an experiment names, and show what comes out."""
    from cfgen.circuits import CircuitRun, find_circuits
    from cfgen.cli.run import requests_of
    from cfgen.experiments import look_up
    from cfgen.report import circuit_introduction

    with progress_shown(quiet=json) as report:
        inquiry = look_up(experiment, report)
    requests = requests_of(inquiry, out, again, accept_license=accept_license, json=json)
    present(circuit_introduction(inquiry), aside=json)
    records = []
    for request in requests:
        with progress_shown(quiet=json) as report:
            found = find_circuits(request, out, again=again, portion=portion, progress=report)
        if isinstance(found, CircuitRun):
            if found.found:
                there = display(found.folder)
                remark(f"asked before: what came out is in {there} (--again asks anew)")
            records.append(show_circuits(found.results, found.folder, json=json))
        else:
            left = found.remainder
            there = f"{left.done} of {left.units} units are in {display(found.folder)}"
            remark(f"{there}; the same command goes on")
            records.append({"folder": str(found.folder.absolute()), **asdict(left)})
    if json:
        write_json(records[0] if len(records) == 1 else records)


def show_circuit_plan(experiment: Experiment, *, json: bool) -> None:
    """Show how much a search for circuits runs."""
    from cfgen.circuits import planned_runs
    from cfgen.experiments import look_up
    from cfgen.report import circuit_introduction, circuit_plan_view

    with progress_shown(quiet=json) as report:
        inquiry = look_up(experiment, report)
    steps = planned_runs(inquiry.experiment)
    present(circuit_introduction(inquiry), aside=json)
    present(circuit_plan_view(steps), aside=json)
    if json:
        counted = [{**asdict(one), "forwards": one.forwards} for one in steps]
        write_json({"steps": counted, "forwards": sum(one.forwards for one in steps)})


def show_circuits(results: CircuitResults, folder: Path, *, json: bool) -> dict[str, Any]:
    """Show what a search for circuits came to, and give it as a record for JSON."""
    from cfgen.circuits import read_circuit
    from cfgen.report import circuit_view

    present(circuit_view(results, read_circuit(folder), folder), aside=json)
    return {**results.model_dump(mode="json"), "folder": str(folder.absolute())}
