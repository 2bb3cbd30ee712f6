"""docs/datasets.md: its commands print what it shows, and its excerpts are those of the cards."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cfgen.cli.main import app
from cfgen.datasets.shortcuts import LEVEL, MARGIN

PAGE = (Path(__file__).parents[2] / "docs/datasets.md").read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Every command of the page, run in order in one folder."""
    folder = tmp_path_factory.mktemp("page")
    printed = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("COLUMNS", "200")
        for command in re.findall(r"^\$ cfgen (.*)$", "\n".join(blocks("console")), re.MULTILINE):
            ended = CliRunner().invoke(app, command.split())
            assert ended.exit_code == 0, ended.output
            printed[command] = ended.stdout
    return folder, printed


def test_commands_print_what_the_page_shows(ran: tuple[Path, dict[str, str]]) -> None:
    _, printed = ran
    compared = 0
    for block in blocks("console"):
        for command, shown in re.findall(
            r"^\$ cfgen (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE
        ):
            if shown:
                assert printed[command] == shown
                compared += 1
    assert (compared, len(printed)) == (2, 5)


def test_excerpts_are_those_of_the_card(ran: tuple[Path, dict[str, str]]) -> None:
    card = (ran[0] / "datasets/ioi/README.md").read_text(encoding="utf-8")
    excerpts = blocks("card")
    assert len(excerpts) == 3
    for excerpt in excerpts:
        assert excerpt.strip() in card


def test_other_datasets_have_no_shortcut(ran: tuple[Path, dict[str, str]]) -> None:
    assert "None beats chance." in (ran[0] / "datasets/beliefs/README.md").read_text()


def test_the_python_runs(tmp_path: Path) -> None:
    (code,) = blocks("python")
    exec(compile(code, "docs/datasets.md", "exec"), {"folder": tmp_path / "out"})


def test_the_numbers_in_words_are_those_of_the_code() -> None:
    assert f"by more than {MARGIN}" in PAGE
    assert f"at {LEVEL} over all rules" in PAGE
