"""Noise: how strong it is, as text and as a number; what results say of it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from cfgen.errors import CfgenError, Problem

_FORM = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)( absolute)?")


@dataclass(frozen=True, slots=True)
class Noise:
    """Gaussian noise that corrupts prompts, added to the token embedding's output.

    Attributes:
        position: Position expression of the tokens that get it.
        level: Its standard deviation.
        times: How many times the deviation of the embeddings that was asked to be; None if the
            level was given as it is.
        deviation: Standard deviation of all numbers that the tokens have where it is added, over
            the originals of all pairs that were drawn.
        tokens: How many tokens these are.
        draws: How often it is drawn for each pair.
        names: Names of the tokens, as in :func:`cfgen.lm.token_names`, in the order in which they
            were met.
    """

    position: str
    level: float
    times: float | None
    deviation: float
    tokens: int
    draws: int
    names: tuple[str, ...]

    @property
    def said(self) -> str:
        """How strong it is, in words."""
        there = f"{self.deviation:.4g}, that of the embeddings there ({self.tokens} tokens)"
        if self.times is None:
            ratio = f"{self.level / self.deviation:.3g}" if self.deviation else "more than any"
            return f"{self.level:.4g}, given as it is: {ratio} times {there}"
        return f"{self.level:.4g}, which is {self.times:g} times {there}"


def parse_noise(text: str) -> tuple[float, bool]:
    """Read how strong noise is.

    Returns:
        A number above 0, and whether it is the standard deviation as it is; if not, so many times
        that of the embeddings.

    Raises:
        CfgenError: It is not written so, or 0 (``bad-noise``).
    """
    found = _FORM.fullmatch(text)
    number = float(found[1]) if found else math.nan
    if not found or not number:
        hint = "write 3 for three standard deviations of the embeddings, or 0.1 absolute"
        what = "no noise at all" if found else "no strength of noise"
        raise CfgenError(Problem("bad-noise", f"{text!r} is {what}", hint=hint))
    return number, bool(found[2])
