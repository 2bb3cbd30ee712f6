"""The built-in tasks have no findings but those that their authors say are meant to be so."""

from __future__ import annotations

from pathlib import Path

import pytest

from cfgen.lint import lint_task
from tests.sampling import one_in

TASKS = sorted(path.stem for path in (Path(__file__).parents[2] / "causal_models").glob("*.py"))


@pytest.mark.parametrize("task", one_in(2, TASKS))
def test_clean_or_allowed_with_a_reason(task: str) -> None:
    report = lint_task(task)
    assert report.findings == ()
    assert all(len(item.reason.split()) > 5 for item in report.allowed)


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_clean_as_the_default_lm_has_tokens(task: str) -> None:
    from cfgen.lm import load_tokenizer

    assert lint_task(task, {"smollm2-135m": load_tokenizer("smollm2-135m")}).findings == ()


def test_there_are_tasks() -> None:
    assert len(TASKS) >= 4
