"""Pairs as token ids, and those of random tokens."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from sweeps.models import Sizes

QUARTERS = (0.25, 0.5, 0.75, 1.0)
"""Where in the prompt the four positions are for models without a tokenizer."""
SPAN = 6
"""Tokens of a span in prompts of random tokens."""


@dataclass(frozen=True, slots=True)
class Prompts:
    """Pairs as token ids, and where named positions are in them.

    Attributes:
        originals: Token ids per pair.
        counterfactuals: Token ids per pair.
        tracked: Per pair the tokens whose logits are compared: both answers.
        slots: Name -> per pair its position (in the original, in the counterfactual).
        spans: Per pair the tokens of every span of the original, in order.
        noisy: Per pair the tokens of the original that may be given noise.
    """

    originals: tuple[tuple[int, ...], ...]
    counterfactuals: tuple[tuple[int, ...], ...]
    tracked: tuple[tuple[int, ...], ...]
    slots: dict[str, list[tuple[int, int]]]
    spans: tuple[tuple[tuple[int, ...], ...], ...]
    noisy: tuple[tuple[int, ...], ...]

    def only(self, chosen: Sequence[int]) -> Prompts:
        """Some of the pairs."""
        return Prompts(
            tuple(self.originals[pair] for pair in chosen),
            tuple(self.counterfactuals[pair] for pair in chosen),
            tuple(self.tracked[pair] for pair in chosen),
            {name: [found[pair] for pair in chosen] for name, found in self.slots.items()},
            tuple(self.spans[pair] for pair in chosen),
            tuple(self.noisy[pair] for pair in chosen),
        )


def random_prompts(model: Sizes, length: int, pairs: int) -> Prompts:
    """Pairs of random token ids."""
    rng = random.Random(length)
    size = model.vocabulary
    sides = [
        tuple(tuple(rng.randrange(size) for _ in range(length)) for _ in range(pairs))
        for _ in range(2)
    ]
    slots = {}
    for share in QUARTERS:
        position = round(share * length) - 1
        name = "last" if position == length - 1 else f"position {position}"
        slots[name] = [(position, position)] * pairs
    tracked = tuple((rng.randrange(size), rng.randrange(size)) for _ in range(pairs))
    spans = tuple(
        tuple(range(start, min(start + SPAN, length - 1))) for start in range(0, length - 1, SPAN)
    )
    noisy = tuple(range(length // 4, min(length // 4 + 3, length - 1)))
    return Prompts(*sides, tracked, slots, (spans,) * pairs, (noisy,) * pairs)
