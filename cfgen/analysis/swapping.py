"""Run the swaps of all pairs at all sites and layers, and note what the LM says."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from cfgen.analysis.behaviour import wrong_sides
from cfgen.counterfactuals import Site
from cfgen.interventions import (
    Branch,
    CleanRuns,
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
from cfgen.lm import PairTokens, TokenPath
from cfgen.progress import Progress


@dataclass(frozen=True, slots=True)
class SaidTokens:
    """What the LM said, as many tokens as it takes to read every answer.

    Attributes:
        clean: Per pair the tokens after the original and after the counterfactual.
        swapped: Site, layer and pair -> the tokens after the swap, for the pairs whose two
            prompts are answered correctly unchanged.
        verified: How many swaps were run again on the reference engine.
    """

    clean: list[tuple[TokenPath, TokenPath]]
    swapped: dict[tuple[Site, int, int], TokenPath] = field(default_factory=dict)
    verified: int = 0

    def at(self, site: Site) -> dict[int, dict[int, TokenPath]]:
        """Layer -> pair -> the tokens after the swap at a site, lowest layer first."""
        layers: dict[int, dict[int, TokenPath]] = {}
        for (where, layer, pair), tokens in self.swapped.items():
            if where == site:
                layers.setdefault(layer, {})[pair] = tokens
        return dict(sorted(layers.items()))


def run_swaps(
    engine: Engine,
    encoded: Sequence[PairTokens],
    aligned: Sequence[SiteSwaps],
    layers: Mapping[Site, Sequence[int]],
    verified: int,
    report: Progress,
) -> SaidTokens:
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
    said = SaidTokens([((), ())] * len(encoded))
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
        clean = _clean(engine, prompts, chunk.clean)
        for row, index in enumerate(group):
            said.clean[index] = clean[2 * row], clean[2 * row + 1]
        kept = {index for index in group if not wrong_sides(encoded[index], said.clean[index])}
        wanted = [index for index, cell in enumerate(cells) if cell[2] in kept]
        done += len(cells) - len(wanted)
        for answered in run_chunk(engine, chunk, wanted):
            sample.add(chunk, answered)
            for index, tokens in zip(answered.indices, answered.tokens.tolist(), strict=True):
                site, layer, pair = cells[index]
                said.swapped[aligned[site].site, layer, pair] = tuple(tokens)
            done += len(answered.indices)
            report("swaps", done, total)
        report("swaps", done, total)
    return SaidTokens(said.clean, said.swapped, verify(engine, sample))


def _clean(engine: Engine, prompts: Sequence[TokenPath], first: CleanRuns) -> list[TokenPath]:
    """What the LM says greedily after each prompt, unchanged.

    Args:
        engine: The LM, and how many tokens it says.
        prompts: Token ids of the prompts.
        first: Their runs, which tell the first of these tokens.
    """
    plain, runs = replace(engine, name="reference"), first
    said: list[TokenPath] = [()] * len(prompts)
    for step in range(engine.answer_tokens):
        if step:
            longer = [ids + tokens for ids, tokens in zip(prompts, said, strict=True)]
            runs = open_chunk(plain, longer, {}, also=range(len(prompts))).clean
        best = most_likely(runs.logits).tolist()
        said = [(*tokens, best[runs.row_of[row]]) for row, tokens in enumerate(said)]
    return said


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
