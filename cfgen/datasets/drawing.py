"""Drawing: the inputs of both sides of candidates, at random or balanced by construction."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from cfgen.causal import Columns, Distinct, Domain, Words
from cfgen.counterfactuals import Design, apply_edits, draw_inputs
from cfgen.datasets.recipe import Candidates
from cfgen.errors import CfgenError, Problem

TRIES = 5_000
"""Draws of one candidate before it is said that what a design makes cannot be used."""
JUDGED = 1_000
"""Pairs that are drawn to say what they break."""
LEVELS = 32
"""An input with more values than this is drawn at random, unless it draws from a lexicon."""
MOST_WORDS = 100_000
"""Likewise for lexicons."""

Inputs = dict[str, Any]
DrawPair = Callable[[int, random.Random], tuple[Inputs, Inputs]]
"""From the number of a candidate and a source of randomness to the inputs of both sides."""
DrawColumns = Callable[[int, int], tuple[Columns, Columns]]
"""From the number of the first candidate, and of the one after the last, to the inputs of the
originals and of the counterfactuals."""


def column_drawer(candidates: Candidates) -> DrawColumns:
    """Prepare the drawing of many candidates.

    Returns:
        A function that raises :class:`CfgenError` if the lexicons are too small for the design
        (``too-few-values``), or no template shows what it makes (``unsupported-inputs``).
    """
    draw, names = _drawer(candidates), tuple(candidates.domains)

    def draw_columns(start: int, stop: int) -> tuple[Columns, Columns]:
        sides = zip(*map(draw, range(start, stop)), strict=True)
        one, other = ({name: [row[name] for row in rows] for name in names} for rows in sides)
        return one, other

    return draw_columns


def _drawer(candidates: Candidates) -> Callable[[int], tuple[Inputs, Inputs]]:
    """From the number of a candidate to its inputs."""
    task, design, domains = candidates.task, candidates.design, candidates.domains
    balanced = balanced_draw(design, domains, candidates.key) if candidates.balance else None
    requirements = task.causal_model.program.requirements
    restricted = bool(requirements) or any(t.supports for t in task.templates.values())
    seed_of, rng = _seeds(candidates.key), random.Random()

    def draw(index: int) -> tuple[Inputs, Inputs]:
        rng.seed(seed_of(index))
        for attempt in range(TRIES):
            if balanced and not attempt:
                pair = balanced(index, rng)
            else:
                pair = draw_inputs(design, domains, rng)
            if not restricted or all(map(task.supports, pair)):
                return pair
        raise _unusable(candidates, rng)

    return draw


def _unusable(candidates: Candidates, rng: random.Random) -> CfgenError:
    """Say why no draw could be used: which requirements pairs break, and how many of them."""
    task, design, program = candidates.task, candidates.design, candidates.task.causal_model.program
    pairs = [draw_inputs(design, candidates.domains, rng) for _ in range(JUDGED)]
    broken = [tuple({*program.broken(side)} for side in pair) for pair in pairs]
    if any(not one | other for one, other in broken):
        message = f"no template of task {task.name!r} supports what design {design.name!r} makes"
        hint = "look at `supports:` in the templates, or name others with --template"
        return CfgenError(Problem("unsupported-inputs", message, design.where, hint))
    met = {
        name: [sum(name not in pair[side] for pair in broken) / JUDGED for side in (0, 1)]
        for name, *_ in program.requirements
    }
    shares = "; ".join(
        f"{name!r} holds for {one:.1%} of originals and {other:.1%} of counterfactuals"
        for name, (one, other) in met.items()
        if min(one, other) < 1
    )
    message = f"of {TRIES:,} pairs of design {design.name!r} none met all requirements: {shares}"
    hint = "let its edits keep to it, such as by setting what it is about, or drop it"
    if all(one for one, _ in broken):
        hint = "choose domains whose values meet it more often, or drop it"
    return CfgenError(Problem("design-breaks-requirement", message, design.where, hint))


def _seeds(key: str) -> Callable[[int], int]:
    """The seeds of candidates: 64 bits that the key and a candidate's number decide."""
    common = hashlib.blake2b(key.encode(), digest_size=8)

    def seed_of(index: int) -> int:
        one = common.copy()
        one.update(b"%d" % index)
        return int.from_bytes(one.digest(), "big")

    return seed_of


def balanced_draw(design: Design, domains: Mapping[str, Domain], key: str) -> DrawPair:
    """Prepare the drawing of pairs whose originals are balanced over any stretch of examples.

    Inputs with few values are combined to cells, and every run of as many examples as there are
    cells has each cell once, in an order in which the values of each input alternate. Every run
    of as many examples as a lexicon has words has each word once in each slot. What an example
    is depends on its number and the key alone.

    Args:
        design: How pairs are made; inputs that it sets in the original are left to it.
        domains: Input -> domain to draw from.
        key: Seed, with everything else that the order depends on.

    Returns:
        The drawing; what is not balanced comes from its source of randomness.
    """
    settled = {edit.input for edit in design.original if edit.replaces}
    free = {name: domain for name, domain in domains.items() if name not in settled}
    cells = _cells({name: d for name, d in free.items() if _is_small(d)}, key)
    lexicons = {name: domain for name, domain in free.items() if _has_words(domain)}
    words = {name: _WordOrder(name, domain, key) for name, domain in lexicons.items()}

    def draw(index: int, rng: random.Random) -> tuple[Inputs, Inputs]:
        given = {name: words[name].at(index) for name in words} | cells(index)
        drawn = {
            name: given[name] if name in given else domain.sample(rng)
            for name, domain in domains.items()
        }
        original = apply_edits(design.original, drawn, domains, rng)
        return original, apply_edits(design.counterfactual, original, domains, rng)

    return draw


def _is_small(domain: Domain) -> bool:
    return not domain.pools and domain.count() <= LEVELS


def _has_words(domain: Domain) -> bool:
    single = domain.of if isinstance(domain, Distinct) else domain
    return isinstance(single, Words) and single.count() <= MOST_WORDS


def _cells(domains: Mapping[str, Domain], key: str) -> Callable[[int], dict[str, Any]]:
    """Every combination once per block, the values of each input alternating."""
    ordered = sorted(domains, key=lambda name: (-domains[name].count(), name))
    values = {name: tuple(domains[name]) for name in ordered}
    block_size = math.prod(len(values[name]) for name in ordered)

    @lru_cache(maxsize=4)
    def orders(block: int) -> dict[str, list[int]]:
        return {n: shuffled(len(values[n]), f"{key}{n}\0{block}") for n in ordered}

    def at(index: int) -> dict[str, Any]:
        block, rest = divmod(index, block_size)
        order, shift, cell = orders(block), 0, {}
        for name in ordered:
            count = len(values[name])
            rest, digit = divmod(rest, count)
            shift += digit  # so that this value changes as well when only the earlier ones do
            cell[name] = values[name][order[name][shift % count]]
        return cell

    return at


@dataclass
class _WordOrder:
    """The words of one input, every one once per block and slot."""

    name: str
    domain: Domain
    key: str
    _words: tuple[Any, ...] = ()
    _block: int = -1
    _columns: list[list[Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._words = tuple(self.domain.of if isinstance(self.domain, Distinct) else self.domain)

    def at(self, index: int) -> Any:
        """The value that an example has."""
        block, place = divmod(index, len(self._words))
        if block != self._block:
            self._columns, self._block = self._ordered(block), block
        drawn = tuple(column[place] for column in self._columns)
        return drawn[0] if self.domain.arity is None else drawn

    def _ordered(self, block: int) -> list[list[Any]]:
        """Per slot all words: one order, read from places that differ, so no word meets itself."""
        count, key = len(self._words), f"{self.key}{self.name}\0{block}"
        order, starts = shuffled(count, key), shuffled(count, f"{key}\0starts")
        return [
            [self._words[order[(start + k) % count]] for k in range(count)]
            for start in starts[: self.domain.arity or 1]
        ]


def shuffled(count: int, key: str) -> list[int]:
    """The numbers below ``count`` in an order that the key decides, the same on every platform."""
    rng = random.Random(hashlib.blake2b(key.encode(), digest_size=8).digest())
    ranks = [rng.getrandbits(64) for _ in range(count)]
    return sorted(range(count), key=ranks.__getitem__)
