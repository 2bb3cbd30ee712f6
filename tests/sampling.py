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
    return [
        value
        if index % number == 0
        else pytest.param(
            *(value if isinstance(value, tuple) else (value,)), marks=pytest.mark.slow
        )
        for index, value in enumerate(values)
    ]
