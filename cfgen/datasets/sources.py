"""Sources: pairs to run on, wherever they come from, as one record.

A task makes pairs, a dataset has them, a file of one's own says them. What an experiment has to
know of pairs beyond the pairs themselves is the same for all three.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from cfgen.counterfactuals import ALL, NONE, Pair, Side, Site, answers_of
from cfgen.datasets.features import RowFormat, row_format
from cfgen.datasets.manifest import Manifest
from cfgen.datasets.reading import open_dataset, pairs_of_split
from cfgen.datasets.recipe import DatasetRecipe
from cfgen.datasets.rows import draw_pairs
from cfgen.errors import CfgenError, Problem, did_you_mean
from cfgen.paths import display
from cfgen.progress import Progress, no_progress
from cfgen.tasks import Task, candidates_of, list_tasks, load_task

Candidates = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class PairSource:
    """Pairs to run on, and what is known of them.

    Attributes:
        pairs: The pairs, in the order of their origin: more of them begin with these.
        task: Name of the task, or what the pairs are called where there is none.
        design: Name of the design.
        hypotheses: Hypothesis -> where it is said to live, of those for which that is known.
        descriptions: Hypothesis -> what it claims, for a person, where that is known.
        tested: The hypotheses to test where none is named: those that the pairs tell apart.
        candidates: What may be answered -> the texts any of which is this answer.
        total: How many pairs there are where these come from; None for as many as one likes.
        rows: Says how the pairs are kept as rows.
        description: Where they come from, for a person.
        remark: Why less is known than could be, empty if nothing is missing.
        default_model: The LM to use if none is named, None if that is not known.
        facts: What else a record of a run should say of them.
    """

    pairs: tuple[Pair, ...]
    task: str
    design: str
    hypotheses: Mapping[str, Site]
    descriptions: Mapping[str, str]
    tested: tuple[str, ...]
    candidates: Candidates
    total: int | None
    rows: Callable[[], RowFormat]
    description: str
    remark: str
    default_model: str | None
    facts: Mapping[str, str]

    @property
    def predicted(self) -> tuple[str, ...]:
        """Everything that predicts an answer: ``none``, ``all``, and the hypotheses."""
        return tuple(self.pairs[0].predictions) if self.pairs else (NONE, ALL)

    def site(self, hypothesis: str) -> Site:
        """Where a hypothesis is said to live.

        Raises:
            CfgenError: The pairs have no predictions of it (``unknown-hypothesis``), or nothing
                says where it lives (``no-site``).
        """
        if hypothesis not in self.predicted:
            message = f"the pairs have no predictions of a hypothesis {hypothesis!r}"
            hint = did_you_mean(hypothesis, self.predicted)
            raise CfgenError(Problem("unknown-hypothesis", message, hint=hint))
        if hypothesis not in self.hypotheses:
            why = f": {self.remark}" if self.remark else ""
            message = f"nothing says where in the LM {hypothesis!r} is to be tested{why}"
            hint = f"say it in the experiment: hypotheses: {{{hypothesis}: {{positions: last}}}}"
            raise CfgenError(Problem("no-site", message, hint=hint))
        return self.hypotheses[hypothesis]

    def table(self, pairs: Sequence[Pair]) -> pa.Table:
        """Pairs of this source as a table, with the columns of a dataset."""
        return self.rows().table(pairs)

    @property
    def identity(self) -> str:
        """SHA-256 of what a run depends on: prompts, spans, answers, predictions, candidates.

        It does not depend on where the pairs come from: a task and the dataset that was made from
        it give the same for the same pairs.
        """
        hashed = hashlib.sha256()
        for pair in self.pairs:
            sides = [_content(side) for side in (pair.original, pair.counterfactual)]
            hashed.update(_line([pair.id, *sides, [*pair.predictions.items()]]))
        hashed.update(_line([[answer, *texts] for answer, texts in self.candidates.items()]))
        return hashed.hexdigest()


def _content(side: Side) -> list[object]:
    """What a run can see of one side of a pair."""
    slots = sorted(side.slots.items())
    return [side.prompt.text, side.prompt.spans, side.answer, side.answer_prefix, slots]


def _line(content: object) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"


def task_source(
    recipe: DatasetRecipe, *, split: str = "test", progress: Progress = no_progress
) -> PairSource:
    """Pairs that a task makes; see :func:`cfgen.datasets.draw_pairs`.

    Raises:
        CfgenError: If so many pairs cannot be made.
    """
    task, pairs = recipe.task, draw_pairs(recipe, split=split, progress=progress)
    return PairSource(
        pairs=tuple(pairs),
        task=task.name,
        design=recipe.design.name,
        hypotheses={name: each.site for name, each in task.hypotheses.items()},
        descriptions={name: each.description for name, each in task.hypotheses.items()},
        tested=_without_all(recipe.design.contrast),
        candidates=candidates_of(task, pairs),
        total=None,
        rows=lambda: row_format(task),
        description=f"drawn from task {task.name}, design {recipe.design.name}, "
        f"words of {split}, seed {recipe.seed}",
        remark="",
        default_model=task.default_model,
        facts={
            "task_version": task.version,
            "content_hash": task.content_hash,
            "split": split,
            "templates": ", ".join(recipe.templates or (task.default_template or "all",)),
        },
    )


def _without_all(contrast: Sequence[str]) -> tuple[str, ...]:
    """Of a contrast, what claims more than that everything is copied."""
    return tuple(name for name in contrast if name != ALL)


def dataset_source(folder: Path, *, split: str = "test", n: int | None = None) -> PairSource:
    """Pairs of a dataset.

    What it says of itself names its task. If there is a task of this name where tasks are looked
    for, and it is the very one that the dataset was made from, its file is run, and says where
    hypotheses live and what may be answered.

    Args:
        folder: What ``cfgen generate`` wrote.
        split: Which split of it.
        n: How many pairs, from the first on; all if not given.

    Raises:
        CfgenError: As :func:`cfgen.datasets.read_dataset`.
    """
    dataset = open_dataset(folder)
    manifest, pairs = dataset.manifest, pairs_of_split(dataset, split, n)
    task, remark = _task_of(manifest)
    known = {} if task is None else task.hypotheses
    return PairSource(
        pairs=tuple(pairs),
        task=manifest.task,
        design=manifest.design,
        hypotheses={name: each.site for name, each in known.items()},
        descriptions={name: each.description for name, each in known.items()},
        tested=_without_all(manifest.contrast),
        candidates=_candidates(task, pairs),
        total=manifest.splits[split].rows,
        rows=lambda: dataset.row_format(split),
        description=f"split {split} of dataset {display(folder)}: task {manifest.task}, "
        f"design {manifest.design}, seed {manifest.seed}",
        remark=remark,
        default_model=task.default_model if task else None,
        facts={
            "task_version": manifest.task_version,
            "content_hash": manifest.content_hash,
            "split": split,
            "templates": ", ".join(manifest.templates),
            "dataset": manifest.sha256["manifest.json"],
        },
    )


def candidates_in(folder: Path) -> Callable[[Sequence[Pair]], Candidates]:
    """What gives the answers that may be given to pairs of a dataset; see :func:`dataset_source`.

    Raises:
        CfgenError: As :func:`cfgen.datasets.open_dataset`.
    """
    task, _ = _task_of(open_dataset(folder).manifest)
    return lambda pairs: _candidates(task, pairs)


def _candidates(task: Task | None, pairs: Sequence[Pair]) -> Candidates:
    """What may be answered, by the task, or else by the pairs."""
    return candidates_of(task, pairs) if task else {one: (one,) for one in answers_of(pairs)}


def _task_of(manifest: Manifest) -> tuple[Task | None, str]:
    """The task that a dataset was made from, or why it is not to be had.

    Only a name that stands in the list of tasks is looked up: a manifest that somebody else wrote
    must not name a file to be run.
    """
    name = manifest.task
    if name not in list_tasks():
        return None, f"there is no task {name!r} here, which the dataset was made from"
    try:
        task = load_task(name)
    except CfgenError as error:
        why = error.problems[0].message
        return None, f"the task {name!r} here, which the dataset names, cannot be loaded: {why}"
    if task.content_hash != manifest.content_hash:
        return None, (
            f"the task {name!r} here is not the one that the dataset was made from (content hash "
            f"{task.content_hash[:12]} instead of {manifest.content_hash[:12]}), so what it says "
            "of hypotheses and candidates is not used; generate the dataset again to use it"
        )
    return task, ""
