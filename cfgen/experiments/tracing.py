"""Tracing: which states bring the answer back that noise on some tokens takes away.

Noise is data: what is drawn hangs on the seed, the number of the draw, the pair and the position,
and on nothing else, so that whoever computes a pair, and beside which others, meets the same noise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from cfgen.counterfactuals import Site
from cfgen.errors import CfgenError, Problem
from cfgen.experiments.changes import PairCase, PlaceRequest, Target, TrialCase
from cfgen.experiments.methods import CLEAN, CORRUPTED
from cfgen.experiments.noise import Noise, parse_noise
from cfgen.experiments.sweeps import sweeps_at
from cfgen.interventions import (
    Add,
    Copy,
    Edit,
    Run,
    SiteSwaps,
    Swap,
    align_each_by,
    align_own,
    place_of,
)
from cfgen.lm import Misalignment, PairTokens, Place, PromptTokens, locate, own_tokens, token_names
from cfgen.prompts import whole_spans

NOISED = Place("embed")
"""Where noise is added: the output of the token embedding."""


def find_noise(asked: PlaceRequest) -> Noise:
    """Work out how strong noise is: from all pairs, whichever are kept and whoever computes them.

    As in Meng et al. (2022), one number for all dimensions: the deviation of everything that the
    tokens have from its average.

    Raises:
        CfgenError: No original has an answer that could be followed (``nothing-to-trace``), none
            has the tokens, or these have the same number everywhere (``bad-noise``).
    """
    experiment = asked.experiment
    if all(pair.pair.original.answer is None for pair in asked.encoded):
        hint = "trace a task whose prompts have answers"
        message = "no original has an answer, so there is none that noise could take away"
        raise CfgenError(Problem("nothing-to-trace", message, hint=hint))
    position = whole_spans(str(experiment.corrupt))
    aligned = align_own(asked.encoded, Site((position,), component=NOISED.component))
    ids, names = [], []
    for swap in aligned.swaps.values():
        prompt, named = swap.original, token_names(swap.original)
        corrupted = corrupted_tokens(prompt, position)
        ids += [prompt.ids[token] for token in corrupted]
        names += [named[token] for token in corrupted]
    module: Any = asked.layout.module_of(NOISED)
    with torch.no_grad():
        there: Tensor = module(torch.tensor(ids, device=module.weight.device))  # (tokens, width)
    deviation = float(there.double().std())
    number, absolute = parse_noise(experiment.noise)
    level = number if absolute else number * deviation
    if not level > 0:
        message = f"the tokens of {position!r} have the same number everywhere"
        hint = "give the noise as it is, as in --noise '0.1 absolute'"
        raise CfgenError(Problem("bad-noise", message, hint=hint))
    return Noise(
        position=position,
        level=level,
        times=None if absolute else number,
        deviation=deviation,
        tokens=len(ids),
        draws=experiment.draws,
        names=tuple(dict.fromkeys(names)),
    )


def traced_places(asked: PlaceRequest) -> list[Target]:
    """Where originals with noise can be given what they have without.

    One by one, tokens are those from the first with noise on: what comes before it does not differ.
    """
    position = whole_spans(str(asked.experiment.corrupt))

    def own(site: Site) -> SiteSwaps:
        return align_own(asked.encoded, site, also=(position,))

    def each(site: Site) -> dict[str, SiteSwaps]:
        return align_each_by(asked.encoded, site, lambda pair: _each_token(pair, position))

    sweep = asked.experiment.sweep
    return [Target(made) for made in sweeps_at(asked.site, sweep, asked.layout, own, each_at=each)]


def corrupted_run(case: PairCase) -> Run:
    """The original with noise on some tokens."""
    prompt, noise = case.tokens.original, case.noise
    assert noise is not None
    tokens = corrupted_tokens(prompt, noise.position)
    key = case.experiment.seed, case.draw, case.tokens.pair.id
    numbers = noise.level * standard_noise(*key, tokens, case.width)
    name = f"noise {noise.level!r} {key!r}"
    return Run(prompt.ids, (Edit(NOISED, tokens, Add(numbers, name)),))


def restored_run(case: TrialCase) -> Run:
    """The original with noise on some tokens, and a place as it is without."""
    swap, swept = case.swap, case.site.swept(case.layer, case.layers)
    tokens = tuple(position for position, _ in swap.moves)
    clean = Copy(case.runs[CLEAN])
    edits = (Edit(place_of(case.site, layer), tokens, clean) for layer in swept)
    return case.runs[CORRUPTED].with_(*edits)


def corrupted_tokens(prompt: PromptTokens, position: str) -> tuple[int, ...]:
    """The tokens that get noise."""
    return tuple(sorted({token for span in locate(prompt, position) for token in span.tokens}))


def standard_noise(seed: int, draw: int, pair_id: str, tokens: Sequence[int], width: int) -> Tensor:
    """Numbers of a standard normal distribution (tokens, width), float32.

    Args:
        seed: Of the experiment.
        draw: Number of the draw.
        pair_id: The pair.
        tokens: Token positions.
        width: How many numbers each has.
    """
    rows = []
    for token in tokens:
        key = hashlib.sha256(f"{seed} {draw} {pair_id} {token}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(key[:8], "big", signed=True))
        rows.append(torch.randn(width, generator=generator))
    return torch.stack(rows)


def _each_token(pair: PairTokens, position: str) -> dict[str, Swap | Misalignment]:
    """The tokens of an original from the first with noise on, each with itself."""
    prompt = pair.original
    try:
        first = corrupted_tokens(prompt, position)[0]
    except CfgenError as error:
        return dict.fromkeys(own_tokens(prompt), Misalignment(error.problems[0].message))
    return {
        name: Swap(prompt, prompt, (span,), (span,))
        for name, span in own_tokens(prompt).items()
        if span.tokens[0] >= first
    }
