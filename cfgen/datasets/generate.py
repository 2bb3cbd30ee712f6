"""Generation: a task and a design to a Hugging Face dataset, in memory or as a folder."""

from __future__ import annotations

import gc
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, DatasetDict

from cfgen.counterfactuals import Design, Pair, restrict_domains
from cfgen.datasets.card import Manifest, make_manifest, write_card
from cfgen.datasets.features import schema_of, table_maker
from cfgen.datasets.sampling import candidates, check_decisive, check_possible, distinct_pairs
from cfgen.datasets.splits import FRACTIONS, Split, make_splits
from cfgen.datasets.summary import SplitSummary, Tally
from cfgen.errors import CfgenError, Problem, did_you_mean
from cfgen.folders import files_in, new_folder
from cfgen.tasks import Task, load_task

CHUNK = 250
"""Pairs held at a time; so few that they stay in the processor's cache."""
ROW_GROUP = 2000
"""Rows of a Parquet row group."""

Progress = Callable[[str, int, int], None]
"""Called with a step's name, how much of it is done, and how much there is."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything a dataset depends on.

    Attributes:
        task: The task.
        design: How pairs are made.
        n: Number of pairs over all splits.
        seed: Seed; the same recipe gives the same bytes.
        templates: Template ids to draw from; ``all`` for every one, none for the default.
        fractions: Split -> share of rows and of words.
    """

    task: Task
    design: Design
    n: int
    seed: int = 0
    templates: tuple[str, ...] = ()
    fractions: tuple[tuple[str, float], ...] = tuple(FRACTIONS.items())


def recipe(
    task: str | Task,
    n: int,
    *,
    design: str | None = None,
    seed: int = 0,
    templates: Sequence[str] = (),
    fractions: Mapping[str, float] = FRACTIONS,
) -> Recipe:
    """Look up the parts of a recipe by name.

    Raises:
        CfgenError: If the task, the design or a template does not exist.
    """
    loaded = load_task(task) if isinstance(task, str) else task
    loaded.template_domain(templates)
    return Recipe(loaded, loaded.design(design), n, seed, tuple(templates), (*fractions.items(),))


def draw_pairs(recipe: Recipe, *, split: str = "test") -> list[Pair]:
    """Draw ``recipe.n`` pairs for a run on an LM: only decisive ones, where that has a meaning.

    Args:
        recipe: What to make; its fractions only say which words belong to the split.
        split: Whose words to use; those of ``test`` are in no training set made by this task.

    Returns:
        The pairs; their ``index`` tells how many candidates were passed over.

    Raises:
        CfgenError: If so many pairs cannot be made.
    """
    names = [name for name, share in recipe.fractions if share > 0]
    if split not in names:
        raise CfgenError(
            Problem("bad-splits", f"there is no split {split!r}", hint=did_you_mean(split, names))
        )
    splits = make_splits(recipe.task, max(recipe.n, 1000), dict(recipe.fractions))
    chosen = replace(next(found for found in splits if found.name == split), rows=recipe.n)
    _check(recipe, [chosen])
    stream = _stream(recipe, chosen)
    if recipe.design.contrast:
        stream = (pair for pair in stream if pair.decisive)
    return list(distinct_pairs(stream, recipe.design, recipe.n, set()))


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
    for 8 bytes of hash per prompt.

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


def label_pairs(recipe: Recipe) -> Iterator[tuple[Split, list[Pair]]]:
    """Yield all pairs of a dataset in small portions, split by split.

    Args:
        recipe: What to make.

    Yields:
        A split and some of its pairs.

    Raises:
        CfgenError: If so many pairs cannot be made.
    """
    splits = make_splits(recipe.task, recipe.n, dict(recipe.fractions))
    _check(recipe, splits)
    seen: set[int] = set()
    for split in splits:
        stream = distinct_pairs(_stream(recipe, split), recipe.design, split.rows, seen)
        while pairs := _take(stream, CHUNK):
            yield split, pairs


def _take(stream: Iterator[Pair], n: int) -> list[Pair]:
    """The next pairs, at most ``n``, with Python's search for reference cycles switched off.

    Pairs have none, but are many objects, which the search would visit again and again: a third
    of the time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        return list(itertools.islice(stream, n))
    finally:
        if enabled:
            gc.enable()


def _check(recipe: Recipe, splits: Sequence[Split]) -> None:
    """Find out before the long work what can be found out then."""
    check_decisive(_stream(recipe, splits[0]), recipe.design)
    allowed = recipe.task.template_domain(recipe.templates)
    for split in splits:
        domains = restrict_domains(recipe.task.causal_model.domains, split.pools, allowed)
        check_possible(split.rows, recipe.design, domains)


def _stream(recipe: Recipe, split: Split) -> Iterator[Pair]:
    return candidates(
        recipe.task,
        recipe.design,
        seed=recipe.seed,
        split=split.name,
        pools=split.pools,
        allowed=recipe.task.template_domain(recipe.templates),
    )


def _append_jsonl(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8", newline="\n") as file:
        for row in table.to_pylist():
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
