"""cfgen's fast engine: interchanges as branches of the original's run."""

from __future__ import annotations

from cfgen.lm import LM
from sweeps.engines import run_engine
from sweeps.jobs import Job, Outcome

PACKAGES = ("torch", "transformers")


def run(lm: LM, job: Job) -> Outcome:
    """Run the job."""
    return run_engine(lm, job, "packed")
