"""Sampling: example i depends only on (task version, design, seed, split, i)."""

from __future__ import annotations

import hashlib
import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from cfgen.causal import Domain, Pools
from cfgen.counterfactuals import Design, Pair, draw_inputs, restrict_domains
from cfgen.datasets.balance import balanced_draw
from cfgen.datasets.labels import labeller
from cfgen.errors import CfgenError, Problem
from cfgen.tasks import Task

TRIES = 200
"""Candidates looked at before a design is said never to do what it must."""


def candidates(
    task: Task,
    design: Design,
    *,
    seed: int,
    split: str,
    pools: Pools,
    allowed: Mapping[str, Domain],
    balance: bool = False,
    start: int = 0,
) -> Iterator[Pair]:
    """Yield labelled pairs without end, the i-th one always the same.

    Args:
        task: The task.
        design: How pairs are made.
        seed: Seed of the dataset.
        split: Name of the split.
        pools: Lexicon -> the words that belong to the split.
        allowed: Input -> domain to draw from instead of its own.
        balance: Use every value equally often, see :mod:`cfgen.datasets.balance`.
        start: Which one to begin with.

    Raises:
        CfgenError: If the lexicons are too small, or no template shows what the design makes.
    """
    domains = restrict_domains(task.causal_model.domains, pools, allowed)
    label = labeller(task, design)
    supported = support_check(task)
    rng = random.Random()
    key = seed_key(task, design, seed, split)
    seed_of = seeder(key)
    balanced = balanced_draw(design, domains, key) if balance else None
    for index in itertools.count(start):
        rng.seed(seed_of(index))
        for attempt in range(TRIES):
            if balanced and not attempt:
                original, counterfactual = balanced(index, rng)
            else:
                original, counterfactual = draw_inputs(design, domains, rng)
            if not supported or (supported(original) and supported(counterfactual)):
                break
        else:
            raise never_supported(task, design)
        yield label(original, counterfactual, index)


def seed_key(task: Task, design: Design, seed: int, split: str) -> str:
    """Everything that the seeds of candidates have in common."""
    return f"{task.name}\0{task.version}\0{design.name}\0{seed}\0{split}\0"


def seeder(key: str) -> Callable[[int], int]:
    """Prepare the seeds of candidates: 64 bits that the key and a candidate's number decide."""
    common = hashlib.blake2b(key.encode(), digest_size=8)

    def seed_of(index: int) -> int:
        one = common.copy()
        one.update(b"%d" % index)
        return int.from_bytes(one.digest(), "big")

    return seed_of


def support_check(task: Task) -> Callable[[Mapping[str, Any]], bool] | None:
    """Whether a template says that it supports the values of all inputs; None if all do."""
    return task.supports if any(t.supports for t in task.templates.values()) else None


def never_supported(task: Task, design: Design) -> CfgenError:
    """The error of a design that makes what no template supports."""
    return CfgenError(
        Problem(
            "unsupported-inputs",
            f"no template of task {task.name!r} supports what design {design.name!r} makes",
            where=design.where,
            hint="look at `supports:` in the templates, or name others with --template",
        )
    )


def distinct_pairs(
    stream: Iterator[Pair], design: Design, n: int, seen: set[int]
) -> Iterator[Pair]:
    """The first ``n`` pairs of a stream of which neither prompt occurred before.

    Args:
        stream: Candidates without end.
        design: How they were made, for the message if there are too few.
        n: How many pairs to yield.
        seen: 64-bit hashes of the prompts so far; added to.

    Raises:
        CfgenError: If so many candidates in a row are repetitions that there are no more.
    """
    found = missed = 0
    while found < n:
        pair = next(stream)
        one, other = _number(pair.original.prompt.text), _number(pair.counterfactual.prompt.text)
        if one == other or one in seen or other in seen:
            missed += 1
            # With one pair in `found` left to find, the chance of missing it so often is e^-20.
            if missed > max(1000, 20 * found):
                raise no_more_pairs(one == other, design, n, found)
            continue
        seen.add(one)
        seen.add(other)
        found, missed = found + 1, 0
        yield pair


def check_possible(n: int, design: Design, domains: Mapping[str, Domain]) -> None:
    """Check that there are as many different originals as pairs are asked for.

    Raises:
        CfgenError: If there are fewer, counting only the inputs that the design leaves open.
    """
    settled = {edit.input for edit in design.original if edit.replaces}
    possible = math.prod(d.count() for name, d in domains.items() if name not in settled)
    if n > possible:
        raise CfgenError(_too_few(design, n, f"there are at most {possible:,} different originals"))


def check_decisive(stream: Iterator[Pair], design: Design) -> None:
    """Check that a design ever makes a decisive pair, if it is meant to.

    Raises:
        CfgenError: If none of the first :data:`TRIES` candidates is decisive.
    """
    if not design.contrast:
        return
    for _ in range(TRIES):
        if next(stream).decisive:
            return
    raise CfgenError(
        Problem(
            "never-decisive",
            f"design {design.name!r} made no decisive pair in {TRIES} tries: its contrast "
            f"{', '.join(design.contrast)} and 'none' never all predict different outputs",
            where=design.where,
            hint="add edits that move the values these hypotheses differ in, or change contrast=",
        )
    )


def _number(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def no_more_pairs(same: bool, design: Design, n: int, found: int) -> CfgenError:
    """The error of too many repetitions.

    Args:
        same: Whether both prompts of the last candidate are the same.
        design: How pairs are made.
        n: How many pairs were asked for.
        found: How many there are.
    """
    if same:
        hint = "both prompts of a pair come out the same: the design changes nothing they show"
        return CfgenError(_too_few(design, n, f"only {found:,} were found", hint))
    return CfgenError(_too_few(design, n, f"only {found:,} have prompts that are all different"))


def _too_few(
    design: Design,
    n: int,
    why: str,
    hint: str = "ask for fewer, allow more templates, or add words to the lexicons",
) -> Problem:
    message = f"{n:,} pairs of design {design.name!r} were asked for in one split, but {why}"
    return Problem("too-few-pairs", message, where=design.where, hint=hint)
