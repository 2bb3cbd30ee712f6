"""Audits of a written dataset: what it has, how evenly, what gives answers away, what leaks.

From its own files, in one pass over their columns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from cfgen.counterfactuals import KINDS
from cfgen.datasets.alignment import AlignmentCheck
from cfgen.datasets.answered import PairFilter
from cfgen.datasets.coverage import Coverage, CoverageAudit, find_space
from cfgen.datasets.leakage import Leak, LeakageAudit
from cfgen.datasets.power import PowerPlan
from cfgen.datasets.recipe import DatasetRecipe, Split
from cfgen.datasets.shortcuts import Shortcut, audit_shortcuts, shortcut_columns
from cfgen.datasets.tokenizers import WordExclusion
from cfgen.progress import Progress, no_progress
from cfgen.prompts import Encode
from cfgen.tasks import TEMPLATE_INPUT, Task

SAMPLE = 2000
"""Rows of a split that shortcuts are tried on: the first ones."""
BATCH = 20_000
"""Rows looked at together."""
SIDES = ("original", "counterfactual")


@dataclass(frozen=True, slots=True)
class AuditPlan:
    """What a dataset is to be good for, beyond its recipe.

    Attributes:
        strength: How many factors are combined for coverage.
        tokenizers: Name -> tokenizer that all pairs must align under.
        dropped: Words that were left out for these tokenizers.
        power: The plan that the number of pairs comes from.
        answered: The LM that is to answer all pairs rightly, if any.
    """

    strength: int = 2
    tokenizers: Mapping[str, Encode] = field(default_factory=dict)
    dropped: tuple[WordExclusion, ...] = ()
    power: PowerPlan | None = None
    answered: PairFilter | None = None

    def afresh(self) -> AuditPlan:
        """The same for another dataset, whose pairs are counted from none on."""
        return replace(self, answered=self.answered and self.answered.afresh())


class SplitSummary(BaseModel):
    """Counts of one split.

    Attributes:
        rows: Number of pairs.
        originals: Number of different originals; as many as pairs, unless prompts are used again.
        candidates: Number of pairs drawn until there were so many without repetition.
        decisive: Number of decisive pairs.
        words: Lexicon -> number of words that belong to this split alone.
        answers: Answer of the original -> number of pairs.
        templates: Template of the original -> number of pairs, where there are several.
        kinds: Hypothesis -> kind of prediction -> number of pairs.
    """

    model_config = ConfigDict(frozen=True)

    rows: int
    originals: int
    candidates: int
    decisive: int
    words: dict[str, int]
    answers: dict[str, int]
    templates: dict[str, int]
    kinds: dict[str, dict[str, int]]


class Audit(BaseModel):
    """What the audits found.

    Attributes:
        splits: Split -> what it contains.
        coverage: Split -> which combinations of values occur.
        shortcuts: How rules that know nothing of the task do.
        leakage: What splits share.
    """

    model_config = ConfigDict(frozen=True)

    splits: dict[str, SplitSummary]
    coverage: dict[str, Coverage]
    shortcuts: tuple[Shortcut, ...]
    leakage: tuple[Leak, ...]


def parquet_file(folder: Path, split: str) -> Path:
    """The file of a split's rows."""
    return folder / "data" / f"{split}-00000-of-00001.parquet"


def audit_folder(
    folder: Path, recipe: DatasetRecipe, plan: AuditPlan, progress: Progress = no_progress
) -> Audit:
    """Audit the Parquet files of a dataset. All but shortcuts counts every row.

    Args:
        folder: Holds ``data/<split>-*.parquet``.
        recipe: What the files were made from.
        plan: Strength of the coverage, and the tokenizers that pairs must align under.
        progress: Called with ``audit pairs`` and rows, then with ``audit shortcuts``.

    Raises:
        CfgenError: Pairs do not align (``not-aligned``).
    """
    task, design = recipe.task, recipe.design
    leakage, alignment = LeakageAudit(recipe.reuse_prompts), AlignmentCheck(plan.tokenizers)
    splits: dict[str, SplitSummary] = {}
    coverage: dict[str, Coverage] = {}
    samples: dict[str, pa.Table] = {}
    done = 0
    for candidates in recipe.candidates():
        split = candidates.split
        file = parquet_file(folder, split.name)
        counted = CoverageAudit(find_space(task, design, candidates.domains), plan.strength)
        summary = SummaryAudit(split, recipe.reuse_prompts)
        for batch in _batches(file, _paths(task)):
            progress("audit pairs", done, recipe.n)
            done += len(batch)
            summary.add(batch)
            counted.add(_inputs(batch, SIDES[0], task), batch[SIDES[0]].field("answer"))
            _add_batch(leakage, split.name, batch, task)
        splits[split.name], coverage[split.name] = summary.result(), counted.result()
        seen = shortcut_columns(task, design.contrast)
        sample = pa.Table.from_batches([next(_batches(file, seen, SAMPLE))])
        samples[split.name] = _once_each(sample) if recipe.reuse_prompts else sample
        if plan.tokenizers:
            for batch in _batches(file, None, SAMPLE):
                alignment.add(batch.to_pylist())
    alignment.finish()
    progress("audit shortcuts", 0, None)
    shortcuts = audit_shortcuts(samples, design.contrast)
    return Audit(splits=splits, coverage=coverage, shortcuts=shortcuts, leakage=leakage.result())


def audit_leakage(datasets: Iterable[tuple[Path, DatasetRecipe]]) -> tuple[Leak, ...]:
    """What splits share, whichever of some datasets their pairs are in."""
    leakage: LeakageAudit | None = None
    for folder, recipe in datasets:
        leakage = leakage or LeakageAudit(recipe.reuse_prompts)
        for candidates in recipe.candidates():
            split = candidates.split.name
            for batch in _batches(parquet_file(folder, split), _paths(recipe.task)):
                _add_batch(leakage, split, batch, recipe.task)
    return leakage.result() if leakage else ()


def _paths(task: Task) -> list[str]:
    """The columns that are counted."""
    named = [f"variables.{name}" for name in task.causal_model.domains] + ["prompt", "answer"]
    return ["index", "decisive", "kinds", *(f"{side}.{name}" for side in SIDES for name in named)]


def _batches(file: Path, paths: list[str] | None, size: int = BATCH) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(file) as parquet:
        yield from parquet.iter_batches(batch_size=size, columns=paths)


def _once_each(rows: pa.Table) -> pa.Table:
    """The first row of every original: a rule must not be tried on what it has learned from."""
    texts = pc.struct_field(rows[SIDES[0]], "prompt").to_pylist()
    first = {text: row for row, text in reversed([*enumerate(texts)])}
    return rows.take(sorted(first.values()))


def _inputs(batch: pa.RecordBatch, side: str, task: Task) -> dict[str, pa.Array]:
    variables = batch[side].field("variables")
    return {name: variables.field(name) for name in task.causal_model.domains}


def _add_batch(leakage: LeakageAudit, split: str, batch: pa.RecordBatch, task: Task) -> None:
    """Look for leaks in some rows, on both sides."""
    for side in SIDES:
        leakage.add_prompts(split, batch[side].field("prompt"))
        _add_words(leakage, split, _inputs(batch, side, task), task)


def _add_words(
    leakage: LeakageAudit, split: str, inputs: Mapping[str, pa.Array], task: Task
) -> None:
    if TEMPLATE_INPUT in inputs:
        leakage.add_templates(split, inputs[TEMPLATE_INPUT].unique().to_pylist())
    for name, domain in task.causal_model.domains.items():
        if domain.pools:
            words = inputs[name] if domain.arity is None else pc.list_flatten(inputs[name])
            leakage.add_words(split, name, words.unique().to_pylist())


class SummaryAudit:
    """Counts the rows of one split, in portions."""

    def __init__(self, split: Split, reuse_prompts: bool = False) -> None:
        self._split = split
        self._originals: set[str] | None = set() if reuse_prompts else None
        self._rows = self._decisive = self._last = 0
        self._answers: Counter[str] = Counter()
        self._templates: Counter[str] = Counter()
        self._kinds: dict[str, Counter[str]] = {}

    def add(self, rows: pa.RecordBatch) -> None:
        """Count some rows, at least one."""
        self._rows += len(rows)
        self._decisive += pc.sum(rows["decisive"]).as_py()
        self._last = rows["index"][-1].as_py()
        original, kinds = rows[SIDES[0]], rows["kinds"]
        if self._originals is not None:
            self._originals.update(original.field("prompt").unique().to_pylist())
        self._answers.update(_counts(original.field("answer")))
        variables = original.field("variables")
        if variables.type.get_field_index(TEMPLATE_INPUT) >= 0:
            self._templates.update(_counts(variables.field(TEMPLATE_INPUT)))
        else:
            self._templates[""] += len(rows)
        for hypothesis in kinds.type:
            counts = self._kinds.setdefault(hypothesis.name, Counter())
            counts.update(_counts(kinds.field(hypothesis.name)))

    def result(self) -> SplitSummary:
        """The counts so far."""
        return SplitSummary(
            rows=self._rows,
            originals=self._rows if self._originals is None else len(self._originals),
            candidates=self._last + 1,
            decisive=self._decisive,
            words={pool: len(words) for pool, words in self._split.pools.items()},
            answers=dict(sorted(self._answers.items())),
            templates=dict(sorted(self._templates.items())),
            kinds={
                name: {kind: counts[kind] for kind in KINDS if counts[kind]}
                for name, counts in self._kinds.items()
            },
        )


def _counts(values: pa.Array) -> dict[str, int]:
    """How often each value occurs."""
    counted: list[dict[str, Any]] = pc.value_counts(values).to_pylist()
    return {str(each["values"]): each["counts"] for each in counted}
