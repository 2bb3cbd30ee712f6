"""Recipes: everything a dataset depends on, its splits, and what their pairs are chosen from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cfgen.causal import Domain
from cfgen.counterfactuals import Design, restrict_domains
from cfgen.datasets.splits import FRACTIONS, Split, make_splits
from cfgen.tasks import Task, load_task


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
        split: Name of the split; other splits draw other pairs.
        balance: Whether every value is used equally often, see :mod:`cfgen.datasets.drawing`.
    """

    task: Task
    design: Design
    domains: Mapping[str, Domain]
    seed: int = 0
    split: str = ""
    balance: bool = False

    @property
    def key(self) -> str:
        """Everything that the seeds of the candidates have in common."""
        task = self.task
        return f"{task.name}\0{task.version}\0{self.design.name}\0{self.seed}\0{self.split}\0"


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
    """

    task: Task
    design: Design
    n: int
    seed: int = 0
    templates: tuple[str, ...] = ()
    fractions: tuple[tuple[str, float], ...] = tuple(FRACTIONS.items())
    balance: bool = False

    def splits(self, n: int | None = None) -> list[Split]:
        """The splits that have rows; of another number of pairs, if one is given.

        Raises:
            CfgenError: If the number of pairs or the shares make no sense, or a lexicon is too
                small.
        """
        return make_splits(self.task, self.n if n is None else n, dict(self.fractions))

    def candidates(self, split: Split) -> Candidates:
        """What the pairs of a split are chosen from."""
        allowed = self.task.template_domain(self.templates)
        domains = restrict_domains(self.task.causal_model.domains, split.pools, allowed)
        return Candidates(self.task, self.design, domains, self.seed, split.name, self.balance)


def recipe(
    task: str | Task,
    n: int,
    *,
    design: str | None = None,
    seed: int = 0,
    templates: Sequence[str] = (),
    fractions: Mapping[str, float] = FRACTIONS,
    balance: bool = False,
) -> DatasetRecipe:
    """Look up the parts of a recipe by name.

    Raises:
        CfgenError: If the task, the design or a template does not exist.
    """
    loaded = load_task(task) if isinstance(task, str) else task
    loaded.template_domain(templates)
    chosen, shares = loaded.design(design), tuple(fractions.items())
    return DatasetRecipe(loaded, chosen, n, seed, tuple(templates), shares, balance)
