"""Recipes: everything a dataset depends on, its splits, and what their pairs are chosen from.

Words of splits are disjoint: no entity of one split occurs in another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral
from typing import Any

from cfgen.causal import Domain, Pools
from cfgen.counterfactuals import Design, restrict_domains
from cfgen.errors import CfgenError, Problem
from cfgen.tasks import Task, load_task

FRACTIONS: Mapping[str, float] = {"train": 0.8, "validation": 0.1, "test": 0.1}
"""Share of the rows of each split, unless told otherwise; in the order of the splits."""
WORDS = 8
"""Words of a lexicon that a small split gets at least, where the lexicon has enough."""


@dataclass(frozen=True, slots=True)
class Split:
    """One split of a dataset.

    Attributes:
        name: ``train``, ``validation`` or ``test``.
        rows: How many pairs it has.
        pools: Lexicon -> the words that belong to this split alone.
    """

    name: str
    rows: int = 0
    pools: Pools = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Candidates:
    """Pairs without end, that a dataset chooses from.

    Candidate i depends on this record and on i alone, whatever else is drawn, so that a dataset can
    be made in any order, by any number of processes, and a longer one begins with the shorter one.

    Attributes:
        task: The task.
        design: How pairs are made.
        domains: Input -> what it is drawn from.
        seed: Seed of the dataset.
        split: The split; others draw other pairs, and other words.
        balance: Whether every value is used equally often, see :mod:`cfgen.datasets.drawing`.
        reuse_prompts: Whether a prompt may be in several of the pairs that are chosen.
    """

    task: Task
    design: Design
    domains: Mapping[str, Domain]
    seed: int = 0
    split: Split = Split("")
    balance: bool = False
    reuse_prompts: bool = False

    @property
    def key(self) -> str:
        """Everything that the seeds of the candidates have in common."""
        task, design = self.task, self.design
        return f"{task.name}\0{task.version}\0{design.name}\0{self.seed}\0{self.split.name}\0"

    def for_rows(self, n: int) -> Candidates:
        """The same candidates, of which another number is to be chosen."""
        return replace(self, split=replace(self.split, rows=n))


@dataclass(frozen=True, slots=True)
class DatasetRecipe:
    """Everything a dataset depends on.

    Attributes:
        task: The task.
        design: How pairs are made.
        n: Number of pairs over all splits.
        seed: Seed; the same recipe gives the same bytes.
        templates: Template ids to draw from; ``all`` for every one, none for the default.
        fractions: Split -> share of rows and of words.
        balance: Whether every value is used equally often.
        decisive_only: Whether all pairs are to be decisive.
        reuse_prompts: Whether a prompt may be in several pairs of its split, which are all
            different; for small lexicons, of which there are more pairs than prompts.
    """

    task: Task
    design: Design
    n: int
    seed: int = 0
    templates: tuple[str, ...] = ()
    fractions: tuple[tuple[str, float], ...] = tuple(FRACTIONS.items())
    balance: bool = False
    decisive_only: bool = False
    reuse_prompts: bool = False

    def for_design(self, name: str) -> DatasetRecipe:
        """The same of another design.

        Raises:
            CfgenError: There is no such design, or only decisive pairs are wanted of one without a
                contrast (``no-contrast``).
        """
        chosen = self.task.design(name)
        if self.decisive_only and not chosen.contrast:
            message = f"design {name!r} has no contrast, so no pair of it is decisive or not"
            hint = "say in the task which hypotheses it tells apart: Design(..., contrast=[...])"
            raise CfgenError(Problem("no-contrast", message, chosen.where, hint))
        return replace(self, design=chosen)

    def candidates(self, n: int | None = None) -> list[Candidates]:
        """What the pairs of each split that has rows are chosen from.

        Args:
            n: Another number of pairs over all splits.

        Raises:
            CfgenError: If the number of pairs or the shares make no sense, or a lexicon is too
                small.
        """
        task = self.task
        domains, allowed = task.causal_model.domains, task.template_domain(self.templates)
        return [
            Candidates(
                task=task,
                design=self.design,
                domains=restrict_domains(domains, split.pools, allowed),
                seed=self.seed,
                split=split,
                balance=self.balance,
                reuse_prompts=self.reuse_prompts,
            )
            for split in make_splits(task, self.n if n is None else n, dict(self.fractions))
        ]


def recipe(
    task: str | Task,
    n: int,
    *,
    design: str | None = None,
    seed: int = 0,
    templates: Sequence[str] = (),
    fractions: Mapping[str, float] = FRACTIONS,
    balance: bool = False,
    decisive_only: bool = False,
    reuse_prompts: bool | None = None,
) -> DatasetRecipe:
    """Look up the parts of a recipe by name; what is not said is as the task has it.

    Raises:
        CfgenError: If the task, the design or a template does not exist, or only decisive pairs
            are wanted of a design without a contrast (``no-contrast``).
    """
    loaded = task if isinstance(task, Task) else load_task(task)
    # a name alone is meant as one, and what is no sequence of names is no name either
    several = isinstance(templates, Iterable) and not isinstance(templates, str)
    names: tuple[Any, ...] = tuple(templates) if several else (templates,)
    loaded.template_domain(names)
    if type(seed) is not int:
        hint = "give a whole number, as in seed=0"
        raise CfgenError(Problem("bad-seed", f"{seed!r} is no seed", hint=hint))
    chosen, shares = loaded.design(design), tuple(fractions.items())
    if reuse_prompts is None:
        reuse_prompts = bool(loaded.defaults.get("reuse_prompts"))
    made = DatasetRecipe(
        loaded, chosen, n, seed, names, shares, balance, decisive_only, reuse_prompts
    )
    return made.for_design(chosen.name)


def split_shares(text: str) -> dict[str, float]:
    """Read shares such as ``80/10/10``.

    Raises:
        CfgenError: If these are not three numbers (``bad-shares``).
    """
    try:
        numbers = [float(part) for part in text.split("/")]
    except ValueError:
        numbers = []
    usable = len(numbers) == len(FRACTIONS) and all(0 <= number < 1e9 for number in numbers)
    if not usable or not sum(numbers):
        message = f"--splits {text} are not the shares of train, validation and test"
        hint = "give three numbers, as in --splits 80/10/10 or --splits 1/0/0"
        raise CfgenError(Problem("bad-shares", message, hint=hint))
    return dict(zip(FRACTIONS, numbers, strict=True))


def make_splits(task: Task, n: int, fractions: Mapping[str, float] = FRACTIONS) -> list[Split]:
    """Divide rows and words over the splits.

    Words are put in an order that depends on nothing but the lexicon's name and the words, and
    dealt out, so a word belongs to the same split for every design and seed. A small split gets
    twice its share of the words, and at least :data:`WORDS`: the number of different stories grows
    with a power of the number of words, and a split of few words soon has no more of them.

    Args:
        task: The task.
        n: Number of pairs over all splits.
        fractions: Split -> share.

    Returns:
        The splits that have rows, in the order train, validation, test.

    Raises:
        CfgenError: If ``n`` or the shares make no sense, or a lexicon is too small.
    """
    _check(n, fractions)
    active = [name for name in FRACTIONS if fractions.get(name, 0) > 0]
    total = sum(fractions[name] for name in active)
    shares = {name: fractions[name] / total for name in active}
    rows = _apportion(n, shares)
    pools = _partition(task, shares)
    return [Split(name, rows[name], pools[name]) for name in active if rows[name]]


def _check(n: int, fractions: Mapping[str, float]) -> None:
    problems = []
    if not isinstance(n, Integral) or n < 1:
        message = f"{n!r} pairs were asked for"
        problems.append(Problem("bad-count", message, hint="ask for a whole number of 1 or more"))
    unknown = [name for name in fractions if name not in FRACTIONS]
    shares = [share for share in fractions.values() if isinstance(share, (int, float))]
    odd = len(shares) < len(fractions) or any(share < 0 for share in shares)
    if unknown or odd or not sum(shares):
        problems.append(
            Problem(
                "bad-splits",
                f"the shares {dict(fractions)} cannot be used",
                hint="give non-negative shares of train, validation and test, not all zero",
            )
        )
    if problems:
        raise CfgenError(problems)


def _apportion(n: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Whole numbers that add up to ``n``, by largest remainder; ties go to the earlier split."""
    rows = {name: int(n * share) for name, share in shares.items()}
    by_remainder = sorted(shares, key=lambda name: rows[name] - n * shares[name])
    for name in by_remainder[: n - sum(rows.values())]:
        rows[name] += 1
    return rows


def _partition(task: Task, shares: Mapping[str, float]) -> dict[str, Pools]:
    domains = task.causal_model.domains
    words: dict[str, tuple[str, ...]] = {}
    for domain in domains.values():
        words |= domain.pools
    needed: dict[str, int] = {}
    for design in task.designs.values():
        for pool, count in design.words_needed(domains).items():
            needed[pool] = max(needed.get(pool, 0), count)
    pools: dict[str, dict[str, tuple[str, ...]]] = {name: {} for name in shares}
    problems = []
    for pool, entries in words.items():
        even = len(entries) // len(shares)
        counts = {
            name: max(needed[pool], min(even, max(WORDS, round(2 * share * len(entries)))))
            for name, share in shares.items()
        }
        largest = max(shares, key=lambda name: shares[name])
        counts[largest] = len(entries) - sum(c for name, c in counts.items() if name != largest)
        if counts[largest] < needed[pool]:
            problems.append(
                Problem(
                    "lexicon-too-small",
                    f"lexicon {pool!r} has {len(entries)} words, but {len(shares)} disjoint "
                    f"splits need {needed[pool]} each",
                    hint="add words to the lexicon, or use fewer splits",
                )
            )
        ordered = sorted(entries, key=lambda word: _rank(pool, word))
        for name in reversed(list(shares)):  # the small splits first: they move least
            pools[name][pool] = tuple(ordered[: counts[name]])
            ordered = ordered[counts[name] :]
    if problems:
        raise CfgenError(problems)
    return {name: dict(split) for name, split in pools.items()}


def _rank(pool: str, word: str) -> bytes:
    return hashlib.blake2b(f"{pool}\0{word}".encode(), digest_size=16).digest()
