from __future__ import annotations

from typing import Any

import pytest

from tests.stories import Make, with_answers


@pytest.fixture(scope="session")
def make():
    return Make


@pytest.fixture(scope="session")
def answer():
    return with_answers


@pytest.fixture
def loaded(lm: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """An entry for every time that an LM was loaded: always the ``lm`` of the module."""
    times: list[int] = []
    monkeypatch.setattr("cfgen.lm.load.load_lm", lambda *_, **__: times.append(1) or lm)
    return times
