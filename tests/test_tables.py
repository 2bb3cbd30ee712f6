"""docs/templates.md: lexicons as tables, from the file to the causal model and the task."""

from __future__ import annotations

import itertools
import re
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cfgen import CfgenError, load_task
from cfgen.datasets import draw_pairs, recipe, row_tables, solve_words, write_dataset
from cfgen.lint import lint_task
from cfgen.prompts import Encode
from cfgen.tasks import Task
from tests.pages import ROOT, blocks_of, run_block, write_files
from tests.projects import put_files

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
    default_model="smollm2-135m",
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
    files = {
        "causal_models/capitals.py": TASK.format(answer=answer, also=also),
        "templates/capitals/plain.jinja": template,
    }
    put_files(folder, files)
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


COMPARED = '''
"""The larger of two countries."""
from cfgen import CausalModel, Design, Hypothesis, TaskDefinition, distinct, edits, lexicon

table = lexicon("countries")
model = CausalModel("compared", output="answer")
model.input("countries", distinct(table, 2), each="country")

@model.variable
def larger(countries: tuple[str, ...]) -> str:
    return max(countries, key=lambda country: int(table[country].population))

@model.variable
def answer(larger: str) -> str:
    return table[larger].capital

task = TaskDefinition(
    causal_model=model,
    designs=[Design("other", counterfactual=[edits.resample("countries")])],
    hypotheses=[Hypothesis("larger", interchange=["larger"])],
    version="1",
    default_design="other",
    default_model="smollm2-135m",
    allow={"predicts-as-all": "one hypothesis", "shortcut": "one of two"},
)
'''
SHOWN = """---
id: compared
description: The larger of two countries is named.
shows: [countries, larger]
---
{{ country_1 }} ({{ country_1.capital }}) or {{ country_2 }}? {{ larger }}, and its capital is
"""


def make_compared(folder: Path, template: str = SHOWN, countries: int = 12) -> Path:
    """A project with a task whose template shows a variable and an attribute."""
    rows = "".join(f"Land{k}\tTown{k}\t{k}\n" for k in range(1, countries + 1))
    files = {
        "data/lexicons/countries.tsv": f"country\tcapital\tpopulation\n{rows}",
        "causal_models/compared.py": COMPARED,
        "templates/compared/compared.jinja": template,
    }
    put_files(folder, files)
    return folder / "causal_models/compared.py"


def test_variables_and_attributes_are_shown_by_all_that_shows_prompts(tmp_path: Path) -> None:
    task = load_task(make_compared(tmp_path))
    pairs = task.sample(6)
    for side in (side for pair in pairs for side in (pair.original, pair.counterfactual)):
        one, other = side.inputs["countries"]
        larger = max(one, other, key=lambda name: int(name[4:]))
        town = f"Town{larger[4:]}"
        assert side.answer == town
        text = f"{one} (Town{one[4:]}) or {other}? {larger}, and its capital is"
        assert side.prompt.text == task.prompt(side.inputs).text == text
        names = [span.name for span in side.prompt.spans]
        assert names == ["country_1", "country_1.capital", "country_2", "larger"]
    assert [(f.code, f.message) for f in lint_task(str(task.path)).findings] == []


def marked(pattern: str) -> Encode:
    """A token a word with the space in front; two of words that match."""

    def encode(text: str) -> tuple[list[int], list[tuple[int, int]]]:
        offsets: list[tuple[int, int]] = []
        for match in re.finditer(r" ?\w+|[^\w\s]|\s", text):
            start, end = match.span()
            cut = [start + 2] if re.fullmatch(pattern, match[0].strip()) else []
            offsets += itertools.pairwise([start, *cut, end])
        return [zlib.crc32(text[a:b].encode()) for a, b in offsets], offsets

    return encode


VARIABLE = SHOWN.replace(" ({{ country_1.capital }})", "").replace("larger]", "larger, answer]")
VARIABLE = VARIABLE.replace("is\n", "is {{ answer }}. Again: its capital is\n")


@pytest.mark.parametrize(
    ("template", "answer", "pattern", "reason"),
    [
        (SHOWN, "table[larger].capital", r"Land[123]", "takes 2 tokens where the others take 1"),
        (SHOWN, "table[larger].capital", r"Town[123]", "has 'Town1', which takes 2 tokens as an"),
        (SHOWN, "str(larger > '')", r"Town[123]", "takes 2 tokens where the others take 1"),
        (VARIABLE, "table[larger].capital", r"Town[123]", "which takes 2 tokens as an answer"),
    ],
    ids=["word", "answer", "shown", "variable"],
)
def test_a_row_is_left_out_whole(
    tmp_path: Path, template: str, answer: str, pattern: str, reason: str
) -> None:
    path = make_compared(tmp_path, template)
    source = path.read_text("utf-8").replace("return table[larger].capital", f"return {answer}")
    path.write_text(source, encoding="utf-8")
    task = load_task(path)
    solved = solve_words(task, [task.design()], {"t": marked(pattern)}, splits=1)
    left = next(iter(solved.task.causal_model.domains.values())).pools["countries"]
    assert {*left} == {f"Land{k}" for k in range(4, 13)}
    assert {each.word for each in solved.dropped} == {"Land1", "Land2", "Land3"}
    assert reason in solved.dropped[0].reason


def test_a_capital_of_two_countries_is_no_collision(tmp_path: Path) -> None:
    path = make_compared(tmp_path)
    table = tmp_path / "data/lexicons/countries.tsv"
    table.write_text(table.read_text("utf-8").replace("Town2", "Town1"), encoding="utf-8")
    task = load_task(path)
    solved = solve_words(task, [task.design()], {"t": marked("")}, splits=1)
    assert (dict(solved.kept), solved.dropped) == ({"countries": 12}, ())


def test_a_lexicon_is_not_read_inside_a_mechanism(tmp_path: Path) -> None:
    with pytest.raises(CfgenError) as error:
        load_task(make_task(tmp_path, answer='lexicon("countries")[country].capital'))
    (problem,) = error.value.problems
    assert problem.code == "lexicon-in-mechanism"
    assert problem.where.rpartition("capitals.py:")[2].isdigit()


def capitals_of(folder: Path, countries: int = 18) -> Task:
    """The task of the page, of so many countries."""
    path = make_task(folder)
    rows = "".join(f"Land{k}\tTown{k}\t{k}\n" for k in range(countries))
    table = folder / "data/lexicons/countries.tsv"
    table.write_text(f"country\tcapital\tpopulation\n{rows}", encoding="utf-8")
    return load_task(path)


def test_a_small_table_gives_few_pairs_of_prompts_used_once(tmp_path: Path) -> None:
    task = capitals_of(tmp_path)
    with pytest.raises(CfgenError, match=r"too-few-pairs") as error:
        draw_pairs(recipe(task, 20))
    assert "--reuse-prompts" in str(error.value)


@settings(deadline=None, max_examples=20)
@given(
    n=st.integers(1, 60),
    seed=st.integers(0, 3),
    balance=st.booleans(),
    shares=st.sampled_from([(1, 0, 0), (1, 1, 1), (2, 0, 1)]),
)
def test_prompts_are_used_again_but_no_pair_and_in_no_other_split(
    tmp_path_factory: pytest.TempPathFactory,
    n: int,
    seed: int,
    balance: bool,
    shares: tuple[int, ...],
) -> None:
    task = capitals_of(tmp_path_factory.mktemp("project"))
    fractions = dict(zip(("train", "validation", "test"), shares, strict=True))
    made = recipe(task, n, seed=seed, balance=balance, fractions=fractions, reuse_prompts=True)
    owners: dict[str, str] = {}
    pairs: set[tuple[str, str]] = set()
    for split, table in row_tables(made):
        for row in table.to_pylist():
            both = row["original"]["prompt"], row["counterfactual"]["prompt"]
            assert both[0] != both[1]
            assert both not in pairs
            pairs.add(both)
            assert {owners.setdefault(prompt, split.name) for prompt in both} == {split.name}
    assert len(pairs) == n


def test_all_pairs_that_there_are_can_be_had_and_no_more(tmp_path: Path) -> None:
    task = capitals_of(tmp_path, 6)
    everything = recipe(task, 30, fractions={"train": 1}, reuse_prompts=True)
    assert sum(len(table) for _, table in row_tables(everything)) == 30 == 6 * 5
    with pytest.raises(CfgenError, match="only 30 different ones were found"):
        [*row_tables(replace(everything, n=31))]


def test_a_dataset_says_that_prompts_are_used_again(tmp_path: Path) -> None:
    task = capitals_of(tmp_path)
    made = recipe(task, 30, reuse_prompts=True)
    manifest = write_dataset(made, tmp_path / "again")
    assert manifest.reuse_prompts
    assert manifest.splits["train"].originals == 6 < manifest.splits["train"].rows == 24
    inside = [
        leak for leak in manifest.leakage if leak.what == "prompts" and leak.one == leak.other
    ]
    assert inside[0].shared == 2 * 24 - 6
    assert not any(leak.flagged for leak in manifest.leakage)
    card = (tmp_path / "again/README.md").read_text("utf-8")
    assert "a prompt may be in several pairs" in card
    assert "originals" in card
    assert write_dataset(made, tmp_path / "again") == manifest
    with pytest.raises(CfgenError, match="reuse prompts"):
        write_dataset(replace(made, reuse_prompts=False), tmp_path / "again")


def test_words_are_measured_where_inputs_may_not_be_the_same(tmp_path: Path) -> None:
    """Two inputs of one lexicon, a requirement, a variable that fails where it is not met."""
    path = make_compared(tmp_path)
    source = path.read_text("utf-8").replace(
        'model.input("countries", distinct(table, 2), each="country")',
        'model.input("one", table)\nmodel.input("two", table)\n\n@model.require\n'
        "def different(one: str, two: str) -> bool:\n    return one != two\n",
    )
    source = source.replace("(countries: tuple[str, ...])", "(one: str, two: str)")
    source = source.replace(
        "return max(countries, key=lambda country: int(table[country].population))",
        "rows = {int(table[name].population): name for name in (one, two)}\n"
        "    low, high = sorted(rows)\n    return rows[high]",
    )
    path.write_text(source.replace('"countries")]', '"one"), edits.resample("two")]'), "utf-8")
    shown = tmp_path / "templates/compared/compared.jinja"
    text = SHOWN.replace("countries", "one, two").replace("country_1", "one")
    shown.write_text(text.replace("country_2", "two"), encoding="utf-8")
    task = load_task(path)
    solved = solve_words(task, [task.design()], {"t": marked(r"Land1|Town2")}, splits=1)
    assert dict(solved.kept) == {"countries": 10}
    report = lint_task(str(path), {"t": marked(r"Land1|Town2")})
    [words] = [found.message for found in report.findings if found.code == "word-tokens"]
    assert words.endswith("are not one token each as one, one.capital: 'Land1', 'Land2'")
