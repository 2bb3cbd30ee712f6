"""Continuations: how the LM goes on after a change, token by token, and how it does without.

What is said first is measured like everything else; this is for reading what it leads to. An edit
is made in the prompt only, or at every token that is generated as well; which of them is part of
what was asked, and stands with every continuation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from cfgen.counterfactuals import Side
from cfgen.experiments.behaviour import prompts_of
from cfgen.experiments.cells import Continuation, ContinuationRate
from cfgen.experiments.definition import Experiment
from cfgen.experiments.interchange import RunBlock
from cfgen.experiments.portions import Portion
from cfgen.experiments.replies import Workbench
from cfgen.experiments.sweeps import Sweep, Trial
from cfgen.interventions import Run, continue_runs
from cfgen.lm import Candidates, PairTokens, PromptTokens
from cfgen.stats import rate_of

Tokens = tuple[int, ...]
BlockRuns = Callable[[RunBlock], tuple[Any, Sequence[Run]]]
"""What runs of a block are, in a form that JSON has, and these: of its pairs unchanged, then one of
each trial."""


@dataclass(slots=True)
class ContinuedTrials:
    """What was generated.

    Attributes:
        of_pair: Index of a pair -> the tokens with which the LM goes on, unchanged.
        of_trial: Trial -> those with which it goes on after the change.
        there: How many blocks are there.
        missing: How many are not.
        late: Whether that is because time is up.
    """

    of_pair: dict[int, Tokens]
    of_trial: dict[Trial, Tokens]
    there: int = 0
    missing: int = 0
    late: bool = False


def continued(
    bench: Workbench,
    blocks: Sequence[RunBlock],
    runs_of: BlockRuns,
    experiment: Experiment,
    portion: Portion,
) -> ContinuedTrials:
    """Let the LM go on after the runs of blocks, as far as that is to be done here and now.

    Args:
        bench: What units are computed with.
        blocks: The blocks.
        runs_of: Gives the runs of a block.
        experiment: What is asked: how many tokens, and whether edits are made at them.
        portion: Which blocks are computed here and now.
    """
    found = ContinuedTrials({}, {})
    share, shares = portion.shard
    asked = experiment.generate, experiment.during
    for number, block in enumerate(blocks):
        bench.report("continuations", number, len(blocks))
        described, runs = runs_of(block)

        def make(runs: Sequence[Run] = runs) -> pa.Table:
            count, during = asked
            tokens, _ = continue_runs(bench.engine, runs, count, always=during == "always")
            return pa.table({"tokens": pa.array([list(one) for one in tokens], _TOKENS)})

        for_others = number % shares != share - 1
        due = portion.due or for_others
        table = bench.table(["continuations", *asked, described], make, due=due)
        if table is None:
            found.missing += 1
            found.late = found.late or not for_others
            continue
        found.there += 1
        rows = [tuple(row) for row in table["tokens"].to_pylist()]
        found.of_pair |= zip(block.swapped, rows, strict=False)  # those of trials follow
        found.of_trial |= zip(block.trials, rows[len(block.swapped) :], strict=True)
    bench.report("continuations", len(blocks), len(blocks))
    return found


_TOKENS = pa.list_(pa.int32())


def continuation_records(
    found: ContinuedTrials,
    sweeps: Sequence[Sweep],
    encoded: Sequence[PairTokens],
    decode: Callable[[Sequence[int]], str],
    during: str,
) -> tuple[Continuation, ...]:
    """What was generated, as texts.

    Args:
        found: What was generated.
        sweeps: Where the LM was changed.
        encoded: The pairs.
        decode: Gives the text of tokens.
        during: When it was.
    """

    def text(prompt: PromptTokens, tokens: Tokens) -> str:
        return decode([*prompt.ids[prompt.unfed :], *tokens])  # what was fed is part of the answer

    return tuple(
        Continuation(
            *sweeps[trial.sweep].spot,
            trial.layer,
            encoded[trial.pair].pair.id,
            during,
            text(encoded[trial.pair].original, found.of_pair[trial.pair]),
            text(encoded[trial.pair].original, tokens),
        )
        for trial, tokens in sorted(found.of_trial.items())
    )


def continuation_rates(
    records: Iterable[Continuation], encoded: Sequence[PairTokens], candidates: Candidates
) -> tuple[ContinuationRate, ...]:
    """How many continuations begin with an answer, place by place.

    Args:
        records: The continuations.
        encoded: The pairs.
        candidates: What may be answered -> the texts any of which is this answer.
    """
    pairs = {pair.pair.id: pair for pair in encoded}
    places: dict[Any, list[Continuation]] = {}
    for record in records:
        places.setdefault(record.place, []).append(record)
    return tuple(
        rate
        for here in places.values()
        for side in ("original", "counterfactual")
        if (rate := _rate(here, side, pairs, candidates)) is not None
    )


def _rate(
    here: Sequence[Continuation],
    side: str,
    pairs: Mapping[str, PairTokens],
    candidates: Candidates,
) -> ContinuationRate | None:
    """The share at one place of those that begin with the answer of one side."""
    cases = []
    for record in here:
        asked: Side = getattr(pairs[record.pair_id].pair, side)
        if asked.answer is not None:
            texts = candidates.get(asked.answer, (asked.answer,))
            both = begins_with(record.unchanged, texts), begins_with(record.changed, texts)
            cases.append((both, prompts_of(pairs[record.pair_id])))
    if not cases:
        return None
    rests_on = [prompts for _, prompts in cases]
    before = rate_of((both[0] for both, _ in cases), rests_on)
    after = rate_of((both[1] for both, _ in cases), rests_on)
    return ContinuationRate(
        *here[0].place,
        answer="original" if side == "original" else "counterfactual",
        n=after.n,
        unchanged=before.value,
        value=after.value,
        low=after.low,
        high=after.high,
    )


def begins_with(text: str, answers: Iterable[str]) -> bool:
    """Whether a text begins with any of some answers, which ends there: ``pen``, not ``pencil``."""
    start = text.lstrip()
    for answer in (answer.strip() for answer in answers):
        behind = start[len(answer) : len(answer) + 1]
        if start.startswith(answer) and not (answer[-1:].isalnum() and behind.isalnum()):
            return True
    return False
