"""The behavioural filter: only a pair whose prompts the LM answers correctly can be tested."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cfgen.errors import CfgenError, Problem
from cfgen.interventions import Reply
from cfgen.lm import PairTokens
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


def wrong_sides(pair: PairTokens, replies: tuple[Reply, Reply]) -> tuple[str, ...]:
    """Which of a pair's prompts the LM does not answer correctly; one without answer is not graded.

    Args:
        pair: The pair.
        replies: What the LM answers after the original and after the counterfactual.
    """
    return tuple(
        side
        for side, answer, reply in zip(SIDES, _answers(pair), replies, strict=True)
        if answer is not None and answer not in reply.right
    )


def _answers(pair: PairTokens) -> tuple[str | None, str | None]:
    return pair.pair.original.answer, pair.pair.counterfactual.answer


def grade(encoded: Sequence[PairTokens], replies: Sequence[tuple[Reply, Reply]]) -> Behaviour:
    """Grade what the LM said and filter the pairs.

    Args:
        encoded: The pairs, at least one.
        replies: Per pair what the LM answers after the original and after the counterfactual.

    Returns:
        The kept pairs, with rates.
    """
    right: dict[str, list[bool]] = {side: [] for side in SIDES}
    keep: list[bool] = []
    dropped: Counter[str] = Counter()
    for pair, both in zip(encoded, replies, strict=True):
        wrong = wrong_sides(pair, both)
        for side, answer in zip(SIDES, _answers(pair), strict=True):
            if answer is not None:
                right[side].append(side not in wrong)
        keep.append(not wrong)
        if wrong:
            dropped[f"{' and '.join(wrong)} answered wrongly"] += 1
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


def check_any_kept(
    behaviour: Behaviour,
    encoded: Sequence[PairTokens],
    replies: Sequence[tuple[Reply, Reply]],
    tokenizer: Any,
) -> None:
    """Raise a CfgenError (``no-pair-kept``) if no pair is kept, with what the LM says instead."""
    if behaviour.kept:
        return
    lines = []
    for pair, both in list(zip(encoded, replies, strict=True))[:3]:
        trees = (pair.original_tree, pair.counterfactual_tree)
        sides = (pair.pair.original, pair.pair.counterfactual)
        for side, tree, reply in zip(sides, trees, both, strict=True):
            shown = tokenizer.decode([*tree.fed, *reply.said])
            lines.append(f"{side.prompt.text}\n  expected {side.answer!r}, the LM says {shown!r}")
    message = f"of {len(encoded)} pairs the LM answers none correctly on both sides"
    hint = "use an LM that can do the task, or a wording that it understands"
    raise CfgenError(Problem("no-pair-kept", message, hint=hint, detail="\n".join(lines)))
