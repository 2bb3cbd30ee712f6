"""Nothing of the current folder is imported, and nothing of it is run unless a task is named."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cfgen.cli.main import app
from cfgen.processes import (
    clean_path,
    leave_current_folder,
    python_code,
    python_environment,
    safe_start,
)

PROGRAM = "from cfgen.cli.main import main; main()"
COMMAND = ["import sys; sys.path.remove('')", "sys.argv[0] = 'cfgen'", PROGRAM]
"""As the installed program is: without the current folder, which ``-c`` would put on the path."""
SHADOWS = ("random", "selectors", "json", "subprocess", "pickle", "tokenize", "typer", "numpy")
LEAVE_A_MARK = (
    "from pathlib import Path\nPath(__file__ + '.imported').touch()\nraise SystemExit(9)\n"
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Modules called as others are, and a task; each leaves a mark if it is run."""
    for name in SHADOWS:
        (tmp_path / f"{name}.py").write_text(LEAVE_A_MARK, encoding="utf-8")
    (tmp_path / "causal_models").mkdir()
    (tmp_path / "causal_models/own.py").write_text(f'"""Own."""\n{LEAVE_A_MARK}', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def marks(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*.imported"))


def cfgen(*arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the program as it is installed, which is not found by way of the current folder."""
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    if path is not None:
        environment["PYTHONPATH"] = path
    command = [sys.executable, "-c", "; ".join(COMMAND), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("lint", "ioi"),
        ("watch", "ioi", "--rounds", "1"),
        ("generate", "mcqa", "-n", "60", "--workers", "2", "--out", "made"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_no_verb_imports_from_the_current_folder(folder: Path, arguments: tuple[str, ...]) -> None:
    done = cfgen(*arguments)
    assert marks(folder) == []
    assert done.returncode == 0, done.stderr


def test_a_stray_colon_names_no_folder(folder: Path) -> None:
    for path in (f"{os.pathsep}{folder / 'nothing'}", f"{folder / 'nothing'}{os.pathsep}"):
        (folder / "sentencepiece.py").write_text(LEAVE_A_MARK, encoding="utf-8")
        environment = {**os.environ, "PYTHONPATH": path}
        code = "import sys; from cfgen.processes import *; leave_current_folder(); print(sys.path)"
        done = subprocess.run(
            [sys.executable, "-P", "-c", code], env=environment, capture_output=True, text=True
        )
        assert str(folder) not in eval(done.stdout or "[]"), done.stderr


@pytest.mark.parametrize(
    "command", ["tasks", "models", "new mine", "lint ioi", "show ioi", "--version"]
)
def test_naming_no_task_of_a_folder_runs_none(folder: Path, command: str) -> None:
    ended = CliRunner().invoke(app, command.split())
    assert marks(folder) == []
    assert ended.exit_code == 0, ended.output


def test_the_demo_is_that_of_the_package(folder: Path) -> None:
    """Nobody names a task there, so one of the same name in the folder is not meant."""
    (folder / "causal_models/belief_tracking.py").write_text(LEAVE_A_MARK, encoding="utf-8")
    ended = CliRunner().invoke(app, ["demo", "--model", "./nowhere"])
    assert marks(folder) == []
    assert "nowhere" in ended.stderr


@pytest.mark.parametrize("command", ["lint", "show own", "lint ."])
def test_naming_a_task_runs_it(folder: Path, command: str) -> None:
    CliRunner().invoke(app, command.split())
    assert marks(folder) == ["own.py.imported"]


def test_a_folder_that_is_named_stays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(folder), "", *sys.path])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), ""]))
    leave_current_folder()
    assert str(folder) in sys.path
    monkeypatch.setenv("PYTHONPATH", os.pathsep)
    leave_current_folder()
    assert str(folder) not in sys.path
    assert "" not in sys.path


def test_the_package_is_found_where_only_the_current_folder_led_to_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = str(Path(__file__).resolve().parents[1])
    monkeypatch.setattr(sys, "path", ["", *(path for path in sys.path if path != root)])
    assert clean_path()[-1] == root
    leave_current_folder()
    assert root in sys.path


def test_processes_import_what_this_one_does(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "libs").mkdir()
    (folder / "libs/helper.py").write_text("print('helps')", encoding="utf-8")
    monkeypatch.syspath_prepend(folder / "libs")
    done = subprocess.run(
        python_code("import helper, random"), env=python_environment(), capture_output=True
    )
    assert done.stdout.strip() == b"helps", done.stderr
    assert marks(folder) == []


def test_this_process_is_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    environment, path = dict(os.environ), list(sys.path)
    with safe_start():
        assert os.environ["PYTHONSAFEPATH"] == "1"
        assert "PYTHONPATH" not in os.environ
        assert "" not in sys.path
    assert (dict(os.environ), list(sys.path)) == (environment, path)
