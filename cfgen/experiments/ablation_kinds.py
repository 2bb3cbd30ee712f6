"""Kinds of ablation: what is written over what an LM has at a place; nothing here needs torch.

What is said here of a kind decides which fields it takes, where it has a meaning, and how reports
call it; :mod:`cfgen.experiments.ablation` makes the values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AblationKind:
    """What is written at a place.

    Attributes:
        name: What it is called.
        written: What it is, in words; ``{value}``, ``{strength}`` and ``{vector}`` are said anew.
        fields: Fields of an experiment that have a meaning for it alone.
        needs: Those of them that have to be given.
        learned: Whether it is taken from originals of other pairs.
        told_apart: Whether every token has its own, as it is in other prompts: none is generated.
        one_vector: Whether it is the same at every token, so that it cannot be of many keys.
        added: Whether it is added to what is there.
    """

    name: str
    written: str
    fields: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    learned: bool = False
    told_apart: bool = False
    one_vector: bool = False
    added: bool = False


ABLATIONS: Mapping[str, AblationKind] = {
    kind.name: kind
    for kind in (
        AblationKind("zero", "zeros"),
        AblationKind(
            "mean",
            "mean: the average over the originals of all kept pairs, token by token",
            learned=True,
            told_apart=True,
        ),
        AblationKind(
            "pooled",
            "pooled: the average over the originals of all kept pairs, and over their tokens",
            learned=True,
            one_vector=True,
        ),
        AblationKind(
            "resample",
            "resample: what another kept pair's original has there, drawn by the seed",
            learned=True,
            told_apart=True,
        ),
        AblationKind(
            "clamp", "clamp: {value}", fields=("value",), needs=("value",), one_vector=True
        ),
        AblationKind(
            "add",
            "add: what is there, and {strength} times {vector}",
            fields=("strength", "vector"),
            one_vector=True,
            added=True,
        ),
    )
}
"""Name -> the kind."""
