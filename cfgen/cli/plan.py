"""Runs on an LM: planned without it, then carried out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cfgen.cli.options import parse_layers
from cfgen.cli.output import Progress
from cfgen.errors import CfgenError, Problem
from cfgen.folders import check_replaceable
from cfgen.paths import display, plain_name

if TYPE_CHECKING:
    from cfgen.analysis import Results
    from cfgen.counterfactuals import Design, Pair, Site
    from cfgen.tasks import Task
    from cfgen.weights import Checkpoint

PAIRS = "pairs.parquet"
BATCH_SIZE = 16
"""Prompts that go through the LM at once."""
VERIFIED = 8
"""Swaps that are run again on the reference engine."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a run depends on, checked as far as that goes without the LM.

    Attributes:
        task: The task.
        pairs: The pairs to run.
        sites: Hypothesis -> where it is tested.
        layers: Layers to sweep; None for all.
        model: Name of the LM.
        out: Folder for the results.
        seed: What the pairs were drawn with.
        split: Whose words they use.
        templates: Template ids asked for; empty for the task's default.
        chosen: Whether the user named the LM.
    """

    task: Task
    pairs: Sequence[Pair]
    sites: dict[str, Site]
    layers: list[int] | None
    model: str
    out: Path
    seed: int
    split: str
    templates: tuple[str, ...]
    chosen: bool


def make_plan(
    task: str,
    n: int,
    *,
    design: str | None = None,
    seed: int = 0,
    model: str | None = None,
    out: Path | None = None,
    hypotheses: Sequence[str] = (),
    layers: str | None = None,
    split: str = "test",
    templates: tuple[str, ...] = (),
) -> Plan:
    """Check what was asked for and draw the pairs; needs no torch.

    Raises:
        CfgenError: Something that was named does not exist, the folder is in use, or so many
            pairs cannot be made.
    """
    from cfgen.datasets import draw_pairs, recipe

    made = recipe(task, n, design=design, seed=seed, templates=templates)
    sites = sites_of(made.task, made.design, hypotheses)
    swept = parse_layers(layers) if layers is not None else None
    named = model or made.task.default_model
    folder = out or Path("runs", _folder_name(made.task.name, made.design.name, named))
    check_replaceable(folder, record="results.json")
    return Plan(
        task=made.task,
        pairs=draw_pairs(made, split=split),
        sites=sites,
        layers=swept,
        model=named,
        out=folder,
        seed=seed,
        split=split,
        templates=templates,
        chosen=model is not None,
    )


def sites_of(task: Task, design: Design, names: Sequence[str]) -> dict[str, Site]:
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


def execute(
    plan: Plan,
    report: Progress,
    *,
    device: str,
    dtype: str,
    batch_size: int,
    engine: str = "auto",
    verified: int = VERIFIED,
    accept_license: bool = False,
) -> Results:
    """Run a plan and write its results.

    Args:
        plan: What to run.
        report: Called with progress.
        device: As in :func:`cfgen.lm.load_lm`.
        dtype: Likewise.
        batch_size: Prompts per forward.
        engine: ``auto``, ``packed`` or ``reference``.
        verified: How many swaps to run again on the reference engine.
        accept_license: As in :func:`cfgen.lm.load_lm`.

    Returns:
        What was written to ``results.json``.

    Raises:
        CfgenError: The LM can't be loaded, the folder can't be written, or a check failed.
    """
    import pyarrow.parquet as pq

    found = _find(plan, report, accept_license)
    report("loading libraries", 0, None)
    from cfgen.analysis import run_experiment, write_results
    from cfgen.datasets.features import table_maker
    from cfgen.lm import load_lm

    lm = load_lm(found, device=device, dtype=dtype, progress=report)
    experiment = run_experiment(
        lm,
        plan.pairs,
        plan.sites,
        layers=plan.layers,
        batch_size=batch_size,
        engine=engine,
        verified=verified,
        progress=report,
    )
    table = table_maker(plan.task)(plan.pairs)
    settings: dict[str, str | int | float | bool | None] = {
        "task_version": plan.task.version,
        "content_hash": plan.task.content_hash,
        "split": plan.split,
        "templates": ", ".join(plan.templates or (plan.task.default_template or "all",)),
        "batch_size": batch_size,
        "attention": lm.attention,
    }
    return write_results(
        experiment,
        plan.out,
        seed=plan.seed,
        settings=settings,
        also=lambda folder: pq.write_table(table, folder / PAIRS, compression="zstd"),
    )


def _find(plan: Plan, report: Progress, accept_license: bool) -> Checkpoint:
    """Fetch the LM if need be; where the user did not name it, an error says who did."""
    from cfgen.weights import find_checkpoint

    try:
        return find_checkpoint(plan.model, accept_license=accept_license, progress=report)
    except CfgenError as error:
        if plan.chosen or all(problem.code != "lm-unknown" for problem in error.problems):
            raise
        message = f"task {plan.task.name!r} is run on {plan.model!r} by default, which is not there"
        hint = "name another LM with --model; `cfgen models` lists those known by name"
        where = display(plan.task.path)
        raise CfgenError(Problem("no-default-model", message, where, hint)) from error


def _folder_name(task: str, design: str, model: str) -> str:
    """Name of the folder of a run; of an LM, the last part of its path, without ``gguf``."""
    if model.startswith("gguf:"):
        model = model.removeprefix("gguf:").removesuffix(".gguf")
    last = re.sub(r"[^A-Za-z0-9._-]+", "-", model.rstrip("/").rpartition("/")[2]).strip("-.")
    return plain_name(f"{task}-{design}-{last}", "the run")
