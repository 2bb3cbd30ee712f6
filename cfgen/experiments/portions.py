"""Portions: which units of an experiment are computed here and now, and what is left over."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Portion:
    """Which units are computed here and now.

    Attributes:
        shard: Number of this share, from 1, and how many there are.
        until: When to stop, by :func:`time.monotonic`; None for never.
    """

    shard: tuple[int, int] = (1, 1)
    until: float | None = None

    @property
    def due(self) -> bool:
        """Whether it is time to stop."""
        return self.until is not None and time.monotonic() >= self.until


EVERYTHING_NOW = Portion()
NOTHING_NOW = Portion(until=-math.inf)
"""What is there already is counted, and nothing computed."""


@dataclass(frozen=True, slots=True)
class Remainder:
    """What came of an experiment of which something is missing yet.

    Attributes:
        done: Units that are there.
        units: How many are needed, as far as that is known.
        late: Whether it was stopped because time was up.
    """

    done: int
    units: int
    late: bool
