"""The manifest: everything needed to make the same dataset again, and what came out."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from cfgen.datasets.answered import AnsweredRecord
from cfgen.datasets.audit import Audit, AuditPlan, SplitSummary
from cfgen.datasets.coverage import Coverage
from cfgen.datasets.features import row_format
from cfgen.datasets.leakage import Leak
from cfgen.datasets.power import PowerPlan
from cfgen.datasets.recipe import DatasetRecipe
from cfgen.datasets.shortcuts import Shortcut
from cfgen.datasets.tokenizers import WordExclusion

FORMAT: Final = "cfgen-dataset-2"
"""What the manifest of a dataset says of itself."""
SUITE: Final = "cfgen-suite-1"
"""What the manifest of several datasets says of itself, one of each design."""
MANIFEST: Final = "manifest.json"
CARD: Final = "README.md"
"""Files of every dataset."""
_LIBRARIES = ("cfgen", "datasets", "faker", "jinja2", "pyarrow")


class Manifest(BaseModel):
    """Everything needed to make the same dataset again, and what came out.

    Attributes:
        format: Which kind of dataset this is, see :data:`FORMAT`.
        task: Name of the task.
        task_version: Version given by its author.
        content_hash: SHA-256 of task file, templates and lexicons.
        design: Name of the design.
        original_edits: Edits that prepare the original.
        counterfactual_edits: Edits that make the counterfactual.
        beside: Designs whose datasets, which go with this one, were made before: it repeats no
            prompt of theirs.
        contrast: The hypotheses that the design is meant to tell apart.
        seed: Seed.
        templates: Template ids asked for; empty for the task's default.
        decisive_only: Whether only decisive pairs were taken.
        balanced: Whether inputs were drawn so that every value is used equally often.
        reuse_prompts: Whether a prompt may be in several pairs of its split.
        inputs: Input -> the slots that show its words; none where its values are no words.
        answer_prefixes: Template -> what stands between prompt and answer.
        as_json: Variables whose values are kept as JSON text.
        tokenizers: Tokenizers under which all pairs align token by token; checked on every pair.
        dropped: Words that were left out for them.
        power: The plan that the number of pairs comes from, None if there is none.
        answered: The LM that answers all pairs rightly; None where none was asked.
        rows: Number of pairs over all splits.
        splits: What each split contains.
        coverage: Split -> which combinations of inputs, template and answer it has.
        shortcuts: How rules that know nothing of the task do.
        leakage: What splits share.
        libraries: Versions that the bytes depend on.
        asked: What was asked for: asked for again, it is shown and not made anew.
        files: Everything that was written.
        sha256: Its hashes, see :func:`cfgen.folders.write_record`.
    """

    model_config = ConfigDict(frozen=True)

    format: Literal["cfgen-dataset-2"]
    task: str
    task_version: str
    content_hash: str
    design: str
    original_edits: tuple[str, ...]
    counterfactual_edits: tuple[str, ...]
    beside: tuple[str, ...]
    contrast: tuple[str, ...]
    seed: int
    templates: tuple[str, ...]
    decisive_only: bool
    balanced: bool
    reuse_prompts: bool
    inputs: dict[str, tuple[str, ...]]
    answer_prefixes: dict[str, str]
    as_json: tuple[str, ...]
    tokenizers: tuple[str, ...]
    dropped: tuple[WordExclusion, ...]
    power: PowerPlan | None
    answered: AnsweredRecord | None
    rows: int
    splits: Annotated[dict[str, SplitSummary], Field(min_length=1)]
    coverage: dict[str, Coverage]
    shortcuts: tuple[Shortcut, ...]
    leakage: tuple[Leak, ...]
    libraries: dict[str, str]
    asked: dict[str, Any]
    files: tuple[str, ...] = ()
    sha256: dict[str, str] = {}


class SuiteManifest(BaseModel):
    """Several datasets of one task in one folder, one of each design.

    Attributes:
        format: Which kind of folder this is, see :data:`SUITE`.
        task: Name of the task.
        task_version: Version given by its author.
        content_hash: SHA-256 of task file, templates and lexicons.
        designs: The designs, in the order in which their datasets were made.
        rows: Number of pairs over all of them.
        leakage: What splits share, whatever design their pairs are of.
        asked: What was asked for: asked for again, it is shown and not made anew.
        files: Everything that was written.
        sha256: Its hashes, see :func:`cfgen.folders.write_record`.
    """

    model_config = ConfigDict(frozen=True)

    format: Literal["cfgen-suite-1"]
    task: str
    task_version: str
    content_hash: str
    designs: Annotated[tuple[str, ...], Field(min_length=1)]
    rows: int
    leakage: tuple[Leak, ...]
    asked: dict[str, Any]
    files: tuple[str, ...] = ()
    sha256: dict[str, str] = {}


def make_manifest(
    recipe: DatasetRecipe,
    audit: Audit,
    plan: AuditPlan,
    asked: dict[str, Any],
    beside: Sequence[str] = (),
) -> Manifest:
    """Put together the manifest of a dataset; which files there are, its writer adds."""
    task, design = recipe.task, recipe.design
    rows = row_format(task)
    return Manifest(
        format=FORMAT,
        task=task.name,
        task_version=task.version,
        content_hash=task.content_hash,
        design=design.name,
        original_edits=tuple(map(str, design.original)),
        counterfactual_edits=tuple(map(str, design.counterfactual)),
        beside=tuple(beside),
        contrast=design.contrast,
        seed=recipe.seed,
        templates=recipe.templates,
        decisive_only=recipe.decisive_only,
        balanced=recipe.balance,
        reuse_prompts=recipe.reuse_prompts,
        inputs=dict(rows.inputs),
        answer_prefixes=dict(rows.prefixes),
        as_json=tuple(sorted(rows.as_json)),
        tokenizers=tuple(plan.tokenizers),
        dropped=plan.dropped,
        power=plan.power,
        answered=plan.answered.record() if plan.answered else None,
        rows=recipe.n,
        splits=audit.splits,
        coverage=audit.coverage,
        shortcuts=audit.shortcuts,
        leakage=audit.leakage,
        libraries=_versions(),
        asked=asked,
    )


def request_of(recipe: DatasetRecipe, plan: AuditPlan, *, jsonl: bool) -> dict[str, Any]:
    """All that a dataset depends on, as JSON has it."""
    task = recipe.task
    dropped = json.dumps([asdict(each) for each in plan.dropped])
    return {
        "task": task.name,
        "task version": task.version,
        "content hash": task.content_hash,
        "design": recipe.design.name,
        "n": recipe.n,
        "seed": recipe.seed,
        "templates": list(recipe.templates),
        "splits": dict(recipe.fractions),
        "balance": recipe.balance,
        "decisive only": recipe.decisive_only,
        "reuse prompts": recipe.reuse_prompts,
        "tokenizers": list(plan.tokenizers),
        "words left out": hashlib.sha256(dropped.encode()).hexdigest() if plan.dropped else "",
        "coverage": plan.strength,
        "power": plan.power and asdict(plan.power),
        "answered by": plan.answered and plan.answered.identity,
        "jsonl": jsonl,
        "libraries": _versions(),
    }


def _versions() -> dict[str, str]:
    named = {name: version(name) for name in _LIBRARIES}
    return {"python": platform.python_version(), **named}
