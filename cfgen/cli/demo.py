"""``cfgen demo``: the main job from one end to the other, explained on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cfgen.cli.options import AcceptLicense, Json, Model, Seed
from cfgen.cli.output import present, progress_shown, write_json
from cfgen.cli.plan import BATCH_SIZE, execute, make_plan


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
    from cfgen.report import closing, introduction, load_story, run_view

    story = load_story()
    plan = make_plan(
        story.task, n or story.pairs, design=story.design, seed=seed, model=model, out=out
    )
    present(introduction(story, plan.pairs[0], list(plan.sites)), aside=json)
    with progress_shown(quiet=json) as report:
        outcome = execute(
            plan,
            report,
            device="auto",
            dtype="float32",
            batch_size=BATCH_SIZE,
            accept_license=accept_license,
        )
    present(run_view(outcome, plan.pairs, plan.out), aside=json)
    present(closing(story), aside=json)
    if json:
        write_json({**outcome.model_dump(mode="json"), "folder": str(plan.out.absolute())})
