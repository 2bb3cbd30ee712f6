"""Experiments on pairs at hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from cfgen.counterfactuals import Pair, Site, answers_of
from cfgen.datasets import PairSource
from cfgen.experiments import (
    EngineOptions,
    Experiment,
    Inquiry,
    MemoryStore,
    Request,
    RunRecord,
    SweepOptions,
    as_request,
    run_experiment,
)
from cfgen.lm import LM, Candidates
from cfgen.progress import Progress, no_progress
from cfgen.weights import Checkpoint


def source_of(pairs: Sequence[Pair], candidates: Candidates | None = None) -> PairSource:
    """Pairs at hand, of which nothing else is known."""
    return PairSource(
        pairs=tuple(pairs),
        task="stories",
        design="by_hand",
        hypotheses={},
        descriptions={},
        tested=(),
        candidates=candidates or {answer: (answer,) for answer in answers_of(pairs)},
        total=len(pairs),
        rows=_Rows,  # type: ignore[arg-type]
        description="made by a test",
        remark="",
        default_model=None,
        facts={"split": "test"},
    )


class _Rows:
    """Keeps of pairs what tells them apart."""

    def table(self, pairs: Sequence[Pair]) -> pa.Table:
        return pa.table({"id": [pair.id for pair in pairs]})


def request_of(pairs: Sequence[Pair], sites: Mapping[str, Site], **fields: Any) -> Request:
    """A request about pairs and sites to a tiny LM."""
    checkpoint = Checkpoint("tiny", Path("tiny"), (), "seed:0")
    return as_request(inquiry_of(pairs, sites, **fields), checkpoint)


def inquiry_of(
    pairs: Sequence[Pair],
    sites: Mapping[str, Site],
    *,
    layers: Iterable[int] | None = None,
    candidates: Candidates | None = None,
    engine: str = "auto",
    batch_size: int = 16,
    verified: int = 2,
    **fields: Any,
) -> Inquiry:
    """An inquiry about pairs and sites."""
    options = EngineOptions(name=engine, batch_size=batch_size, verify=verified)
    over = None if layers is None else ",".join(map(str, layers))
    asked = {"task": "t", "engine": options, "sweep": SweepOptions(over=over), **fields}
    every = source_of(pairs, candidates)
    experiment = Experiment(**{"n": max(1, len(pairs)), **asked})

    def draw(n: int) -> PairSource:
        return replace(every, pairs=every.pairs[:n])

    return Inquiry(experiment, draw(experiment.n), draw, sites)


def ask(
    lm: LM,
    pairs: Sequence[Pair],
    sites: Mapping[str, Site],
    *,
    units: Any = None,
    progress: Progress = no_progress,
    **fields: Any,
) -> RunRecord:
    """Run an experiment on pairs and sites, without a folder."""
    units = MemoryStore() if units is None else units
    found = run_experiment(lm, inquiry_of(pairs, sites, **fields), units, report=progress)
    assert isinstance(found, RunRecord)
    return found


def contents(folder: Path) -> dict[str, bytes]:
    """Name -> bytes of all files of a run that two of the same have in common."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "log.jsonl" and not path.name.startswith(".lock")
    }
