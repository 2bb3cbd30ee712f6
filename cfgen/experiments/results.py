"""Results on disk: ``outputs.parquet`` and ``results.json``, written together or not at all."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from cfgen.experiments.experiment import RunRecord
from cfgen.experiments.iia import Cell, VacuousCell
from cfgen.folders import new_folder, write_record
from cfgen.interventions import Check, Cost
from cfgen.stats import CONFIDENCE, Rate

Plain = str | int | float | bool | None
"""A value that JSON has as it is."""
_LIBRARIES = ("cfgen", "torch", "transformers", "tokenizers", "numpy", "scipy", "pyarrow")


class Share(BaseModel):
    """A rate: ``k`` of ``n``, with its 95 % Wilson interval."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    k: int
    n: int
    rate: float
    low: float
    high: float


class SiteRecord(BaseModel):
    """Where a hypothesis was tested."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    positions: tuple[str, ...]
    frozen: tuple[str, ...]
    align: Literal["slot", "word"]
    layers: Literal["each", "up_to"]
    component: str
    head: int | None
    neurons: tuple[int, ...]
    label: str


class EngineRecord(BaseModel):
    """How swaps were run.

    Attributes:
        name: ``packed`` or ``reference``.
        note: Why it is not the packed one, where that had been possible to choose.
        run: Swaps that were run.
        filled: Reason -> swaps that needed no run, as they can't change anything.
        whole: Reason -> runs that the packed engine had to execute whole, as the reference does.
        self_tested: How many of those were run all the same.
        verified: Swaps run again on the reference engine.
        budget: Tokens per forward, at the end.
        shrunk: How often it was halved, because memory did not suffice.
        clean: The prompts' unchanged runs.
        swaps: The swaps' runs.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: Literal["packed", "reference"]
    note: str
    run: int
    filled: dict[str, int]
    whole: dict[str, int]
    self_tested: int
    verified: int
    budget: int
    shrunk: int
    clean: Cost
    swaps: Cost


class Results(BaseModel):
    """The content of ``results.json``.

    Attributes:
        n: Pairs that were run; ``kept`` of them were answered correctly and hence swapped.
        clean_accuracy: Share of prompts answered correctly when nothing is changed, originals and
            counterfactuals pooled; None if no prompt has an answer. ``clean`` has the counts.
        keep_rate: Share of pairs kept. ``keep`` has the counts.
        vacuous: Sites and layers without cells, as nothing that was swapped differs.
        dropped: Reason -> pairs dropped by the filter.
        unaligned: Label of a site -> reason -> kept pairs that could not be swapped there.
        files: What the run wrote into its folder.
        sha256: Its hashes, see :func:`cfgen.folders.write_record`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    model: str
    task: str
    design: str
    seed: int
    n: int
    clean_accuracy: float | None
    keep_rate: float
    cells: tuple[Cell, ...]
    vacuous: tuple[VacuousCell, ...]
    kept: int
    layers: tuple[int, ...]
    sites: dict[str, SiteRecord]
    clean: dict[str, Share | None]
    keep: Share
    keep_by_design: dict[str, Share]
    keep_by_answer: dict[str, Share]
    dropped: dict[str, int]
    unaligned: dict[str, dict[str, int]]
    checks: tuple[Check, ...]
    engine: EngineRecord
    confidence: float
    revision: str
    device: str
    dtype: str
    attention: str
    versions: dict[str, str]
    settings: dict[str, Plain]
    files: tuple[str, ...] = ()
    sha256: dict[str, str] = {}


def as_results(
    experiment: RunRecord,
    seed: int,
    settings: Mapping[str, Plain],
) -> Results:
    """Bring an experiment into the form of ``results.json``.

    Args:
        experiment: What came out.
        seed: The seed that the pairs were made with.
        settings: Further choices of the caller.

    Returns:
        The record; which files there are, its writer adds.
    """
    seen = experiment.behaviour
    return Results(
        model=experiment.model,
        task=experiment.task,
        design=experiment.design,
        seed=seed,
        n=experiment.n,
        clean_accuracy=seen.clean.value if seen.clean else None,
        keep_rate=seen.keep.value,
        cells=experiment.cells,
        vacuous=experiment.vacuous,
        kept=len(seen.kept),
        layers=experiment.layers,
        sites={
            name: SiteRecord(
                positions=site.positions,
                frozen=site.frozen,
                align=site.align,
                layers=site.layers,
                component=site.component,
                head=site.head,
                neurons=site.neurons,
                label=site.label,
            )
            for name, site in experiment.sites.items()
        },
        clean={
            "both": _maybe_share(seen.clean),
            "original": _maybe_share(seen.clean_original),
            "counterfactual": _maybe_share(seen.clean_counterfactual),
        },
        keep=_share(seen.keep),
        keep_by_design={key: _share(found) for key, found in seen.keep_by_design.items()},
        keep_by_answer={key: _share(found) for key, found in seen.keep_by_answer.items()},
        dropped=seen.dropped,
        unaligned=experiment.unaligned,
        checks=experiment.checks,
        engine=_engine(experiment),
        confidence=CONFIDENCE,
        revision=experiment.revision,
        device=experiment.device,
        dtype=experiment.dtype,
        attention=experiment.attention,
        versions={"python": platform.python_version()}
        | {name: _version(name) for name in _LIBRARIES},
        settings=dict(settings),
    )


def _share(found: Rate) -> Share:
    return Share(k=found.k, n=found.n, rate=found.value, low=found.low, high=found.high)


def _engine(experiment: RunRecord) -> EngineRecord:
    engine, work = experiment.engine, experiment.work
    return EngineRecord(
        name="packed" if engine.name == "packed" else "reference",
        note=engine.note,
        run=work.run,
        filled=dict(sorted(work.filled.items())),
        whole=dict(sorted(work.whole.items())),
        self_tested=work.self_tested,
        verified=work.verified,
        budget=engine.budget,
        shrunk=work.shrunk,
        clean=work.clean,
        swaps=work.edited,
    )


def _maybe_share(found: Rate | None) -> Share | None:
    return _share(found) if found else None


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "not installed"


OUTPUTS = "outputs.parquet"
RESULTS = "results.json"
SCHEMA = pa.schema(
    [
        pa.field("pair_id", pa.string(), nullable=False),
        pa.field("component", pa.string(), nullable=False),
        pa.field("layer", pa.int32(), nullable=False),
        pa.field("position", pa.string(), nullable=False),
        pa.field("said", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
    ]
)
"""Columns of ``outputs.parquet``; one row per pair and cell."""


def write_results(
    experiment: RunRecord,
    folder: str | os.PathLike[str],
    *,
    seed: int,
    settings: Mapping[str, Plain] | None = None,
    also: Callable[[Path], None] | None = None,
) -> Results:
    """Write an experiment into a folder, whole or not at all.

    Args:
        experiment: What came out.
        folder: Where to write; it must be new, empty, or hold nothing but an earlier result, which
            is replaced.
        seed: The seed that the pairs were made with.
        settings: Further choices of the caller that a reader of the results should know.
        also: Writes further files of the run; given the folder that they go to.

    Returns:
        What was written into ``results.json``.

    Raises:
        CfgenError: The folder holds something else (``folder-in-use``), or writing failed
            (``cannot-write``).
    """
    with new_folder(Path(folder), record=RESULTS) as new:
        pq.write_table(_table(experiment), new / OUTPUTS, compression="zstd")
        if also is not None:
            also(new)
        results = as_results(experiment, seed, settings or {})
        content = json.loads(results.model_dump_json())
        results = Results.model_validate(write_record(new, RESULTS, content))
    return results


def _table(experiment: RunRecord) -> pa.Table:
    outputs = experiment.outputs
    columns = [[getattr(output, name) for output in outputs] for name in SCHEMA.names]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)
