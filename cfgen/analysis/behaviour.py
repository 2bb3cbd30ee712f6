"""The behavioural filter: only a pair whose prompts the LM answers correctly can be tested."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cfgen.analysis.sweeps import SAID
from cfgen.errors import CfgenError, Problem
from cfgen.interventions import Engine, Run, Work
from cfgen.lm import PairTokens
from cfgen.progress import Progress
from cfgen.stats import Rate, rate_of

SIDES = ("original", "counterfactual")
NO_ANSWER = "(no answer)"
"""Stands for the answer of a side that has none."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What the LM says when nothing is changed.

    A side without an answer is neither graded nor filtered on.

    Attributes:
        kept: Indices of the pairs whose graded prompts are all answered correctly.
        dropped: Reason -> how many pairs were dropped for it.
        clean: Share of graded prompts answered correctly, both sides pooled; None if no prompt
            has an answer.
        clean_original: The same for the originals alone.
        clean_counterfactual: The same for the counterfactuals alone.
        keep: Share of pairs kept.
        keep_by_design: The same per design.
        keep_by_answer: The same per answer of the original.
    """

    kept: tuple[int, ...]
    dropped: dict[str, int]
    clean: Rate | None
    clean_original: Rate | None
    clean_counterfactual: Rate | None
    keep: Rate
    keep_by_design: dict[str, Rate]
    keep_by_answer: dict[str, Rate]


def wrong_sides(pair: PairTokens, said: tuple[int, int]) -> tuple[str, ...]:
    """Which of a pair's prompts the LM does not answer correctly; one without answer is not graded.

    Args:
        pair: The pair.
        said: First token that the LM says after the original and after the counterfactual.
    """
    expected = (pair.original_answer, pair.counterfactual_answer)
    return tuple(
        side
        for side, answer, token in zip(SIDES, expected, said, strict=True)
        if answer is not None and answer != token
    )


def behave(
    engine: Engine, encoded: Sequence[PairTokens], report: Progress
) -> tuple[Behaviour, Work]:
    """Run every prompt unchanged, grade what the LM says, and filter the pairs.

    Args:
        engine: How runs are executed.
        encoded: The pairs, at least one.
        report: Called with the number of prompts done.

    Returns:
        The kept pairs, with rates, and what the runs took.

    Raises:
        CfgenError: No pair is kept (``no-pair-kept``).
    """
    prompts = [ids for pair in encoded for ids in (pair.original.ids, pair.counterfactual.ids)]
    report("prompts unchanged", 0, len(prompts))
    found = engine.outcomes([Run(ids) for ids in prompts], question=SAID)
    report("prompts unchanged", len(prompts), len(prompts))
    assert found.said is not None
    said = found.said.tolist()
    both = list(zip(said[::2], said[1::2], strict=True))
    return grade(encoded, both, engine.lm.tokenizer), found.work


def grade(
    encoded: Sequence[PairTokens], said: Sequence[tuple[int, int]], tokenizer: Any
) -> Behaviour:
    """Grade what the LM said and filter the pairs.

    Args:
        encoded: The pairs, at least one.
        said: Per pair the first token that the LM says after the original and the counterfactual.
        tokenizer: To show what the LM said if no pair is kept.

    Returns:
        The kept pairs, with rates.

    Raises:
        CfgenError: No pair is kept (``no-pair-kept``).
    """
    right: dict[str, list[bool]] = {side: [] for side in SIDES}
    keep: list[bool] = []
    dropped: Counter[str] = Counter()
    for pair, tokens in zip(encoded, said, strict=True):
        wrong = wrong_sides(pair, tokens)
        answers = (pair.original_answer, pair.counterfactual_answer)
        for side, answer in zip(SIDES, answers, strict=True):
            if answer is not None:
                right[side].append(side not in wrong)
        keep.append(not wrong)
        if wrong:
            dropped[f"{' and '.join(wrong)} answered wrongly"] += 1
    if not any(keep):
        raise CfgenError(_nothing_kept(encoded, said, tokenizer))
    return Behaviour(
        kept=tuple(index for index, kept in enumerate(keep) if kept),
        dropped=dict(sorted(dropped.items())),
        clean=_maybe(right["original"] + right["counterfactual"]),
        clean_original=_maybe(right["original"]),
        clean_counterfactual=_maybe(right["counterfactual"]),
        keep=rate_of(keep),
        keep_by_design=_by([pair.pair.design for pair in encoded], keep),
        keep_by_answer=_by([pair.pair.original.answer or NO_ANSWER for pair in encoded], keep),
    )


def _maybe(outcomes: list[bool]) -> Rate | None:
    return rate_of(outcomes) if outcomes else None


def _by(keys: Sequence[str], keep: Sequence[bool]) -> dict[str, Rate]:
    groups: dict[str, list[bool]] = {}
    for key, kept in zip(keys, keep, strict=True):
        groups.setdefault(key, []).append(kept)
    return {key: rate_of(groups[key]) for key in sorted(groups)}


def _nothing_kept(
    encoded: Sequence[PairTokens], said: Sequence[tuple[int, int]], tokenizer: Any
) -> Problem:
    lines = []
    for pair, tokens in list(zip(encoded, said, strict=True))[:3]:
        for side, token in zip((pair.pair.original, pair.pair.counterfactual), tokens, strict=True):
            shown = tokenizer.decode([token])
            lines.append(f"{side.prompt.text}\n  expected {side.answer!r}, the LM says {shown!r}")
    return Problem(
        "no-pair-kept",
        f"of {len(encoded)} pairs the LM answers none correctly on both sides",
        hint="use an LM that can do the task, or a wording that it understands",
        detail="\n".join(lines),
    )
