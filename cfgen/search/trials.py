"""Trials: plain words trade places, and mechanisms run as they are, not as they are followed.

They prove nothing. They would show a fault of what proves that words are interchangeable.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from cfgen.counterfactuals import Predictor, output_text
from cfgen.search.atoms import Atoms, Kind
from cfgen.search.comparison import Comparison, Inputs
from cfgen.search.contents import replaced


def permuted(comparison: Comparison, atoms: Atoms, trials: int) -> dict[int, str]:
    """Permute plain words at random; the sets with whose words other hypotheses agree.

    Args:
        comparison: What is compared.
        atoms: Kinds of words.
        trials: Pairs to draw.

    Returns:
        Index of a set of words -> what was noticed.
    """
    rng = random.Random(0)
    kinds = [kind for kind in atoms.kinds if kind.interchangeable]
    predict = Predictor(comparison.program, comparison.hypotheses)
    wrong: dict[int, None] = {}
    for _ in range(trials if kinds else 0):
        sides = [{n: d.sample(rng) for n, d in comparison.domains.items()} for _ in range(2)]
        if not comparison.occurs(*sides):
            continue  # mechanisms need not know what to say of it
        for kind in kinds:
            if not _agree_alike(comparison, predict, sides, kind, rng):
                wrong |= dict.fromkeys(sorted(kind.pools))
    return dict.fromkeys(wrong, "other hypotheses agree when words trade places")


def _agree_alike(
    comparison: Comparison,
    predict: Predictor,
    sides: Sequence[Inputs],
    kind: Kind,
    rng: random.Random,
) -> bool:
    """Whether a pair still occurs, and the same hypotheses agree, when words trade places in it."""
    values = list(kind.values)
    rng.shuffle(values)
    names = dict(zip(kind.values, values, strict=True))

    def rename(value: Any) -> Any:
        return names.get(value, value) if type(value) is str else value

    renamed = [replaced(dict(side), rename) for side in sides]
    if not comparison.occurs(*renamed):
        return False
    said, then = (predict(*map(comparison.program.run, pair)) for pair in (sides, renamed))
    return _partition(said) == _partition(then)


def _partition(outputs: Mapping[str, Any]) -> list[int]:
    """For every label, the first one that predicts the same."""
    texts = list(map(output_text, outputs.values()))
    return [texts.index(text) for text in texts]
