"""Coverage, against counting by hand, and with combinations taken out on purpose."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cfgen import load_task
from cfgen.counterfactuals import restrict_domains
from cfgen.datasets.coverage import Coverage, CoverageAudit, FactorSpace, find_space
from cfgen.tasks import Task
from tests.datasets.plain_audits import plain_coverage, plain_value

Row = tuple[Mapping[str, Any], str | None]


def space_of(task: Task, design: str | None = None) -> FactorSpace:
    allowed = task.template_domain(["all"])
    domains = restrict_domains(task.causal_model.domains, {}, allowed)
    return find_space(task, task.design(design), domains)


def rows_of(task: Task, n: int, design: str | None = None, seed: int = 0) -> list[Row]:
    from cfgen.counterfactuals import draw_inputs

    rng, made = random.Random(seed), []
    for _ in range(n):
        original, _ = draw_inputs(task.design(design), task.causal_model.domains, rng)
        made.append((original, task.causal_model.run(original)["answer"]))
    return made


def audited(space: FactorSpace, rows: Sequence[Row], strength: int = 2) -> Coverage:
    """The audit in two portions, which says what the plain one says."""
    audit = CoverageAudit(space, strength)
    for portion in (rows[: len(rows) // 3], rows[len(rows) // 3 :]):
        if portion:
            columns = {name: pa.array([row[0][name] for row in portion]) for name in portion[0][0]}
            audit.add(columns, pa.array([row[1] for row in portion], pa.string()))
    found = audit.result()
    assert found == plain_coverage(space, rows, strength)
    return found


def every_row(task: Task) -> list[Row]:
    model = task.causal_model
    return [(inputs, model.run(inputs)["answer"]) for inputs in model.enumerate()]


def names_of(missing: str) -> dict[str, str]:
    return dict(part.split("=") for part in missing.split(", "))


def test_everything_there_is_covers_everything(project) -> None:
    project.lexicon("things", ["a", "b", "c", "d"])
    task = project.load()
    for strength in (1, 2, 3):
        found = audited(space_of(task), every_row(task), strength)
        assert (found.share, found.missing, found.exact) == (1.0, (), True)
        assert found.strength == strength


def test_pairs_by_hand(project) -> None:
    """asked x thing_1, asked x thing_2, asked x answer: two values each with any of four words."""
    project.lexicon("things", ["a", "b", "c", "d"])
    task = project.load()
    rows = [({"things": ("a", "b"), "asked": 0}, "a"), ({"things": ("c", "b"), "asked": 1}, "b")]
    found = audited(space_of(task), rows)
    assert (found.covered, found.possible) == (6, 24)
    assert "thing_1=a, asked=1" in found.missing
    assert found.spread["asked"].model_dump() == {"values": 2, "used": 2, "least": 1, "most": 1}
    assert found.spread["thing_2"].model_dump() == {"values": 4, "used": 1, "least": 0, "most": 2}
    assert found.spread["answer"].values == 4


def test_a_combination_taken_out_is_named() -> None:
    task = load_task("ioi")
    rows = rows_of(task, 4000)
    whole = audited(space_of(task), rows)
    assert whole.missing == ()
    left = [row for row in rows if (row[0]["template"], row[0]["subject"]) != ("there_was", 1)]
    found = audited(space_of(task), left)
    assert {"template": "there_was", "subject": "1"} in list(map(names_of, found.missing))
    assert found.covered < found.possible == whole.possible


def test_what_a_design_rules_out_is_not_missing() -> None:
    """Matched questions: the asked character and container are always the same one's."""
    task = load_task("belief_tracking")
    space = space_of(task, "restate")
    closed = [factor.name for factor in space.factors[:-1] if factor.values is None]
    asked = [closed.index("asked_character"), closed.index("asked_container")]
    assert {tuple(values[i] for i in asked) for values, _ in space.cases} == {
        ("0", "0"),
        ("1", "1"),
    }
    found = audited(space, rows_of(task, 8000, "restate"))
    assert found.missing == ()
    assert found.spread["visibility"].values == 1


def test_answers_that_are_no_words_are_counted_as_they_are() -> None:
    task = load_task("belief_tracking")
    found = audited(space_of(task, "unmatched"), rows_of(task, 2000, "unmatched"))
    assert found.spread["answer"].values == 1
    mixed = space_of(task, "unmatched").cases
    assert {answers for _, answers in mixed} == {("unknown",)}


@cache
def equality() -> tuple[Task, FactorSpace]:
    task = load_task("hierarchical_equality")
    return task, space_of(task)


@pytest.mark.slow
@given(n=st.integers(0, 60), seed=st.integers(0, 5), strength=st.integers(1, 3))
@settings(max_examples=12, deadline=None)
def test_covered_is_what_counting_says(n: int, seed: int, strength: int) -> None:
    task, space = equality()
    rows = rows_of(task, n, seed=seed)
    found = audited(space, rows, strength)
    columns = {factor.name: [plain_value(factor, row) for row in rows] for factor in space.factors}
    is_open = {f.name for f in space.factors[:-1] if f.values is not None}
    if any(len(answers) > 1 for _, answers in space.cases):
        is_open.add("answer")
    seen = {
        (subset, values)
        for subset in itertools.combinations(columns, found.strength)
        if len(is_open & set(subset)) <= 1
        for values in zip(*(columns[name] for name in subset), strict=True)
    }
    assert found.covered == len(seen)
    assert 0 <= found.covered <= found.possible
    more = audited(space, [*rows, *rows_of(task, 5, seed=99)], strength)
    assert more.covered >= found.covered
    assert more.possible == found.possible


def test_large_ranges_are_open_and_many_inputs_are_drawn(project) -> None:
    source = project.root / "causal_models/toy.py"
    text = source.read_text()
    extra = 'model.input("number", integers(0, 99))\n' + "".join(
        f'model.input("flag{k}", integers(0, 7))\n' for k in range(5)
    )
    text = text.replace('model.input("asked"', extra + 'model.input("asked"')
    source.write_text(
        text.replace(
            "def pointer(asked)", "def pointer(asked, number, flag0, flag1, flag2, flag3, flag4)"
        )
    )
    space = space_of(project.load())
    assert not space.exact
    assert len(next(f for f in space.factors if f.name == "number").values or ()) == 100


@pytest.mark.parametrize("strength", [4, 9])
def test_no_more_factors_are_combined_than_there_are(project, strength: int) -> None:
    project.lexicon("things", ["a", "b", "c", "d"])
    task = project.load()
    found = audited(space_of(task), every_row(task), strength)
    assert found.strength == min(strength, 4)
