"""Writing: a recipe becomes a Hugging Face dataset, in memory or as a folder."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from cfgen.bounded import hash_file
from cfgen.counterfactuals import Pair
from cfgen.datasets.audit import AuditPlan, audit_folder, parquet_file
from cfgen.datasets.card import dataset_card
from cfgen.datasets.features import schema_of
from cfgen.datasets.manifest import CARD, MANIFEST, Manifest, make_manifest, request_of
from cfgen.datasets.recipe import FRACTIONS, DatasetRecipe, Split, recipe
from cfgen.datasets.repetition import SeenPrompts
from cfgen.datasets.rows import candidate_pairs, row_tables
from cfgen.documents import Document, markdown
from cfgen.folders import find_result, new_folder, write_record
from cfgen.progress import Progress, no_progress
from cfgen.tasks import Task

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

ROW_GROUP = 2000
"""Rows of a Parquet row group."""
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def generate(
    task: str | Task,
    n: int,
    *,
    design: str | None = None,
    seed: int = 0,
    templates: Sequence[str] = (),
    fractions: Mapping[str, float] = FRACTIONS,
    balance: bool = False,
    decisive_only: bool = False,
    reuse_prompts: bool | None = None,
) -> DatasetDict:
    """Generate a dataset in memory.

    Args:
        task: Name of a task, path of a task file, or a loaded task.
        n: Number of pairs over all splits.
        design: Name of a design; the task's default one if not given.
        seed: Seed; the same arguments give the same rows.
        templates: Template ids to draw from; ``all`` for every one, none for the default.
        fractions: Split -> share of rows and of words.
        balance: Whether to use every value equally often.
        decisive_only: Whether to take decisive pairs alone.
        reuse_prompts: Whether a prompt may be in several pairs of its split; as the task says if
            not given.

    Returns:
        The splits that have rows, with the features of :func:`schema_of`.

    Raises:
        CfgenError: If something named does not exist, or so many pairs cannot be made.
    """
    made = recipe(
        task,
        n,
        design=design,
        seed=seed,
        templates=templates,
        fractions=fractions,
        balance=balance,
        decisive_only=decisive_only,
        reuse_prompts=reuse_prompts,
    )
    tables: dict[str, list[pa.Table]] = {}
    for split, table in row_tables(made):
        tables.setdefault(split.name, []).append(table)
    from datasets import DatasetDict  # takes a second to load

    return DatasetDict({name: _dataset(made, parts) for name, parts in tables.items()})


def _dataset(recipe: DatasetRecipe, parts: Sequence[pa.Table]) -> Dataset:
    """A dataset of these rows; its fingerprint is a hash of their ids, which are quick to read."""
    table = pa.concat_tables(parts)
    ids = "\0".join([recipe.task.content_hash, *table["id"].to_pylist()])
    fingerprint = hashlib.blake2b(ids.encode(), digest_size=8).hexdigest()
    from datasets import Dataset

    return Dataset(table, fingerprint=fingerprint)


def write_dataset(
    recipe: DatasetRecipe,
    folder: Path,
    *,
    jsonl: bool = False,
    workers: int = 1,
    progress: Progress = no_progress,
    plan: AuditPlan | None = None,
) -> Manifest:
    """Generate a dataset into a folder that ``datasets.load_dataset(folder)`` opens.

    The folder appears complete or not at all. Memory does not grow with the number of rows, but
    for a hash per prompt, by which repetitions are found.

    Args:
        recipe: What to make.
        folder: Where to; must not exist, or be empty, or hold this very dataset, which then is
            left as it is.
        jsonl: Also write ``jsonl/<split>.jsonl``.
        workers: Processes that make the rows; the files are the same for any number. In a script,
            more than one need ``if __name__ == "__main__":`` around the call.
        progress: Called with ``generate pairs``, then with the steps of the audit.
        plan: What it is to be audited for, beyond what every dataset is.

    Returns:
        What was written to ``manifest.json``.

    Raises:
        CfgenError: If so many pairs cannot be made, they do not align under a tokenizer that is
            wanted, or the folder holds something else.
    """
    plan = plan or AuditPlan()
    there = find_dataset(recipe, folder, jsonl=jsonl, plan=plan)
    if there is not None:
        return there
    with new_folder(folder) as fresh:
        asked = request_of(recipe, plan, jsonl=jsonl)
        return fill_folder(fresh, recipe, asked, workers=workers, progress=progress, plan=plan)


def fill_folder(
    fresh: Path,
    recipe: DatasetRecipe,
    asked: dict[str, Any],
    *,
    workers: int,
    progress: Progress,
    plan: AuditPlan,
    seen: SeenPrompts | None = None,
    beside: Sequence[str] = (),
) -> Manifest:
    """Generate a dataset into a folder that is not in its place yet.

    Args:
        fresh: An empty folder.
        recipe: What to make.
        asked: What was asked for; says whether JSON lines are to be written.
        workers: Processes that make the rows.
        progress: Called as by :func:`write_dataset`.
        plan: What it is to be audited for.
        seen: Prompts of datasets that go with this one; added to.
        beside: Their designs.

    Returns:
        What was written to ``manifest.json``.
    """
    (fresh / "data").mkdir()
    rows = _reported(row_tables(recipe, workers, plan.answered, seen), recipe.n, progress)
    for split, portions in itertools.groupby(rows, key=lambda portion: portion[0]):
        tables = (table for _, table in portions)
        _write_split(fresh, recipe, split, tables, asked["jsonl"])
    audit = audit_folder(fresh, recipe, plan, progress)
    manifest = make_manifest(recipe, audit, plan, asked, beside)
    example = _first_pair(fresh, recipe)
    _write_card(fresh, recipe.task, manifest, example)
    content = json.loads(manifest.model_dump_json())
    return Manifest.model_validate(write_record(fresh, MANIFEST, content))


def find_dataset(
    recipe: DatasetRecipe, folder: Path, *, jsonl: bool = False, plan: AuditPlan | None = None
) -> Manifest | None:
    """Find out whether the very dataset that would be written is there already.

    Args:
        recipe: What is to be made.
        folder: Where to.
        jsonl: Whether JSON lines are to be written, too.
        plan: What it is to be audited for.

    Returns:
        Its manifest; None if the folder is free.

    Raises:
        CfgenError: The folder holds something else (``folder-in-use``), with what differs.
    """
    asked = request_of(recipe, plan or AuditPlan(), jsonl=jsonl)
    content = find_result(folder, MANIFEST, asked)
    return None if content is None else Manifest.model_validate(content)


def _reported(
    rows: Iterable[tuple[Split, pa.Table]], n: int, progress: Progress
) -> Iterator[tuple[Split, pa.Table]]:
    """The same rows; how many there are is said as they pass."""
    done = 0
    progress("generate pairs", done, n)
    for split, table in rows:
        done += len(table)
        progress("generate pairs", done, n)
        yield split, table


def _write_split(
    folder: Path, recipe: DatasetRecipe, split: Split, tables: Iterable[pa.Table], jsonl: bool
) -> None:
    """Write the rows of a split as they come."""
    path = parquet_file(folder, split.name)
    with pq.ParquetWriter(path, schema_of(recipe.task), compression="zstd") as writer:
        for group in _row_groups(tables):
            writer.write_table(group)
            if jsonl:
                _append_jsonl(folder / "jsonl" / f"{split.name}.jsonl", group)


def _first_pair(folder: Path, recipe: DatasetRecipe) -> Pair:
    """The first pair that was written."""
    candidates = recipe.candidates()[0]
    with pq.ParquetFile(parquet_file(folder, candidates.split.name)) as file:
        index = file.read_row_group(0, columns=["index"])["index"][0].as_py()
    [pair] = candidate_pairs(candidates, 1, start=index)
    return pair


def _row_groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in tables of :data:`ROW_GROUP` rows, the last one perhaps smaller."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(map(len, waiting)) >= ROW_GROUP:
            rows = pa.concat_tables(waiting).combine_chunks()
            full = len(rows) - len(rows) % ROW_GROUP
            for start in range(0, full, ROW_GROUP):
                yield rows.slice(start, ROW_GROUP)
            waiting = [rows.slice(full)] if full < len(rows) else []
    if waiting:
        yield pa.concat_tables(waiting).combine_chunks()


def _append_jsonl(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8", newline="\n") as file:
        for row in table.to_pylist():
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _write_card(folder: Path, task: Task, manifest: Manifest, example: Pair) -> None:
    files = {name: f"data/{name}-*.parquet" for name in manifest.splits}
    card = dataset_card(task, task.design(manifest.design), manifest, example)
    configs = [configuration("default", files, folder, "data")]
    write_card(folder, task, manifest.design, manifest.rows, configs, card)


def configuration(name: str, files: Mapping[str, str], folder: Path, data: str) -> dict[str, Any]:
    """A configuration of a dataset, as the front matter of its card has it.

    Its description names the content, because ``datasets`` keeps what it has read in a cache by the
    folder's last name and the configuration: without it, a dataset written over an earlier one, or
    to a folder of the same name, would be read as the earlier one.

    Args:
        name: Its name.
        files: Split -> its files, relative to the folder.
        folder: The folder.
        data: Where in the folder all these files are.
    """
    digest = hashlib.sha256()
    for file in sorted((folder / data).rglob("*.parquet")):
        digest.update(bytes.fromhex(hash_file(file)))
    return {
        "config_name": name,
        "data_files": [{"split": split, "path": path} for split, path in files.items()],
        "description": f"content {digest.hexdigest()[:16]}",
    }


def write_card(
    folder: Path,
    task: Task,
    title: str,
    rows: int,
    configs: Sequence[Mapping[str, Any]],
    card: Document,
) -> None:
    """Write a dataset card, with front matter that the Hugging Face Hub understands."""
    header = {
        "pretty_name": f"{task.name}: {title}",
        **({"language": list(task.languages)} if task.languages else {}),
        "tags": ["interpretability", "counterfactual", "causal-model", "cfgen"],
        "size_categories": [_size(rows)],
        "configs": [*configs],
    }
    front = yaml.safe_dump(header, sort_keys=False, allow_unicode=True)
    text = f"---\n{front}---\n\n" + markdown(card)
    (folder / CARD).write_text(text, encoding="utf-8", newline="\n")


def _size(rows: int) -> str:
    return next((name for bound, name in _SIZES if rows < bound), "1M<n<10M")
