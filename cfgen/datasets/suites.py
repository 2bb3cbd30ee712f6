"""Suites: datasets of one task in one folder, one of each design, that share no prompt.

Every dataset lies in a folder of its own, whole, and can be read, exported and run on like any
other. The suite's card names them as configurations, by which ``datasets`` tells them apart.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cfgen.datasets.audit import AuditPlan, audit_leakage
from cfgen.datasets.card import audit_findings, leak_findings, leakage_blocks, load_code
from cfgen.datasets.manifest import MANIFEST, SUITE, Manifest, SuiteManifest, request_of
from cfgen.datasets.reading import changed_file, open_dataset
from cfgen.datasets.recipe import DatasetRecipe
from cfgen.datasets.repetition import SeenPrompts
from cfgen.datasets.writing import configuration, fill_folder, write_card
from cfgen.documents import (
    CodeBlock,
    Column,
    Document,
    Heading,
    Inline,
    Paragraph,
    Table,
    code,
    strong,
)
from cfgen.errors import CfgenError, Problem
from cfgen.folders import find_result, new_folder, read_record, write_record, wrong_with
from cfgen.paths import display, plain_name
from cfgen.progress import Progress, no_progress
from cfgen.tasks import Task

EVERY = "default"
"""The configuration that has the pairs of all designs."""
_APART = (
    "A word belongs to the same split whatever the design, so that one may learn from the train "
    "split of one design and test on another's. No prompt is in two of the datasets{}."
)


@dataclass(frozen=True, slots=True)
class Suite:
    """Several datasets in one folder.

    Attributes:
        manifest: What is said of them together.
        datasets: What each says of itself, in the order of the designs.
    """

    manifest: SuiteManifest
    datasets: tuple[Manifest, ...]


def suite_recipes(recipe: DatasetRecipe, designs: Sequence[str]) -> list[DatasetRecipe]:
    """The recipes of a suite: the same but for the design.

    Args:
        recipe: What to make of each design.
        designs: Their names.

    Raises:
        CfgenError: A design is named twice, or is called like the configuration of all
            (``bad-suite``); there is none of a name; or only decisive pairs are wanted of one
            that has no contrast (``no-contrast``).
    """
    problems = []
    for name, count in Counter(designs).items():
        if count > 1:
            message, hint = f"design {name!r} is named twice", "name each design once"
            problems.append(Problem("bad-suite", message, hint=hint))
        if name == EVERY:
            message = f"a design that is called {EVERY!r} cannot be in a dataset with others"
            hint = "give the design another name; that one stands for the pairs of all"
            problems.append(Problem("bad-suite", message, hint=hint))
    if problems:
        raise CfgenError(problems)
    return [recipe.for_design(name) for name in designs]


def write_suite(
    recipes: Sequence[DatasetRecipe],
    folder: Path,
    *,
    jsonl: bool = False,
    workers: int = 1,
    progress: Progress = no_progress,
    plan: AuditPlan | None = None,
) -> Suite:
    """Generate datasets of several designs into a folder, one after the other.

    The folder appears complete or not at all. A dataset repeats no prompt of those before it; so
    it is not quite the one that its design alone would give.

    Args:
        recipes: What to make, see :func:`suite_recipes`.
        folder: Where to; must not exist, or be empty, or hold this very suite, which then is left
            as it is.
        jsonl: Also write JSON lines.
        workers: Processes that make the rows; the files are the same for any number.
        progress: Called as by :func:`cfgen.datasets.write_dataset`, for each.
        plan: What each is to be audited for.

    Returns:
        What was written.

    Raises:
        CfgenError: As :func:`cfgen.datasets.write_dataset`.
    """
    plan = plan or AuditPlan()
    there = find_suite(recipes, folder, jsonl=jsonl, plan=plan)
    if there is not None:
        return there
    task, seen = recipes[0].task, SeenPrompts()
    manifests: list[Manifest] = []
    with new_folder(folder) as fresh:
        for recipe in recipes:
            own = fresh / recipe.design.name
            own.mkdir()
            beside = [each.design for each in manifests]
            asked = {**request_of(recipe, plan, jsonl=jsonl), "beside": beside}
            made = fill_folder(
                own,
                recipe,
                asked,
                workers=workers,
                progress=progress,
                plan=plan.afresh(),
                seen=seen,
                beside=beside,
            )
            manifests.append(made)
        leaks = audit_leakage([(fresh / each.design.name, each) for each in recipes])
        suite = SuiteManifest(
            format=SUITE,
            task=task.name,
            task_version=task.version,
            content_hash=task.content_hash,
            designs=tuple(each.design for each in manifests),
            rows=sum(each.rows for each in manifests),
            leakage=leaks,
            asked=_asked(recipes, plan, jsonl=jsonl),
        )
        card = _card(task, suite, manifests)
        title = ", ".join(suite.designs)
        write_card(fresh, task, title, suite.rows, _configurations(fresh, manifests), card)
        content = json.loads(suite.model_dump_json())
        suite = SuiteManifest.model_validate(write_record(fresh, MANIFEST, content))
    return Suite(suite, tuple(manifests))


def find_suite(
    recipes: Sequence[DatasetRecipe],
    folder: Path,
    *,
    jsonl: bool = False,
    plan: AuditPlan | None = None,
) -> Suite | None:
    """Find out whether the very suite that would be written is there already.

    Returns:
        What it says of itself; None if the folder is free.

    Raises:
        CfgenError: The folder holds something else (``folder-in-use``), with what differs.
    """
    asked = _asked(recipes, plan or AuditPlan(), jsonl=jsonl)
    if find_result(folder, MANIFEST, asked) is None:
        return None
    return open_suite(folder)


def open_suite(folder: Path, *, whole: bool = False) -> Suite:
    """Read what a suite says of itself, and check all of its datasets.

    Args:
        folder: What was given to ``cfgen generate`` as ``--out``, or a copy of that.
        whole: As for :func:`cfgen.datasets.open_dataset`.

    Raises:
        CfgenError: A file is missing or not as it was written (``dataset-changed``).
    """
    file = folder / MANIFEST
    try:
        suite = SuiteManifest.model_validate(read_record(file))
    except (OSError, ValueError) as error:  # of pydantic's too
        why = "is not as cfgen writes it" if isinstance(error, ValidationError) else f"{error}"
        raise changed_file(file, why) from error
    names = [plain_name(name, "a design of the dataset", display(file)) for name in suite.designs]
    for name in names:
        own = f"{name}/{MANIFEST}"
        wrong = (
            wrong_with(folder / own, suite.sha256[own]) if own in suite.sha256 else "is unlisted"
        )
        if wrong:
            raise changed_file(folder / own, wrong)
    datasets = [open_dataset(folder / name, whole=whole).manifest for name in names]
    return Suite(suite, tuple(datasets))


def checked_files(folder: Path) -> tuple[str, ...]:
    """All files that were written into the folder of a dataset, or of several, unchanged.

    Raises:
        CfgenError: It is neither (``not-a-dataset``), or a file is missing or not as it was written
            (``dataset-changed``).
    """
    with suppress(OSError, ValueError):
        if read_record(folder / MANIFEST).get("format") == SUITE:
            return open_suite(folder, whole=True).manifest.files
    return open_dataset(folder, whole=True).manifest.files


def _asked(recipes: Sequence[DatasetRecipe], plan: AuditPlan, *, jsonl: bool) -> dict[str, Any]:
    """What the recipes have in common, and their designs."""
    common = request_of(recipes[0], plan, jsonl=jsonl)
    return {**common, "design": [recipe.design.name for recipe in recipes]}


def _configurations(folder: Path, manifests: Sequence[Manifest]) -> list[dict[str, Any]]:
    """One of each design, and one of them all."""
    splits = list(manifests[0].splits)
    every = {split: f"*/data/{split}-*.parquet" for split in splits}
    own = [
        configuration(
            each.design,
            {split: f"{each.design}/data/{split}-*.parquet" for split in splits},
            folder,
            each.design,
        )
        for each in manifests
    ]
    return [configuration(EVERY, every, folder, "."), *own]


# What it says of itself.


def _card(task: Task, suite: SuiteManifest, manifests: Sequence[Manifest]) -> Document:
    return Document(
        (
            Heading((f"{task.name}, designs ", code(", ".join(suite.designs))), 1),
            Paragraph(task.description),
            Paragraph(
                f"Pairs of {len(manifests)} designs. Each design is a configuration with a folder "
                "and a card of its own; without a name, the pairs of all are loaded."
            ),
            CodeBlock(load_code(manifests[0].design), "python"),
            Heading("Designs"),
            _designs(manifests),
            Paragraph(_apart(manifests[0])),
            Heading("Leakage"),
            *leakage_blocks(suite.leakage),
        )
    )


def suite_summary(suite: Suite, folder: Path, url: str | None = None) -> Document:
    """What one wants to see first of a suite that was just made.

    Args:
        suite: What was made.
        folder: Where it was written.
        url: Where it was uploaded to.
    """
    shown, manifests, whole = display(folder), suite.datasets, suite.manifest
    files = [
        f"{shown} has a folder of each design, manifest.json and README.md (the card)",
        f'Load one: datasets.load_dataset("{shown}", "{manifests[0].design}"); without a design, '
        "all",
        f"Run on one: cfgen run --dataset {shown}/{manifests[0].design} --split test",
        *([f"Uploaded: {url}"] if url else []),
    ]
    return Document(
        (
            Heading(f"{whole.rows:,} pairs of task {whole.task}, {len(manifests)} designs", 1),
            _designs(manifests),
            Heading("Splits"),
            Paragraph(_apart(manifests[0])),
            Heading("Audits; the cards have the tables"),
            *(
                Paragraph((strong(f"{each.design}: "), found))
                for each in manifests
                for found in audit_findings(each)
            ),
            *(Paragraph(found) for found in leak_findings(whole.leakage)),
            Heading("Files"),
            *map(Paragraph, files),
        )
    )


def _apart(manifest: Manifest) -> str:
    return _APART.format(", unless in the same split" if manifest.reuse_prompts else "")


def _designs(manifests: Sequence[Manifest]) -> Table:
    """Counts by design and split."""
    splits = list(manifests[0].splits)
    columns = [Column("design"), *(Column(name, "right") for name in (*splits, "decisive"))]
    rows: list[tuple[Inline, ...]] = []
    for manifest in manifests:
        counts = [manifest.splits[name].rows for name in splits]
        decisive = sum(split.decisive for split in manifest.splits.values())
        contrast = ", ".join(manifest.contrast) or "-"
        rows.append((code(manifest.design), *(f"{n:,}" for n in (*counts, decisive)), contrast))
    return Table((*columns, Column("tells apart")), tuple(rows))
