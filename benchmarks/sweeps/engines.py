"""cfgen's own engines, on the jobs that all tools are given."""

from __future__ import annotations

from dataclasses import asdict

from cfgen.interventions import Engine, Question, Work, choose_engine
from cfgen.lm import LM
from sweeps.jobs import Collector, Job, Outcome
from sweeps.runs import runs_of

ASKED = Question(said=True, normaliser=False)

_engines: dict[tuple[int, str, int], Engine] = {}


def run_engine(lm: LM, job: Job, name: str) -> Outcome:
    """Run a job on one engine, with the checks that every run makes.

    Args:
        lm: The LM.
        job: The sweep. A sample of cells is not verified, as the caller compares all of them.
        name: Of the engine.
    """
    engine = _engine(lm, name, job.batch)
    found, work = Collector(job), Work()
    for unit in engine.units([len(prompt) for prompt in job.originals]):
        runs = [run for pair in unit for run in runs_of(engine.layout, job, pair)]
        tracked = [job.tracked[pair] for pair in unit for _ in job.cells]
        outcomes = engine.outcomes(runs, tracked, ASKED)
        assert outcomes.said is not None
        shape = len(unit), len(job.cells)
        logits = outcomes.logits.view(*shape, -1)  # (pairs, cells, tracked)
        found.note(unit, slice(None), outcomes.said.view(shape), logits)
        work += outcomes.work
    counts = {name: dict(getattr(work, name)) for name in ("filled", "whole")}
    costs = {name: asdict(getattr(work, name)) for name in ("clean", "edited")}
    return found.done(run=work.run, self_tested=work.self_tested, **counts, **costs)


def _engine(lm: LM, name: str, batch: int) -> Engine:
    """The engine; made once for a model, which is checked then, as other tools' wrappers are."""
    key = id(lm.model), name, batch
    if key not in _engines:
        _engines[key] = choose_engine(lm, name, batch_size=batch)
    return _engines[key]
