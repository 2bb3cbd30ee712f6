"""``cfgen run`` and ``cfgen demo``: test hypotheses on an LM.

A run is planned first, without the LM and without torch, so that a mistake in what was asked for is
found at once; then it is carried out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cfgen.cli.options import (
    AcceptLicense,
    Design,
    Json,
    Model,
    Seed,
    TaskName,
    Templates,
    parse_layers,
)
from cfgen.cli.output import present, progress_shown, write_json
from cfgen.errors import CfgenError, Problem
from cfgen.folders import check_replaceable
from cfgen.paths import display, plain_name
from cfgen.progress import Progress

if TYPE_CHECKING:
    from cfgen import counterfactuals
    from cfgen.counterfactuals import Pair, Site
    from cfgen.experiments import Results
    from cfgen.tasks import Task
    from cfgen.weights import Checkpoint

PAIRS = "pairs.parquet"
BATCH_SIZE = 16
"""Prompts that go through the LM at once."""
VERIFIED = 8
"""Swaps that are run again on the reference engine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What a run was asked for; each field is an option of ``cfgen run``, with its default."""

    task: str
    n: int
    design: str | None = None
    seed: int = 0
    model: str | None = None
    accept_license: bool = False
    out: Path | None = None
    hypotheses: tuple[str, ...] = ()
    layers: str | None = None
    split: str = "test"
    templates: tuple[str, ...] = ()
    device: str = "auto"
    dtype: str = "float32"
    batch_size: int = BATCH_SIZE
    engine: str = "auto"
    verify: int = VERIFIED
    chat: bool = False


@dataclass(frozen=True, slots=True)
class RunPlan:
    """Everything that a run depends on, checked as far as that goes without the LM.

    Attributes:
        request: What was asked for.
        task: The task.
        pairs: The pairs to run.
        sites: Hypothesis -> where it is tested.
        candidates: What may be answered -> the texts that are this answer.
        layers: Layers to sweep; None for all.
        model: Name of the LM.
        out: Folder for the results.
    """

    request: RunRequest
    task: Task
    pairs: Sequence[Pair]
    sites: dict[str, Site]
    candidates: dict[str, tuple[str, ...]]
    layers: list[int] | None
    model: str
    out: Path


def run(
    task: TaskName,
    n: Annotated[int, typer.Option("-n", help="Number of pairs.", min=1)] = 64,
    design: Design = None,
    seed: Seed = 0,
    model: Model = None,
    accept_license: AcceptLicense = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the results; runs/TASK-DESIGN-MODEL if not given."),
    ] = None,
    hypothesis: Annotated[
        list[str] | None,
        typer.Option(
            "--hypothesis", help="Repeat it for several; those of the design's contrast if none."
        ),
    ] = None,
    layers: Annotated[
        str | None, typer.Option("--layers", help="Such as 20-29 or 0,5,10-12; all if not given.")
    ] = None,
    split: Annotated[str, typer.Option("--split", help="Whose words the pairs use.")] = "test",
    template: Templates = None,
    device: Annotated[
        str, typer.Option("--device", help="auto, cpu, cuda, cuda:1 or mps.")
    ] = "auto",
    dtype: Annotated[
        str, typer.Option("--dtype", help="float32, bfloat16 or float16.")
    ] = "float32",
    batch_size: Annotated[
        int, typer.Option("--batch-size", help="Prompts that go through the LM at once.", min=1)
    ] = BATCH_SIZE,
    engine: Annotated[
        str,
        typer.Option(
            "--engine", help="packed, reference (slow and plain), or auto: packed if possible."
        ),
    ] = "auto",
    verify: Annotated[
        int,
        typer.Option(
            "--verify",
            help="Swaps to run again on the reference engine; an error if any differs.",
            min=0,
        ),
    ] = VERIFIED,
    chat: Annotated[
        bool,
        typer.Option(
            "--chat", help="Make each prompt the user's message in the LM's own chat template."
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Test hypotheses: swap activations of an LM, and compare what it says with the predictions."""
    from cfgen.report import run_introduction, run_view

    plan = plan_run(
        RunRequest(
            task=task,
            n=n,
            design=design,
            seed=seed,
            model=model,
            accept_license=accept_license,
            out=out,
            hypotheses=tuple(hypothesis or ()),
            layers=layers,
            split=split,
            templates=tuple(template or ()),
            device=device,
            dtype=dtype,
            batch_size=batch_size,
            engine=engine,
            verify=verify,
            chat=chat,
        )
    )
    present(run_introduction(plan.task, plan.pairs[0], plan.sites, n), aside=json)
    with progress_shown(quiet=json) as report:
        outcome = execute(plan, report)
    present(run_view(outcome, plan.pairs, plan.out), aside=json)
    if json:
        write_json({**outcome.model_dump(mode="json"), "folder": str(plan.out.absolute())})


def demo(
    n: Annotated[
        int | None, typer.Option("-n", help="Number of pairs; a few if not given.", min=1)
    ] = None,
    seed: Seed = 0,
    model: Model = None,
    accept_license: AcceptLicense = False,
    out: Annotated[Path, typer.Option("--out", help="Folder for the results.")] = Path(
        "runs", "demo"
    ),
    json: Json = False,
) -> None:
    """Run the main job once: a causal model's hypotheses, tested on a real LM, and explained."""
    from cfgen.paths import builtin_root
    from cfgen.report import closing, introduction, load_story, run_view

    story = load_story()
    plan = plan_run(
        RunRequest(
            # by its file: who runs the demo names no task, so none of the folder's is meant
            task=str(builtin_root() / "causal_models" / f"{story.task}.py"),
            n=n or story.pairs,
            design=story.design,
            seed=seed,
            model=model,
            accept_license=accept_license,
            out=out,
        )
    )
    present(introduction(story, plan.pairs[0], list(plan.sites)), aside=json)
    with progress_shown(quiet=json) as report:
        outcome = execute(plan, report)
    present(run_view(outcome, plan.pairs, plan.out), aside=json)
    present(closing(story), aside=json)
    if json:
        write_json({**outcome.model_dump(mode="json"), "folder": str(plan.out.absolute())})


def plan_run(request: RunRequest) -> RunPlan:
    """Check what was asked for and draw the pairs; needs no torch.

    Raises:
        CfgenError: Something that was named does not exist, the folder is in use, or so many
            pairs cannot be made.
    """
    from cfgen.datasets import draw_pairs, recipe
    from cfgen.tasks import candidates_of

    made = recipe(
        request.task,
        request.n,
        design=request.design,
        seed=request.seed,
        templates=request.templates,
    )
    sites = sites_of(made.task, made.design, request.hypotheses)
    layers = parse_layers(request.layers) if request.layers is not None else None
    model = request.model or made.task.default_model
    name = folder_name(made.task.name, made.design.name, model)
    out = request.out or Path("runs", f"{name}-chat" if request.chat else name)
    check_replaceable(out, record="results.json")
    pairs = draw_pairs(made, split=request.split)
    candidates = candidates_of(made.task, pairs)
    return RunPlan(request, made.task, pairs, sites, candidates, layers, model, out)


def sites_of(task: Task, design: counterfactuals.Design, names: Sequence[str]) -> dict[str, Site]:
    """The hypotheses to test, and where: those named, or else those that the design tells apart.

    Raises:
        CfgenError: A hypothesis does not exist, or none is named and the design names none
            either (``nothing-to-test``).
    """
    from cfgen.counterfactuals import ALL

    listed = [*names] or [name for name in design.contrast if name != ALL]
    if not listed:
        message = f"design {design.name!r} names no hypotheses to tell apart"
        hint = f"name some with --hypothesis: there is {', '.join(task.hypotheses)}"
        raise CfgenError(Problem("nothing-to-test", message, design.where, hint))
    return {name: task.hypothesis(name).site for name in listed}


def folder_name(task: str, design: str, model: str) -> str:
    """Name of the folder of a run; of an LM, the last part of its path, without ``gguf``."""
    if model.startswith("gguf:"):
        model = model.removeprefix("gguf:").removesuffix(".gguf")
    last = re.sub(r"[^A-Za-z0-9._-]+", "-", model.rstrip("/").rpartition("/")[2]).strip("-.")
    return plain_name(f"{task}-{design}-{last}", "the run")


def execute(plan: RunPlan, report: Progress) -> Results:
    """Run a plan and write its results.

    Args:
        plan: What to run.
        report: Called with progress.

    Returns:
        What was written to ``results.json``.

    Raises:
        CfgenError: The LM can't be loaded, the folder can't be written, or a check failed.
    """
    import pyarrow.parquet as pq

    request = plan.request
    checkpoint = _checkpoint(plan, report)
    report("loading libraries", 0, None)
    from cfgen.datasets import pairs_table
    from cfgen.experiments import run_experiment, write_results
    from cfgen.lm import load_lm

    lm = load_lm(checkpoint, device=request.device, dtype=request.dtype, progress=report)
    experiment = run_experiment(
        lm,
        plan.pairs,
        plan.sites,
        candidates=plan.candidates,
        chat=request.chat,
        layers=plan.layers,
        batch_size=request.batch_size,
        engine=request.engine,
        verified=request.verify,
        progress=report,
    )
    table = pairs_table(plan.task, plan.pairs)
    settings: dict[str, str | int | float | bool | None] = {
        "task_version": plan.task.version,
        "content_hash": plan.task.content_hash,
        "split": request.split,
        "templates": ", ".join(request.templates or (plan.task.default_template or "all",)),
        "batch_size": request.batch_size,
        "chat": request.chat,
    }
    return write_results(
        experiment,
        plan.out,
        seed=request.seed,
        settings=settings,
        also=lambda folder: pq.write_table(table, folder / PAIRS, compression="zstd"),
    )


def _checkpoint(plan: RunPlan, report: Progress) -> Checkpoint:
    """Fetch the LM if need be; where the user did not name it, an error says who did."""
    from cfgen.weights import UnknownModel, find_checkpoint

    accept = plan.request.accept_license
    try:
        return find_checkpoint(plan.model, accept_license=accept, progress=report)
    except UnknownModel as error:
        if plan.request.model:
            raise
        message = f"task {plan.task.name!r} is run on {plan.model!r} by default, which is not there"
        hint = "name another LM with --model; `cfgen models` lists those known by name"
        where = display(plan.task.path)
        raise CfgenError(Problem("no-default-model", message, where, hint)) from error
