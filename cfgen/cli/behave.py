"""``cfgen behave``: what an LM says to the prompts of pairs, before anything is swapped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfgen.cli.experiment_options import OF_SWAPS, Again, AnswerFolder, asks
from cfgen.cli.options import AcceptLicense, Json
from cfgen.cli.output import present, progress_shown, remark, write_json
from cfgen.cli.run import requests_of
from cfgen.paths import display

if TYPE_CHECKING:
    from cfgen.experiments import BehaviourResults, Experiment


@asks(without=OF_SWAPS)
def behave(
    experiment: Experiment,
    accept_license: AcceptLicense = False,
    out: AnswerFolder = None,
    again: Again = False,
    json: Json = False,
) -> None:
    """Say how well an LM does the task: what it answers rightly, and what it says instead.

    This is what a run does first, and keeps pairs by; the run need not do it again.
    """
    from cfgen.experiments import behavioural, look_up, observe
    from cfgen.report import behaviour_introduction

    with progress_shown(quiet=json) as report:
        inquiry = look_up(behavioural(experiment), report)
    requests = requests_of(inquiry, out, again, accept_license=accept_license, json=json)
    present(behaviour_introduction(inquiry), aside=json)
    records = []
    for request in requests:
        with progress_shown(quiet=json) as report:
            found = observe(request, out, again=again, progress=report)
        if found.found:
            remark(f"asked before: what was said is in {display(found.folder)} (--again asks anew)")
        records.append(show_behaviour(found.results, found.folder, json=json))
    if json:
        write_json(records[0] if len(records) == 1 else records)


def show_behaviour(results: BehaviourResults, folder: Path, *, json: bool) -> dict[str, Any]:
    """Show what an LM says to prompts as they are, and give it as a record for JSON."""
    from cfgen.report import behaviour_view

    present(behaviour_view(results, folder), aside=json)
    return {**results.model_dump(mode="json"), "folder": str(folder.absolute())}
