"""How the program ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cfgen.errors import CfgenError, Problem

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

PROGRAM = "from cfgen.cli.main import main; main()"


def raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(*roots: Path) -> dict[str, Path]:
        raise error

    monkeypatch.setattr("cfgen.tasks.list_tasks", fail)


def test_every_problem_is_shown_with_place_hint_and_code(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    problems = [
        Problem("first-one", "this [is] wrong", "file.py:3", "mend it", "more\nlines"),
        Problem("second-one", "so is " + "this " * 30),
    ]
    raising(monkeypatch, CfgenError(problems))
    ended = cli("tasks")
    assert ended.code == 2
    assert ended.out == ""
    assert ended.err.splitlines() == [
        "file.py:3: this [is] wrong [first-one]",
        "    -> mend it",
        "    more",
        "    lines",
        "so is " + "this " * 30 + " [second-one]",
    ]


@pytest.mark.parametrize("args", [["--debug", "tasks"], ["tasks", "--debug"]])
def test_debug_shows_the_traceback_too(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, args: list[str]
) -> None:
    raising(monkeypatch, CfgenError(Problem("some-code", "wrong")))
    ended = cli(*args)
    assert ended.code == 2
    assert "Traceback" in ended.err
    assert ended.err.endswith("wrong [some-code]\n")


def test_a_bug_has_an_exit_code_of_its_own(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    raising(monkeypatch, KeyError("x"))
    cli("tasks").failed("KeyError: 'x'", "--debug", "[internal-error]", code=3)
    assert "Traceback" in cli("tasks", "--debug").err


def test_interrupt_is_quiet(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    raising(monkeypatch, KeyboardInterrupt())
    ended = cli("tasks")
    assert (ended.code, ended.out, ended.err) == (130, "", "")


def test_a_reader_that_leaves_is_quiet() -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, "show", "ioi", "--json"],
            stdout=write,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def test_being_terminated_leaves_nothing_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, "generate", "belief_tracking", "-n", "300000"]
    running = subprocess.Popen(
        [*command, "--out", str(tmp_path / "made")], stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 60
        while not any(tmp_path.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert any(tmp_path.iterdir())
        running.send_signal(signal.SIGTERM)
        _, err = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []
