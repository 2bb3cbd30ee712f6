"""Run the swaps of all pairs at all sites and layers, and note what the LM says."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cfgen.analysis.behaviour import wrong_sides
from cfgen.counterfactuals import Site
from cfgen.interventions import (
    Branch,
    Engine,
    Reservoir,
    SiteSwaps,
    branch_of,
    check_branches,
    most_likely,
    open_chunk,
    run_chunk,
    verify,
)
from cfgen.lm import PairTokens
from cfgen.progress import Progress


@dataclass(frozen=True, slots=True)
class FirstTokens:
    """What the LM said.

    Attributes:
        clean: Per pair the first token after the original and after the counterfactual.
        swapped: Site, layer and pair -> the first token after the swap, for the pairs whose two
            prompts are answered correctly unchanged.
        verified: How many swaps were run again on the reference engine.
    """

    clean: list[tuple[int, int]]
    swapped: dict[tuple[Site, int, int], int] = field(default_factory=dict)
    verified: int = 0

    def at(self, site: Site) -> dict[int, dict[int, int]]:
        """Layer -> pair -> the first token after the swap at a site, lowest layer first."""
        layers: dict[int, dict[int, int]] = {}
        for (where, layer, pair), token in self.swapped.items():
            if where == site:
                layers.setdefault(layer, {})[pair] = token
        return dict(sorted(layers.items()))


def run_swaps(
    engine: Engine,
    encoded: Sequence[PairTokens],
    aligned: Sequence[SiteSwaps],
    layers: Mapping[Site, Sequence[int]],
    verified: int,
    report: Progress,
) -> FirstTokens:
    """Run every pair unchanged, and swap those that the LM answers correctly.

    Args:
        engine: How to run them.
        encoded: The pairs.
        aligned: Per site the swaps.
        layers: Site -> its layers.
        verified: How many swaps to run again on the reference engine; which is drawn with a fixed
            seed.
        report: Called with the number of swaps done, those of dropped pairs included.

    Returns:
        What the LM said.

    Raises:
        CfgenError: A check of the engine failed, or the engines disagree (``engines-disagree``).
    """
    said = FirstTokens([(0, 0)] * len(encoded))
    sample = Reservoir(verified, random.Random(0))
    total = sum(len(found.swaps) * len(layers[found.site]) for found in aligned)
    done = 0
    report("swaps", 0, total)
    for group in engine.chunks([len(pair.original) for pair in encoded]):
        prompts = [p.ids for i in group for p in (encoded[i].original, encoded[i].counterfactual)]
        cells = _cells(group, aligned, layers)
        branches = {
            index: _branch(engine, cell, group.index(cell[2]), aligned)
            for index, cell in enumerate(cells)
        }
        check_branches(engine.layout, prompts, list(branches.values()))
        chunk = open_chunk(engine, prompts, branches, also=range(len(prompts)))
        first = most_likely(chunk.clean.logits).tolist()
        row_of = chunk.clean.row_of
        for row, index in enumerate(group):
            said.clean[index] = first[row_of[2 * row]], first[row_of[2 * row + 1]]
        kept = {index for index in group if not wrong_sides(encoded[index], said.clean[index])}
        wanted = [index for index, cell in enumerate(cells) if cell[2] in kept]
        done += len(cells) - len(wanted)
        for answered in run_chunk(engine, chunk, wanted):
            sample.add(chunk, answered)
            for index, token in zip(answered.indices, answered.tokens[:, 0].tolist(), strict=True):
                site, layer, pair = cells[index]
                said.swapped[aligned[site].site, layer, pair] = token
            done += len(answered.indices)
            report("swaps", done, total)
        report("swaps", done, total)
    return FirstTokens(said.clean, said.swapped, verify(engine, sample))


_Cell = tuple[int, int, int]
"""Number of the site, layer, pair."""


def _cells(
    group: Sequence[int], aligned: Sequence[SiteSwaps], layers: Mapping[Site, Sequence[int]]
) -> list[_Cell]:
    return [
        (number, layer, index)
        for number, found in enumerate(aligned)
        for layer in layers[found.site]
        for index in group
        if index in found.swaps
    ]


def _branch(engine: Engine, cell: _Cell, row: int, aligned: Sequence[SiteSwaps]) -> Branch:
    number, layer, index = cell
    found = aligned[number]
    count = engine.layout.layers
    return branch_of(found.swaps[index], found.site, layer, count, 2 * row, 2 * row + 1)
