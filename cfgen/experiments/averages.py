"""Averages of what an LM has at a place, over pairs: computed once, before what is made of them.

What is kept are the numbers themselves, pair by pair, in units of their own: so an average of other
pairs, or of more, needs the LM only for those that are new, and comes to the same however pairs are
divided into blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from cfgen.experiments.digests import digest_of
from cfgen.experiments.interchange import in_blocks
from cfgen.experiments.portions import Portion
from cfgen.experiments.replies import Workbench
from cfgen.interventions import Budget, Read, Run
from cfgen.lm import Place


@dataclass(frozen=True, slots=True)
class Term:
    """What tokens of a prompt contribute to an average.

    Attributes:
        pair: Index of the pair that the prompt is of.
        ids: The prompt's token ids.
        tokens: Token positions in it.
        weight: What their numbers are multiplied by.
    """

    pair: int
    ids: tuple[int, ...]
    tokens: tuple[int, ...]
    weight: float


@dataclass(frozen=True, slots=True)
class Average:
    """An average of what prompts have at a component, not yet computed.

    Attributes:
        component: The component, as a whole.
        terms: What it is the sum of.
        pooled: Whether the tokens of a prompt are added up, too; else they are told apart, and all
            terms have as many.
        name: What it is known by: all that it hangs on, but for the LM and the layer.
    """

    component: str
    terms: tuple[Term, ...]
    pooled: bool
    name: str = field(init=False)

    def __post_init__(self) -> None:
        terms = [[term.ids, term.tokens, term.weight] for term in self.terms]
        object.__setattr__(self, "name", digest_of([self.component, self.pooled, terms]))


def mean_of_tokens(
    component: str, prompts: Sequence[tuple[int, tuple[int, ...], tuple[int, ...]]], *, pooled: bool
) -> Average:
    """The average over prompts, each with the index of its pair, its ids, and its tokens.

    Args:
        component: Of which component.
        prompts: The prompts.
        pooled: Whether it is also over their tokens, each of which counts as much.
    """
    count = sum(len(tokens) for _, _, tokens in prompts) if pooled else len(prompts)
    return Average(component, tuple(Term(*prompt, 1 / count) for prompt in prompts), pooled)


def mean_difference(
    component: str,
    pairs: Sequence[tuple[int, tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]],
) -> Average:
    """The average over pairs of what the counterfactual has minus what the original has.

    Either is averaged over its own tokens first, so that these need not be as many.

    Args:
        component: Of which component.
        pairs: Index, ids and tokens of the original, ids and tokens of the counterfactual.
    """
    terms = []
    for index, ids, tokens, other_ids, other_tokens in pairs:
        terms.append(Term(index, other_ids, other_tokens, 1 / (len(pairs) * len(other_tokens))))
        terms.append(Term(index, ids, tokens, -1 / (len(pairs) * len(tokens))))
    return Average(component, tuple(terms), True)


Averages = Mapping[tuple[str, int], Tensor]
"""Name of an average and layer -> its numbers (tokens, *shape), one token if it is pooled."""


def compute_averages(
    bench: Workbench, wanted: Iterable[tuple[Average, Iterable[int]]], portion: Portion
) -> Averages | None:
    """Compute averages, in float64, each number in the order of its terms.

    Args:
        bench: What units are computed with.
        wanted: Averages with the layers in which they are needed.
        portion: When to stop.

    Returns:
        The averages in float32; None if it was time to stop, and something is missing yet.
    """
    layers: dict[str, set[int]] = {}
    averages: dict[str, Average] = {}
    for average, needed in wanted:
        averages.setdefault(average.name, average)
        layers.setdefault(average.name, set()).update(needed)
    sums: dict[tuple[str, int], Tensor] = {}
    blocks = in_blocks({term.pair for one in averages.values() for term in one.terms})
    for number, block in enumerate(blocks):
        bench.report("averages", number, len(blocks))
        here = {
            name: [term for term in one.terms if term.pair in {*block}]
            for name, one in averages.items()
        }
        reads = {
            (averages[name].component, layer, term.ids, term.tokens): None
            for name, terms in here.items()
            for term in terms
            for layer in sorted(layers[name])
        }
        found = _numbers(bench, list(reads), portion)
        if found is None:
            return None
        there = dict(zip(reads, found, strict=True))
        for name, terms in here.items():
            component, pooled = averages[name].component, averages[name].pooled
            for term in terms:
                for layer in sorted(layers[name]):
                    rows = there[component, layer, term.ids, term.tokens].double() * term.weight
                    rows = rows.sum(dim=0, keepdim=True) if pooled else rows
                    before = sums.get((name, layer))
                    sums[name, layer] = rows if before is None else before + rows
    bench.report("averages", len(blocks), len(blocks))
    return {key: numbers.float() for key, numbers in sums.items()}


TokensAt = tuple[str, int, tuple[int, ...], tuple[int, ...]]
"""Component, layer, ids of a prompt and tokens in it."""


def _numbers(bench: Workbench, spots: Sequence[TokensAt], portion: Portion) -> list[Tensor] | None:
    """What prompts have at some places, each (tokens, *shape): a unit, computed or found."""
    layout = bench.engine.layout
    # as in every unit, how far another had to shrink is no business of this one
    engine = replace(bench.engine, budget=Budget(bench.engine.budget.tokens))

    def make() -> pa.Table:
        reads = [Read(Run(ids), tokens, Place(name, layer)) for name, layer, ids, tokens in spots]
        values = [value.float().cpu().numpy().astype("<f4") for value in engine.values(reads)]
        return pa.table({"numbers": pa.array([value.tobytes() for value in values], pa.binary())})

    described: Any = ["activations", [[*spot] for spot in spots]]
    table = bench.table(described, make, due=portion.due)
    if table is None:
        return None
    found = []
    for (name, layer, ids, tokens), row in zip(spots, table["numbers"].to_pylist(), strict=True):
        shape = layout.shape_of(Place(name, layer), len(ids))
        numbers = np.frombuffer(row, "<f4").reshape(len(tokens), *shape)
        found.append(torch.from_numpy(numbers.copy()))
    return found
