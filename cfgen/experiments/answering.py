"""Answer a request in a folder: what is there is shown, what was begun is gone on with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfgen.errors import CfgenError, Problem
from cfgen.experiments.consistency import is_path
from cfgen.experiments.definition import EXACT_GUIDES, Experiment
from cfgen.experiments.files import read_experiment, write_experiment
from cfgen.experiments.inquiry import Request, look_up, make_request
from cfgen.experiments.methods import METHODS
from cfgen.experiments.notation import shown
from cfgen.experiments.portions import EVERYTHING_NOW, NOTHING_NOW, Portion, Remainder
from cfgen.experiments.results import (
    CONTINUATIONS_FILE,
    EFFECTS_FILE,
    OUTPUTS,
    Results,
    as_results,
    continuations_table,
    effects_table,
    is_behaviour,
    method_of,
    outputs_table,
    read_as,
)
from cfgen.experiments.store import (
    UNITS,
    RunStore,
    check_ours,
    merge_units,
    new_beside,
    open_store,
    read_finished,
    read_record,
)
from cfgen.paths import display
from cfgen.progress import Progress, kept_if_interrupted, no_progress

if TYPE_CHECKING:
    from cfgen.experiments.planning import Plan
    from cfgen.lm import LM

RUNS = Path("runs")
"""Folder that answers go to, one folder each."""
PAIRS = "pairs.parquet"
EXPERIMENT = "experiment.yaml"


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """What came out of a request.

    Attributes:
        folder: Where it is written.
        results: The numbers.
        found: Whether it was there already.
    """

    folder: Path
    results: Results
    found: bool


@dataclass(frozen=True, slots=True)
class PartialRun:
    """A request of which something is missing yet.

    Attributes:
        folder: Where what there is lies.
        remainder: How much that is, and why it is not more.
    """

    folder: Path
    remainder: Remainder


def answer(
    request: Request,
    out: Path | None = None,
    *,
    again: bool = False,
    portion: Portion = EVERYTHING_NOW,
    lm: LM | None = None,
    progress: Progress = no_progress,
) -> FinishedRun | PartialRun:
    """Answer a request, or as much of it as is to be answered here and now.

    A request that was answered before is answered from its folder, without the LM and without
    torch; one that was begun is gone on with.

    Args:
        request: What is asked.
        out: The folder; one below ``runs`` if not given, whose name says what is asked.
        again: Whether to compute everything anew, in a folder beside the one that there is.
        portion: Which units are computed here and now.
        lm: The LM, if it is loaded already.
        progress: Called with progress.

    Raises:
        CfgenError: The folder holds another answer, or something else; the LM can't be loaded; or
            a check failed.
    """
    check_swaps(request.inquiry.experiment)
    if portion.shard != (1, 1):
        _check_dealt_out(request.inquiry.experiment)
    folder = folder_of(request, out, again=again)
    finished = _finished(folder, request)
    if finished:
        return finished
    shard = portion.shard
    name = "" if shard == (1, 1) else f"{shard[0]}-of-{shard[1]}"
    with opened_store(request, folder, name, progress, alone=again) as store:
        # another process may have finished it while this one waited for the folder
        return _finished(folder, request) or _compute(store, request, portion, lm, progress)


def folder_of(request: Request, out: Path | None, *, again: bool = False) -> Path:
    """Where a request is answered.

    Raises:
        CfgenError: That is the folder of another experiment (``store-of-another``), or holds
            something else (``folder-in-use``).
    """
    folder = out or RUNS / request.name
    if again:
        return new_beside(folder)
    check_ours(folder, request.key, request.facts)
    return folder


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """What a request will take.

    Attributes:
        folder: Where the units that were measured are kept.
        plan: What it will take.
        disk: Bytes that its units will need there at most, if all are like the largest.
    """

    folder: Path
    plan: Plan
    disk: int


def plan_answer(
    request: Request,
    out: Path | None = None,
    *,
    portion: Portion = EVERYTHING_NOW,
    progress: Progress = no_progress,
) -> PlannedRun | FinishedRun:
    """Say what answering a request will take; the first units, which are measured, are kept.

    Args:
        request: What is asked.
        out: The folder; one below ``runs`` if not given.
        portion: Which share is planned.
        progress: Called with progress.

    Returns:
        The plan; or what came out, if that is there already.

    Raises:
        CfgenError: As :func:`answer`.
    """
    check_swaps(request.inquiry.experiment)
    _check_planned(request.inquiry.experiment)
    folder = folder_of(request, out)
    finished = _finished(folder, request)
    if finished:
        return finished
    with opened_store(request, folder, "", progress) as store:
        progress("loading libraries", 0, None)
        from cfgen.experiments.planning import plan_experiment

        lm, inquiry = load_for(request, progress), request.inquiry
        plan = plan_experiment(lm, inquiry, store, portion=portion, report=progress)
        sizes = [path.stat().st_size for path in (folder / UNITS).glob("*.parquet")]
        return PlannedRun(folder, plan, max(sizes) * plan.units)


def merge_shards(
    request: Request, shards: Sequence[Path], out: Path, *, progress: Progress = no_progress
) -> FinishedRun | PartialRun:
    """Put what several machines computed of one request together, and count it.

    Args:
        request: What was asked.
        shards: Folders of it.
        out: Folder that all of it is put into.
        progress: Called with progress.

    Raises:
        CfgenError: A folder is of no or of another experiment, or two disagree about a unit.

    Returns:
        What came out; or what is missing, if not all shards are there: nothing is computed.
    """
    check_swaps(request.inquiry.experiment)
    _check_dealt_out(request.inquiry.experiment)
    with opened_store(request, out, "", progress) as store:
        merge_units(store, {display(folder): folder for folder in shards})
    return answer(request, out, portion=NOTHING_NOW, progress=progress)


def _check_dealt_out(experiment: Experiment) -> None:
    """Check that shares of an experiment can be computed each for itself.

    Raises:
        CfgenError: What is run hangs on what comes out of all pairs (``not-dealt-out``).
    """
    if experiment.mediators:
        message = (
            "sets of mediators are chosen by what all pairs of a half say: there are no shards"
        )
        hint = "leave --shard and `cfgen merge` out; --time 20m stops, and goes on later"
        raise CfgenError(Problem("not-dealt-out", message, hint=hint))


def _check_planned(experiment: Experiment) -> None:
    """Check that what an experiment takes is known from its first units.

    Raises:
        CfgenError: It takes more, by far or depending on what comes out (``not-planned``).
    """
    more = {
        f"--guide {experiment.guide}": experiment.guide in EXACT_GUIDES,
        "--mediators": experiment.mediators > 0,
    }
    for flag, asked in more.items():
        if asked:
            message = f"what {flag} takes is not planned: it is not in the units that are measured"
            hint = "run it with --time 10m, and look how far that was enough for"
            raise CfgenError(Problem("not-planned", message, hint=hint))


def check_swaps(experiment: Experiment) -> None:
    """Check that an experiment changes the LM place by place, in units that are each for itself.

    Raises:
        CfgenError: Nothing is to be changed (``behaviour-only``), or edges are looked for
            (``circuit-only``).
    """
    if experiment.method == "circuit":
        message = "with `method: circuit` edges are chosen by all pairs: there are no shards"
        hint = "leave --shard and `cfgen merge` out; --time 20m stops, and goes on later"
        raise CfgenError(Problem("circuit-only", message, hint=hint))
    if experiment.method == "behaviour":
        message = "with `method: behaviour` nothing is swapped, so there is nothing to run"
        hint = "ask it with: cfgen behave"
        raise CfgenError(Problem("behaviour-only", message, hint=hint))


def asked_in(folder: Path, *, task: str | None = None, progress: Progress = no_progress) -> Request:
    """What was asked in the folder of a run, finished or not.

    Args:
        folder: The folder, which may come from somebody else.
        task: Name or path of the task, instead of what is said there.
        progress: Called with progress.

    Raises:
        CfgenError: It is no folder of a run, or what was asked can't be looked up any more; or its
            task was given by a path (``experiment-task-path``): only a user names files to be run.
    """
    if read_record(folder) is None:
        raise _no_run(folder)
    experiment = read_experiment(folder / EXPERIMENT, named=False)
    if experiment.task is not None and task is not None:
        experiment = experiment.model_copy(update={"task": task})
    elif experiment.task is not None and is_path(experiment.task):
        message = f"the task is {shown(experiment.task)}; no file is run because a folder says so"
        hint = "if you know the file, name it: --task FILE"
        place = display(folder / EXPERIMENT)
        raise CfgenError(Problem("experiment-task-path", message, place, hint))
    (model,) = experiment.models
    return make_request(look_up(experiment, progress), model, progress=progress)


@contextmanager
def opened_store(
    request: Request, folder: Path, shard: str, progress: Progress, *, alone: bool = False
) -> Iterator[RunStore]:
    """Open the folder of a request, or make it; see :func:`cfgen.experiments.open_store`.

    Whatever is done with it, Ctrl-C says what is kept.
    """
    files = {EXPERIMENT: write_experiment(request.inquiry.experiment).encode()}
    opened = open_store(
        folder, request.key, request.facts, files, shard=shard, alone=alone, report=progress
    )
    with opened as store, kept_if_interrupted(lambda: _kept_units(store)):
        yield store


def _finished(folder: Path, request: Request) -> FinishedRun | None:
    content = finished_content(folder, request)
    return None if content is None else FinishedRun(folder, _results(content), found=True)


def finished_content(folder: Path, request: Request) -> dict[str, Any] | None:
    """What ``results.json`` says where it is the answer to this request; None if there is none."""
    content = read_finished(folder)
    return content if content is not None and content["key"] == request.key else None


def _compute(
    store: RunStore, request: Request, portion: Portion, lm: LM | None, progress: Progress
) -> FinishedRun | PartialRun:
    progress("loading libraries", 0, None)
    from cfgen.experiments.stages import run_experiment

    lm, inquiry = lm or load_for(request, progress), request.inquiry
    record = run_experiment(lm, inquiry, store, portion=portion, report=progress)
    if isinstance(record, Remainder):
        return PartialRun(store.folder, record)
    results = as_results(record, inquiry)
    pairs = inquiry.source.table(record.pairs)
    said = {OUTPUTS: outputs_table(record.outputs)}
    if METHODS[inquiry.experiment.method].effects:
        said = {EFFECTS_FILE: effects_table(record.effects)}
    if inquiry.experiment.generate:
        said[CONTINUATIONS_FILE] = continuations_table(record.continuations)
    store.finish(results.model_dump(mode="json"), {**said, PAIRS: pairs})
    return FinishedRun(store.folder, results, found=False)


def load_for(request: Request, progress: Progress) -> LM:
    """Load the LM of a request, as it says."""
    from cfgen.lm import load_lm

    options = request.inquiry.experiment.engine
    return load_lm(
        request.checkpoint, device=options.device, dtype=options.dtype, progress=progress
    )


def _kept_units(store: RunStore) -> str:
    """Say what there is of something that was interrupted, also if it read nothing of it yet."""
    count = sum(1 for _ in (store.folder / UNITS).glob("*.parquet"))
    units = "1 unit is" if count == 1 else f"{count} units are"
    return f"{units} kept in {display(store.folder)}; the same command goes on."


def read_results(folder: Path) -> Results:
    """What came out of a run.

    Raises:
        CfgenError: There is no run, it is not finished, or it was changed.
    """
    record, content = read_record(folder), read_finished(folder)
    if content is not None:
        return _results(content)
    if record is None:
        raise _no_run(folder)
    message = f"the run in {display(folder)} is not finished"
    hint = f"go on with: cfgen run {display(folder / EXPERIMENT)} --out {display(folder)}"
    raise CfgenError(Problem("run-not-finished", message, hint=hint))


def _results(content: Mapping[str, Any]) -> Results:
    """The results of swaps in what is written."""
    if is_behaviour(content):
        message = "this is the answer of `cfgen behave`, in which nothing was swapped"
        raise CfgenError(Problem("behaviour-only", message, hint="`cfgen results` shows it"))
    if method_of(content) == "circuit":
        message = "this is a run that looked for edges, and has no cells"
        hint = "`cfgen results` shows it, and `cfgen figure` draws it"
        raise CfgenError(Problem("circuit-only", message, hint=hint))
    return read_as(Results, content)


def _no_run(folder: Path) -> CfgenError:
    message = f"{display(folder)} is no folder of a run"
    return CfgenError(Problem("not-a-run", message, hint="`cfgen runs` lists those that there are"))
