"""``cfgen new``: the task works at once, and nothing is written over."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import cfgen.folders
from cfgen import CfgenError, generate, load_task
from cfgen.cli.main import app
from cfgen.cli.new import FILES, STARTER, new_task
from cfgen.folders import write_file
from cfgen.lint import lint_task


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files_in(folder: Path) -> list[str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in found)


def test_every_file_of_the_starter_is_written(folder: Path) -> None:
    written = new_task("hats", folder)
    assert sorted(FILES) == files_in(STARTER)
    assert files_in(folder) == sorted(path.relative_to(folder).as_posix() for path in written)
    assert written[0].name == "hats.py"
    for path in written:
        assert "my_task" not in path.read_text(encoding="utf-8").lower()


def test_it_is_clean_and_decides_every_pair(folder: Path) -> None:
    new_task("hats", folder)
    report = lint_task("hats")
    assert report.findings == ()
    assert [item.finding.code for item in report.allowed] == ["predicts-as-all"]
    rows = generate("hats", 60, seed=1)
    assert all(row["decisive"] for split in rows.values() for row in split)
    kinds = {row["kinds"]["pointer"] for row in rows["train"]}
    assert kinds == {"third"}


def run_its_own_tests(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run them in another pytest, without the plugins that happen to be installed."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_its_own_tests_pass(folder: Path) -> None:
    new_task("hats", folder)
    ended = run_its_own_tests(folder)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "4 passed" in ended.stdout


@pytest.mark.slow
def test_its_own_tests_fail_when_the_task_is_wrong(folder: Path) -> None:
    file = new_task("hats", folder)[0]
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("return things[pointer]", "return things[0]"), encoding="utf-8")
    ended = run_its_own_tests(folder)
    assert ended.returncode == 1
    assert "never-decisive" in ended.stdout
    assert "cfgen lint hats finds:" in ended.stdout


OTHER_TASK = '''"""Hats: whose hat is lost, of three people."""

from cfgen import CausalModel, Design, Hypothesis, Site, TaskDefinition, distinct, edits, integers
from cfgen import lexicon

model = CausalModel("hats", output="owner")
model.input("owners", distinct(lexicon("names"), 3))
model.input("lost", integers(0, 2))


@model.variable
def place(lost: int) -> int:
    return lost


@model.variable
def owner(place: int, owners: tuple[str, ...]) -> str:
    return owners[place]


task = TaskDefinition(
    model,
    [
        Design(
            "others",
            counterfactual=[
                edits.resample("owners", disjoint=True), edits.resample("lost", disjoint=True)
            ],
            contrast=["place"],
        )
    ],
    [Hypothesis("place", ["place"], site=Site("last"))],
    version="2",
    default_design="others",
    default_model="smollm2-135m",
    allow={"shortcut:others": "of three people in a fixed order, some are asked for more often"},
)
'''
OTHER_TEMPLATE = """---
id: plain
description: Three people and a hat.
shows: [owners, lost]
---
{{ owner_1 }}, {{ owner_2 }} and {{ owner_3 }} come home. The hat of the \
{{ ["first", "second", "third"][lost] }} is lost. \
Question: Whose hat is lost? Answer:
"""


@pytest.mark.slow
def test_its_own_tests_test_whatever_it_becomes(folder: Path) -> None:
    file = new_task("hats", folder)[0]
    file.write_text(OTHER_TASK, encoding="utf-8")
    (folder / "templates/hats/plain.jinja").write_text(OTHER_TEMPLATE, encoding="utf-8")
    (folder / "templates/hats/garden.jinja").unlink()
    (folder / "data/lexicons/hats_things.txt").unlink()
    ended = run_its_own_tests(folder)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "4 passed" in ended.stdout


@pytest.mark.slow
def test_the_default_lm_runs_on_it(folder: Path) -> None:
    new_task("hats", folder)
    options = ["-n", "8", "--layers", "21,25", "--device", "cpu"]
    ended = CliRunner().invoke(app, ["run", "hats", *options])
    assert ended.exit_code == 0, ended.output
    assert "keep rate 1.00" in ended.stdout


def test_two_tasks_live_in_one_project(folder: Path) -> None:
    new_task("hats", folder)
    new_task("coats", folder)
    assert load_task("hats").templates.keys() == load_task("coats").templates.keys()
    assert lint_task("coats").findings == lint_task("hats").findings == ()


@pytest.mark.parametrize("name", ["Hats", "my-task", "1st", "class", "", "a b", "hüte", "../x"])
def test_names_that_are_none_are_refused(folder: Path, name: str) -> None:
    with pytest.raises(CfgenError, match="task-name-unusable"):
        new_task(name, folder)
    assert files_in(folder) == []


def test_a_usable_name_is_suggested(folder: Path) -> None:
    with pytest.raises(CfgenError, match="such as my_hats"):
        new_task("My hats!", folder)


def test_a_built_in_name_is_refused(folder: Path) -> None:
    with pytest.raises(CfgenError, match="templates would be mixed"):
        new_task("ioi", folder)


def test_every_file_in_the_way_is_named_and_none_is_touched(folder: Path) -> None:
    for name in ("causal_models/hats.py", "tests/test_hats.py"):
        (folder / name).parent.mkdir()
        (folder / name).write_text("mine", encoding="utf-8")
    with pytest.raises(CfgenError) as caught:
        new_task("hats", folder)
    assert [problem.code for problem in caught.value.problems] == ["file-exists"] * 2
    assert files_in(folder) == ["causal_models/hats.py", "tests/test_hats.py"]
    assert (folder / "tests/test_hats.py").read_text(encoding="utf-8") == "mine"


def test_nothing_half_written_is_left(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "data").write_text("a file where a folder is needed", encoding="utf-8")
    with pytest.raises(CfgenError, match="cannot-write"):
        new_task("hats", folder)
    assert files_in(folder) == ["data"]


def test_the_verb_names_files_and_commands(folder: Path) -> None:
    ended = CliRunner().invoke(app, ["new", "hats"], env={"COLUMNS": "80"})
    assert ended.exit_code == 0
    for name in files_in(folder):
        assert f"  {name}\n".replace("/", os.sep) in ended.stdout
    for verb in ("lint", "preview", "generate", "run"):
        assert f"cfgen {verb} hats" in ended.stdout
    again = CliRunner().invoke(app, ["new", "hats"])
    assert again.exit_code == 2
    assert again.stderr.count("[file-exists]") == len(FILES)


def test_what_appears_meanwhile_is_left_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = folder / "tests" / "test_hats.py"

    def appearing(path: Path, content: bytes) -> bool:
        if path == mine:
            mine.parent.mkdir()
            mine.write_text("mine")
        return write_file(path, content)

    monkeypatch.setattr(cfgen.folders, "write_file", appearing)
    with pytest.raises(CfgenError, match="file-exists"):
        new_task("hats", folder)
    assert [path for path in folder.rglob("*") if path.is_file()] == [mine]
    assert mine.read_text() == "mine"
