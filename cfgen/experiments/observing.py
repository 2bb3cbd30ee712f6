"""Observing: what the LM says to prompts as they are, answered in a folder like a run.

The same pairs are asked in the same units as by a run's filter, and a folder takes units over from
those beside it: who observes first runs less later, and the other way round.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from cfgen.errors import CfgenError, Problem
from cfgen.experiments.answering import (
    PAIRS,
    finished_content,
    folder_of,
    load_for,
    opened_store,
)
from cfgen.experiments.definition import Experiment
from cfgen.experiments.inquiry import Request
from cfgen.experiments.portions import EVERYTHING_NOW, Remainder
from cfgen.experiments.results import Share, is_behaviour, read_as, share_of, versions_used
from cfgen.experiments.store import read_finished
from cfgen.paths import display
from cfgen.progress import Progress, no_progress
from cfgen.stats import CONFIDENCE

if TYPE_CHECKING:
    from cfgen.experiments.filtering import FilterOutcome
    from cfgen.lm import LM

PROMPTS = "prompts.parquet"


class WrongAnswer(BaseModel):
    """What the LM says instead of an answer, and how often; words, or where the prompt has them."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    expected: str
    said: str
    count: int


class BehaviourResults(BaseModel):
    """The content of ``results.json`` where nothing is swapped.

    Attributes:
        n: Pairs whose prompts were asked; ``kept`` of them are answered correctly on both sides,
            and a run would keep them.
        dropped: Reason -> pairs that a run would drop.
        clean: ``original``, ``counterfactual`` and ``both`` -> share of prompts answered correctly.
        accuracy: ``template``, ``design``, ``position`` (where the prompt first shows the answer)
            and ``answer`` -> group -> the same as ``clean``.
        mistakes: Wrong answers, the commonest first.
        misplaced: The same by where the prompt has the answer, and what was said instead.
        experiment: What was asked.
        source: What the pairs came from.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    model: str
    task: str
    design: str
    n: int
    kept: int
    keep: Share
    dropped: dict[str, int]
    clean: dict[str, Share]
    accuracy: dict[str, dict[str, dict[str, Share]]]
    mistakes: tuple[WrongAnswer, ...]
    misplaced: tuple[WrongAnswer, ...]
    confidence: float
    revision: str
    device: str
    dtype: str
    attention: str
    versions: dict[str, str]
    experiment: Experiment
    source: dict[str, str]


@dataclass(frozen=True, slots=True)
class ObservedRun:
    """What came out of a request in which nothing is swapped.

    Attributes:
        folder: Where it is written.
        results: The numbers.
        found: Whether it was there already.
    """

    folder: Path
    results: BehaviourResults
    found: bool


def observe(
    request: Request,
    out: Path | None = None,
    *,
    again: bool = False,
    progress: Progress = no_progress,
) -> ObservedRun:
    """Ask an LM the prompts of pairs as they are, or show what it said before.

    Args:
        request: What is asked, with ``method: behaviour``.
        out: The folder; one below ``runs`` if not given, whose name says what is asked.
        again: Whether to compute everything anew, in a folder beside the one that there is.
        progress: Called with progress.

    Raises:
        CfgenError: As :func:`cfgen.experiments.answer`.
    """
    folder = folder_of(request, out, again=again)
    found = _found(folder, request)
    if found:
        return found
    with opened_store(request, folder, "", progress, alone=again) as store:
        # another process may have finished it while this one waited for the folder
        found = _found(folder, request)
        if found:
            return found
        progress("loading libraries", 0, None)
        from cfgen.experiments.filtering import filter_pairs
        from cfgen.experiments.replies import Workbench
        from cfgen.interventions import choose_engine

        lm, inquiry = load_for(request, progress), request.inquiry
        options = inquiry.experiment.engine
        engine = choose_engine(lm, options.name, batch_size=options.batch_size)
        outcome = filter_pairs(Workbench(engine, store, progress), inquiry, EVERYTHING_NOW)
        assert not isinstance(outcome, Remainder)  # nothing was left to others
        results, prompts = _counted(lm, request, outcome)
        pairs = inquiry.source.table([one.pair for one in outcome.encoded])
        store.finish(results.model_dump(mode="json"), {PROMPTS: prompts, PAIRS: pairs})
        return ObservedRun(folder, results, found=False)


def read_behaviour(folder: Path) -> BehaviourResults:
    """What was observed in a folder.

    Raises:
        CfgenError: There is nothing of that kind (``nothing-observed``), or it was changed.
    """
    content = read_finished(folder)
    if content is None or not is_behaviour(content):
        message = f"{display(folder)} holds no finished answer of `cfgen behave`"
        hint = "`cfgen runs` lists what there is"
        raise CfgenError(Problem("nothing-observed", message, hint=hint))
    return read_as(BehaviourResults, content)


def _observed(folder: Path, content: Mapping[str, Any]) -> ObservedRun:
    return ObservedRun(folder, read_as(BehaviourResults, content), found=True)


def _found(folder: Path, request: Request) -> ObservedRun | None:
    content = finished_content(folder, request)
    return None if content is None else _observed(folder, content)


def _counted(lm: LM, request: Request, found: FilterOutcome) -> tuple[BehaviourResults, pa.Table]:
    """The numbers, and what was said to each prompt."""
    from cfgen.experiments.behaviour import (
        ACCURACY_BY,
        accuracy_by,
        grade,
        graded_prompts,
        misplaced,
        mistakes,
    )

    seen = grade(found.encoded, found.said)
    prompts = graded_prompts(found.encoded, found.said, lm.tokenizer)
    inquiry, pairs = request.inquiry, [one.pair for one in found.encoded]

    def shares(group: Any) -> dict[str, dict[str, Share]]:
        return {
            name: {side: share_of(rate) for side, rate in sides.items()}
            for name, sides in accuracy_by(prompts, group).items()
        }

    results = BehaviourResults(
        model=lm.name,
        task="+".join(sorted({pair.task for pair in pairs})),
        design="+".join(sorted({pair.design for pair in pairs})),
        n=len(pairs),
        kept=len(seen.kept),
        keep=share_of(seen.keep),
        dropped=seen.dropped,
        clean=shares(lambda prompt: "").get("", {}),
        accuracy={name: shares(group) for name, group in ACCURACY_BY.items()},
        mistakes=_wrong(mistakes(prompts)),
        misplaced=_wrong(misplaced(prompts)),
        confidence=CONFIDENCE,
        revision=lm.revision,
        device=str(lm.device),
        dtype=lm.dtype_name,
        attention=lm.attention,
        versions=versions_used(),
        experiment=inquiry.experiment,
        source=dict(inquiry.source.facts),
    )
    names = ("pair_id", "side", "template", "expected", "expected_at", "said", "said_at", "right")
    columns = {name: [getattr(prompt, name) for prompt in prompts] for name in names}
    return results, pa.table(columns)


def _wrong(counted: Iterable[tuple[tuple[str, str], int]]) -> tuple[WrongAnswer, ...]:
    return tuple(
        WrongAnswer(expected=expected, said=said, count=count)
        for (expected, said), count in counted
    )
