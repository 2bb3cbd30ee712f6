"""docs/experiments.md: files that are right, the records as tables, the experiments of a paper."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from cfgen.errors import CfgenError
from cfgen.experiments import (
    EngineOptions,
    Experiment,
    SiteOptions,
    SweepOptions,
    descriptions,
    read_experiment,
)
from cfgen.tasks import load_task
from tests.pages import blocks_of, run_block, write_files

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "experiments.md"
EXAMPLES = sorted((DOCS / "examples").glob("*.yaml"))
FILES = [block for block in blocks_of(PAGE) if block.language == "yaml"]


def cell(default: Any) -> str:
    """A default as it is written, in a cell of a table; empty if there is nothing to write."""
    if default in (None, (), {}) or isinstance(default, BaseModel):
        return ""
    value = list(default) if isinstance(default, tuple) else default
    text = yaml.safe_dump(value, default_flow_style=True)
    return f" `{text.partition(chr(10))[0]}`"


@pytest.mark.parametrize("record", [Experiment, SiteOptions, SweepOptions, EngineOptions])
def test_every_field_is_in_a_table(record: type[BaseModel]) -> None:
    told = descriptions(record)
    assert list(told) == list(record.model_fields)
    rows = [
        f"| `{name}` |{cell(field.default)} | {told[name]} |"
        for name, field in record.model_fields.items()
    ]
    assert "\n".join(["|---|---|---|", *rows, ""]) in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("block", FILES, ids=lambda block: f"line {block.line}")
def test_files_on_the_page_are_right(tmp_path: Path, block: Any) -> None:
    path = tmp_path / "first.yaml"
    path.write_text(block.text, encoding="utf-8")
    check(read_experiment(path))


def test_programs_print_what_is_shown(tmp_path: Path) -> None:
    write_files(PAGE, tmp_path)
    programs = [block for block in blocks_of(PAGE) if block.runs and not block.is_slow]
    assert len(programs) == 1
    for block in programs:
        run_block(block, tmp_path)


@pytest.mark.slow
def test_what_is_asked_of_an_lm_is_answered(tmp_path: Path) -> None:
    write_files(PAGE, tmp_path)
    for block in blocks_of(PAGE):
        if block.runs and block.is_slow:
            run_block(block, tmp_path)
    runs = sorted(path.name.partition("-smollm2")[0] for path in (tmp_path / "runs").iterdir())
    assert runs == ["belief_tracking-behaviour", "belief_tracking-behaviour", "ioi-interchange"]


def test_the_mistakes_on_the_page_are_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("first.yaml").write_text("task: ioi\nkept: true\nn: 1e3\nlayers: each\n", encoding="utf-8")
    with pytest.raises(CfgenError) as raised:
        read_experiment(Path("first.yaml"))
    (shown,) = [block.text for block in blocks_of(PAGE) if block.language == "text"]
    assert str(raised.value) == shown.strip()


# The experiments of the paper


def check(experiment: Experiment) -> None:
    """What it names is there."""
    assert experiment.task is not None
    task = load_task(experiment.task)
    task.design(experiment.design)
    for name in experiment.hypotheses:
        task.hypothesis(name)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_tests_hypotheses_with_their_own_design(path: Path) -> None:
    experiment = read_experiment(path)
    check(experiment)
    task = load_task("belief_tracking")
    assert experiment.task == "belief_tracking"
    designs = {task.hypothesis(name).design for name in experiment.hypotheses}
    assert designs == {experiment.design}
    row = f"| [{path.name}](examples/{path.name}) | "
    row += ", ".join(f"`{name}`" for name in experiment.hypotheses) + " |\n"
    assert row in PAGE.read_text(encoding="utf-8")


def test_the_examples_test_every_hypothesis_of_the_paper_once() -> None:
    tested = [name for path in EXAMPLES for name in read_experiment(path).hypotheses]
    assert len(tested) == 13
    assert sorted(tested) == sorted(load_task("belief_tracking").hypotheses)
