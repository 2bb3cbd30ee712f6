"""Watching: what was saved is noticed once, and Ctrl-C ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cfgen.cli.main import app
from cfgen.cli.new import new_task
from cfgen.cli.watch import changed_files, file_stamps


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return new_task("hats", tmp_path)[0]


def acting(*actions: Callable[[], object]) -> Callable[[float], None]:
    """A sleep that does one more thing every time, and never waits."""
    left = list(actions)
    return lambda _: left.pop(0)() and None if left else None


def test_files_of_the_task_are_watched(file: Path) -> None:
    root = file.parents[1]
    watched = {
        path.relative_to(root).as_posix() for path in file_stamps(file) if root in path.parents
    }
    assert watched == {
        "causal_models/hats.py",
        "templates/hats/plain.jinja",
        "templates/hats/garden.jinja",
        "data/lexicons/hats_things.txt",
    }


def test_what_was_saved_made_or_removed_is_yielded_once(file: Path) -> None:
    root = file.parents[1]
    template, made = root / "templates/hats/plain.jinja", root / "templates/hats/new.jinja"
    actions = [
        lambda: template.write_text("changed", encoding="utf-8"),
        lambda: None,  # it has settled
        lambda: None,  # nothing
        lambda: made.write_text("new", encoding="utf-8"),
        lambda: template.unlink(),  # one more, before the first has settled
    ]
    rounds = list(changed_files(file, rounds=3, sleep=acting(*actions)))
    assert rounds == [(), (template,), (made, template)]


def test_a_file_that_is_saved_twice_with_the_same_length(file: Path) -> None:
    text = file.read_text(encoding="utf-8")

    def save() -> None:
        file.write_text(text, encoding="utf-8")
        os.utime(file, ns=(1, 1))

    assert list(changed_files(file, rounds=2, sleep=acting(save))) == [(), (file,)]


def test_one_round_lints_and_previews(file: Path) -> None:
    ended = CliRunner().invoke(app, ["watch", "hats", "--rounds", "1"], env={"COLUMNS": "80"})
    assert ended.exit_code == 0
    assert "hats: clean" in ended.stdout
    assert "Counterfactual" in ended.stdout
    assert "causal_models/hats.py" in ended.stderr


def test_a_broken_task_does_not_end_it(file: Path) -> None:
    file.write_text("def (", encoding="utf-8")
    ended = CliRunner().invoke(app, ["watch", "hats", "--rounds", "1", "--json"])
    assert ended.exit_code == 0
    assert "task-file-failed" in ended.stdout
    unknown = ["watch", "hats", "--rounds", "1", "--design", "nothing"]
    new_task("coats", file.parents[1])
    ended = CliRunner().invoke(app, [unknown[0], "coats", *unknown[2:]])
    assert ended.exit_code == 0
    assert "did you mean 'other_things'?" in ended.stderr


def test_no_such_task(file: Path) -> None:
    ended = CliRunner().invoke(app, ["watch", "nothing"])
    assert ended.exit_code == 2
    assert "[no-such-task]" in ended.stderr


@pytest.mark.slow
def test_a_save_is_noticed_and_ctrl_c_ends_it_cleanly(file: Path) -> None:
    program = "from cfgen.cli.main import main; main()"
    command = [sys.executable, "-u", "-c", program, "watch", "hats", "--every", "0.05", "--json"]
    watching = subprocess.Popen(
        command,
        cwd=file.parents[1],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # if the tests ignore it
    )
    try:
        assert watching.stdout is not None
        while watching.stdout.readline() != "}\n":
            assert watching.poll() is None
        time.sleep(0.2)
        file.write_text("def (", encoding="utf-8")
        line = ""
        while "task-file-failed" not in line:
            assert watching.poll() is None
            line = watching.stdout.readline()
        watching.send_signal(signal.SIGINT)
        _, said = watching.communicate(timeout=60)
    finally:
        watching.kill()
    assert watching.returncode == 0
    assert "Ended." in said
    assert "Traceback" not in said
