"""Chunks: a stretch of candidates as an Arrow table, drawn and labelled column by column.

The same rows as :func:`~cfgen.datasets.sampling.candidates` gives one by one, which also says what
is wrong if anything is.
"""

from __future__ import annotations

import gc
import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cfgen.counterfactuals import (
    ALL,
    NONE,
    Predictor,
    compile_draw,
    is_decisive,
    kind_of,
    output_text,
    restrict_domains,
)
from cfgen.datasets.balance import balanced_draw
from cfgen.datasets.columns import (
    PairColumns,
    SideColumns,
    columns_of,
)
from cfgen.datasets.features import column_maker
from cfgen.datasets.recipes import Recipe, pair_stream
from cfgen.datasets.sampling import TRIES, seed_key, seeder, support_check
from cfgen.datasets.splits import Split
from cfgen.errors import CfgenError
from cfgen.prompts import render_columns
from cfgen.tasks import TEMPLATE_INPUT

CHUNK = 2000
"""Candidates of a chunk."""
LEAST = 64
"""Candidates that are looked at together, however few rows are missing."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Candidates, repetitions included.

    Attributes:
        table: One row each, see :func:`~cfgen.datasets.features.schema_of`.
        hashes: 64-bit hashes of the original's prompts, then of the counterfactual's: (2, rows).
        error: What came up after the last row.
    """

    table: pa.Table
    hashes: NDArray[np.uint64]
    error: CfgenError | None = None


ChunkMaker = Callable[[int, int], Chunk]
"""From the number of the first candidate and of the one after the last to these candidates."""
Row = tuple[Any, ...]


def chunk_size(missing: int) -> int:
    """How many candidates to make next, if so many rows are missing."""
    return min(CHUNK, max(missing, LEAST))


def chunk_maker(recipe: Recipe, split: Split) -> ChunkMaker:
    """Prepare the making of the candidates of a split."""
    make_table = column_maker(recipe.task)
    draw, label = _drawer(recipe, split), _labeller(recipe)

    def make(start: int, stop: int) -> Chunk:
        enabled = gc.isenabled()
        gc.disable()  # many objects, no cycles
        try:
            columns = label([draw(index) for index in range(start, stop)], start)
            return Chunk(make_table(columns), _hashes(columns))
        except Exception:  # whatever it is, the plain way says it better
            pass
        finally:
            if enabled:
                gc.enable()
        return _plain(recipe, split, start, stop)

    return make


def _plain(recipe: Recipe, split: Split, start: int, stop: int) -> Chunk:
    """Make pairs one by one, up to the first that fails."""
    pairs, error = [], None
    try:
        for pair in pair_stream(recipe, split, start):
            pairs.append(pair)
            if len(pairs) == stop - start:
                break
    except CfgenError as caught:
        error = caught
        if not pairs:
            raise
    columns = columns_of(pairs)
    return Chunk(column_maker(recipe.task)(columns), _hashes(columns), error)


def _drawer(recipe: Recipe, split: Split) -> Callable[[int], Row]:
    """From the number of a candidate to its inputs: the original's, then the counterfactual's."""
    task, design = recipe.task, recipe.design
    allowed = task.template_domain(recipe.templates)
    domains = restrict_domains(task.causal_model.domains, split.pools, allowed)
    key = seed_key(task, design, recipe.seed, split.name)
    balanced = balanced_draw(design, domains, key) if recipe.balance else None
    draw, seed_of, supported = compile_draw(design, domains), seeder(key), support_check(task)
    names, rng = tuple(domains), random.Random()

    def draw_one(index: int) -> Row:
        rng.seed(seed_of(index))
        if balanced is None:
            row = draw(rng)
        else:
            original, counterfactual = balanced(index, rng)
            row = (*original.values(), *counterfactual.values())
        if supported is None:
            return row
        for _ in range(TRIES):
            if all(
                supported(dict(zip(names, side, strict=True)))
                for side in (row[: len(names)], row[len(names) :])
            ):
                return row
            row = draw(rng)
        raise ValueError("no template supports this")

    return draw_one


def _labeller(recipe: Recipe) -> Callable[[Sequence[Row], int], PairColumns]:
    """From the inputs of candidates, and the number of the first, to all there is about them."""
    task = recipe.task
    model, design = task.causal_model, recipe.design
    program = model.program
    predictor = Predictor(program, task.hypotheses.values())
    head = "\0".join([task.name, *predictor.names]) + "\0"

    def label(rows: Sequence[Row], start: int) -> PairColumns:
        columns, width = list(zip(*rows, strict=True)), len(model.domains)
        before, after = (
            program.run_columns(dict(zip(model.domains, side, strict=True)), len(rows))
            for side in (columns[:width], columns[width:])
        )
        said = predictor.columns(before, after)
        original, counterfactual = _side(recipe, before), _side(recipe, after)
        predictions = {name: _texts(column) for name, column in said.items()}
        ours, theirs = predictions[NONE], predictions[ALL]
        rivals = zip(ours, *(predictions[name] for name in design.contrast), strict=True)
        return PairColumns(
            design=design.name,
            ids=_ids(head, original, counterfactual, predictions),
            indices=range(start, start + len(rows)),
            original=original,
            counterfactual=counterfactual,
            predictions=predictions,
            kinds={
                name: list(map(kind_of, texts, ours, theirs)) for name, texts in predictions.items()
            },
            decisive=list(map(is_decisive, rivals)),
        )

    return label


def _side(recipe: Recipe, variables: dict[str, Sequence[Any]]) -> SideColumns:
    task = recipe.task
    model = task.causal_model
    inputs = {name: variables[name] for name in model.domains}
    output = variables[model.output]
    chosen = inputs.get(TEMPLATE_INPUT) or [next(iter(task.templates))] * len(output)
    texts, spans = render_columns(task.templates, chosen, inputs)
    prefixes = {name: template.answer_prefix for name, template in task.templates.items()}
    return SideColumns(
        texts=texts,
        spans=spans,
        answers=_texts(output),
        prefixes=[prefixes[name] for name in chosen],
        variables=variables,
    )


def _texts(values: Sequence[Any]) -> Sequence[str | None]:
    """Outputs as texts; see :func:`~cfgen.counterfactuals.output_text`."""
    if {value.__class__ for value in values} == {str}:
        return values
    return list(map(output_text, values))


def _ids(
    head: str,
    original: SideColumns,
    counterfactual: SideColumns,
    predictions: Mapping[str, Sequence[str | None]],
) -> list[str]:
    """See :func:`~cfgen.datasets.labels.content_id`."""
    said = [list(map(str, texts)) for texts in predictions.values()]
    parts = zip(original.texts, counterfactual.texts, *said, strict=True)
    hashed = hashlib.blake2b
    return [hashed((head + "\0".join(part)).encode(), digest_size=10).hexdigest() for part in parts]


def _hashes(columns: PairColumns) -> NDArray[np.uint64]:
    """64 bits for every prompt: (2, rows)."""
    sides = (columns.original.texts, columns.counterfactual.texts)
    hashed = hashlib.blake2b
    digests = b"".join(hashed(t.encode(), digest_size=8).digest() for side in sides for t in side)
    return np.frombuffer(digests, np.uint64).reshape(2, -1)
