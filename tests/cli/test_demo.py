from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer

from cfgen.cli.main import app
from cfgen.report import load_story
from cfgen.tasks import load_task
from tests.pages import ROOT, assert_lines, blocks_of

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

STORY = load_story()


def test_what_it_runs_exists() -> None:
    task = load_task(STORY.task)
    for name in task.design(STORY.design).contrast:
        assert name in STORY.intro
        assert "{" + name + "}" in STORY.pair


def test_its_words_fit_into_80_columns() -> None:
    for text in (STORY.intro, STORY.pair, STORY.outro):
        assert max(map(len, text.splitlines())) <= 80


def test_the_commands_that_it_suggests_can_be_parsed() -> None:
    root = typer.main.get_command(app)
    with root.make_context("cfgen", ["tasks"]) as context:
        for line in STORY.next:
            program, verb, *args = line.replace("{task}", STORY.task).split()
            assert program == "cfgen"
            command = root.get_command(context, verb)
            assert command is not None
            command.make_context(verb, args)


def test_it_explains_a_pair_before_anything_runs(cli: Cli, tmp_path: Path) -> None:
    ended = cli("demo", "--model", "nix", "--out", tmp_path / "out")
    assert ended.code == 2
    assert "there is no known LM 'nix'" in ended.err
    assert "{" not in ended.out
    shown = " ".join(ended.out.split())
    assert " ".join(STORY.intro.split()) in shown
    assert "Decisive" in shown
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_real_demo_is_what_the_readme_shows(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = cli("demo")
    assert ended.code == 0, ended.err
    (shown,) = (block for block in blocks_of(ROOT / "README.md") if block.label == "demo")
    assert_lines(shown, ended.out)
    (folder,) = (tmp_path / "runs").iterdir()
    assert cli("figure", folder, "-o", "layers.svg").code == 0
    assert Path("layers.svg").read_bytes() == (ROOT / "docs" / "layers.svg").read_bytes()
