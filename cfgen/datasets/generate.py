"""Generation: a task and a design to a Hugging Face dataset, in memory or as a folder."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, DatasetDict

from cfgen.counterfactuals import Pair
from cfgen.datasets.card import Manifest, make_manifest, write_card
from cfgen.datasets.features import schema_of, table_maker
from cfgen.datasets.recipes import CHUNK, Recipe, label_pairs, recipe
from cfgen.datasets.splits import FRACTIONS, Split
from cfgen.datasets.summary import SplitSummary, Tally
from cfgen.folders import files_in, new_folder
from cfgen.tasks import Task

ROW_GROUP = 2000
"""Rows of a Parquet row group."""

Progress = Callable[[str, int, int], None]
"""Called with a step's name, how much of it is done, and how much there is."""


def generate(
    task: str | Task,
    n: int,
    *,
    design: str | None = None,
    seed: int = 0,
    templates: Sequence[str] = (),
    fractions: Mapping[str, float] = FRACTIONS,
) -> DatasetDict:
    """Generate a dataset in memory.

    Args:
        task: Name of a task, path of a task file, or a loaded task.
        n: Number of pairs over all splits.
        design: Name of a design; the task's default one if not given.
        seed: Seed; the same arguments give the same rows.
        templates: Template ids to draw from; ``all`` for every one, none for the default.
        fractions: Split -> share of rows and of words.

    Returns:
        The splits that have rows, with the features of :func:`schema_of`.

    Raises:
        CfgenError: If something named does not exist, or so many pairs cannot be made.
    """
    made = recipe(task, n, design=design, seed=seed, templates=templates, fractions=fractions)
    tables: dict[str, list[pa.Table]] = {}
    for split, table, _ in _tables(made):
        tables.setdefault(split.name, []).append(table)
    return DatasetDict({name: Dataset(pa.concat_tables(parts)) for name, parts in tables.items()})


def write_dataset(
    recipe: Recipe, folder: Path, *, jsonl: bool = False, progress: Progress | None = None
) -> Manifest:
    """Generate a dataset into a folder that ``datasets.load_dataset(folder)`` opens.

    The folder appears complete or not at all. Memory does not grow with the number of rows, but
    for a hash per prompt, by which repetitions are found.

    Args:
        recipe: What to make.
        folder: Where to; must not exist, or be empty, or hold an earlier dataset.
        jsonl: Also write ``jsonl/<split>.jsonl``.
        progress: Called after each batch.

    Returns:
        What was written to ``manifest.json``.

    Raises:
        CfgenError: If so many pairs cannot be made, or the folder holds something else.
    """
    with new_folder(folder, record="manifest.json") as fresh:
        (fresh / "data").mkdir()
        summaries: dict[str, SplitSummary] = {}
        examples: list[Pair] = []
        done = 0

        def counted(chunks: Iterable[Chunk], tally: Tally) -> Iterator[pa.Table]:
            nonlocal done
            for _, table, pairs in chunks:
                tally.add(pairs)
                examples.extend(pairs[: 1 - len(examples)])
                done += len(pairs)
                if progress:
                    progress("generating pairs", done, recipe.n)
                yield table

        for split, chunks in itertools.groupby(_tables(recipe), key=lambda chunk: chunk[0]):
            tally = Tally()
            path = fresh / "data" / f"{split.name}-00000-of-00001.parquet"
            with pq.ParquetWriter(path, schema_of(recipe.task), compression="zstd") as writer:
                for rows in _row_groups(counted(chunks, tally)):
                    writer.write_table(rows)
                    if jsonl:
                        _append_jsonl(fresh / "jsonl" / f"{split.name}.jsonl", rows)
            summaries[split.name] = tally.summary(split)
        files = files_in(fresh, "manifest.json", "README.md")
        manifest = make_manifest(
            recipe.task, recipe.design, recipe.n, recipe.seed, recipe.templates, summaries, files
        )
        (fresh / "manifest.json").write_text(
            manifest.model_dump_json(indent=2) + "\n", encoding="utf-8", newline="\n"
        )
        write_card(fresh / "README.md", recipe.task, recipe.design, manifest, examples[0])
    return manifest


Chunk = tuple[Split, pa.Table, list[Pair]]


def _row_groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in larger tables, the last one perhaps smaller."""
    rows = iter(tables)
    while group := list(itertools.islice(rows, ROW_GROUP // CHUNK)):
        yield pa.concat_tables(group).combine_chunks()


def _tables(recipe: Recipe) -> Iterator[Chunk]:
    make = table_maker(recipe.task)
    for split, pairs in label_pairs(recipe):
        yield split, make(pairs), pairs


def _append_jsonl(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8", newline="\n") as file:
        for row in table.to_pylist():
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
