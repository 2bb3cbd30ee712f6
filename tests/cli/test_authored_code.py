"""What code of the folder does while a verb runs: it prints to the side, and it ends."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from cfgen import overtime
from tests.cli.conftest import TASK, Cli

PROGRAM = "from cfgen.cli.main import main; main()"
BODY = "    return words[asked]\n"
CALLS = (
    "lint toy",
    "show toy --json",
    "preview toy -n 2 --json",
    "generate toy -n 6 --splits 100/0/0 --out made --json",
)


def rewritten(project: Path, *changes: tuple[str, str]) -> None:
    text = TASK
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (project / "causal_models/toy.py").write_text(text)


@pytest.mark.parametrize("line", CALLS)
def test_what_it_prints_spoils_no_result(cli: Cli, project: Path, line: str) -> None:
    plain = cli(*line.split())
    if (project / "made").exists():
        (project / "made").rename(project / "before")
    rewritten(project, (BODY, f"    print('hello')\n{BODY}"))
    printed = cli(*line.split())
    assert printed.code == plain.code
    if "show" not in line:  # which calls no mechanism
        assert "hello" in printed.err
    assert "hello" not in printed.out
    if "--json" in line:
        assert printed.json.keys() == plain.json.keys() if "preview" not in line else printed.json


@pytest.mark.parametrize(
    ("change", "name", "line"),
    [
        ((BODY, "    while True:\n        pass\n"), "'answer'", "preview toy -n 1"),
        ((BODY, "    while True:\n        pass\n"), "'answer'", "lint toy"),
        (("model.input", "while 1:\n    pass\nmodel.input"), "the file", "show toy"),
        (
            (BODY, "    return sum(1 for _ in iter(int, 1))\n"),
            "'answer'",
            "generate toy -n 2 --out made",
        ),
    ],
)
def test_what_never_ends_is_ended(
    cli: Cli,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: tuple[str, str],
    name: str,
    line: str,
) -> None:
    for limit in ("LONG", "LOADING", "LOOK"):
        monkeypatch.setattr(overtime, limit, 0.1)
    rewritten(project, change)
    ended = cli(*line.split())
    ended.failed(f"{name} did not end", "endless-code", "causal_models/toy.py:")
    assert not (project / "made").exists()


@pytest.mark.slow
def test_what_never_ends_in_one_of_many_processes_is_ended(project: Path) -> None:
    endless = (
        "    import multiprocessing\n    while multiprocessing.parent_process():\n        pass\n"
    )
    rewritten(project, (BODY, endless + BODY))
    line = "generate toy -n 6 --splits 100/0/0 --workers 2 --out made"
    command = [sys.executable, "-c", PROGRAM, *line.split()]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 2
    assert "causal_models/toy.py:" in ended.stderr
    assert "'answer' did not end within 10 s of being called [endless-code]" in ended.stderr
    assert not (project / "made").exists()


@pytest.mark.slow
def test_what_takes_its_time_and_ends_is_left_alone(
    cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overtime, "LOOK", 0.01)
    monkeypatch.setattr(overtime, "LONG", 0.2)
    slow = "    import time\n    time.sleep(0.02)\n"
    rewritten(project, (BODY, slow + BODY))
    line = "generate toy -n 12 --splits 100/0/0 --out made"
    assert cli(*line.split()).code == 0  # in all longer than a call may take


@pytest.mark.slow
def test_many_processes_print_to_the_side_as_well(project: Path) -> None:
    rewritten(project, (BODY, f"    print('hello')\n{BODY}"))
    line = "generate toy -n 6 --splits 100/0/0 --workers 2 --out made --json"
    command = [sys.executable, "-c", PROGRAM, *line.split()]
    made = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "hello" not in made.stdout
    assert json.loads(made.stdout)["rows"] == 6


@pytest.mark.parametrize(
    ("change", "said", "remedy"),
    [
        (("@model.variable", "@model.varible"), "varible", "did you mean 'variable'?"),
        ((BODY, "    yield words[asked]\n"), "gives no value where it is called", "plain def"),
        (("def answer", "async def answer"), "gives no value where it is called", "plain def"),
        (("model.input(", "model.inputs("), "inputs", "did you mean 'input'?"),
        (
            ('Design("other"', f'Design("{"x" * 10_001}"'),
            "has 10,001 characters",
            "10,000 or fewer",
        ),
    ],
)
def test_what_is_written_wrongly_is_said_with_its_remedy(
    cli: Cli, project: Path, change: tuple[str, str], said: str, remedy: str
) -> None:
    rewritten(project, change)
    ended = cli("preview", "toy")
    ended.failed("causal_models/toy.py:", said, remedy)
    assert str(project) not in ended.err.partition("Traceback")[0]  # places are short


def test_nobody_reads_on(project: Path) -> None:
    command = shlex.join([sys.executable, "-c", PROGRAM, "preview", "ioi", "-n", "400"])
    script = f"{command} | head -1 > /dev/null; exit ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (141, "")
