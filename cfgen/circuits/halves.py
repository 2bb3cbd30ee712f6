"""Pairs that circuits can be measured on: one half chooses edges, the other judges them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cfgen.errors import CfgenError, Problem
from cfgen.experiments import split_pairs
from cfgen.lm import PairTokens

FEWEST = 2
"""Usable pairs; one to choose by, one to judge on."""


@dataclass(frozen=True, slots=True)
class CircuitPair:
    """A pair as circuits are measured on it.

    Attributes:
        name: Id of the pair.
        clean: Token ids of the original.
        corrupted: Those of the counterfactual, as many.
        right: Tokens any of which is the original's answer.
        wrong: Those of the counterfactual's.
    """

    name: str
    clean: tuple[int, ...]
    corrupted: tuple[int, ...]
    right: tuple[int, ...]
    wrong: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PairHalves:
    """Pairs in two halves that have no prompt in common.

    Attributes:
        choosing: Those by which edges are chosen.
        judging: Those on which circuits are measured.
        unusable: Reason -> how many pairs are in neither.
    """

    choosing: tuple[CircuitPair, ...]
    judging: tuple[CircuitPair, ...]
    unusable: Mapping[str, int]


def make_halves(pairs: Sequence[PairTokens]) -> PairHalves:
    """Divide pairs, every other one, and leave out those that are no use.

    Args:
        pairs: Those that the LM answers correctly.

    Raises:
        CfgenError: One half has none (``no-circuit-pairs``).
    """
    reasons = [_unusable(pair) for pair in pairs]
    unusable = Counter(reason for reason in reasons if reason)
    usable = [index for index, reason in enumerate(reasons) if not reason]
    choosing, judging, shared = split_pairs(pairs, usable)
    if shared:
        unusable["a prompt of it chose edges, in another pair"] += len(shared)
    if not choosing or not judging:
        detail = "; ".join(f"{count}: {reason}" for reason, count in unusable.items())
        message = (
            f"edges are chosen by one half of the pairs and judged on the other, which takes "
            f"{FEWEST} at least; of {len(pairs)} pairs {len(choosing) + len(judging)} can be used"
        )
        hint = "run more pairs (-n), or --tokenizer MODEL for words that align token by token"
        raise CfgenError(Problem("no-circuit-pairs", message, hint=hint, detail=detail))
    one, other = (tuple(_circuit_pair(pairs[n]) for n in half) for half in (choosing, judging))
    return PairHalves(one, other, dict(sorted(unusable.items())))


def _unusable(pair: PairTokens) -> str:
    """Why edges can't be corrupted or measured on a pair; empty if they can."""
    right, wrong = pair.pair.original.answer, pair.pair.counterfactual.answer
    if len(pair.original) != len(pair.counterfactual):
        return "the two prompts have different numbers of tokens"
    if right is None or wrong is None:
        return "a prompt has no answer"
    if right == wrong:
        return "both prompts have the same answer"
    if not all(pair.original_tree.single_tokens(answer) for answer in (right, wrong)):
        return "an answer is not told by one token"
    return ""


def _circuit_pair(pair: PairTokens) -> CircuitPair:
    tree = pair.original_tree
    return CircuitPair(
        name=pair.pair.id,
        clean=pair.original.ids,
        corrupted=pair.counterfactual.ids,
        right=tree.single_tokens(pair.pair.original.answer or ""),
        wrong=tree.single_tokens(pair.pair.counterfactual.answer or ""),
    )
