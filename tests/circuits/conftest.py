from __future__ import annotations

import pytest

from tests.stories import Make, with_answers


@pytest.fixture(scope="session")
def make():
    return Make


@pytest.fixture(scope="session")
def answer():
    return with_answers
