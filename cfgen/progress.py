"""Progress: how far something is, told to whoever shows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[str, int, int | None], None]
"""Called as ``progress(step, done, total)``; ``total`` is None where it is not known.

Steps come one after the other. Units are bytes for steps that move bytes.
"""


def no_progress(step: str, done: int, total: int | None) -> None:
    """Show no progress."""
