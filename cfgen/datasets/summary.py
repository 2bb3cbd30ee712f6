"""What a dataset contains, counted while it is made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

from cfgen.counterfactuals import KINDS, Pair
from cfgen.datasets.splits import Split


class SplitSummary(BaseModel):
    """Counts of one split.

    Attributes:
        rows: Number of pairs.
        candidates: Number of pairs drawn until there were so many without repetition.
        decisive: Number of decisive pairs.
        words: Lexicon -> number of words that belong to this split alone.
        answers: Answer of the original -> number of pairs.
        templates: Template of the original -> number of pairs, where there are several.
        kinds: Hypothesis -> kind of prediction -> number of pairs.
    """

    model_config = ConfigDict(frozen=True)

    rows: int
    candidates: int
    decisive: int
    words: dict[str, int]
    answers: dict[str, int]
    templates: dict[str, int]
    kinds: dict[str, dict[str, int]]


class Tally:
    """Counts pairs as they pass; holds numbers only, so its size does not grow with the rows."""

    def __init__(self) -> None:
        self._rows = self._decisive = self._last = 0
        self._answers: Counter[str] = Counter()
        self._templates: Counter[str] = Counter()
        self._kinds: Counter[tuple[str, str]] = Counter()

    def add(self, pairs: Iterable[Pair]) -> None:
        """Count some pairs."""
        for pair in pairs:
            self._rows += 1
            self._decisive += pair.decisive
            self._last = pair.index
            self._answers[str(pair.original.answer)] += 1
            self._templates[str(pair.original.inputs.get("template", ""))] += 1
            self._kinds.update(pair.kinds.items())

    def summary(self, split: Split) -> SplitSummary:
        """The counts so far."""
        names = dict.fromkeys(name for name, _ in self._kinds)
        return SplitSummary(
            rows=self._rows,
            candidates=self._last + 1,
            decisive=self._decisive,
            words={pool: len(words) for pool, words in split.pools.items()},
            answers=dict(sorted(self._answers.items())),
            templates=dict(sorted(self._templates.items())),
            kinds={
                name: {kind: self._kinds[name, kind] for kind in KINDS if self._kinds[name, kind]}
                for name in names
            },
        )
