"""Results: the content of ``results.json`` and of ``outputs.parquet``."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, model_validator

from cfgen.counterfactuals import ALL, NONE, Pair
from cfgen.errors import CfgenError, Problem
from cfgen.experiments.cells import (
    Cell,
    Continuation,
    ContinuationRate,
    Guidance,
    MediatorSets,
    Output,
    PairEffect,
    VacuousCell,
)
from cfgen.experiments.definition import Experiment
from cfgen.experiments.measures import MEASURES
from cfgen.experiments.methods import METHODS
from cfgen.experiments.noise import Noise
from cfgen.stats import CONFIDENCE, Rate

if TYPE_CHECKING:
    from cfgen.experiments.inquiry import Inquiry
    from cfgen.experiments.stages import RunRecord

LIBRARIES = ("cfgen", "torch", "transformers", "tokenizers", "numpy", "scipy", "pyarrow")


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
    layers: str
    component: str
    head: int | None
    neurons: tuple[int, ...]
    label: str


class CheckRecord(BaseModel):
    """A check that ran and passed.

    Attributes:
        name: Which check.
        position: The position it was made for; empty if for all.
        cases: How many cases it looked at.
        note: What a case is.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    position: str
    cases: int
    note: str


class CostRecord(BaseModel):
    """Work done, see :class:`cfgen.interventions.Cost`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    forwards: int
    passes: int
    required: int
    edits: int


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
    clean: CostRecord
    swaps: CostRecord


class Results(BaseModel):
    """The content of ``results.json``.

    Attributes:
        n: Pairs that were run; ``kept`` of them were answered correctly and hence swapped.
        clean_accuracy: Share of prompts answered correctly when nothing is changed, originals and
            counterfactuals pooled; None if no prompt has an answer. ``clean`` has the counts.
        keep_rate: Share of pairs kept. ``keep`` has the counts.
        vacuous: Sites and layers without cells, as nothing that was swapped differs.
        tokens: Name of every token -> its text in the first pair that has it, where the sweep goes
            over every token.
        dropped: Reason -> pairs dropped by the filter.
        unaligned: Label of a site -> reason -> kept pairs that could not be swapped there.
        noise: What corrupted prompts, where anything did.
        guidance: Estimates of all places, where only some were run: per hypothesis or effect.
        mediators: Sets of places that were swapped together, where that was asked.
        continuations: How many continuations begin with an answer, place by place, where the LM was
            let go on.
        coincides: Hypothesis -> what else predicts the same on every pair, so that no measure can
            tell them apart.
        experiment: What was asked.
        source: What the pairs came from.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    model: str
    task: str
    design: str
    n: int
    clean_accuracy: float | None
    keep_rate: float
    cells: tuple[Cell, ...]
    vacuous: tuple[VacuousCell, ...]
    kept: int
    layers: tuple[int, ...]
    tokens: dict[str, str]
    sites: dict[str, SiteRecord]
    clean: dict[str, Share | None]
    keep: Share
    keep_by_design: dict[str, Share]
    keep_by_answer: dict[str, Share]
    dropped: dict[str, int]
    unaligned: dict[str, dict[str, int]]
    checks: tuple[CheckRecord, ...]
    engine: EngineRecord
    confidence: float
    revision: str
    device: str
    dtype: str
    attention: str
    versions: dict[str, str]
    noise: Noise | None
    guidance: tuple[Guidance, ...]
    mediators: MediatorSets | None
    continuations: tuple[ContinuationRate, ...]
    coincides: dict[str, tuple[str, ...]]
    experiment: Experiment
    source: dict[str, str]

    @model_validator(mode="after")
    def _as_written(self) -> Self:
        measures = {*self.experiment.measures}
        if not measures or not MEASURES.keys() >= measures:
            raise ValueError("no measure, or one that there is not")
        if (self.noise is None) != (self.experiment.corrupt is None):
            raise ValueError("noise where none was asked for, or none where it was")
        tests = METHODS[self.experiment.method].tests
        if bool(self.guidance) != bool(self.experiment.guide):
            raise ValueError("estimates where none were asked for, or none where they were")
        if (self.mediators is None) != (self.experiment.mediators == 0):
            raise ValueError("sets of mediators where none were asked for, or none where they were")
        if self.continuations and not self.experiment.generate:
            raise ValueError("continuations where none were asked for")
        if {*self.coincides} != ({*self.sites} if tests else set()):
            raise ValueError("other hypotheses than those that were tested")
        if not {"both", "original", "counterfactual"} <= {*self.clean}:
            raise ValueError("not the answers to both sides")
        for cell in self.cells:
            if cell.measure not in MEASURES or (cell.low is None) != (cell.high is None):
                raise ValueError("a cell that cfgen does not write")
        return self


def as_results(record: RunRecord, inquiry: Inquiry) -> Results:
    """Bring what came out into the form of ``results.json``.

    Args:
        record: What came out.
        inquiry: What was asked.
    """
    seen = record.behaviour
    return Results(
        model=record.model,
        task=record.task,
        design=record.design,
        n=len(record.pairs),
        clean_accuracy=seen.clean.value if seen.clean else None,
        keep_rate=seen.keep.value,
        cells=record.cells,
        vacuous=record.vacuous,
        kept=len(seen.kept),
        layers=record.layers,
        tokens=record.tokens,
        sites={
            name: SiteRecord(**asdict(site), label=site.label)
            for name, site in record.sites.items()
        },
        clean={
            "both": _maybe_share(seen.clean),
            "original": _maybe_share(seen.clean_original),
            "counterfactual": _maybe_share(seen.clean_counterfactual),
        },
        keep=share_of(seen.keep),
        keep_by_design={key: share_of(found) for key, found in seen.keep_by_design.items()},
        keep_by_answer={key: share_of(found) for key, found in seen.keep_by_answer.items()},
        dropped=seen.dropped,
        unaligned=record.unaligned,
        checks=tuple(CheckRecord(**asdict(check)) for check in record.checks),
        engine=_engine(record),
        confidence=CONFIDENCE,
        revision=record.revision,
        device=record.device,
        dtype=record.dtype,
        attention=record.attention,
        versions=versions_used(),
        noise=record.noise,
        guidance=record.guidance,
        mediators=record.mediators,
        continuations=record.rates,
        coincides={
            name: _same(record.pairs, name, record.sites)
            for name in record.sites
            if METHODS[inquiry.experiment.method].tests  # the site of effects is of no hypothesis
        },
        experiment=inquiry.experiment,
        source=_source(inquiry),
    )


def _source(inquiry: Inquiry) -> dict[str, str]:
    """What the pairs came from, and a vector that was added."""
    vector = {"vector": inquiry.vector.digest} if inquiry.vector else {}
    return {**inquiry.source.facts, **vector}


def _same(pairs: Sequence[Pair], name: str, tested: Iterable[str]) -> tuple[str, ...]:
    """Which others predict the same as a hypothesis on every pair."""
    return tuple(
        other
        for other in dict.fromkeys((NONE, ALL, *tested))
        if other != name and all(p.predictions[other] == p.predictions[name] for p in pairs)
    )


def share_of(found: Rate) -> Share:
    """A rate in a form that JSON has."""
    return Share(k=found.k, n=found.n, rate=found.value, low=found.low, high=found.high)


def _engine(record: RunRecord) -> EngineRecord:
    engine, work = record.engine, record.work
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
        clean=CostRecord(**asdict(work.clean)),
        swaps=CostRecord(**asdict(work.edited)),
    )


def _maybe_share(found: Rate | None) -> Share | None:
    return share_of(found) if found else None


def versions_used() -> dict[str, str]:
    """Versions of Python and the libraries that numbers may depend on."""
    return {"python": platform.python_version(), **{name: _version(name) for name in LIBRARIES}}


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "not installed"


OUTPUTS = "outputs.parquet"
RESULTS = "results.json"
EFFECTS_FILE = "effects.parquet"
CONTINUATIONS_FILE = "continuations.parquet"
_PLACE = (
    pa.field("component", pa.string(), nullable=False),
    pa.field("position", pa.string(), nullable=False),
    pa.field("head", pa.int32()),
    pa.field("neuron", pa.int32()),
    pa.field("token", pa.string()),
    pa.field("layer", pa.int32(), nullable=False),
)
SCHEMA = pa.schema(
    [
        pa.field("pair_id", pa.string(), nullable=False),
        *_PLACE,
        pa.field("said", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
    ]
)
"""Columns of ``outputs.parquet``; one row per pair and cell."""
EFFECTS = pa.schema(
    [
        pa.field("pair_id", pa.string(), nullable=False),
        pa.field("kept", pa.bool_(), nullable=False),
        pa.field("effect", pa.string(), nullable=False),
        *_PLACE,
        pa.field("measure", pa.string(), nullable=False),
        pa.field("value", pa.float64()),
        pa.field("deviation", pa.float64()),
    ]
)
"""Columns of ``effects.parquet``; one row per pair, place, effect and measure."""
CONTINUATIONS = pa.schema(
    [
        pa.field("pair_id", pa.string(), nullable=False),
        *_PLACE,
        pa.field("during", pa.string(), nullable=False),
        pa.field("unchanged", pa.string(), nullable=False),
        pa.field("changed", pa.string(), nullable=False),
    ]
)
"""Columns of ``continuations.parquet``; one row per kept pair and place."""


AnyRecord = TypeVar("AnyRecord", bound=BaseModel)


def method_of(content: Mapping[str, Any]) -> str:
    """By which method what ``results.json`` says was found; empty if that can't be told."""
    experiment = content.get("experiment")
    return str(experiment.get("method")) if isinstance(experiment, dict) else ""


def is_behaviour(content: Mapping[str, Any]) -> bool:
    """Whether what ``results.json`` says is of a run in which nothing is swapped."""
    return method_of(content) == "behaviour"


def read_as(record: type[AnyRecord], content: Mapping[str, Any]) -> AnyRecord:
    """The record in what ``results.json`` says, which names files and units besides.

    Raises:
        CfgenError: It is not there, or not as cfgen writes it (``run-changed``).
    """
    try:
        return record.model_validate({name: content[name] for name in record.model_fields})
    except (KeyError, ValueError) as error:
        message = f"{RESULTS} does not hold what cfgen writes"
        hint = "restore it, or compute everything anew with --again"
        raise CfgenError(Problem("run-changed", message, hint=hint)) from error


def outputs_table(outputs: Sequence[Output]) -> pa.Table:
    """What the LM said as a table."""
    return _table(outputs, SCHEMA)


def effects_table(effects: Sequence[PairEffect]) -> pa.Table:
    """The effects of all pairs as a table."""
    return _table(effects, EFFECTS)


def continuations_table(continuations: Sequence[Continuation]) -> pa.Table:
    """How the LM goes on as a table."""
    return _table(continuations, CONTINUATIONS)


def _table(records: Sequence[Output | PairEffect | Continuation], schema: pa.Schema) -> pa.Table:
    columns = [[getattr(record, name) for record in records] for name in schema.names]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)
