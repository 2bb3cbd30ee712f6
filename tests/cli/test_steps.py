from __future__ import annotations

import io
import os
import pty
import subprocess
import sys

import pytest
from rich.console import Console

from cfgen.cli.steps import StepLines, bars_shown


class Clock:
    """A clock that is put forward by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_lines_of_a_long_step(clock: Clock) -> None:
    said: list[str] = []
    lines = StepLines(said.append, clock)
    lines.report("pairs \x1b", 0, 1000)
    assert said == []
    for second in range(1, 26):
        clock.now += 1
        lines.report("pairs \x1b", 20 * second, 1000)
    lines.end(finished=True)
    assert said == [
        "pairs \\x1b ...",
        "pairs \\x1b: 200 of 1,000, 20.0/s, 40 s left",
        "pairs \\x1b: 400 of 1,000, 20.0/s, 30 s left",
        "pairs \\x1b: done in 25 s",
    ]


def test_a_step_that_reports_nothing_is_looked_at(clock: Clock) -> None:
    said: list[str] = []
    lines = StepLines(said.append, clock)
    lines.report("load", 0, None)
    for _ in range(23):
        clock.now += 1
        lines.look()
    lines.report("next", 0, None)
    lines.end(finished=True)
    assert said == ["load ...", "load: 10 s", "load: 20 s", "load: done in 23 s"]


def test_short_steps_say_nothing(clock: Clock) -> None:
    said: list[str] = []
    lines = StepLines(said.append, clock)
    for number in range(100):
        lines.report(f"step {number}", 0, 1)
        clock.now += 0.9
        lines.report(f"step {number}", 1, 1)
    lines.end(finished=True)
    assert said == []


def test_a_long_step_that_nobody_looked_at_is_said_at_its_end(clock: Clock) -> None:
    said: list[str] = []
    lines = StepLines(said.append, clock)
    lines.report("load", 0, None)
    clock.now += 3
    lines.end(finished=False)
    assert said == ["load: stopped after 3.0 s"]


def test_megabytes(clock: Clock) -> None:
    said: list[str] = []
    lines = StepLines(said.append, clock)
    for second in range(11):
        lines.report("hash", second * 50_000_000, 1_000_000_000)
        clock.now += 1
    assert said[-1] == "hash: 500.0 of 1,000.0 MB, 50.0 MB/s, 10 s left"


def test_bars_have_rate_and_time_left(clock: Clock) -> None:
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=100, color_system=None)
    with bars_shown(console, clock) as report:
        for second in range(6):
            report("first [x]\x1b", second, 10)
            clock.now += 1
    last = [line for line in written.getvalue().splitlines() if "first [x]\\x1b" in line][-1]
    assert " 50%" in last
    assert last.rstrip().endswith("1.0/s, 4.0 s left")


def test_a_step_that_comes_again_begins_anew(clock: Clock) -> None:
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=100, color_system=None)
    with bars_shown(console, clock) as report:
        report("hash", 10, 10)
        report("load", 0, None)
        report("hash", 1, 4)
    lines = written.getvalue().splitlines()
    assert " 25%" in [line for line in lines if "hash" in line][-1]
    assert "100%" in [line for line in lines if "load" in line][-1]


STEPS = """
import cfgen.cli.steps
from cfgen.cli.output import progress_shown
cfgen.cli.steps.SHORT = 0
with progress_shown(quiet=QUIET) as report:
    report("one", 0, 4)
    report("one", 4, 4)
    report("two", 0, None)
"""


def program(*, quiet: bool) -> list[str]:
    return [sys.executable, "-c", STEPS.replace("QUIET", str(quiet))]


def test_on_a_terminal() -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    running = subprocess.Popen(program(quiet=True), stderr=theirs, stdout=theirs, env=environment)
    os.close(theirs)
    read = b""
    try:
        while part := os.read(ours, 1 << 16):
            read += part
    except OSError:  # how Linux tells that nobody has the other side open
        pass
    finally:
        os.close(ours)
    assert running.wait(60) == 0
    text = read.decode()
    assert "100%" in text
    assert "one" in text
    assert "two" in text
    assert "done in" not in text


def test_into_a_pipe() -> None:
    environment = {**os.environ, "FORCE_COLOR": "1"}
    done = subprocess.run(
        program(quiet=False), capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "one ...",
        "one: done in 0.0 s",
        "two ...",
        "two: done in 0.0 s",
    ]


def test_into_a_pipe_of_a_program() -> None:
    done = subprocess.run(program(quiet=True), capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
