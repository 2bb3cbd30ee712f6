"""The card of a task with hostile words: front matter that is YAML, tables with all their cells."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from cfgen import CfgenError, load_task
from cfgen.datasets import recipe, write_dataset
from tests.datasets.conftest import FRESH, Project

PARSER = MarkdownIt("commonmark").enable(["table"])
AWKWARD = ("a|b", "`c`", "d\\|e", "---", "| --- |", "<b>", "*f*", "[g](h)", "# i", "$j$", "1. k")
WORDS = st.lists(
    st.one_of(st.sampled_from(AWKWARD), st.text("ab|`\\*_<>[]()#-:$&;~ ", min_size=1, max_size=8)),
    max_size=10,
)


def tables(text: str) -> list[list[int]]:
    """For every table of a Markdown text, how many cells each of its rows has."""
    found: list[list[int]] = []
    for token in PARSER.parse(text):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append(0)
        elif token.type in ("th_open", "td_open"):
            found[-1][-1] += 1
    return found


def card_of(folder: Path) -> tuple[dict[str, object], str]:
    _, front, text = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(front), text


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(WORDS)
@example([";())&"])
def test_a_card_has_its_tables_whatever_the_words(
    tmp_path_factory: pytest.TempPathFactory, words: list[str]
) -> None:
    root = tmp_path_factory.mktemp("hostile")
    project = Project(root)
    kept = {f"x{re.sub(' +', ' ', word).strip()}x": None for word in words}
    project.lexicon("things", [*kept, *(f"thing{number}" for number in range(60))])
    project.design(FRESH)
    try:
        made = recipe(load_task(root / "causal_models/toy.py"), 40)
    except CfgenError:  # some words are refused for themselves, such as two that are one
        return
    manifest = write_dataset(made, root / "out")
    front, text = card_of(root / "out")
    assert front["pretty_name"] == "toy: fresh"
    if not any("()" in word for word in kept):
        assert "()" not in text  # a remark in brackets about nothing
    found = tables(text)
    assert all(len(set(cells)) == 1 for cells in found)
    # what a row lacks is filled up, and what it has too much is cut, when it is read: count bars
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    bars = [len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) - 1 for line in lines]
    assert bars == [cells for table in found for cells in (table[0], *table)]
    assert sum(map(len, found)) + len(found) == len(lines)
    assert manifest.rows == 40


@pytest.mark.parametrize(
    ("said", "languages"), [("", None), ('    languages=["hi", "en"],\n', ["hi", "en"])]
)
def test_a_language_is_said_and_never_guessed(
    tmp_path: Path, said: str, languages: list[str] | None
) -> None:
    project = Project(tmp_path)
    project.design(FRESH)
    file = tmp_path / "causal_models/toy.py"
    text = file.read_text(encoding="utf-8").replace(
        '    version="1",\n', f'    version="1",\n{said}'
    )
    file.write_text(text, encoding="utf-8")
    write_dataset(recipe(load_task(file), 20), tmp_path / "out")
    assert card_of(tmp_path / "out")[0].get("language") == languages


@pytest.mark.parametrize("languages", ['"en"', '["English"]', "[1]", "None", '[""]'])
def test_what_is_no_language_is_refused(tmp_path: Path, languages: str) -> None:
    project = Project(tmp_path)
    project.design(FRESH)
    file = tmp_path / "causal_models/toy.py"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("version=", f"languages={languages}, version="), encoding="utf-8")
    with pytest.raises(CfgenError, match="language codes"):
        load_task(file)


def test_the_built_in_tasks_say_theirs() -> None:
    folder = Path(__file__).parents[2] / "causal_models"
    names = sorted(path.stem for path in folder.glob("*.py"))
    assert {load_task(name).languages for name in names} == {("en",)}
