"""docs/templates.md: lexicons as tables, from the file to the causal model and the task."""

from __future__ import annotations

from pathlib import Path

import pytest

from cfgen import CfgenError, load_task
from tests.pages import ROOT, blocks_of, run_block, write_files

PAGE = ROOT / "docs/templates.md"
TASK = '''
"""Capitals of countries."""
from cfgen import CausalModel, Design, Hypothesis, TaskDefinition, edits, lexicon

countries = lexicon("countries")
{also}
model = CausalModel("capitals", output="answer")
model.input("country", countries)

@model.variable
def answer(country: str) -> str:
    return {answer}

task = TaskDefinition(
    causal_model=model,
    designs=[Design("other", counterfactual=[edits.resample("country")])],
    hypotheses=[Hypothesis("answer", interchange=["answer"])],
    version="1",
    default_design="other",
    default_model="none",
)
'''
TEMPLATE = """---
id: plain
description: A question about a country.
shows: [country]
---
The capital of {{ country }} is
"""


def make_task(
    folder: Path,
    answer: str = "countries[country].capital",
    also: str = "",
    template: str = TEMPLATE,
) -> Path:
    """A project with the task of the page, and its table."""
    write_files(PAGE, folder)
    for name, text in {
        "causal_models/capitals.py": TASK.format(answer=answer, also=also),
        "templates/capitals/plain.jinja": template,
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder / "causal_models/capitals.py"


def test_the_page_runs(tmp_path: Path) -> None:
    ran = [block for block in blocks_of(PAGE) if block.runs]
    assert ran
    write_files(PAGE, tmp_path)
    for block in ran:
        run_block(block, tmp_path)


def test_a_task_is_another_one_when_its_table_says_something_else(tmp_path: Path) -> None:
    path = make_task(tmp_path)
    before = load_task(path).content_hash
    assert load_task(path).content_hash == before
    table = tmp_path / "data/lexicons/countries.tsv"
    table.write_text(table.read_text("utf-8").replace("Tokyo", "Kyoto"), encoding="utf-8")
    assert load_task(path).content_hash != before


def test_also_when_only_a_mechanism_looks_into_it(tmp_path: Path) -> None:
    path = make_task(
        tmp_path,
        answer='others["x"].y if country in others else "no"',
        also='others = lexicon("others")',
    )
    table = tmp_path / "data/lexicons/others.tsv"
    table.write_text("word\ty\nx\tone\n", encoding="utf-8")
    before = load_task(path).content_hash
    table.write_text("word\ty\nx\ttwo\n", encoding="utf-8")
    assert load_task(path).content_hash != before


def test_a_lexicon_is_not_read_inside_a_mechanism(tmp_path: Path) -> None:
    with pytest.raises(CfgenError) as error:
        load_task(make_task(tmp_path, answer='lexicon("countries")[country].capital'))
    (problem,) = error.value.problems
    assert problem.code == "lexicon-in-mechanism"
    assert problem.where.rpartition("capitals.py:")[2].isdigit()
