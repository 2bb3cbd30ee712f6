"""``cfgen run``: test hypotheses on an LM."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cfgen.cli.options import (
    AcceptLicense,
    Design,
    Json,
    Model,
    Seed,
    TaskName,
    Templates,
)
from cfgen.cli.output import present, progress_shown, write_json
from cfgen.cli.plan import BATCH_SIZE, VERIFIED, execute, make_plan


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
    json: Json = False,
) -> None:
    """Test hypotheses: swap activations of an LM, and compare what it says with the predictions."""
    from cfgen.report import run_introduction, run_view

    plan = make_plan(
        task,
        n,
        design=design,
        seed=seed,
        model=model,
        out=out,
        hypotheses=hypothesis or (),
        layers=layers,
        split=split,
        templates=tuple(template or ()),
    )
    present(run_introduction(plan.task, plan.pairs[0], plan.sites, n), aside=json)
    with progress_shown(quiet=json) as report:
        outcome = execute(
            plan,
            report,
            device=device,
            dtype=dtype,
            batch_size=batch_size,
            engine=engine,
            verified=verify,
            accept_license=accept_license,
        )
    present(run_view(outcome, plan.pairs, plan.out), aside=json)
    if json:
        write_json({**outcome.model_dump(mode="json"), "folder": str(plan.out.absolute())})
