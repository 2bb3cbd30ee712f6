"""cfgen's plain engine: one forward per interchange, nothing reused."""

from __future__ import annotations

from cfgen.lm import LM
from sweeps.engines import run_engine
from sweeps.jobs import Job, Outcome

PACKAGES = ("torch", "transformers")


def run(lm: LM, job: Job) -> Outcome:
    """Run the job."""
    return run_engine(lm, job, "reference")
