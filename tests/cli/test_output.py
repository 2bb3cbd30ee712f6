from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cfgen.cli.output import show_problems, write_json
from cfgen.errors import CfgenError, Problem

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


UNSEEN = "a\x1b[2J\x9b\x7f\u202e\U000e0001 ä\n"


def test_json_has_no_character_that_a_terminal_acts_on(capsys: pytest.CaptureFixture[str]) -> None:
    write_json({"word": UNSEEN})
    out, _ = capsys.readouterr()
    assert out.replace("\n", "").isprintable()
    assert "ä" in out
    assert json.loads(out) == {"word": UNSEEN}


def test_problems_are_shown_with_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    show_problems(CfgenError(Problem("a-code", UNSEEN.strip(), "a\x9b.py:3", "\x1b", "\u202e")))
    _, err = capsys.readouterr()
    assert err.splitlines() == [
        "a\\x9b.py:3: a\\x1b[2J\\x9b\\x7f\\u202e\\U000e0001 ä [a-code]",
        "    -> \\x1b",
        "    \\u202e",
    ]


@pytest.mark.parametrize(
    "command",
    [
        ["tasks"],
        ["show", "toy"],
        ["show", "toy", "--json"],
        ["preview", "toy", "-n", "1"],
        ["preview", "toy", "-n", "1", "--json"],
        ["lint", "toy"],
        ["watch", "toy", "--rounds", "1"],
        ["design", "toy"],
        ["prove", "toy", "none", "whole"],
        ["generate", "toy", "-n", "2", "--splits", "1/0/0", "--out", "made"],
    ],
    ids=lambda command: " ".join(command),
)
def test_words_of_a_task_do_not_act_on_the_terminal(
    cli: Cli, project: Path, command: list[str]
) -> None:
    """Whoever wrote a task would else clear the screen, set its title, or turn text around."""
    task = project / "causal_models" / "toy.py"
    text = task.read_text(encoding="utf-8")
    text = text.replace("Toy:", "Toy\x1b]0;x\x07\u202e:").replace('"plain', '"plain\x9b')
    text = text.replace('Hypothesis("whole",', 'Hypothesis("whole", description="\\x1b[2J",')
    task.write_text(text, encoding="utf-8")
    ended = cli(*command)
    assert ended.code in (0, 1), ended.err
    for printed in (ended.out, ended.err):
        assert printed.replace("\n", "").isprintable()
    assert "\\x1b" in ended.out or "\\u001b" in ended.out or command[0] != "show"
