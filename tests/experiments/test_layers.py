from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfgen.errors import CfgenError
from cfgen.experiments import parse_layers


@pytest.mark.parametrize(
    ("text", "layers"),
    [("0", [0]), ("20-23", [20, 21, 22, 23]), ("5, 0,2-3,3", [0, 2, 3, 5]), ("7-7", [7])],
)
def test_known(text: str, layers: list[int]) -> None:
    assert parse_layers(text) == layers


@pytest.mark.parametrize("text", ["", "a", "3-1", "-1", "1-", "1,,2", "1-2-3", "1.5", "²", "12345"])
def test_wrong(text: str) -> None:
    with pytest.raises(CfgenError, match="bad-layers"):
        parse_layers(text)


@given(st.sets(st.integers(0, 200), min_size=1))
def test_a_list_reads_back(layers: set[int]) -> None:
    assert parse_layers(",".join(map(str, layers))) == sorted(layers)
