"""Repetition: of candidates, the first ones of which neither prompt occurred before.

Where prompts may be used again, the first ones that are no pair yet, of prompts of their own split.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from cfgen.counterfactuals import Design
from cfgen.datasets.labelling import PairColumns
from cfgen.datasets.recipe import Candidates
from cfgen.errors import CfgenError, Problem

MOST = 2000
"""Candidates of a chunk."""
LEAST = 64
"""Candidates that are made together, however few are missing."""

MORE = "ask for fewer, allow more templates, add words to the lexicons"
"""What to do where there are too few pairs."""
AGAIN = "let a prompt be in several pairs (--reuse-prompts)"
"""And what else, where each prompt is used once."""

Content = TypeVar("Content")
SeenPrompts = dict[int, str]
"""64-bit hash of every prompt so far -> the split that it is in."""


@dataclass(frozen=True, slots=True)
class CandidateChunk(Generic[Content]):
    """A stretch of candidates, repetitions included.

    Attributes:
        content: The candidates, as columns or as an Arrow table.
        hashes: 64-bit hashes of the originals' prompts, and of the counterfactuals': (2, rows).
        error: What came up after the last one, if anything.
    """

    content: Content
    hashes: NDArray[np.uint64]
    error: CfgenError | None = None


def prompt_hashes(columns: PairColumns) -> NDArray[np.uint64]:
    """64 bits for every prompt: (2, rows)."""
    sides = (columns.original.texts, columns.counterfactual.texts)
    hashed = hashlib.blake2b
    digests = b"".join(hashed(t.encode(), digest_size=8).digest() for side in sides for t in side)
    return np.frombuffer(digests, np.uint64).reshape(2, -1)


class DistinctPrompts:
    """Chooses pairs of which neither prompt occurred before, until there are enough.

    Where prompts may be used again, neither prompt of a pair is in another split, and no pair
    occurs twice: the same two prompts, the same one of them the original.

    Attributes:
        missing: How many are still to be chosen.
    """

    def __init__(self, candidates: Candidates, seen: SeenPrompts) -> None:
        """Begin to choose.

        Args:
            candidates: What they are chosen from, and how many.
            seen: The prompts so far, of whatever design; added to.
        """
        self.missing = self._n = candidates.split.rows
        self._design, self._split = candidates.design, candidates.split.name
        self._reuse = candidates.reuse_prompts
        self._seen = seen
        self._pairs: set[tuple[int, int]] = set()  # where prompts may be used again
        self._missed = self._same = 0  # in a row; those of which both prompts are the same

    @property
    def next_size(self) -> int:
        """How many candidates to look at next."""
        return min(MOST, max(self.missing, LEAST))

    def choose(self, hashes: NDArray[np.uint64], rows: Iterable[int] | None = None) -> list[int]:
        """Choose from a chunk.

        Args:
            hashes: Of its prompts: (2, rows).
            rows: The rows that come into question; all, if not given.

        Returns:
            The rows that are chosen, in order; no more than are missing.

        Raises:
            CfgenError: If so many candidates in a row are repetitions that there are no more
                (``too-few-pairs``).
        """
        pairs = hashes.T.tolist()
        chosen: list[int] = []
        for row in range(len(pairs)) if rows is None else rows:
            if not self.missing:
                break
            one, other = pairs[row]
            if one == other or self._used(one) or self._used(other) or (one, other) in self._pairs:
                self._missed += 1
                self._same += one == other
                found = self._n - self.missing
                # With one pair in `found` left, the chance of missing it so often is e^-20.
                if self._missed > max(1000, 20 * found):
                    same = self._same == self._missed
                    raise _no_more(same, self._design, self._n, found, self._reuse)
                continue
            self._seen[one] = self._seen[other] = self._split
            if self._reuse:
                self._pairs.add((one, other))
            chosen.append(row)
            self.missing, self._missed, self._same = self.missing - 1, 0, 0
        return chosen

    def _used(self, prompt: int) -> bool:
        """Whether a prompt can be in no further pair of this split."""
        return prompt in self._seen and not (self._reuse and self._seen[prompt] == self._split)


def check_possible(candidates: Candidates) -> None:
    """Check that there are as many different originals as pairs are asked for.

    Where prompts may be used again, any two of the originals could be a pair.

    Raises:
        CfgenError: If there are fewer, counting only the inputs that the design leaves open.
    """
    n, design, domains = candidates.split.rows, candidates.design, candidates.domains
    settled = {edit.input for edit in design.original if edit.replaces}
    possible = math.prod(d.count() for name, d in domains.items() if name not in settled)
    if n > possible and not candidates.reuse_prompts:
        why = f"there are at most {possible:,} different originals"
        raise CfgenError(_too_few(design, n, why, f"{MORE}, or {AGAIN}"))


def _no_more(same: bool, design: Design, n: int, found: int, reuse: bool) -> CfgenError:
    """The error of too many repetitions; whether both prompts of all of them were the same."""
    if same:
        hint = "both prompts of a pair come out the same: the design changes nothing they show"
        return CfgenError(_too_few(design, n, f"only {found:,} were found", hint))
    if reuse:
        return CfgenError(_too_few(design, n, f"only {found:,} different ones were found", MORE))
    why = f"only {found:,} have prompts that are all different"
    return CfgenError(_too_few(design, n, why, f"{MORE}, or {AGAIN}"))


def _too_few(design: Design, n: int, why: str, hint: str) -> Problem:
    message = f"{n:,} pairs of design {design.name!r} were asked for in one split, but {why}"
    return Problem("too-few-pairs", message, where=design.where, hint=hint)
