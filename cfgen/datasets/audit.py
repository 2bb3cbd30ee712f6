"""Audits of a written dataset: coverage, shortcuts, leakage and alignment, from its own files."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from cfgen.datasets.aligned import AlignmentCheck
from cfgen.datasets.contexts import Encode
from cfgen.datasets.coverage import Coverage, CoverageAudit
from cfgen.datasets.examples import Example, example_of_row
from cfgen.datasets.factors import find_space
from cfgen.datasets.leakage import Leak, LeakageAudit
from cfgen.datasets.power import PowerPlan
from cfgen.datasets.recipe import DatasetRecipe
from cfgen.datasets.shortcuts import Shortcut, audit_shortcuts
from cfgen.datasets.solve import Dropped
from cfgen.tasks import TEMPLATE_INPUT, Task

SAMPLE = 2000
"""Rows of a split that shortcuts are tried on: the first ones."""
BATCH = 2000
"""Rows read at a time."""
SIDES = ("original", "counterfactual")
PROMPT, ANSWER = "(prompt)", "(answer)"  # no input has such a name
Columns = dict[str, list[Any]]
"""Inputs by name, and the prompts and answers."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a dataset is to be good for, beyond its recipe.

    Attributes:
        strength: How many factors are combined for coverage.
        tokenizers: Name -> tokenizer that all pairs must align under.
        dropped: Words that were left out for these tokenizers.
        power: The plan that the number of pairs comes from.
    """

    strength: int = 2
    tokenizers: Mapping[str, Encode] = field(default_factory=dict)
    dropped: tuple[Dropped, ...] = ()
    power: PowerPlan | None = None


class Audit(BaseModel):
    """What the audits found.

    Attributes:
        coverage: Split -> which combinations of values occur.
        shortcuts: How rules that know nothing of the task do.
        leakage: What splits share.
    """

    model_config = ConfigDict(frozen=True)

    coverage: dict[str, Coverage]
    shortcuts: tuple[Shortcut, ...]
    leakage: tuple[Leak, ...]

    @property
    def flagged(self) -> tuple[Shortcut | Leak, ...]:
        """Everything that a reviewer would ask about."""
        shortcuts = tuple(found for found in self.shortcuts if found.flagged)
        return (*shortcuts, *(leak for leak in self.leakage if leak.flagged))


def audit_folder(folder: Path, recipe: DatasetRecipe, wanted: Wanted) -> Audit:
    """Audit the Parquet files of a dataset. Coverage, leakage and alignment count every row.

    Args:
        folder: Holds ``data/<split>-*.parquet``.
        recipe: What the files were made from.
        wanted: Strength of the coverage, and the tokenizers that pairs must align under.

    Raises:
        CfgenError: Pairs do not align (``not-aligned``).
    """
    task, design, tokenizers = recipe.task, recipe.design, wanted.tokenizers
    leakage, coverage = LeakageAudit(), {}
    samples: dict[str, list[Example]] = {}
    alignment = AlignmentCheck(tokenizers)
    for split in recipe.splits():
        domains = recipe.candidates(split).domains
        counted = CoverageAudit(find_space(task, design, domains), wanted.strength)
        file = folder / "data" / f"{split.name}-00000-of-00001.parquet"
        sample = samples.setdefault(split.name, [])
        for rows in _rows(file, None if tokenizers else SAMPLE):
            sample += map(example_of_row, rows[: SAMPLE - len(sample)])
            if tokenizers:
                alignment.add(rows)
        for sides in _columns(file, task):
            counted.add_columns(sides[0], sides[0][ANSWER])
            for side in sides:
                _add_leakage(leakage, split.name, side, task)
        coverage[split.name] = counted.result()
    alignment.finish()
    shortcuts = audit_shortcuts(samples, design.contrast)
    return Audit(coverage=coverage, shortcuts=shortcuts, leakage=leakage.result())


def _rows(file: Path, limit: int | None) -> Iterator[list[dict[str, Any]]]:
    """Rows of a file, at most about so many."""
    with pq.ParquetFile(file) as parquet:
        batches = parquet.iter_batches(batch_size=BATCH)
        for batch in itertools.islice(batches, None if limit is None else -(-limit // BATCH)):
            yield batch.to_pylist()


def _columns(file: Path, task: Task) -> Iterator[tuple[Columns, Columns]]:
    """Inputs, prompts and answers of both sides, column by column: all rows, in portions."""
    inputs = list(task.causal_model.domains)
    paths = [f"{side}.variables.{name}" for side in SIDES for name in inputs]
    paths += [f"{side}.{name}" for side in SIDES for name in ("prompt", "answer")]
    with pq.ParquetFile(file) as parquet:
        for batch in parquet.iter_batches(batch_size=BATCH, columns=paths):
            one, other = (
                {name: batch[side].field("variables").field(name).to_pylist() for name in inputs}
                | {
                    PROMPT: batch[side].field("prompt").to_pylist(),
                    ANSWER: batch[side].field("answer").to_pylist(),
                }
                for side in SIDES
            )
            yield one, other


def _add_leakage(audit: LeakageAudit, split: str, side: Columns, task: Task) -> None:
    model = task.causal_model
    audit.add_prompts(split, side[PROMPT])
    audit.add_templates(split, set(side.get(TEMPLATE_INPUT, ())))
    for name, domain in model.domains.items():
        if domain.pools:
            flat = domain.arity is None
            words = side[name] if flat else itertools.chain.from_iterable(side[name])
            audit.add_words(split, name, set(words))
