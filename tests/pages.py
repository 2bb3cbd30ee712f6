"""Pages of documentation: their fenced blocks are written to files, run, and compared.

A fence may carry a second word: a path if the block is a file to write, ``output`` if it shows what
the block before it prints (lines of dots stand for what is left out), ``demo`` for the demo's
output, ``slow`` for what needs a real LM.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cfgen.cli.main import app

ROOT = Path(__file__).parents[1]
PROGRAMS = Path(sys.executable).parent
FENCE = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NEEDS_LM = re.compile(r"cfgen (run|demo)\b")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block, with its line and, if one follows, the block that shows its output."""

    language: str
    label: str
    text: str
    line: int
    shown: Block | None = None

    @property
    def commands(self) -> list[str]:
        return self.text.splitlines() if self.language == "sh" else []

    @property
    def is_slow(self) -> bool:
        return self.label == "slow" or any(map(NEEDS_LM.match, self.commands))

    @property
    def is_make(self) -> bool:
        return any(command.startswith("make ") for command in self.commands)

    @property
    def runs(self) -> bool:
        return (self.language == "sh" and not self.is_make) or (
            self.language == "python" and "." not in self.label
        )


def blocks_of(path: Path) -> list[Block]:
    text = path.read_text(encoding="utf-8")
    found: list[Block] = []
    for match in reversed(list(FENCE.finditer(text))):
        line = text.count("\n", 0, match.start()) + 1
        shown = found[-1] if found and found[-1].label == "output" else None
        found.append(Block(match[1], match[2] or "", match[3], line, shown))
    return found[::-1]


def write_files(path: Path, folder: Path) -> None:
    for block in blocks_of(path):
        if "." in block.label:
            (folder / block.label).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.label).write_text(block.text, encoding="utf-8")


# Running


def run_in(folder: Path, *command: str, code: int = 0) -> str:
    """What a command prints, run in a process of its own, as a user would in a folder of theirs."""
    environment = {
        **os.environ,
        "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "80",
        "CUDA_VISIBLE_DEVICES": "",
        "HF_HOME": str(folder / "hf"),
    }
    ended = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == code, f"{' '.join(command)}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


def run_apart(folder: Path, command: str, code: int = 0) -> str:
    """What a line of shell prints, run in a process of its own."""
    return run_in(folder, "bash", "-c", command, code=code)


def run_here(folder: Path, command: str, code: int = 0) -> str:
    """What a command prints; ``cfgen`` itself runs in this process, which has torch by now."""
    program, *arguments = shlex.split(command)
    if program != "cfgen":
        return run_apart(folder, command, code)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("COLUMNS", "80")
        patch.delenv("FORCE_COLOR", raising=False)
        ended = CliRunner().invoke(app, arguments)
    if ended.exception is not None and not isinstance(ended.exception, SystemExit):
        raise ended.exception
    assert ended.exit_code == code, f"{command}\n{ended.output}"
    return ended.stdout


def exec_here(folder: Path, program: str) -> str:
    """What a Python program prints, run in this process in names of its own."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.chdir(folder)
        exec(compile(program, "page", "exec"), {"__name__": "__main__"})
    return printed.getvalue()


def run_block(block: Block, folder: Path, *, processes: bool = False, code: int = 0) -> None:
    """Run a block, and compare what it prints with what is shown.

    Args:
        block: What to run.
        folder: Where to.
        processes: Every command and program in a process of its own, as at a terminal.
        code: The exit code of its commands.
    """
    if block.language != "python":
        run = run_apart if processes else run_here
        printed = "".join(run(folder, command, code) for command in block.commands)
    elif processes:
        printed = run_in(folder, sys.executable, "-c", block.text)
    else:
        printed = exec_here(folder, block.text)
    if block.shown and block.shown.language == "json":
        assert_within(json.loads(block.shown.text), json.loads(printed))
    elif block.shown:
        assert_lines(block.shown, printed)


# Comparing


def assert_within(part: Any, whole: Any) -> None:
    """Every key that is shown has the value that is shown."""
    if isinstance(part, dict):
        for key, value in part.items():
            assert_within(value, whole[key])
    else:
        assert part == whole


def assert_lines(shown: Block, printed: str) -> None:
    """Every line that is shown is printed, in this order; empty ones do not count."""
    rest: Iterator[str] = iter([line.rstrip() for line in printed.splitlines()])
    for number, line in enumerate(shown.text.splitlines(), start=shown.line + 1):
        if line.strip() not in ("", "..."):
            assert line in rest, f"line {number} is not printed (here): {line}"
