from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import pytest

from cfgen.experiments import checking
from tests.stories import WORDS, Make, with_answers


@pytest.fixture(scope="session")
def make():
    return Make


@pytest.fixture(scope="session")
def answer():
    return with_answers


@pytest.fixture(scope="module")
def lm(build_tiny_lm):
    """A tiny LM that knows the words of stories; some modules have another one."""
    return build_tiny_lm(WORDS)


@pytest.fixture(scope="session")
def contrasting(make, answer):
    """Gives so many pairs whose two answers differ, so that one has a rival."""

    def draw(lm, count, drawn=120):
        found = [
            pair
            for pair in answer(lm, make.pairs(drawn, seed=5))
            if pair.original.answer != pair.counterfactual.answer
        ]
        assert len(found) >= count
        return found[:count]

    return draw


@pytest.fixture
def loaded(lm: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """An entry for every time that an LM was loaded: always the ``lm`` of the module."""
    times: list[int] = []
    monkeypatch.setattr("cfgen.lm.load.load_lm", lambda *_, **__: times.append(1) or lm)
    return times


PASSED: WeakKeyDictionary[Any, dict[str, tuple[int, ...]]] = WeakKeyDictionary()


@pytest.fixture(autouse=True)
def passed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checks that an LM of a test has passed are not made again in every run of the test.

    As with a store of units that runs share; the checks themselves are tested by themselves.
    """
    make = checking._passed

    def passed(bench: Any, described: Any, check: Callable[[], tuple[int, ...]]) -> list[int]:
        known = PASSED.setdefault(bench.engine.lm.model, {})
        key = str([bench.identity, described])
        if key not in known:
            known[key] = check()
        return make(bench, described, lambda: known[key])

    monkeypatch.setattr(checking, "_passed", passed)
