"""Repetition: of candidates, the first ones of which neither prompt occurred before."""

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

Content = TypeVar("Content")


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

    Attributes:
        missing: How many are still to be chosen.
    """

    def __init__(self, design: Design, n: int, seen: set[int]) -> None:
        """Begin to choose.

        Args:
            design: How candidates are made, for the message if there are too few.
            n: How many pairs to choose.
            seen: 64-bit hashes of the prompts so far; added to.
        """
        self.missing = n
        self._design = design
        self._n = n
        self._seen = seen
        self._missed = 0  # in a row

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
            if one == other or one in self._seen or other in self._seen:
                self._missed += 1
                found = self._n - self.missing
                # With one pair in `found` left, the chance of missing it so often is e^-20.
                if self._missed > max(1000, 20 * found):
                    raise _no_more(one == other, self._design, self._n, found)
                continue
            self._seen.update((one, other))
            chosen.append(row)
            self.missing, self._missed = self.missing - 1, 0
        return chosen


def check_possible(candidates: Candidates) -> None:
    """Check that there are as many different originals as pairs are asked for.

    Raises:
        CfgenError: If there are fewer, counting only the inputs that the design leaves open.
    """
    n, design, domains = candidates.split.rows, candidates.design, candidates.domains
    settled = {edit.input for edit in design.original if edit.replaces}
    possible = math.prod(d.count() for name, d in domains.items() if name not in settled)
    if n > possible:
        raise CfgenError(_too_few(design, n, f"there are at most {possible:,} different originals"))


def _no_more(same: bool, design: Design, n: int, found: int) -> CfgenError:
    """The error of too many repetitions; whether both prompts of the last one are the same."""
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
