"""The workloads: which cells are swept in which pairs."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cfgen.datasets import draw_pairs, recipe
from cfgen.errors import CfgenError
from cfgen.lm import PromptTokens, encode_pairs, locate
from sweeps.jobs import HEAD, Cell, Job
from sweeps.models import RANDOM, Sizes, sizes_of

TASK, DESIGN = "belief_tracking", "restate"
SLOTS = ("character_1[1]", "drink_1[0]", "drink_2[0]", "last")
"""Position expressions of workload b; of a slot with several tokens, the last one."""
QUARTERS = (0.25, 0.5, 0.75, 1.0)
"""Where in the prompt the four positions are for models without a tokenizer."""
LENGTHS = (50, 100, 200, 400, 800)
DEPTHS = (12, 24, 48)
DEPTHS_LENGTH = 54
PAIRS = {"a": 8, "b": 8, "c": 2, "d": 8, "e": 2, "f": 8}
"""Pairs per workload, unless asked for otherwise."""
OURS_ONLY = "ef"
"""Workloads that show how the cost grows, on ``reference`` and ``packed`` alone."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a user may choose.

    Attributes:
        model: Name of the model of workloads a to e.
        pairs: How many pairs; None for as many as ``PAIRS`` has.
        batch: Pairs per forward at most.
        length: Tokens per prompt where the model has no tokenizer.
        lengths: Those of workload e.
        depths: Layers of the random models of workload f.
    """

    model: str
    pairs: int | None = None
    batch: int = 8
    length: int = 180
    lengths: tuple[int, ...] = LENGTHS
    depths: tuple[int, ...] = DEPTHS


@dataclass(frozen=True, slots=True)
class Prompts:
    """Pairs as token ids, and where named positions are in them.

    Attributes:
        originals: Token ids per pair.
        counterfactuals: Token ids per pair.
        slots: Name -> per pair its position (in the original, in the counterfactual).
    """

    originals: tuple[tuple[int, ...], ...]
    counterfactuals: tuple[tuple[int, ...], ...]
    slots: dict[str, list[tuple[int, int]]]

    def only(self, chosen: Sequence[int]) -> Prompts:
        """Some of the pairs."""
        return Prompts(
            tuple(self.originals[pair] for pair in chosen),
            tuple(self.counterfactuals[pair] for pair in chosen),
            {name: [found[pair] for pair in chosen] for name, found in self.slots.items()},
        )


def make_jobs(letters: str, options: Options) -> list[Job]:
    """The jobs of some workloads, in order.

    Args:
        letters: Some of ``abcdef``.
        options: What is asked for.
    """
    jobs: list[Job] = []
    model = sizes_of(options.model) if set(letters) - {"f"} else None
    for letter in letters:
        pairs = options.pairs or PAIRS[letter]
        if letter == "f":
            jobs += _depths(options, pairs)
        elif model is not None:
            jobs += _lengths(model, options, pairs) if letter == "e" else []
            jobs += [_MAKERS[letter](model, options, pairs)] if letter in _MAKERS else []
    return jobs


def _last(model: Sizes, options: Options, pairs: int) -> Job:
    prompts = _prompts(model, options, pairs)
    cells = _slots(model, prompts, ["last"])
    return _job("a", "last token, all layers", model, options, prompts, cells)


def _four(model: Sizes, options: Options, pairs: int) -> Job:
    prompts = _prompts(model, options, pairs)
    names = list(prompts.slots)
    about = f"four slots ({', '.join(names)}), each on its own, all layers"
    return _job("b", about, model, options, prompts, _slots(model, prompts, names))


def _everywhere(model: Sizes, options: Options, pairs: int) -> Job:
    prompts = _prompts(model, options, pairs, equal=True)
    length, count = len(prompts.originals[0]), len(prompts.originals)
    cells = [
        Cell("resid_post", layer, None, (position,) * count, (position,) * count)
        for layer in range(model.layers)
        for position in range(length)
    ]
    return _job("c", "every position, all layers", model, options, prompts, cells)


def _heads(model: Sizes, options: Options, pairs: int) -> Job:
    prompts = _prompts(model, options, pairs)
    to, of = zip(*prompts.slots["last"], strict=True)
    cells = [
        Cell(HEAD, layer, head, to, of)
        for layer in range(model.layers)
        for head in range(model.heads)
    ]
    return _job("d", "every head at the last token, all layers", model, options, prompts, cells)


_MAKERS: dict[str, Callable[[Sizes, Options, int], Job]] = {
    "a": _last,
    "b": _four,
    "c": _everywhere,
    "d": _heads,
}


def _lengths(model: Sizes, options: Options, pairs: int) -> list[Job]:
    jobs = []
    for length in options.lengths:
        prompts = _noise(model, length, pairs)
        about = "prompts of random tokens: last token, all layers"
        cells = _slots(model, prompts, ["last"])
        jobs.append(_job("e", about, model, options, prompts, cells, f"length {length}"))
    return jobs


def _depths(options: Options, pairs: int) -> list[Job]:
    jobs = []
    for depth in options.depths:
        model = sizes_of(f"{RANDOM}{depth}")
        prompts = _noise(model, DEPTHS_LENGTH, pairs)
        about = "random models of width 256, prompts of random tokens: last token, all layers"
        cells = _slots(model, prompts, ["last"])
        jobs.append(_job("f", about, model, options, prompts, cells, f"layers {depth}"))
    return jobs


def _job(
    letter: str,
    about: str,
    model: Sizes,
    options: Options,
    prompts: Prompts,
    cells: Sequence[Cell],
    variant: str = "",
) -> Job:
    sides = prompts.originals, prompts.counterfactuals
    return Job(letter, variant, about, model.name, *sides, tuple(cells), options.batch)


def _slots(model: Sizes, prompts: Prompts, names: Sequence[str]) -> list[Cell]:
    cells = []
    for name in names:
        to, of = zip(*prompts.slots[name], strict=True)
        cells += [Cell("resid_post", layer, None, to, of) for layer in range(model.layers)]
    return cells


def _prompts(model: Sizes, options: Options, pairs: int, *, equal: bool = False) -> Prompts:
    """Pairs of the task; of random tokens if the model has no tokenizer."""
    if model.tokenizer is None:
        return _noise(model, options.length, pairs)
    more = 8 * pairs + 16 if equal else pairs
    drawn = draw_pairs(recipe(TASK, more, design=DESIGN))
    encoded = encode_pairs(model.tokenizer, drawn)
    prompts = Prompts(
        tuple(pair.original.ids for pair in encoded),
        tuple(pair.counterfactual.ids for pair in encoded),
        {
            name: [(_at(p.original, name), _at(p.counterfactual, name)) for p in encoded]
            for name in SLOTS
        },
    )
    if not equal:
        return prompts
    lengths = [(len(p.original), len(p.counterfactual)) for p in encoded]
    same = Counter(first for first, second in lengths if first == second)
    length = same.most_common(1)[0][0]
    chosen = [index for index, found in enumerate(lengths) if found == (length, length)][:pairs]
    if len(chosen) < pairs:
        raise SystemExit(f"only {len(chosen)} of {more} pairs have {length} tokens on both sides")
    return prompts.only(chosen)


def _at(encoded: PromptTokens, expression: str) -> int:
    try:
        return locate(encoded, expression)[0].tokens[-1]
    except CfgenError as error:
        raise SystemExit(f"{expression}: {error.problems[0].message}") from error


def _noise(model: Sizes, length: int, pairs: int) -> Prompts:
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
    return Prompts(sides[0], sides[1], slots)
