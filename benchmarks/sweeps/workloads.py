"""The workloads: which cells are swept in which pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sweeps.jobs import HEAD, PATTERN, WINDOW, Cell, Job
from sweeps.models import RANDOM, Sizes, sizes_of
from sweeps.prompts import Prompts, random_prompts

LENGTHS = (50, 100, 200, 400, 800)
DEPTHS = (12, 24, 48)
DEPTHS_LENGTH = 54
PAIRS = {"a": 8, "b": 8, "c": 2, "d": 8, "e": 2, "f": 8, "g": 2, "h": 4, "p": 4}
"""Pairs per workload, unless asked for otherwise."""
OURS_ONLY = "ef"
"""Workloads on ``reference`` and ``packed`` alone: those that show how the cost grows."""


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


def make_jobs(letters: str, options: Options) -> list[Job]:
    """The jobs of some workloads, in order.

    Args:
        letters: Some of ``abcdefghp``.
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


def _restored(model: Sizes, options: Options, pairs: int) -> Job:
    prompts = _prompts(model, options, pairs, equal=True)
    everywhere = _everywhere(model, options, pairs)
    about = "noise at the embeddings of one span, every position restored × all layers"
    made = _job("g", about, model, options, prompts, everywhere.cells)
    return replace(made, kind="restoration", noisy=prompts.noisy)


def _knocked_out(model: Sizes, options: Options, pairs: int) -> Job:
    prompts = _prompts(model, options, pairs)
    last = tuple(len(ids) - 1 for ids in prompts.originals)
    cells = [
        Cell(PATTERN, layer, None, last, last, keys)
        for keys in zip(*prompts.spans, strict=True)
        for layer in range(model.layers)
    ]
    about = f"every span hidden from the last token, windows of {WINDOW} layers over all layers"
    return replace(_job("h", about, model, options, prompts, cells), kind="knockout")


def _direct(model: Sizes, options: Options, pairs: int) -> Job:
    prompts = _prompts(model, options, pairs, equal=True)
    last = (len(prompts.originals[0]) - 1,) * pairs
    cells = [
        Cell(HEAD, layer, head, last, last)
        for layer in range(model.layers)
        for head in range(model.heads)
    ]
    about = "every head's direct effect: all positions, later attention held, all layers"
    return replace(_job("p", about, model, options, prompts, cells), kind="direct")


_MAKERS: dict[str, Callable[[Sizes, Options, int], Job]] = {
    "a": _last,
    "b": _four,
    "c": _everywhere,
    "d": _heads,
    "g": _restored,
    "h": _knocked_out,
    "p": _direct,
}


def _lengths(model: Sizes, options: Options, pairs: int) -> list[Job]:
    jobs = []
    for length in options.lengths:
        prompts = random_prompts(model, length, pairs)
        about = "prompts of random tokens: last token, all layers"
        cells = _slots(model, prompts, ["last"])
        jobs.append(_job("e", about, model, options, prompts, cells, f"length {length}"))
    return jobs


def _depths(options: Options, pairs: int) -> list[Job]:
    jobs = []
    for depth in options.depths:
        model = sizes_of(f"{RANDOM}{depth}")
        prompts = random_prompts(model, DEPTHS_LENGTH, pairs)
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
    some = prompts.tracked, tuple(cells), options.batch
    return Job(letter, variant, about, model.name, *sides, *some)


def _slots(model: Sizes, prompts: Prompts, names: Sequence[str]) -> list[Cell]:
    cells = []
    for name in names:
        to, of = zip(*prompts.slots[name], strict=True)
        cells += [Cell("resid_post", layer, None, to, of) for layer in range(model.layers)]
    return cells


def _prompts(model: Sizes, options: Options, pairs: int, *, equal: bool = False) -> Prompts:
    """Pairs of the task; of random tokens if the model has no tokenizer."""
    if model.tokenizer is None:
        return random_prompts(model, options.length, pairs)
    from sweeps.stories import task_prompts  # not every machine has what datasets need

    return task_prompts(model.tokenizer, pairs, equal=equal)
