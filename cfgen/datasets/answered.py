"""Answered pairs: a dataset of those alone that an LM answers rightly on both sides.

What the LM answers is found out by whoever has one: here it is a function from pairs to truths, so
that datasets are made without torch.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from cfgen.counterfactuals import Pair
from cfgen.datasets.recipe import Candidates
from cfgen.errors import CfgenError, Problem

ASKED_AT_MOST = 50
"""So many times as many pairs as are wanted are asked, before it is said that too few are right."""

RowFilter = Callable[[pa.Table, Sequence[int]], list[int]]
"""From a table, and the rows of it that come into question, to those that are kept."""
FirstPairs = Callable[[Candidates, int, int], Sequence[Pair]]
"""Gives so many candidates, from a number on."""


@dataclass(frozen=True, slots=True)
class PairFilter:
    """Says which pairs an LM answers rightly, and counts them.

    Attributes:
        model: Name of the LM.
        revision: Which weights exactly.
        dtype: In what it is computed.
        right: For some pairs, whether each is answered rightly on both sides.
        asked: Split -> pairs that were asked so far.
        kept: Split -> those of them that were answered rightly.
    """

    model: str
    revision: str
    dtype: str
    right: Callable[[Sequence[Pair]], Sequence[bool]]
    asked: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)

    def afresh(self) -> PairFilter:
        """The same, with nothing counted yet."""
        return replace(self, asked=Counter(), kept=Counter())

    @property
    def identity(self) -> dict[str, str]:
        """What its verdicts depend on, as JSON has it."""
        return {"model": self.model, "revision": self.revision, "dtype": self.dtype}

    def verdicts(self, pairs: Sequence[Pair], split: str) -> list[bool]:
        """Ask pairs of a split, and count them."""
        found = list(self.right(pairs))
        self.asked[split] += len(pairs)
        self.kept[split] += sum(found)
        return found

    def eligible(self, candidates: Candidates, pairs_from: FirstPairs) -> RowFilter:
        """Prepare the choice from tables of candidates, which follow each other.

        Returns:
            A function from a table, and the rows of it that come into question, to those that are
            answered rightly. It raises :class:`CfgenError` if far too few are
            (``too-few-answered``).
        """
        split, wanted = candidates.split.name, candidates.split.rows

        def choose(table: pa.Table, rows: Sequence[int]) -> list[int]:
            if self.asked[split] >= ASKED_AT_MOST * wanted:
                raise CfgenError(self._too_few(split, wanted))
            made = pairs_from(candidates, len(table), table["index"][0].as_py())
            right = self.verdicts([made[row] for row in rows], split)
            return list(itertools.compress(rows, right))

        return choose

    def record(self) -> AnsweredRecord:
        """What a manifest says of it."""
        return AnsweredRecord(**self.identity, asked=dict(self.asked), kept=dict(self.kept))

    def _too_few(self, split: str, wanted: int) -> Problem:
        return Problem(
            "too-few-answered",
            f"split {split!r} is to have {wanted:,} pairs, but of {self.asked[split]:,} the LM "
            f"{self.model} answers only {self.kept[split]:,} rightly on both sides",
            hint="ask for fewer pairs, name an LM that can do the task, or see what it says with "
            "cfgen behave",
        )


class AnsweredRecord(BaseModel):
    """Which LM answers all pairs of a dataset rightly.

    Attributes:
        model: Name of the LM.
        revision: Which weights exactly.
        dtype: In what it was computed.
        asked: Split -> pairs that were asked until there were enough.
        kept: Split -> those of them that were answered rightly on both sides; the first are rows.
    """

    model_config = ConfigDict(frozen=True)
    model: str
    revision: str
    dtype: str
    asked: dict[str, int]
    kept: dict[str, int]

    @property
    def sentence(self) -> str:
        """What the card says of it."""
        asked, kept = sum(self.asked.values()), sum(self.kept.values())
        return (
            f"only pairs that {self.model} answers rightly on both sides: of {asked:,} that were "
            f"asked, {kept:,} ({kept / asked:.3f})"
        )
