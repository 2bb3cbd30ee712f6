"""README, concepts and engines: every command and Python block runs, and prints what is shown.

The whole demo runs in tests/cli/test_demo.py.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import typer

from cfgen.cli.main import app
from tests.pages import (
    PROGRAMS,
    ROOT,
    Block,
    assert_lines,
    blocks_of,
    exec_here,
    run_block,
    run_here,
    run_in,
    write_files,
)

README = ROOT / "README.md"
CONCEPTS = ROOT / "docs/concepts.md"
ENGINES = ROOT / "docs/engines.md"


# README


@pytest.mark.slow
def test_what_needs_no_lm_runs_and_prints_what_is_shown(tmp_path: Path) -> None:
    write_files(README, tmp_path)
    ran = [block for block in blocks_of(README) if block.runs and not block.is_slow]
    assert len(ran) >= 4
    for block in ran:
        run_block(block, tmp_path, processes=True)


@pytest.mark.slow
def test_what_needs_the_lm_runs_and_prints_what_is_shown(tmp_path: Path) -> None:
    write_files(README, tmp_path)
    ran = [block for block in blocks_of(README) if block.runs and block.is_slow]
    assert ran
    for block in ran:
        run_block(block, tmp_path)


def made_by(target: str) -> list[str]:
    """What a target of the Makefile runs once all is set up."""
    done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [line.removeprefix("@") for line in done.stdout.splitlines()]


def test_make_targets_run_programs_that_are_installed() -> None:
    targets = [c.split()[1] for b in blocks_of(README) if b.is_make for c in b.commands]
    assert targets == ["demo", "test"]
    run = {target: [c for c in made_by(target) if c.startswith(".venv/bin/")] for target in targets}
    assert run["demo"][-1] == ".venv/bin/cfgen demo"
    assert run["test"][-1].startswith(".venv/bin/python -m pytest")
    checks = " ".join(run["test"])
    for program in ("ruff check", "ruff format", "mypy", "lint-imports"):
        assert f".venv/bin/{program}" in checks
    for command in (command for commands in run.values() for command in commands):
        assert (PROGRAMS / Path(command.split()[0]).name).exists(), command


def demo_output() -> Block:
    return next(block for block in blocks_of(README) if block.label == "demo")


def test_the_demo_says_what_is_shown_before_it_runs(tmp_path: Path) -> None:
    before, _, after = demo_output().text.partition("Without any swap")
    assert after
    printed = run_in(tmp_path, "cfgen", "demo", "--model", "./nowhere", code=2)
    assert_lines(Block("text", "", before, demo_output().line), printed)


def test_a_task_of_ones_own_takes_less_than_40_lines() -> None:
    files = {b.label: b.text for b in blocks_of(README) if "/" in b.label}
    assert len(files) == 3
    assert sum(len(text.splitlines()) for text in files.values()) < 40


# docs/concepts.md: its Python blocks are one program


def concepts(folder: Path, *, slow: bool) -> None:
    blocks = [block for block in blocks_of(CONCEPTS) if block.language == "python"]
    assert len(blocks) >= 8
    exec_here(folder, "\n".join(block.text for block in blocks if slow or not block.is_slow))


def test_the_examples_of_the_concepts_hold(tmp_path: Path) -> None:
    concepts(tmp_path, slow=False)


@pytest.mark.slow
def test_the_examples_of_the_concepts_that_need_the_lm_run(tmp_path: Path) -> None:
    concepts(tmp_path, slow=True)
    for block in blocks_of(CONCEPTS):
        for command in block.commands:
            run_here(tmp_path, command)


# docs/engines.md: its Python block is a program


@pytest.mark.slow
def test_the_examples_of_the_engines_run(tmp_path: Path) -> None:
    blocks = blocks_of(ENGINES)
    (program,) = [block.text for block in blocks if block.language == "python"]
    said, *numbers = exec_here(tmp_path, program).splitlines()
    assert said.strip()
    # direct effect, path, edge and knockout: the log-probabilities of two answers each
    assert len(re.findall(r"-\d+\.\d+", "".join(numbers[:-1]))) == 4 * 2
    assert "verified=4" in numbers[-1]
    assert "blocks=1" in numbers[-1]
    for block in blocks:
        for command in block.commands:
            run_here(tmp_path, command)


# Every page


GUIDES = [README, *sorted((ROOT / "docs").glob("*.md"))]
PAGES = [*GUIDES, *sorted((ROOT / "docs").glob("*/*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith("http"):
            assert re.match(r"https://arxiv\.org/abs/\d{4}\.\d{5}$", target), target
        else:
            assert (page.parent / target.partition("#")[0]).exists(), target


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_within_sentences_exist(page: Path) -> None:
    root = typer.main.get_command(app)
    assert isinstance(root, typer.core.TyperGroup)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for program, verb in re.findall(r"`(cfgen|make) (\w+)", page.read_text(encoding="utf-8")):
        if program == "cfgen":
            assert verb in root.commands
        else:
            assert re.search(rf"^{verb}:", makefile, re.MULTILINE), verb
