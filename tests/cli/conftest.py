"""Running the command line inside the test's own process, and a small project to run it on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cfgen.cli.main import app
from tests.projects import put_files


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def failed(self, *parts: str, code: int = 2) -> None:
        """Ended as a user's mistake does: nothing on stdout, these words on stderr."""
        assert (self.code, self.out) == (code, ""), self
        for part in parts:
            assert part in self.err, self.err
        assert "Traceback" not in self.err


Cli = Callable[..., Ended]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run ``cfgen`` with arguments, in 80 columns, without colours."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("FORCE_COLOR", raising=False)

    def run(*args: object, stdin: str | bytes | None = None) -> Ended:
        result = CliRunner().invoke(app, [str(arg) for arg in args], input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ended(result.exit_code, result.stdout, result.stderr)

    return run


TASK = '''
"""Toy: which of two words is asked for."""

from cfgen import CausalModel, Design, Hypothesis, TaskDefinition, distinct, edits, integers
from cfgen import lexicon

model = CausalModel("toy", output="answer")
model.input("words", distinct(lexicon("toys"), 2))
model.input("asked", integers(0, 1))


@model.variable
def answer(words: tuple[str, ...], asked: int) -> str:
    return words[asked]


task = TaskDefinition(
    causal_model=model,
    designs=[
        Design("other", counterfactual=[edits.flip("asked")]),
        Design("still", counterfactual=[edits.keep("asked")], contrast=["whole"]),
    ],
    hypotheses=[Hypothesis("whole", interchange=["answer"])],
    version="1",
    default_design="other",
    default_model="nobody/no-such-lm",
)
'''
TEMPLATE = """\
---
id: plain
description: One line.
shows: [words, asked]
---
{{ word_1 }} and {{ word_2 }}; take {{ asked + 1 }}:
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the task ``toy``, whose lexicon has six words; the current folder."""
    files = {
        "causal_models/toy.py": TASK,
        "templates/toy/plain.jinja": TEMPLATE,
        "data/lexicons/toys.txt": "ball\nbear\nboat\ndrum\nkite\nlamp\n",
    }
    put_files(tmp_path, files)
    monkeypatch.chdir(tmp_path)
    return tmp_path
