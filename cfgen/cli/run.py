"""``cfgen run`` and ``cfgen demo``: test hypotheses on an LM.

What is asked is looked up first, without the LM and without torch, so that a mistake in it is found
at once, and a question that was answered before is answered from its folder.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cfgen.cli.experiment_options import Again, AnswerFolder, asks
from cfgen.cli.options import AcceptLicense, Json, Model, Seed
from cfgen.cli.output import present, progress_shown, remark, write_json
from cfgen.errors import CfgenError, Problem
from cfgen.paths import display

if TYPE_CHECKING:
    from cfgen.documents import Document
    from cfgen.experiments import (
        Experiment,
        FinishedRun,
        Inquiry,
        PartialRun,
        PlannedRun,
        Portion,
        Request,
    )


@asks()
def run(
    experiment: Experiment,
    accept_license: AcceptLicense = False,
    out: AnswerFolder = None,
    again: Again = False,
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Only measure, and say what it will take.", show_default=False),
    ] = False,
    shard: Annotated[
        str | None,
        typer.Option("--shard", metavar="I/N", help="Compute the I-th of N shares only."),
    ] = None,
    time_limit: Annotated[
        str | None,
        typer.Option("--time", help="Stop after so long, such as 20m or 1.5h; resumable."),
    ] = None,
    json: Json = False,
) -> None:
    """Test hypotheses: swap activations of an LM, and compare what it says with the predictions.

    What was asked before is shown; what was interrupted is gone on with.
    """
    from cfgen.experiments import Portion

    portion = Portion(_shard(shard), _limit(time_limit))
    ask(experiment, out, again, portion, plan=plan, accept_license=accept_license, json=json)


def ask(
    experiment: Experiment,
    out: Path | None,
    again: bool,
    portion: Portion,
    *,
    plan: bool = False,
    accept_license: bool,
    json: bool,
    introduction: Callable[[Inquiry], Document] | None = None,
) -> None:
    """Ask every LM that an experiment names, and show what comes out."""
    from cfgen.documents import Document
    from cfgen.experiments import (
        FinishedRun,
        answer,
        check_swaps,
        look_up,
        plan_answer,
    )
    from cfgen.report import run_introduction, runs_table

    if experiment.method == "circuit" and portion.shard == (1, 1):
        from cfgen.cli.circuits import ask_circuits, show_circuit_plan

        if plan:
            show_circuit_plan(experiment, json=json)
            return
        ask_circuits(experiment, out, again, portion, accept_license=accept_license, json=json)
        return
    check_swaps(experiment)
    with progress_shown(quiet=json) as report:
        inquiry = look_up(experiment, report)
    if introduction:  # something to read while the LM is fetched for the first time
        present(introduction(inquiry), aside=json)
    requests = requests_of(inquiry, out, again, accept_license=accept_license, json=json)
    if not introduction:
        present(run_introduction(inquiry), aside=json)
    records, answers = [], {}
    for request in requests:
        with progress_shown(quiet=json) as report:
            if plan:
                planned = plan_answer(request, out, portion=portion, progress=report)
            else:
                found = answer(request, out, again=again, portion=portion, progress=report)
        records.append(show_plan(planned, json=json) if plan else show_answer(found, json=json))
        if not plan and isinstance(found, FinishedRun):
            answers[display(found.folder)] = found.results
    if len(answers) > 1:
        present(Document(tuple(runs_table(answers))), aside=json)
    if json:
        write_json(records[0] if len(records) == 1 else records)


def requests_of(
    inquiry: Inquiry, out: Path | None, again: bool, *, accept_license: bool, json: bool
) -> list[Request]:
    """An inquiry to every LM that it names, each with a folder that can be had.

    Raises:
        CfgenError: There is no such LM, a folder is taken, or one is named for several LMs
            (``one-folder-for-several``).
    """
    from cfgen.experiments import folder_of, make_request

    with progress_shown(quiet=json) as report:
        requests = [
            make_request(inquiry, model, accept_license=accept_license, progress=report)
            for model in inquiry.experiment.models or (None,)
        ]
    if out is not None and len(requests) > 1:
        message = "--out names one folder, but several LMs are asked"
        hint = "leave --out away: each answer gets a folder below runs/"
        raise CfgenError(Problem("one-folder-for-several", message, hint=hint))
    for request in requests:
        folder_of(request, out, again=again)
    return requests


def show_plan(planned: PlannedRun | FinishedRun, *, json: bool) -> dict[str, Any]:
    """Show what answering a request will take, or that it was answered, and give it for JSON."""
    from cfgen.experiments import FinishedRun
    from cfgen.report import plan_record, plan_view

    if isinstance(planned, FinishedRun):
        return show_answer(planned, json=json)
    present(plan_view(planned), aside=json)
    return plan_record(planned)


def show_answer(
    found: FinishedRun | PartialRun, *, json: bool, how: str = "the same command goes on"
) -> dict[str, Any]:
    """Show what came out of a request, and give it as a record for JSON.

    Args:
        found: What came out.
        json: Whether it goes to standard error, since standard output is for JSON.
        how: How to go on where something is missing that is not for other shards.
    """
    from cfgen.experiments import FinishedRun
    from cfgen.report import run_view

    folder = str(found.folder.absolute())
    if not isinstance(found, FinishedRun):
        left = found.remainder
        others = "the rest is for other shards; `cfgen merge` puts them together in the end"
        there = f"{left.done} of {left.units} units are in {display(found.folder)}"
        remark(f"{there}; {how if left.late else others}")
        return {"folder": folder, **asdict(found.remainder)}
    if found.found:
        remark(f"asked before: what came out is in {display(found.folder)} (--again asks anew)")
    present(run_view(found.results, found.folder), aside=json)
    return {**found.results.model_dump(mode="json"), "folder": folder}


def _shard(text: str | None) -> tuple[int, int]:
    """Read which share is computed.

    Raises:
        CfgenError: It is not ``I/N`` with I from 1 to N (``bad-shard``).
    """
    if text is None:
        return (1, 1)
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        hint = "give the number of the share and how many there are, as in --shard 3/8"
        raise CfgenError(Problem("bad-shard", f"--shard {text} is no share", hint=hint))
    return int(found[1]), int(found[2])


_SECONDS = {"s": 1, "m": 60, "h": 3600}


def _limit(text: str | None) -> float | None:
    """When to stop, by :func:`time.monotonic`.

    Raises:
        CfgenError: It is no time (``bad-time``).
    """
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    if not found:
        hint = "give a number and s, m or h, as in --time 20m"
        raise CfgenError(Problem("bad-time", f"--time {text} is no time", hint=hint))
    return time.monotonic() + float(found[1]) * _SECONDS[found[2]]


def demo(
    n: Annotated[
        int | None, typer.Option("-n", help="Number of pairs; a few if not given.", min=1)
    ] = None,
    seed: Seed = 0,
    model: Model = None,
    accept_license: AcceptLicense = False,
    out: AnswerFolder = None,
    json: Json = False,
) -> None:
    """Run the main job once: a causal model's hypotheses, tested on a real LM, and explained."""
    from cfgen.experiments import Experiment, Portion
    from cfgen.paths import builtin_root
    from cfgen.report import closing, introduction, load_story

    story = load_story()
    experiment = Experiment(
        # by its file: who runs the demo names no task, so none of the folder's is meant
        task=str(builtin_root() / "causal_models" / f"{story.task}.py"),
        n=n or story.pairs,
        design=story.design,
        seed=seed,
        models=(model,) if model else (),
    )
    ask(
        experiment,
        out,
        False,
        Portion(),
        accept_license=accept_license,
        json=json,
        introduction=lambda inquiry: introduction(
            story, inquiry.source.pairs[0], list(inquiry.sites)
        ),
    )
    present(closing(story), aside=json)
