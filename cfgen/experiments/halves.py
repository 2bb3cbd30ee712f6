"""Halves of pairs without a prompt in common: what the one chooses is judged on the other."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from cfgen.lm import PairTokens


def split_pairs(
    encoded: Sequence[PairTokens], indices: Collection[int]
) -> tuple[list[int], list[int], list[int]]:
    """Divide pairs, every other one, into two halves that have no prompt in common.

    Args:
        encoded: All pairs.
        indices: Which are divided.

    Returns:
        Indices of the one half, of the other, and of those that are left out since a prompt of
        theirs is in the first.
    """
    order = sorted(indices)

    def prompts(index: int) -> set[tuple[int, ...]]:
        return {encoded[index].original.ids, encoded[index].counterfactual.ids}

    one = order[::2]
    seen = {ids for index in one for ids in prompts(index)}
    shared = [index for index in order[1::2] if prompts(index) & seen]
    return one, [index for index in order[1::2] if index not in {*shared}], shared
