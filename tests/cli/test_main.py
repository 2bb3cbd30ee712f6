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


def test_interrupt_says_what_is_kept(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt = KeyboardInterrupt()
    raising(monkeypatch, interrupt)
    nothing = "Interrupted. Nothing is kept; run the same again to begin anew.\n"
    ended = cli("tasks")
    assert (ended.code, ended.out, ended.err) == (130, "", nothing)
    interrupt.add_note("3 units are kept in runs/x; the same command goes on.")
    ended = cli("tasks")
    kept = "Interrupted. 3 units are kept in runs/x; the same command goes on.\n"
    assert (ended.code, ended.out, ended.err) == (130, "", kept)


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


@pytest.mark.parametrize(
    "sent",
    [
        signal.SIGTERM,
        pytest.param(signal.SIGHUP, marks=pytest.mark.slow),
        pytest.param(signal.SIGQUIT, marks=pytest.mark.slow),
        signal.SIGINT,
    ],
    ids=lambda sent: sent.name,
)
def test_being_ended_leaves_nothing_behind(tmp_path: Path, sent: signal.Signals) -> None:
    running = subprocess.Popen(
        [*generating(tmp_path), "-n", "300000"],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: [signal.signal(each, signal.SIG_DFL) for each in (sent, signal.SIGINT)],
    )
    try:
        deadline = time.monotonic() + 60
        while not any(tmp_path.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert any(tmp_path.iterdir())
        running.send_signal(sent)
        _, err = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == 128 + sent
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []
    if sent == signal.SIGINT:
        assert err.splitlines()[-1].startswith("Interrupted. Nothing is kept: ")
        assert err.endswith("made was not made. Run the same again to begin anew.\n")


@pytest.mark.slow
def test_nohup_is_heeded(tmp_path: Path) -> None:
    running = subprocess.Popen(
        [*generating(tmp_path), "-n", "3000"],
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    try:
        deadline = time.monotonic() + 60
        while not any(tmp_path.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.01)
        running.send_signal(signal.SIGHUP)
        running.communicate(timeout=120)
    finally:
        running.kill()
    assert running.returncode == 0
    assert (tmp_path / "made" / "manifest.json").is_file()


def generating(folder: Path) -> list[str]:
    made = str(folder / "made")
    return [sys.executable, "-c", PROGRAM, "generate", "belief_tracking", "--out", made]
