"""cfgen's own engines, on the jobs that all tools are given."""

from __future__ import annotations

from dataclasses import asdict

import torch

from cfgen.interventions import (
    Branch,
    Edit,
    FromPrompt,
    check_branches,
    choose_engine,
    open_chunk,
    run_chunk,
)
from cfgen.lm import LM, Place
from sweeps.jobs import Cell, Collector, Job, Outcome


def run_engine(lm: LM, job: Job, name: str) -> Outcome:
    """Run a job on one engine, with the checks that every run makes.

    Args:
        lm: The LM.
        job: The sweep. A sample of cells is not verified, as the caller compares all of them.
        name: Of the engine.
    """
    engine = choose_engine(lm, name, batch_size=job.batch)
    count = len(job.originals)
    prompts = [*job.originals, *job.counterfactuals]
    cells = [divmod(index, count) for index in range(len(job.cells) * count)]  # (cell, pair)
    branches = [_branch(job.cells[cell], pair, count) for cell, pair in cells]
    check_branches(engine.layout, prompts, branches)
    found = Collector(job)
    for group in engine.chunks([len(prompt) for prompt in job.originals]):
        members = set(group)
        some = {index: branches[index] for index, (_, pair) in enumerate(cells) if pair in members}
        with torch.inference_mode():
            chunk = open_chunk(engine, prompts, some)
            for answered in run_chunk(engine, chunk):
                where = [cells[index] for index in answered.indices]
                found.put([pair for _, pair in where], [cell for cell, _ in where], answered.logits)
    notes = {
        "run": engine.tally.run,
        "filled": dict(engine.tally.filled),
        "self_tested": engine.tally.self_tested,
    }
    return found.done(**notes, clean=asdict(engine.tally.clean), cost=asdict(engine.tally.cost))


def _branch(cell: Cell, pair: int, count: int) -> Branch:
    source = FromPrompt(count + pair, (cell.of[pair],))
    place = Place(cell.component, cell.layer, cell.head)
    return Branch(pair, (Edit(place, (cell.to[pair],), source),))
