"""Some of many parameters, so that quick tests try a few of a kind and slow ones all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def one_in(number: int, values: Iterable[Any]) -> list[Any]:
    """Parameters of a test, of which all but each so-manieth are slow.

    Args:
        number: Of how many one is quick; the first is.
        values: What the test is tried on; a tuple is several parameters.
    """
    rows = (value if isinstance(value, tuple) else (value,) for value in values)
    return [
        pytest.param(*row, marks=pytest.mark.slow if index % number else ())
        for index, row in enumerate(rows)
    ]
